"""What all readers of data files share: where they look for files, and the errors for missing or damaged ones."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, MissingFilesError
from ..dataset import Split
from ..download import Source

MAX_BYTES = 1 << 30  # of one file, unpacked: no file that is read whole comes near
GZIP = b"\x1f\x8b"


def missing(what: str, files: Sequence[str], places: Iterable[Path], source: Source) -> MissingFilesError:
    """Return the error that names the files, the places and the ways out.

    Args:
        what: the data set.
        files: what is missing, as texts.
        places: folders that were searched.
        source: where the files come from.
    """
    looked = ", ".join(str(place) for place in places)
    return MissingFilesError(
        f"{what} is missing {', '.join(files)}. Looked in: {looked}. "
        f"Put them in one of these, or name their folder with --data-dir or SPIKELOOM_DATA. {source.way_out()}"
    )


def find(places: Sequence[Path], names: Sequence[str]) -> Path | None:
    """Return the first of the folders that holds all the names (files or folders), or None."""
    return next((place for place in places if all((place / name).exists() for name in names)), None)


def read(path: Path, limit: int = MAX_BYTES, *, unzip: bool = False) -> bytes:
    """Read a file of at most `limit` bytes; with `unzip`, a gzipped one is unpacked.

    Raises:
        DataError: it cannot be read, or is larger, or gzipped and damaged.
    """
    try:
        with path.open("rb") as raw:
            packed = unzip and raw.read(2) == GZIP
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            content = stream.read(limit + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, "a whole gzipped file", str(error)) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) > limit:
        raise DataError(f"{path} has more than {limit} bytes{' unpacked' * packed}, far more than such a file should have. Get it again.")
    return content


def unreadable(path: Path, error: OSError) -> DataError:
    """Build the error for a file or folder that the system does not let us read."""
    return DataError(f"Cannot read {path}: {error.strerror or error}. Fix its permissions, or get it again.")


def damaged(path: Path, what: str, found: str) -> DataError:
    """Return the error for a file that is not `what` it should be; `found` says what is wrong."""
    return DataError(f"{path} is truncated or damaged: {found}; it must be {what}. Get it again.")


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """List a folder's files with one of the suffixes (lower case), by name; see `read` for errors."""
    try:
        return sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes and p.is_file() and not p.name.startswith("."))
    except OSError as error:
        raise unreadable(folder, error) from error


def labelled(path: Path, values: NDArray[np.uint8], labels: NDArray[np.integer], classes: int) -> Split:
    """Return a split of values and labels read from `path`.

    Raises:
        DataError: a label lies outside 0..classes - 1.
    """
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise DataError(f"{path} contains the label {wrong}; labels are 0..{classes - 1}. Get it again.")
    return Split(values, labels.astype(np.int64))
