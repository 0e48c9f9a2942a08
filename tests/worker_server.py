"""Runs the programs that read HDF5, each in a fork of this small process: as isolated as a new one, and a hundred times as fast.

    python worker_server.py GIBIBYTES      a request a line on standard input, an answer a line on standard output

A request is JSON: {"program": path, "words": [...], "seconds": limit}; the answer {"code": ..., "said": ...}, code None past the limit.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import resource
import select
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import_module("h5py")  # once, for all programs


def limit_memory(gibibytes: float) -> None:
    """Bound what this process and its children may take beyond what it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + int(gibibytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def loaded(path: str) -> ModuleType:
    """Load a program from its file, without running it."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def work(program: ModuleType, words: list[str], said: int) -> NoReturn:
    """Run a program in this process, what it says into a pipe, and end."""
    code = 70
    try:
        sys.argv, sys.stderr = words, io.StringIO()
        try:
            code = program.main()
        except BaseException:
            traceback.print_exc()
            code = 1
        os.write(said, sys.stderr.getvalue()[-50_000:].encode(errors="replace"))
    finally:
        os._exit(code)


def answer(program: ModuleType, words: list[str], seconds: float) -> dict[str, Any]:
    """Run a program in a fork and wait for it, no longer than `seconds`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        work(program, words, writing)
    os.close(writing)
    ended = os.pidfd_open(child)
    late = not select.select([ended], [], [], seconds)[0]
    if late:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode(errors="replace")
    os.close(ended)
    return {"code": None if late else code, "said": said}


def main() -> None:
    """Answer until standard input ends."""
    limit_memory(float(sys.argv[1]))
    programs: dict[str, ModuleType] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        path = asked["program"]
        if path not in programs:
            programs[path] = loaded(path)
        sys.__stdout__.write(json.dumps(answer(programs[path], asked["words"], asked["seconds"])) + "\n")  # type: ignore[union-attr]
        sys.__stdout__.flush()  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
