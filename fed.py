"""A network's input, and what is known of the network beforehand: types shared by data sets, readers, the compiler and training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from numpy.typing import NDArray

CALIBRATION_SAMPLES = 256  # number of samples for the compiler's calibration, evenly spread over the training samples


class Samples(Protocol):
    """A split of a data set."""

    @property
    def values(self) -> Any:
        """(samples, ...) integers 0..levels; for temporal data (samples, timesteps, ...)."""
        ...

    @property
    def labels(self) -> NDArray[Any] | None:
        """(samples,) classes; None where they are not known."""
        ...


class Whole(Protocol):
    """An object that holds samples as a whole, such as a split of a data set; it may have `labels`, too."""

    @property
    def values(self) -> Any:
        """(samples, ...) numbers, or whatever has a length and takes slices."""
        ...


class Indexed(Protocol):
    """Samples, or pairs (sample, label), by number: an array, or a torch Dataset."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """Return one sample, or several."""
        ...


OwnSamples = Whole | Indexed | Iterable[Any] | Callable[[], Iterable[Any]]  # what `data.as_dataset` takes


@dataclass(frozen=True)
class Known:
    """What is known of a network before it receives input; None: unknown.

    `timesteps`; `temporal`: whether samples have a value for each step; `inputs`: numbers in a sample, or in one step of it; `levels`: the
    integer that represents 1; `classes`: the number of them.
    """

    timesteps: int | None = None
    temporal: bool | None = None
    inputs: int | None = None
    levels: int | None = None
    classes: int | None = None


SplitT_co = TypeVar("SplitT_co", bound=Samples, covariant=True)


@dataclass(frozen=True)
class Fed(Generic[SplitT_co]):
    """Samples in the form of a network's input: `train` is for calibration, `test` for measuring accuracy.

    `levels`: the integer that represents 1, None if unknown; `timesteps`: None for static samples; `options`: those of the data set with
    which it gives the same samples again; `again`: whether it can be named again (a data set can, a user's file cannot).
    """

    name: str
    train: SplitT_co
    test: SplitT_co
    levels: int | None
    temporal: bool
    timesteps: int | None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    again: bool = True


@runtime_checkable
class Data(Protocol):
    """A data set, or samples in files, loaded once their use is known; made by `train.samples_of`."""

    @property
    def timesteps(self) -> int | None:
        """The time steps requested by its own option; None: not requested."""
        ...

    def load(self, known: Known) -> Fed[Samples]:
        """Load the samples, with recordings cut into one frame per time step of the network, if their number is known.

        Raises:
            UsageError: options that contradict what is known.
            DataError: files that are missing or damaged.
        """
        ...
