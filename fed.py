"""What a network is fed, and what is known of a network before: the words that data sets, readers, the compiler and training share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from numpy.typing import NDArray

CALIBRATION_SAMPLES = 256  # that a compiler calibrates on, evenly spread over the training samples


class Samples(Protocol):
    """A split of a data set."""

    @property
    def values(self) -> Any:
        """(samples, ...) integers 0..levels; of temporal data (samples, timesteps, ...)."""
        ...

    @property
    def labels(self) -> NDArray[Any]:
        """(samples,) classes."""
        ...


class Whole(Protocol):
    """What holds samples whole, such as a split of a data set; it may have `labels`, too."""

    @property
    def values(self) -> Any:
        """(samples, ...) numbers, or whatever has a length and takes slices."""
        ...


class Indexed(Protocol):
    """Samples, or pairs (sample, label), by number: an array, or a torch Dataset."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """Return one of them, or several."""
        ...


OwnSamples = Whole | Indexed | Iterable[Any]  # what `data.as_dataset` takes


@dataclass(frozen=True)
class Known:
    """What is known of a network before it is fed; None: it is not known.

    `timesteps`; `temporal`: whether samples have a value for each step; `inputs`: numbers in a sample, or in one step of it; `levels`: the
    integer that stands for 1.
    """

    timesteps: int | None = None
    temporal: bool | None = None
    inputs: int | None = None
    levels: int | None = None


SplitT_co = TypeVar("SplitT_co", bound=Samples, covariant=True)


@dataclass(frozen=True)
class Fed(Generic[SplitT_co]):
    """Samples as a network takes them: `train` calibrates, on `test` accuracy is measured.

    `levels`: the integer that stands for 1, None where nothing says it; `timesteps`: None for static samples; `options`: of the data set,
    with which it gives the same samples again; `again`: whether it can be named again (a data set; not a file of a user's).
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
    """A data set, or samples in files, that is loaded once it is known what they are for; `train.samples_of` makes one."""

    @property
    def timesteps(self) -> int | None:
        """The time steps that were asked of it by its own option; None: none were."""
        ...

    def load(self, known: Known) -> Fed[Samples]:
        """Load the samples, recordings cut into as many frames as the network has time steps, if that is known.

        Raises:
            UsageError: options that contradict what is known.
            DataError: files that are missing or damaged.
        """
        ...
