"""Data for a network: a data set by its name, samples in files, or a `Dataset`; loaded when the network's time steps are known."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import registry
from ..checked import checked
from ..errors import DAMAGE, DataError, UsageError
from ..fed import Fed, Known
from .dataset import Dataset, Split, load_dataset

__all__ = ["is_file", "samples_of"]

SUFFIXES = (".npy", ".npz")
KEYS = (("x", "y"), ("values", "labels"))


@checked(
    data="Name a data set of spikeloom.data.names() or a file; write arrays with numpy.savez(path, x=samples, y=labels) and name that.",
)
def samples_of(
    data: str | Path | Dataset,
    *,
    labels: Path | str | None = None,
    folder: Path | str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Named | Files | Loaded:
    """Describe the data for a network, as `compile_network(..., data=)` and the commands take it.

    Args:
        data: name of a data set; an `.npz` with samples x (N, ...) and classes y (N,); an `.npy` of samples; or a `Dataset`.
        labels: the `.npy` of classes, for samples in an `.npy`.
        folder: folder of the data set's files; see `load_dataset`.
        options: options of the data set by name; for files, `levels`.

    Raises:
        UsageError: there is no such data set or option, labels are missing, or labels are given where the data has its own.
    """
    given = dict(options or {})
    if isinstance(data, Dataset):
        if labels is not None or given:
            raise UsageError(f"The data set {data.name} is already loaded, so it takes neither labels nor options.")
        return Loaded(data)
    if not is_file(data):
        if labels is not None:
            raise UsageError(f"--labels {labels} is for samples in a file (--data SAMPLES.npy); data sets have labels of their own.")
        return Named(str(data), folder, given)
    return Files(Path(data), None if labels is None else Path(labels), registry.build(FileOptions, given, f"samples in {data}").levels)


def is_file(data: str | Path | Dataset) -> bool:
    """Whether samples are in a file of the user's."""
    return not isinstance(data, Dataset) and Path(data).suffix in SUFFIXES


@dataclass(frozen=True)
class FileOptions:
    """Options of samples in files. `levels`: the integer that stands for 1; None: the network's."""

    levels: int | None = None

    def __post_init__(self) -> None:
        if self.levels is not None and not 1 <= self.levels <= 255:
            raise UsageError(f"levels is {self.levels}; it must lie in 1..255.")


@dataclass(frozen=True)
class Named:
    """A data set by its name."""

    name: str
    folder: Path | str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def timesteps(self) -> int | None:
        """Its option `timesteps`, if that was given."""
        return registry.whole(self.options.get("timesteps"))

    def load(self, known: Known) -> Fed[Split]:
        """Load the data set; recordings are cut into as many frames as the network has time steps."""
        from . import sets as datasets

        kind = getattr(registry.load(datasets, "data set", self.name), "Options", None)
        options, cut = dict(self.options), kind is not None and "timesteps" in {f.name for f in fields(kind)}
        if cut and known.timesteps is not None:
            if self.timesteps not in (None, known.timesteps):
                raise UsageError(
                    f"data.timesteps is {self.timesteps}, which cuts the recordings of {self.name} into as many frames; the network has "
                    f"{known.timesteps} time steps. Leave one of them out."
                )
            options["timesteps"] = known.timesteps
        dataset = load_dataset(self.name, self.folder, options)
        if cut and "timesteps" not in options:
            options["timesteps"] = dataset.timesteps
        chosen = {} if kind is None else registry.options_of(registry.load(datasets, "data set", self.name), options, self.name)
        record = {name: getattr(chosen, name) for name in options}
        return _fed(dataset, record)


@dataclass(frozen=True)
class Loaded:
    """A data set that is loaded already."""

    dataset: Dataset

    @property
    def timesteps(self) -> int | None:
        """Number of frames."""
        return self.dataset.timesteps

    def load(self, known: Known) -> Fed[Split]:
        """Return the data set; its number of time steps cannot change."""
        if self.dataset.temporal and known.timesteps not in (None, self.dataset.timesteps):
            raise UsageError(
                f"The samples of {self.dataset.name} have {self.dataset.timesteps} frames; the network has {known.timesteps} time steps. "
                f"Load the data with timesteps={known.timesteps}."
            )
        return _fed(self.dataset, {})


@dataclass(frozen=True)
class Files:
    """Samples and classes in an `.npz`, or in two `.npy`; all of them are the training samples, and the test samples too."""

    path: Path
    labels: Path | None = None
    levels: int | None = None

    @property
    def timesteps(self) -> int | None:
        """None: it takes the network's word for which axis is time."""
        return None

    def load(self, known: Known) -> Fed[Split]:
        """Read the files, without unpickling anything."""
        split = Split(*self._arrays())
        temporal = self._temporal(split.values.shape, known)
        steps = int(split.values.shape[1]) if temporal else None
        if steps is not None and known.timesteps not in (None, steps):
            raise UsageError(
                f"The samples of {self.path} have the shape {split.values.shape[1:]}, {steps} time steps each; the network has "
                f"{known.timesteps}. Give it -T {steps}, or other samples."
            )
        if self.levels is not None and split.values.size and int(split.values.max()) > self.levels:
            raise DataError(f"{self.path} holds values up to {split.values.max()}; but its levels are {self.levels}.")
        return Fed(str(self.path), split, split, self.levels, temporal, steps, again=False)

    def _temporal(self, shape: tuple[int, ...], known: Known) -> bool:
        if known.temporal is not None or known.inputs is None:
            return bool(known.temporal)
        if int(np.prod(shape[1:])) == known.inputs:
            return False
        if len(shape) > 2 and int(np.prod(shape[2:])) == known.inputs:
            return True
        raise UsageError(
            f"The samples of {self.path} have the shape {shape[1:]}; the network takes {known.inputs:,} numbers per sample, or "
            f"per time step."
        )

    def _arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        if self.path.suffix == ".npz":
            if self.labels is not None:
                raise UsageError(f"--labels {self.labels} is for samples in an .npy; {self.path} has labels of its own, as y.")
            values, labels = _of_archive(self.path)
        elif self.labels is None:
            raise UsageError(f"--data {self.path} has samples only. Name the file of their labels with --labels LABELS.npy.")
        else:
            values, labels = _loaded(self.path), _loaded(self.labels)
        return _bytes(values, self.path), _classes(labels, len(values), self.labels or self.path)


def _fed(dataset: Dataset, options: Mapping[str, Any]) -> Fed[Split]:
    return Fed(dataset.name, dataset.train, dataset.test, dataset.levels, dataset.temporal, dataset.timesteps, options)


def _loaded(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise DataError(f"Cannot read the samples {path}: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, *DAMAGE) as error:
        raise DataError(
            f"{path} is not a valid {path.suffix} file of numbers: {error}. Write it with numpy.save or numpy.savez."
        ) from error


def _of_archive(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    with _loaded(path) as held:
        keys = next((pair for pair in KEYS if set(pair) <= set(held.files)), None)
        if keys is None:
            raise DataError(
                f"{path} holds {', '.join(held.files[:8]) or 'nothing'}; samples are expected as x (N, ...) and classes as y (N,). "
                f"Write it with numpy.savez(path, x=samples, y=labels)."
            )
        try:
            return held[keys[0]], held[keys[1]]
        except (OSError, zlib.error, zipfile.BadZipFile, *DAMAGE) as error:
            raise DataError(f"{path} is damaged or contains Python objects: {error}. Write it again with numpy.savez.") from error


def _bytes(values: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    if values.ndim < 2 or not len(values):
        raise DataError(f"{path} has samples of the shape {values.shape}; they must be (N, ...), e.g. (N, 784).")
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if not np.issubdtype(values.dtype, np.integer):
        raise DataError(f"{path} holds {values.dtype}; samples are integers 0..levels, whose real value is p / levels. Round them.")
    if values.min() < 0 or values.max() > 255:
        raise DataError(f"{path} holds values {values.min()}..{values.max()}; samples are integers 0..255.")
    return values.astype(np.uint8, copy=False)


def _classes(labels: NDArray[Any], count: int, path: Path) -> NDArray[np.int64]:
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer) or (count and labels.min() < 0):
        raise DataError(
            f"{path} has labels of the shape {labels.shape} and type {labels.dtype}; {count} samples need one integer from 0 on each."
        )
    return labels.astype(np.int64)
