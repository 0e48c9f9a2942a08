"""Run the Lava worker as a child process and always clean up after it: no process or shared memory is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO

from ...errors import BackendError
from ...formats.lava.installed import INSTALL

WORKER = Path(__file__).resolve().parent.parent / "lava_worker" / "main.py"
LAVA_MISSING = 4  # exit code of the worker
GRACE = 5.0  # seconds from SIGTERM to SIGKILL
LONGEST_SOCKET_FOLDER = 64  # the path of a socket has at most 104 bytes, of which multiprocessing adds 32


def run_worker(python: str, folder: Path, deadline: float, time_limit: float) -> None:
    """Run the worker on `folder` with the interpreter `python` until it ends or the clock `time.monotonic()` reaches `deadline`.

    Raises:
        BackendError: it cannot be started, fails, dies or exceeds the time limit.
    """
    log = folder / "log.txt"
    with log.open("wb") as output, _started(python, folder, output) as worker:
        try:
            code = worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise BackendError(
                f"Lava was stopped at the time limit of {time_limit:g} s. Run fewer samples or raise the limit. Its output:\n{_tail(log)}"
            ) from error
    if code == LAVA_MISSING:
        raise BackendError(f"{python} cannot import Lava ({_tail(log, 1)}). Install it there with: {INSTALL}")
    if code:
        what = f"was killed by signal {-code}" if code < 0 else "failed"
        raise BackendError(f"The Lava worker {what}. Run it again, or use --backend native. Its output:\n{_tail(log)}")


@contextlib.contextmanager
def _started(python: str, folder: Path, output: IO[bytes]) -> Generator[subprocess.Popen[bytes]]:
    command = [python, str(WORKER), str(folder), str(os.getpid())]
    try:
        worker = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(python, folder),
            start_new_session=True,
        )
    except OSError as error:
        raise BackendError(f"Cannot start {python} for the Lava worker: {error.strerror}. Name an interpreter that has Lava.") from error
    try:
        yield worker
    finally:
        _end(worker)


def _environment(python: str, folder: Path) -> dict[str, str]:
    """Return the worker's environment: one thread, no warnings at shutdown, no packages of this interpreter in another one."""
    environment = {k: v for k, v in os.environ.items() if python == sys.executable or k not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    if len(str(folder)) <= LONGEST_SOCKET_FOLDER:
        environment["TMPDIR"] = str(folder)  # multiprocessing's files are removed with the folder
    return environment


def _end(worker: subprocess.Popen[bytes]) -> None:
    """End the worker's whole group: SIGTERM, a wait, SIGKILL; then remove the shared memory that is left.

    SIGTERM first, because multiprocessing's resource tracker ignores it and frees the shared memory once all other processes have ended.
    """
    segments = _segments(worker.pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _lives(worker):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker.pid, number)
            end = time.monotonic() + GRACE
            while _lives(worker) and time.monotonic() < end:
                time.sleep(0.02)
    for segment in segments:
        segment.unlink(missing_ok=True)


def _lives(worker: subprocess.Popen[bytes]) -> bool:
    """Whether a process of the worker's group is still alive; an uncollected zombie is not."""
    worker.poll()
    if sys.platform == "linux":
        return bool(_members(worker.pid))
    try:
        os.killpg(worker.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _members(group: int) -> list[int]:
    """Return the live processes of a process group, read from /proc (Linux)."""
    members: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                members.append(int(stat.parent.name))
    return members


def _segments(group: int) -> set[Path]:
    """Return the shared memory of Python that processes of a group have mapped (Linux)."""
    found: set[Path] = set()
    for member in _members(group):
        with contextlib.suppress(OSError):
            names = (line.split(maxsplit=5)[-1] for line in Path(f"/proc/{member}/maps").read_text().splitlines())
            found.update(Path(name) for name in names if name.startswith("/dev/shm/psm_") and not name.endswith(" (deleted)"))
    return found


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) or "(nothing)"
