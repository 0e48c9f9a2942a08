"""Which samples a run uses, and in which order it runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.given import Form, collect
from ..data.samples import samples_of
from ..errors import UsageError
from ..fed import Known
from ..subset import Subset, asked_for, choose
from .streaming import lies_whole, opened

__all__ = ["RATED", "Samples", "order_of", "range_warning", "take"]

FAR = 8  # ratio of the levels to the largest value above which samples are probably in another unit

RATED = 64  # samples, evenly spread over the run, whose rates by step are recorded, however samples are split over processes


class Samples(Protocol):
    """A split of a data set, such as `train.load_dataset(...).test`."""

    @property
    def values(self) -> Any:
        """(samples, ...) integers 0..levels; anything with a length that can be sliced; it is read batch by batch."""
        ...

    @property
    def labels(self) -> NDArray[Any] | None:
        """(samples,) classes; None where they are not known."""
        ...


def take(
    data: Any, samples: int | str | None, known: Known, value_range: tuple[float, float] | None
) -> tuple[Any, NDArray[np.int64] | None, Subset]:
    """Return the samples without reading them, the labels (if any) of those that are run, and the indices of these.

    Arrays and files are read batch by batch. A torch Dataset, a DataLoader or another iterable is gone through once, and again for each
    pass over the samples if it is too large to be kept (`data.iterables.KEPT_BYTES`).

    Raises:
        UsageError: no samples, a different number of labels, or `samples` that do not describe a subset.
        DataError: samples that cannot be read, see `as_dataset`.
    """
    asked_for(samples)
    values, labels = _found(data, known, value_range)
    _check_labels(values, labels, known)
    taken = choose(samples, len(values))
    return values, None if labels is None else labels[taken.indices()].astype(np.int64), taken


def _found(data: Any, known: Known, value_range: tuple[float, float] | None) -> tuple[Any, NDArray[Any] | None]:
    """Return samples and labels: arrays, splits and other sliceable data unchanged, all else collected as integers."""
    if isinstance(data, str | Path):
        test: Any = samples_of(data, options={} if value_range is None else {"value_range": value_range}).load(known).test
        return opened(test)
    if value_range is None and lies_whole(data):
        return opened(data)
    held = collect(data, Form(value_range=value_range).known(known), whole=False)
    return held.values, held.labels


def _check_labels(values: Any, labels: NDArray[Any] | None, known: Known) -> None:
    """Refuse labels that are none of the network's classes; samples of another size are another network's, which is said of them first."""
    if labels is None or known.classes is None or known.inputs is None:
        return
    size = int(np.prod(getattr(values, "shape", (0, 0))[1:]))
    fitting = size == known.inputs * ((known.timesteps or 1) if known.temporal else 1)
    if fitting and not 0 <= labels.min() <= labels.max() < known.classes:
        raise UsageError(
            f"The labels run from {labels.min()} to {labels.max()}; the network tells classes 0..{known.classes - 1} apart. Leave them out "
            f"to have predictions alone."
        )


def range_warning(levels: int, low: int, high: int) -> list[str]:
    """Warn if the values of a run, `low` to `high`, stay far below the `levels` that stand for 1: an eighth or less."""
    if high * FAR > levels:
        return []
    factor = levels // high if high > 0 else 0
    way_out = f" If {high} stands for 1 in these samples, multiply them by {factor}." if factor else " There is nothing to be seen in them."
    return [f"Sample values run from {low} to {high}; the network takes integers 0..{levels}, where {levels} stands for 1.{way_out}"]


def order_of(
    samples: int, begin: int, end: int, *, ahead: bool, probed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the positions `begin` to `end` of a run's samples in the order they are run, and which of them have their rates recorded.

    `ahead`: these come first, so that the others can be run without recording spikes, which is faster. `probed`: of all samples, those that
    probes record; they come before all others.
    """
    places = np.arange(begin, end)
    rated = np.isin(places, choose(RATED, samples).indices())
    later = np.zeros(len(places), np.int64) if probed is None else 2 * ~probed[begin:end]
    order = np.argsort(later + (~rated if ahead else 0), kind="stable")
    return places[order], rated[order]
