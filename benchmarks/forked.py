"""Commands of `spikeloom` as forks of this process, which has everything imported: some milliseconds each rather than seconds.

For benchmarks/fuzz_cli.py and benchmarks/kills.py. This process itself computes nothing, so that no thread is lost in a fork.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NoReturn

WARM = [
    "spikeloom.cli.entry",
    "spikeloom.cli.report",
    "spikeloom.train.fitting",
    "spikeloom.train.running",
    "spikeloom.train.recipe",
    "spikeloom.compile.compiler",
    "spikeloom.compile.summary",
    "spikeloom.formats.ann.folder",
    "spikeloom.compile.estimate",
    "spikeloom.sweep",
    "spikeloom.sweep.page",
    "spikeloom.runtime",
    "spikeloom.runtime.backends.native",
    "spikeloom.runtime.backends.torch",
    "spikeloom.report.html",
    "spikeloom.report.terminal",
    "spikeloom.data.dataset",
    "spikeloom.data.sets.digits",
    "spikeloom.formats.nir.reader",
    "sklearn.datasets",
    "tensorboard.summary.writer.record_writer",
    "networkx",
    "rich.progress",
    "h5py",
    "onnxruntime",
]


NOT_BEGUN = 98  # the exit code of a child whose surroundings could not be made


def warm() -> None:
    """Import what the commands import."""
    for name in WARM:
        try:
            import_module(name)
        except ImportError:
            sys.stderr.write(f"{name} is not there\n")


@dataclass
class Surroundings:
    """Where a command runs.

    Args:
        folder: the working folder.
        environment: variables to be set, or removed where None.
        stdout, stderr: "file", "closed", "full" (/dev/full), "pipe" (whose reader has gone) or "terminal", which is closed later.
        encoding: of the standard streams.
        memory: GiB of address space beyond what the process has.
        prepare: called in the child last of all.
    """

    folder: Path
    environment: dict[str, str | None] = field(default_factory=dict[str, str | None])
    stdout: str = "file"
    stderr: str = "file"
    encoding: str = "utf-8"
    memory: float = 4.0
    prepare: Callable[[], None] | None = None


@dataclass
class Child:
    """A running command: its process leads a group and a session."""

    pid: int
    terminal: int | None
    said: Path

    def wait(self, seconds: float) -> int | None:
        """Return how it ended, as subprocess has it, or None if it is still at work after `seconds`."""
        ended, end = os.pidfd_open(self.pid), time.monotonic() + seconds
        try:
            while True:
                watched = [ended] if self.terminal is None else [ended, self.terminal]
                ready = select.select(watched, [], [], max(end - time.monotonic(), 0))[0]
                if ended in ready:
                    return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                if not ready:
                    return None
                self._drain()
        finally:
            os.close(ended)

    def _drain(self) -> None:
        try:
            if self.terminal is not None:
                os.read(self.terminal, 1 << 16)
        except OSError:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the terminal."""
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None

    def output(self, name: str) -> str:
        """What it wrote to `stdout` or `stderr`, where that was a file."""
        path = self.said / name
        return path.read_bytes().decode(errors="replace") if path.exists() else ""


def start(words: Sequence[str], around: Surroundings, said: Path) -> Child:
    """Run `spikeloom WORDS...` in a fork, as its console script would."""
    said.mkdir(parents=True, exist_ok=True)
    terminal, inner = os.openpty() if "terminal" in (around.stdout, around.stderr) else (None, None)
    child = os.fork()
    if child == 0:
        try:
            _run(words, around, said, terminal, inner)
        finally:
            os._exit(NOT_BEGUN)
    if inner is not None:
        os.close(inner)
    return Child(child, terminal, said)


def _run(words: Sequence[str], around: Surroundings, said: Path, terminal: int | None, inner: int | None) -> NoReturn:
    os.setsid()
    if inner is not None and terminal is not None:
        import fcntl
        import termios

        os.close(terminal)
        fcntl.ioctl(inner, termios.TIOCSCTTY, 0)
    os.chdir(around.folder)
    for name, value in around.environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, kind in ((1, around.stdout), (2, around.stderr)):
        _stream(number, kind, said, around.encoding, inner)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + int(around.memory * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if around.prepare is not None:
        around.prepare()
    sys.argv = ["spikeloom", *words]
    os._exit(_ended())


def _stream(number: int, kind: str, said: Path, encoding: str, inner: int | None) -> None:
    """Make standard output or error what it should be, as the interpreter makes it at its start."""
    name = ("", "stdout", "stderr")[number]
    if kind == "closed":
        os.close(number)
        setattr(sys, name, None)
        return
    if kind == "pipe":
        reading, opened = os.pipe()
        os.close(reading)
    elif kind == "terminal":
        assert inner is not None
        opened = os.dup(inner)
    else:
        opened = os.open("/dev/full" if kind == "full" else said / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(opened, number)
    os.close(opened)
    buffered = number == 1 and kind != "terminal"
    raw = open(number, "wb", buffering=-1, closefd=False)  # noqa: SIM115
    errors = "strict" if number == 1 else "backslashreplace"
    setattr(sys, name, io.TextIOWrapper(raw, encoding, errors, line_buffering=not buffered, write_through=not buffered))


def _ended() -> int:
    """Run the command line to the code that the interpreter would end with: with its last flush of standard output, which may fail."""
    from spikeloom.cli import main

    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc()
        code = 1
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        code = 120
    return code & 0xFF
