"""Data for a network: a data set by its name, samples in files, or a `Dataset`; loaded when the network's time steps are known."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import registry
from ..checked import checked
from ..errors import DAMAGE, DataError, UsageError
from ..fed import Fed, Known, OwnSamples
from ..files import require_readable
from ..hdf5 import read_tree
from .dataset import Dataset, Split, load_dataset
from .given import Form, collect, is_collection, labelled

__all__ = ["is_file", "samples_of"]

HDF5 = (".h5", ".hdf5")
SUFFIXES = (".npy", ".npz", *HDF5)
KEYS = (("x", "y"), ("values", "labels"))


@checked(
    data="Name a data set of spikeloom.data.names() or a file, or give a pair (samples, labels) or a torch Dataset.",
)
def samples_of(
    data: Dataset | OwnSamples | Path | str,
    *,
    labels: Path | str | None = None,
    folder: Path | str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Named | Files | Loaded | Own:
    """Describe the data for a network, as `compile_network(..., data=)` and the commands take it.

    Args:
        data: name of a data set; an `.npz` or HDF5 file with samples x (N, ...) and classes y (N,); an `.npy` of samples; a `Dataset`; or
            whatever else `as_dataset` takes, such as a pair (samples, labels) or a torch Dataset.
        labels: the `.npy` of classes, for samples in an `.npy`.
        folder: folder of the data set's files; see `load_dataset`.
        options: options of the data set by name; of your own samples, those of `FileOptions`.

    Raises:
        UsageError: there is no such data set or option, labels are missing, or labels are given where the data has its own.
    """
    given = dict(options or {})
    if isinstance(data, Dataset):
        if labels is not None or given:
            raise UsageError(f"The data set {data.name} is already loaded, so it takes neither labels nor options.")
        return Loaded(data)
    if is_collection(data):
        own = registry.build(FileOptions, given, "samples of your own")
        return Own((data, labels) if labels is not None else data, Form(own.levels, own.value_range, own.timesteps))
    if not is_file(data):
        if labels is not None:
            raise UsageError(f"--labels {labels} is for samples in a file (--data SAMPLES.npy); data sets have labels of their own.")
        return Named(str(data), folder, given)
    read = registry.build(FileOptions, given, f"samples in {data}")
    return Files(Path(cast("str | Path", data)), None if labels is None else Path(labels), read.levels, read.value_range)


def is_file(data: Any) -> bool:
    """Whether samples are in a file of the user's."""
    return isinstance(data, str | Path) and Path(data).suffix in SUFFIXES


@dataclass(frozen=True)
class FileOptions:
    """Options of your own samples.

    Args:
        levels: the integer that stands for 1; None: the network's.
        value_range: the range of floats, 0,1, or 0,levels for whole numbers; None: floats are refused.
        timesteps: the number of frames into which recordings of events are divided.
    """

    levels: int | None = None
    value_range: tuple[float, float] | None = None
    timesteps: int | None = None

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
        """Its option `timesteps`, if given."""
        return registry.whole(self.options.get("timesteps"))

    def load(self, known: Known) -> Fed[Split]:
        """Load the data set; recordings are divided into one frame per time step of the network."""
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
    """A data set that is already loaded."""

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
class Own:
    """Samples that a program holds: arrays, a torch Dataset, ...; all of them are the training samples, and the test samples too."""

    data: Any
    form: Form

    @property
    def timesteps(self) -> int | None:
        """The number of frames into which recordings are divided."""
        return self.form.timesteps

    def load(self, known: Known) -> Fed[Split]:
        """Read the samples; see `as_dataset` for the errors."""
        return _as_fed(labelled(collect(self.data, self.form.known(known)), self.form.name), self.form, known)


@dataclass(frozen=True)
class Files:
    """Samples and classes in an `.npz`, or in two `.npy`; all of them are the training samples, and the test samples too."""

    path: Path
    labels: Path | None = None
    levels: int | None = None
    value_range: tuple[float, float] | None = None

    @property
    def timesteps(self) -> int | None:
        """None: the network determines which axis is time."""
        return None

    def load(self, known: Known) -> Fed[Split]:
        """Read the files, without unpickling anything."""
        form = Form(self.levels, self.value_range, name=f"the samples in {self.path}")
        return _as_fed(labelled(collect(self._arrays(), form.known(known)), form.name), form, known, str(self.path))

    def _arrays(self) -> tuple[NDArray[Any], NDArray[Any]]:
        if self.path.suffix == ".npz":
            if self.labels is not None:
                raise UsageError(f"--labels {self.labels} is for samples in an .npy; {self.path} has labels of its own, as y.")
            return _of_archive(self.path)
        if self.path.suffix in HDF5:
            return _of_hdf5(self.path)
        if self.labels is None:
            raise UsageError(f"--data {self.path} has samples only. Name the file of their labels with --labels LABELS.npy.")
        return _loaded(self.path), _loaded(self.labels)


def _as_fed(split: Split, form: Form, known: Known, name: str | None = None) -> Fed[Split]:
    """Return samples as a network takes them; the size of the network's input determines which axis is time."""
    where = name or form.name
    temporal = _is_temporal(split.values.shape, known, where)
    steps = int(split.values.shape[1]) if temporal else None
    if steps is not None and known.timesteps not in (None, steps):
        raise UsageError(
            f"The samples of {where} have the shape {split.values.shape[1:]}, {steps} time steps each; the network has "
            f"{known.timesteps}. Give it -T {steps}, or other samples."
        )
    return Fed(where, split, split, form.levels, temporal, steps, again=False)


def _is_temporal(shape: tuple[int, ...], known: Known, where: str) -> bool:
    if known.temporal is not None or known.inputs is None:
        return bool(known.temporal)
    if int(np.prod(shape[1:])) == known.inputs:
        return False
    if len(shape) > 2 and int(np.prod(shape[2:])) == known.inputs:
        return True
    raise UsageError(
        f"The samples of {where} have the shape {shape[1:]}; the network takes {known.inputs:,} numbers per sample, or per time step."
    )


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


def _of_hdf5(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the arrays of an HDF5 file, which a process of its own reads."""

    def refuse(what: str) -> DataError:
        return DataError(f"{path} cannot be read: {what}. Write x and y into it with h5py.")

    require_readable(path, "the samples")
    held = read_tree(path, [key for pair in KEYS for key in pair], refuse)
    keys = next((pair for pair in KEYS if set(pair) <= set(held)), None)
    if keys is None or not all(isinstance(held[key], np.ndarray) for key in keys):
        raise DataError(f"{path} has no arrays x (N, ...) and y (N,), nor values and labels. Write them with h5py.")
    return held[keys[0]], held[keys[1]]
