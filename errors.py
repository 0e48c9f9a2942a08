"""Spikeloom's own exceptions, each with the exit code that the command line ends with.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 does not fit the chip, 4 differs from the reference, 5 paused, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from tokenize import TokenError

# What code that takes a document or an array at its word raises where it is not what it says. Boundaries turn all of these into an error
# of ours; a list of one's own misses the one that comes next.
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
    """Something that Spikeloom can explain. The message names the thing, the limit, the need and a way out."""

    exit_code = 1
    of_process: int | None = None  # the process that it comes from, where that was another one of the same run


class SpikeloomWarning(UserWarning):
    """Something that the user should know of a result, which comes all the same."""


class UsageError(SpikeloomError):
    """A name, value or combination of options that does not exist or makes no sense."""

    exit_code = 2


class DataError(SpikeloomError):
    """A data set that is missing, truncated or not what its header says."""


class MissingFilesError(DataError):
    """A data set's files are in none of the places where they are looked for."""


class FormatError(SpikeloomError):
    """A file (checkpoint, .onnx, .loom, chip TOML, results) that is damaged, foreign or too new."""


class NetworkError(SpikeloomError):
    """A network that no chip could run as meant: a silent layer, an unreachable threshold."""


class BackendError(SpikeloomError):
    """A backend that is missing, hangs or dies."""


class OutputError(SpikeloomError):
    """An output folder that is full, read-only or not a folder."""


class InUseError(OutputError):
    """An output folder that another process is at work in."""


class DoesNotFitError(SpikeloomError):
    """A network that exceeds a limit of the chip."""

    exit_code = 3


class MismatchError(SpikeloomError):
    """Spikes that differ from the integer reference."""

    exit_code = 4


class PausedError(SpikeloomError):
    """Work that stopped at its time limit with its state kept; it goes on when asked to resume."""

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
