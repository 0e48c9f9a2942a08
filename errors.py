"""Spikeloom's own exceptions, each with the exit code that the command line ends with.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 does not fit the chip, 4 differs from the reference, 5 paused, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from tokenize import TokenError

# The exceptions raised by code that trusts a document or an array that is malformed. Boundaries turn all of these into one of our
# errors; a separate list at each boundary would miss some.
DAMAGE = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    StopIteration,
    EOFError,
    SyntaxError,  # this and the next: numpy, of the header of an .npy
    TokenError,
)


class SpikeloomError(Exception):
    """An error that Spikeloom can explain. The message names the object, the limit, the requirement and a way out."""

    exit_code = 1
    of_process: int | None = None  # the process that raised it, if that was another process of the same run


class SpikeloomWarning(UserWarning):
    """Something that the user should know about a result, which is still returned."""


class UsageError(SpikeloomError):
    """A name, value or combination of options that does not exist or is invalid."""

    exit_code = 2


class DataError(SpikeloomError):
    """A data set that is missing, truncated or not what its header says."""


class MissingFilesError(DataError):
    """A data set's files are in none of the places that are searched."""


class FormatError(SpikeloomError):
    """A file (checkpoint, .onnx, .loom, chip TOML, results) that is damaged, foreign or too new."""


class NetworkError(SpikeloomError):
    """A network that no chip could run as meant: a silent layer, an unreachable threshold."""


class BackendError(SpikeloomError):
    """A backend that is missing, hangs or dies."""


class OutputError(SpikeloomError):
    """An output folder that is full, read-only or not a folder."""


class InUseError(OutputError):
    """An output folder that another process is using."""


class DoesNotFitError(SpikeloomError):
    """A network that exceeds a limit of the chip."""

    exit_code = 3


class MismatchError(SpikeloomError):
    """Spikes that differ from the integer reference."""

    exit_code = 4


class PausedError(SpikeloomError):
    """Work that stopped at its time limit with its state kept; it continues when resumed."""

    exit_code = 5


class StoppedError(SpikeloomError):
    """Work that the user stopped with Ctrl-C."""

    exit_code = 130


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return up to `count` of the `known` names that look most like `name`, best first."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.4)


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Build the error for a `name` that is not among the `known` ones of this `kind`."""
    names = sorted(known)
    near = nearest(name, names)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return UsageError(f"There is no {kind} called {name!r}.{hint} Known: {', '.join(names) or 'none'}.")
