"""ImageNet (ILSVRC 2012), or any folder of images in its layout: train/<class>/*.JPEG and val/<class>/*.JPEG.

Russakovsky et al., "ImageNet large scale visual recognition challenge", IJCV 115, 2015. For research, after registration.

Images are decoded once, to bytes (N, 3, size, size) in .npy files that are mapped into memory, so that they need not fit there: the shorter
side is scaled to  round(size 256 / 224), and the middle size x size is kept. Reading images needs the library Pillow.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DAMAGE, DataError, UsageError
from ...files import write_atomically
from ..dataset import Dataset, Split
from ..download import Source
from ._files import damaged, files_in, find, missing, unreadable

FOLDERS = ("imagenet", "ImageNet", "ILSVRC2012", ".")
PARTS = ("train", "val")
SUFFIXES = (".jpeg", ".jpg", ".png")
SOURCE = Source("https://image-net.org/download.php")
MARGIN = 256 / 224
MAX_SIZE = 1024
CHUNK = 256


@dataclass(frozen=True)
class Options:
    """How images are decoded.

    Args:
        size: pixels a side.
        cache: folder for the decoded images; empty: `spikeloom-cache` beside train and val.
    """

    size: int = 224
    cache: str = ""

    def __post_init__(self) -> None:
        if not 8 <= self.size <= MAX_SIZE:
            raise UsageError(f"size is {self.size}; it must be 8..{MAX_SIZE} pixels.")


def load(folder: Path, options: Options) -> Dataset:
    """Read ImageNet, decoded before or now; shape (3, size, size), levels 255, as many classes as train has folders.

    Raises:
        DataError: folders are missing or empty, an image is damaged, or Pillow is not installed.
        OutputError: the cache's folder is full or read-only.
    """
    found = place(folder)
    names = _classes(found / "train")
    cache = Path(options.cache) if options.cache else found / "spikeloom-cache"
    train, test = (_split(found / part, names, cache, options.size) for part in PARTS)
    return Dataset("imagenet", train, test, len(names), 255, (3, options.size, options.size))


def place(folder: Path) -> Path:
    """Return the folder of train and val.

    Raises:
        MissingFilesError: they are in none of the places that are searched.
    """
    places = [folder / name for name in FOLDERS]
    found = find(places, PARTS)
    if found is None:
        raise missing("ImageNet", [f"{part}/<class>/*.JPEG" for part in PARTS], places, SOURCE)
    return found


def _classes(folder: Path) -> list[str]:
    try:
        names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise unreadable(folder, error) from error
    if not names:
        raise DataError(f"{folder} has no folders of classes. Unpack the images of each class into a folder of its name.")
    return names


def _split(folder: Path, names: list[str], cache: Path, size: int) -> Split:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        if not (folder / name).is_dir():
            raise DataError(f"{folder} has no folder {name}, but train has. Sort the images of {folder.name} into folders of classes.")
        found = files_in(folder / name, SUFFIXES)
        if not found:
            raise DataError(f"{folder / name} has no images ({', '.join(SUFFIXES)}). Unpack them again.")
        paths += found
        labels += [label] * len(found)
    target = cache / f"{folder.name}-{size}-{_fingerprint(paths, folder)}.npy"
    if not target.exists():
        write_atomically(target, lambda temporary: _decode(paths, size, temporary))
    return Split(_mapped(target, (len(paths), 3, size, size)), np.asarray(labels, np.int64))


def _fingerprint(paths: list[Path], folder: Path) -> str:
    """Tell one set of files from another, by their names and sizes: a changed folder is decoded again."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\n".encode())
        except OSError as error:
            raise unreadable(path, error) from error
    return digest.hexdigest()[:16]


def _mapped(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, *DAMAGE) as error:
        raise DataError(f"The decoded images {path} are damaged: {error}. Remove the file; it will be made again.") from error
    if values.shape != shape or values.dtype != np.uint8:
        raise DataError(
            f"The decoded images {path} are {values.dtype} {values.shape}, not bytes {shape}. Remove the file; it will be made again."
        )
    return values


def _decode(paths: list[Path], size: int, target: Path) -> None:
    """Decode the images into `target`, a few at a time, on all cores."""
    image = _pillow()
    values = np.lib.format.open_memmap(target, "w+", np.uint8, (len(paths), 3, size, size))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start, chunk in _chunks(paths):
            for index, pixels in enumerate(pool.map(lambda path: _image(image, path, size), chunk), start):
                values[index] = pixels
    values.flush()


def _chunks(paths: list[Path]) -> Iterator[tuple[int, list[Path]]]:
    rest = iter(paths)
    for start in range(0, len(paths), CHUNK):
        yield start, list(islice(rest, CHUNK))


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("Reading ImageNet's images needs the library Pillow, which is not installed. Run: pip install Pillow") from error
    return Image


def _image(image: Any, path: Path, size: int) -> NDArray[np.uint8]:
    """Read an image: its shorter side scaled to round(size 256 / 224), the middle kept; (3, size, size)."""
    try:
        with image.open(path) as opened:
            opened.draft("RGB", (2 * size, 2 * size))
            picture = opened.convert("RGB")
            scale = round(size * MARGIN) / min(picture.size)
            width, height = (max(size, round(side * scale)) for side in picture.size)
            left, top = (width - size) // 2, (height - size) // 2
            resized = picture.resize((width, height), image.Resampling.BILINEAR)
            pixels = np.asarray(resized.crop((left, top, left + size, top + size)))
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as error:
        raise damaged(path, "an image that Pillow reads", str(error)) from error
    return pixels.transpose(2, 0, 1)
