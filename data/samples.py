"""Data for a network: a data set by its name, the user's own samples, or a `Dataset`; loaded when the network's time steps are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import registry
from ..checked import checked
from ..errors import UsageError
from ..fed import Fed, Known, OwnSamples
from ..python_file import named_in, split_name
from .dataset import Dataset, Split, load_dataset
from .form import Form
from .given import Given, as_dataset, collect, held_out, is_collection, is_stored
from .rows import Chosen
from .stored import Stored, read_stored

__all__ = ["samples_of"]


@checked(
    data="Name a data set of spikeloom.data.names() or a file, or give a pair (samples, labels) or a torch Dataset.",
)
def samples_of(
    data: Dataset | OwnSamples | Path | str,
    *,
    labels: Path | str | None = None,
    folder: Path | str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Named | Loaded | Own:
    """Describe the data for a network, as `compile_network(..., data=)` and the commands take it.

    Args:
        data: name of a data set; an `.npz` or HDF5 file with samples x (N, ...) and classes y (N,); an `.npy` of samples; a folder of
            classes; FILE.py:NAME, a function or variable of the user's that gives samples; a `Dataset`; or whatever else `as_dataset`
            takes, such as a pair (samples, labels) or a torch Dataset.
        labels: the `.npy` of classes, for samples in an `.npy`.
        folder: folder of the data set's files; see `load_dataset`.
        options: options of the data set by name; of your own samples, those of `OwnOptions`.

    Raises:
        UsageError: there is no such data set or option, or labels are given where the data has its own.
    """
    given = dict(options or {})
    code = split_name(data) if isinstance(data, str) else None
    if code is not None:
        data = named_in(*code, _samples_from, "your samples")
    if isinstance(data, Dataset):
        if labels is not None or given:
            raise UsageError(f"The data set {data.name} is already loaded, so it takes neither labels nor options.")
        return Loaded(data)
    if is_collection(data):
        if labels is not None and code is not None:
            raise UsageError(f"--labels {labels} is for samples in an .npy; those of {code[0]}:{code[1]} have labels of their own.")
        return Own((data, labels) if labels is not None else data, registry.build(OwnOptions, given, "samples of your own"))
    if not is_stored(data):
        if labels is not None:
            raise UsageError(f"--labels {labels} is for samples in a file (--data SAMPLES.npy); data sets have labels of their own.")
        return Named(str(data), folder, given)
    read = registry.build(OwnOptions, given, f"samples in {data}")
    return Own(Path(str(data)), read, None if labels is None else Path(labels))


def _samples_from(found: Any) -> Any:
    """Return the samples that a user's function returns, or itself where that is an iterator: each pass then begins a new one."""
    if is_collection(found) and not callable(found):
        return found
    made = found() if callable(found) else found
    if isinstance(made, Dataset) or (is_collection(made) and not hasattr(made, "__next__")):
        return made
    if hasattr(made, "__next__"):
        return found
    raise UsageError(f"It gives a {type(made).__name__}, and no samples: return a Dataset, a pair of arrays or an iterator.")


@dataclass(frozen=True)
class OwnOptions:
    """Options of your own samples.

    Args:
        levels: the integer that stands for 1; None: the network's, or 255 in training.
        value_range: the range of floats, 0,1, or 0,levels for whole numbers; None: floats are refused.
        timesteps: the number of frames into which recordings of events are divided.
        temporal: whether samples have a value for each time step, (N, T, ...); None: as the network takes them, or no in training.
        test_fraction: fraction of the samples, evenly spread, that is held out for testing; None: all samples are for both.
        classes: the number of classes in training; None: the largest label + 1.
    """

    levels: int | None = None
    value_range: tuple[float, float] | None = None
    timesteps: int | None = None
    temporal: bool | None = None
    test_fraction: float | None = None
    classes: int | None = None

    def form(self, name: str) -> Form:
        """Return how the samples are read."""
        return Form(self.levels, self.value_range, self.timesteps, name)


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
    """Samples of the user's: arrays, a torch Dataset, a file, ...; those held out for testing are apart, if any are."""

    data: Any
    options: OwnOptions
    labels: Path | None = None

    @property
    def timesteps(self) -> int | None:
        """The number of frames into which recordings are divided."""
        return self.options.timesteps

    @property
    def _recorded(self) -> bool:
        """Whether samples have a value for each time step, by their own options, or as the recordings of a sensor (Tonic)."""
        recorded = self.options.timesteps is not None or hasattr(self.data, "sensor_size")
        return recorded if self.options.temporal is None else self.options.temporal

    @property
    def name(self) -> str:
        """What messages call the samples."""
        return f"the samples in {self.data}" if isinstance(self.data, Path) else "the samples"

    def load(self, known: Known) -> Fed[Given]:
        """Read the samples, those in files as they are needed; see `as_dataset` for the errors."""
        form = self.options.form(self.name).known(known)
        data = read_stored(self.data, self.labels) if isinstance(self.data, Path) else self.data
        first = collect(data, form, whole=False)
        second = first if not isinstance(data, Stored) or data.test is None else collect(data.test, form, whole=False)
        fraction = self.options.test_fraction
        if fraction is not None:
            if second is not first:
                raise UsageError(f"{form.title} have test samples of their own, and test_fraction would hold out others. Leave it out.")
            kept, held = held_out(len(first), fraction, self.name)
            second, first = _chosen(first, held), _chosen(first, kept)
        return self._fed(first, second, known)

    def _fed(self, first: Given, second: Given, known: Known) -> Fed[Given]:
        """Return samples as a network takes them; the size of the network's input determines which axis is time."""
        where = str(self.data) if isinstance(self.data, Path) else self.name
        shape = first.values.shape
        temporal = self._recorded if known.temporal is None and known.inputs is None else _is_temporal(shape, known, where)
        if self.options.temporal not in (None, temporal):
            has = "a value for each time step" if temporal else "one value for all time steps"
            raise UsageError(f"data.temporal is {self.options.temporal}; the network takes {has}. Leave it out.")
        steps = int(shape[1]) if temporal else None
        if steps is not None and known.timesteps not in (None, steps):
            raise UsageError(
                f"The samples of {where} have the shape {shape[1:]}, {steps} time steps each; the network has "
                f"{known.timesteps}. Give it -T {steps}, or other samples."
            )
        return Fed(where, first, second, self.options.levels, temporal, steps, again=False)

    def dataset(self) -> Dataset:
        """Return the samples as a data set for training; see `as_dataset` for the errors."""
        options = self.options
        return as_dataset(
            self.data,
            labels=self.labels,
            name=self.data.stem if isinstance(self.data, Path) else "own",
            levels=options.levels or 255,
            value_range=options.value_range,
            timesteps=options.timesteps,
            temporal=bool(options.temporal),
            classes=options.classes,
            test_fraction=options.test_fraction,
        )


def _chosen(given: Given, indices: NDArray[np.int64]) -> Given:
    labels = None if given.labels is None else given.labels[indices]
    return Given(Chosen(given.values, indices), labels)


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
