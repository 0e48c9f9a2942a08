"""A folder of classes: FOLDER/CLASS/FILE, one sample a file, read when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DAMAGE, DataError, MissingFilesError

__all__ = ["Pictures", "classes_in"]

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
SUFFIXES = (*PICTURES, ".npy")
IGNORED = ("Thumbs.db", "desktop.ini")  # hidden files are ignored, too
TRAIN, TEST = "train", ("test", "val")


@dataclass(frozen=True)
class Pictures:
    """Samples in files, one each, decoded when they are asked for: an array-like (N, ...) of the first file's shape and type."""

    files: tuple[Path, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, files: Sequence[Path]) -> Pictures:
        """Return the samples in `files`; the first is decoded for its shape."""
        first = _decoded(files[0])
        return cls(tuple(files), (len(files), *first.shape), first.dtype)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.files)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Decode the files of a slice or of an array of indices.

        Raises:
            DataError: a file that is damaged, or whose shape or type differs from the first file's.
        """
        chosen = np.arange(len(self))[key]
        if not np.ndim(chosen):
            return self._one(int(chosen))
        made = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        for place, number in enumerate(chosen.tolist()):
            made[place] = self._one(number)
        return made

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all samples as an array."""
        return self[:] if dtype is None else self[:].astype(dtype)

    def _one(self, number: int) -> NDArray[Any]:
        made = _decoded(self.files[number])
        if made.shape != self.shape[1:] or made.dtype != self.dtype:
            raise DataError(
                f"{self.files[number]} holds {made.dtype} of the shape {made.shape}; {self.files[0]} holds {self.dtype} of "
                f"{self.shape[1:]}. All samples must have one size and the same channels: scale or convert them first."
            )
        return made


def classes_in(folder: Path) -> list[tuple[Pictures, NDArray[np.int64]]]:
    """Return samples and labels of a folder of classes; of `folder/train` and `folder/test` (or `val`) where it has these.

    Labels are the classes' numbers in the order of their names, as text, as torchvision's ImageFolder has it.

    Raises:
        DataError: no classes, a class without samples, files of other kinds, or test classes that training has not.
    """
    parts = {p.name: p for p in _listed(folder) if p.is_dir()}
    if TRAIN not in parts:
        return [_part(folder, None)]
    tests = [parts[name] for name in TEST if name in parts]
    others = [name for name in parts if name not in (TRAIN, *TEST)]
    if len(tests) != 1 or others:
        raise DataError(
            f"{folder} has the folders {', '.join(parts)}; beside train it must have test or val, and nothing else. "
            "Where train is a class, rename it."
        )
    names = [p.name for p in _listed(parts[TRAIN]) if p.is_dir()]
    return [_part(parts[TRAIN], names), _part(tests[0], names)]


def _listed(folder: Path) -> list[Path]:
    """Return what is in a folder, by name, without hidden files."""
    try:
        found = sorted(folder.iterdir(), key=lambda p: p.name)
    except OSError as error:
        raise MissingFilesError(f"Cannot read the folder {folder}: {error.strerror or error}.") from error
    return [p for p in found if not p.name.startswith(".") and p.name not in IGNORED]


def _part(folder: Path, known: list[str] | None) -> tuple[Pictures, NDArray[np.int64]]:
    inside = _listed(folder)
    classes = [p for p in inside if p.is_dir()]
    loose = [p for p in inside if not p.is_dir()]
    if not classes or loose:
        what = f"{loose[0].name} beside its classes" if classes else "no folders of classes"
        raise DataError(f"{folder} has {what}; samples are expected as {folder / 'CLASS' / 'FILE'}, with FILE {', '.join(SUFFIXES)}.")
    names = known or [p.name for p in classes]
    files: list[Path] = []
    labels: list[int] = []
    for place in classes:
        if place.name not in names:
            raise DataError(f"{place} is a class that the training samples do not have. They have {', '.join(names[:8])}.")
        own = _listed(place)
        for file in own:
            if file.suffix.lower() not in SUFFIXES or file.is_dir():
                raise DataError(f"{file} is neither a picture ({', '.join(PICTURES)}) nor an .npy. Convert it, or remove it.")
        if not own:
            raise DataError(f"The class {place} has no samples. Add some, or remove the folder.")
        files += own
        labels += [names.index(place.name)] * len(own)
    return Pictures.of(files), np.array(labels, np.int64)


def _decoded(path: Path) -> NDArray[Any]:
    """Return a sample: a picture as bytes, (height, width) in grey or (3, height, width) in colour; an .npy as it is."""
    if path.suffix.lower() == ".npy":
        try:
            made: NDArray[Any] = np.load(path, allow_pickle=False)
        except (OSError, EOFError, *DAMAGE) as error:
            raise DataError(f"{path} is not a valid .npy file of numbers: {error}. Write it with numpy.save.") from error
        if made.dtype.kind not in "biuf" or not made.ndim:
            raise DataError(f"{path} holds {made.dtype} of the shape {made.shape}; a sample is an array of numbers.")
        return made
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(
            f"{path} is a picture, which Pillow decodes. Run: pip install 'spikeloom[data]', or save arrays as .npy."
        ) from error
    try:
        with Image.open(path) as opened:
            kind, frames = opened.mode, getattr(opened, "n_frames", 1)
            if frames > 1 or kind not in ("1", "L", "P", "RGB") or "transparency" in opened.info:
                what = f"{frames} pictures" if frames > 1 else f"a picture with transparency, or of the mode {kind}"
                raise DataError(f"{path} has {what}; samples are grey (L) or in colour (RGB), of 8 bits. Convert it first.")
            made = np.asarray(opened.convert("L" if kind in ("1", "L") else "RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError, *DAMAGE) as error:
        raise DataError(f"{path} cannot be decoded: {error}. Replace it, or remove it.") from error
    return np.ascontiguousarray(made.transpose(2, 0, 1)) if made.ndim == 3 else made
