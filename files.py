"""Writing files so that nothing is ever half-written: to a temporary file beside it first, then renamed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import tempfile
import time
import tomllib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

from .errors import DAMAGE, FormatError, InUseError, OutputError

LEFT_FOR = 60.0  # seconds without a write after which a temporary file is assumed to be left by a killed process


def make_folder(folder: Path) -> Path:
    """Create `folder` and verify that it can be written to.

    Raises:
        OutputError: it is a file, read-only, or on a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, probe = tempfile.mkstemp(dir=folder, prefix=".probe-")
        os.close(descriptor)
        Path(probe).unlink()
    except OSError as error:
        raise OutputError(f"Cannot write to the folder {folder}: {error.strerror}. Name another with --out.") from error
    return folder


@contextlib.contextmanager
def owned(folder: Path) -> Generator[None]:
    """Create `folder` and lock it for this process alone; the system releases the lock however this process ends.

    Raises:
        InUseError: another process holds it.
        OutputError: it cannot be written to. On file systems without locks nothing is locked.
    """
    make_folder(folder)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUseError(f"Another process is at work in {folder}. Wait for it, or name another --out; nothing was changed.") from error
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file beside `path`, flush it to disk, then rename it to `path`.

    Raises:
        OutputError: the folder is missing, full or read-only; `path` keeps its old content.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=path.suffix)
        os.close(descriptor)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"Cannot write {path}: {reason}. Nothing was changed; name another place.") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    return path


def _remove_left(path: Path) -> None:
    """Remove temporary files that killed processes left beside `path`, once they are too old to be still in use."""
    pattern = re.compile(re.escape(f".{path.name}-") + r"[a-z0-9_]{8}" + re.escape(path.suffix))
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):  # noqa: PTH208 (names alone, in folders of many files)
            if pattern.fullmatch(name):
                left = path.with_name(name)
                with contextlib.suppress(OSError):
                    if time.time() - left.stat().st_mtime > LEFT_FOR:
                        left.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path, content: bytes) -> Path:
    """Write `content` to `path` atomically."""
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> Path:
    """Write `text` to `path` atomically, as UTF-8."""
    return write_bytes(path, text.encode())


_NUMBERS = re.compile(r"\[\n\s*(-?\d+(?:,\n\s*-?\d+)*)\n\s*\]")  # no text of JSON holds a line feed, so only lists match


def numbers_in_lines(written: str) -> str:
    """Return indented JSON with every list of whole numbers on one line."""
    return _NUMBERS.sub(lambda found: f"[{','.join(found[1].replace(',', ' ').split())}]", written)


def write_json(path: Path, document: Any) -> Path:
    """Write `document` to `path` atomically, as indented JSON without NaN; a list of whole numbers takes one line."""
    return write_text(path, numbers_in_lines(json.dumps(document, indent=2, allow_nan=False)) + "\n")


def read_bytes(path: Path, what: str, way_out: str = "") -> bytes:
    """Read a whole file.

    Raises:
        FormatError: it is missing or cannot be read; `what` names what was expected, `way_out` what to do.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, what, way_out, error) from error


def reading_time(path: Path) -> float:
    """Return the seconds that a library may take to read a file before it is assumed to hang on damage: 60, plus 5 per MiB.

    The HDF5 library can loop forever on a damaged file of a few bytes.
    """
    try:
        return 60.0 + 5.0 * path.stat().st_size / 2**20
    except OSError:
        return 60.0


def require_readable(path: Path, what: str, way_out: str = "") -> None:
    """Open a file and close it again, for libraries whose own errors say less; see `read_bytes` for the error."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, what, way_out, error) from error


def _unreadable(path: Path, what: str, way_out: str, error: OSError) -> FormatError:
    return FormatError(f"Cannot read {what} {path}: {error.strerror}. {way_out}".rstrip())


def read_json(path: Path, what: str, way_out: str = "") -> Any:
    """Read a JSON file.

    Raises:
        FormatError: it is missing, or not JSON, in which NaN and infinity do not exist.
    """
    try:
        return json.loads(read_bytes(path, what, way_out), parse_constant=_finite, parse_float=_finite)
    except DAMAGE as error:
        raise FormatError(f"{path} is not {what}: {error}. Write it again.") from error


def parse_toml(content: bytes) -> dict[str, Any]:
    """Parse a TOML file; integers are limited to 64 bits, as in TOML (Python reads larger ones, and then refuses to write them).

    Raises:
        ValueError, RecursionError: it is not TOML, in UTF-8; the message says where.
    """
    document = tomllib.loads(content.decode())
    _check_whole(document, "")
    return document


def _check_whole(value: Any, where: str) -> None:
    inner: Any = value.items() if isinstance(value, dict) else enumerate(cast("list[Any]", value)) if isinstance(value, list) else ()
    for name, member in inner:
        _check_whole(member, f"{where}.{name}" if where else str(name))
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{where} is a whole number of {value.bit_length()} bits; TOML has those of 64")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def sha256(content: bytes) -> str:
    """Return the SHA-256 of `content` as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
