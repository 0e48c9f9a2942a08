"""How a command ends: standard streams that are closed or full, and signals that ask it to stop."""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Generator
from types import FrameType
from typing import Any, Protocol, TextIO, runtime_checkable

__all__ = ["StoppedBySignal", "flush", "prepare_streams", "signals_as_exceptions", "stop_as_asked", "tell"]

ASKING = ("SIGTERM", "SIGHUP")  # requests to stop: from `kill`, a scheduler, or a closing terminal
REPLACING = "spikeloom.replace"


@runtime_checkable
class _Reconfigurable(Protocol):
    """Streams substituted by tests and notebooks may lack this."""

    def reconfigure(self, *, errors: str) -> Any: ...


class StoppedBySignal(BaseException):
    """Raised in response to the signal, so that open files are closed and temporary ones removed on the way to `main`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def prepare_streams() -> None:
    """Replace closed standard streams with /dev/null, and keep unprintable characters from stopping a command.

    A file opened while one is closed would get its number, and a library's output would land in that file. A path with bytes
    that are not text is printed as those bytes; a character that the terminal's encoding lacks as `?`.
    """
    with contextlib.suppress(OSError):
        number = os.open(os.devnull, os.O_RDWR)
        while number <= 2:
            number = os.dup(number)
        os.close(number)
    codecs.register_error(REPLACING, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, _Reconfigurable):
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors=REPLACING)


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    found = b"".join(bytes([ord(c) - 0xDC00]) if 0xDC80 <= ord(c) <= 0xDCFF else b"?" for c in part)
    return found, error.end


def tell(message: str) -> None:
    """Print a line on standard error, if it can be written to."""
    with contextlib.suppress(OSError, ValueError):
        print(f"spikeloom: {message}", file=sys.stderr, flush=True)


def flush() -> OSError | None:
    """Flush standard output. If that fails, return the error and stop writing to it."""
    stream: TextIO | None = sys.stdout
    if stream is None:
        return None
    try:
        stream.flush()
    except OSError as error:
        with contextlib.suppress(OSError):
            number = os.open(os.devnull, os.O_WRONLY)
            os.dup2(number, stream.fileno())  # the interpreter flushes once more
            os.close(number)
        return error
    return None


@contextlib.contextmanager
def signals_as_exceptions() -> Generator[None]:
    """Raise StoppedBySignal for signals that ask the process to stop; a second one ends it at once. Ignored signals stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = [getattr(signal, name) for name in ASKING if hasattr(signal, name)]
    changed = [number for number in known if signal.getsignal(number) is signal.SIG_DFL]

    def asked(number: int, _frame: FrameType | None) -> None:
        for one in changed:
            signal.signal(one, signal.SIG_DFL)
        raise StoppedBySignal(number)

    for number in changed:
        signal.signal(number, asked)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def stop_as_asked(number: int) -> None:
    """End this process by the signal itself, so that the sender can tell."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
