"""The Lava worker:  python main.py FOLDER PARENT.  Needs numpy, scipy and lava-nc 0.10.0, but not Spikeloom.

Reads FOLDER/spec.json and the files that it names, runs the network, writes the spikes beside them. PARENT is the caller's process id:
when the caller ends for any reason, so do the worker and all processes that Lava forked.
Exit codes: 0 done, 1 failed, 4 Lava is missing, 5 one of Lava's own processes ended early.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import json
import multiprocessing.connection
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

FAILED = 1
LAVA_MISSING = 4
PROCESS_DIED = 5
PR_SET_PDEATHSIG = 1
PATIENCE = 1.0  # seconds for Lava to report an error itself after one of its processes ended
ORPHANED = 0.3  # seconds within which an ending caller is gone
STOP_LIMIT = 10.0  # seconds for Lava to stop once every spike is written


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent ends; elsewhere do nothing. SIGTERM kills, even if whoever started us ignores it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end_alone(folder: Path, parent: int) -> None:
    """On SIGTERM end at once; if the caller has ended, no other process is left to remove its folder."""

    def end(*_: Any) -> None:
        last = time.monotonic() + ORPHANED
        while os.getppid() == parent and time.monotonic() < last:  # its threads may exit one by one
            time.sleep(0.01)
        if os.getppid() != parent:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(FAILED)

    signal.signal(signal.SIGTERM, end)


def import_lava() -> None:
    """Import the Lava module that Python 3.11 and later reject: a dataclass used as a field's default must be hashable there."""
    original: Any = dataclasses.dataclass

    def hashable(cls: Any = None, /, **options: Any) -> Any:
        if cls is None:
            return lambda decorated: hashable(decorated, **options)
        if cls.__module__ == "lava.magma.compiler.var_model" and not options.get("frozen"):
            options.setdefault("unsafe_hash", True)
        return original(cls, **options)

    dataclasses.dataclass = hashable
    try:
        importlib.import_module("lava.magma.compiler.var_model")
    finally:
        dataclasses.dataclass = original


def watch(actors: list[Any], done: threading.Event) -> None:
    """Leave with a message when one of Lava's processes ends before `done`: Lava itself would wait for it forever."""
    multiprocessing.connection.wait([a.sentinel for a in actors])
    if not done.wait(PATIENCE):
        leave(PROCESS_DIED, actors, "One of Lava's own processes ended before the run was over.")


def leave(code: int, actors: list[Any], message: str) -> NoReturn:
    """End at once: a normal exit would join processes that wait for each other. The forked ones follow (`die_with_parent`)."""
    causes = [str(actor.exception[1]) for actor in actors if actor.exception]
    sys.stderr.write("\n".join([message, *causes]))
    sys.stderr.flush()
    os._exit(code)


def run(stream_type: Any, folder: Path) -> None:
    """Build, run and stop the network that `folder` describes."""
    actors: list[Any] = []
    done = threading.Event()
    try:
        stream = stream_type(json.loads((folder / "spec.json").read_text()), folder)
        actors += stream.start()
        threading.Thread(target=watch, args=(actors, done), daemon=True).start()
        stream.run()
    except Exception:  # whatever Lava raises, do not wait for its processes
        leave(FAILED, actors, traceback.format_exc())
    done.set()
    limit = threading.Timer(STOP_LIMIT, os._exit, (0,))
    limit.daemon = True
    limit.start()
    stream.stop()


def main() -> int:
    """Run the worker. Returns the exit code."""
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    die_with_parent()
    os.register_at_fork(after_in_child=die_with_parent)
    end_alone(folder, parent)
    if os.getppid() != parent:  # it ended before it could be watched
        shutil.rmtree(folder, ignore_errors=True)
        return FAILED
    try:
        import_lava()
        lava_stream = importlib.import_module("lava_stream")
    except ImportError:
        traceback.print_exc()
        return LAVA_MISSING
    run(lava_stream.Stream, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
