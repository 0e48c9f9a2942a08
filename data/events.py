"""Recordings of events, binned to frames: uint8 counts, clipped, of T equal parts of a recording. NumPy only."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UsageError
from .dataset import Split

__all__ = ["Binning", "Events", "bin_events", "camera_frames", "check_size", "gather", "unwrapped"]

MAX_TIMESTEPS = 1000
Item = TypeVar("Item")


@dataclass(frozen=True)
class Binning:
    """How a recording becomes frames.

    Args:
        timesteps: frames T.
        by: "time": parts of equal duration, between the first event and the last; "count": parts with equal numbers of events.
        clip: counts are clipped to it: 1 gives binary frames. It is the data set's `levels`.
    """

    timesteps: int = 10
    by: Literal["time", "count"] = "count"
    clip: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.timesteps <= MAX_TIMESTEPS:
            raise UsageError(f"timesteps is {self.timesteps}; it must be 1..{MAX_TIMESTEPS}.")
        if self.by not in ("time", "count"):
            raise UsageError(f"by is {self.by!r}; it must be time or count.")
        if not 1 <= self.clip <= 255:
            raise UsageError(f"clip is {self.clip}; it must be 1..255.")


def check_size(size: int, sensor: int) -> None:
    """Check the option `size` of a camera with sensor x sensor pixels.

    Raises:
        UsageError: it is not 1..sensor.
    """
    if not 1 <= size <= sensor:
        raise UsageError(f"size is {size}; it must be 1..{sensor}, the camera's pixels per side.")


@dataclass(frozen=True)
class Events:
    """A camera's events: times `t` in microseconds, columns `x`, rows `y`, polarities `p` (0 darker, 1 brighter), each int64 (events,)."""

    t: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    p: NDArray[np.int64]


def bin_events(times: NDArray[np.int64], addresses: NDArray[np.int64], size: int, binning: Binning) -> NDArray[np.uint8]:
    """Count events by part and address:  frame[k, a] = min(clip, #{i : part(i) = k, a_i = a}).

    By time  part(i) = floor(T (t_i - t_first) / (t_last - t_first + 1));  by count  part(i) = floor(T i / n)  in the order of time.

    Args:
        times: (n,), in any order.
        addresses: (n,), 0..size - 1.
        size: the number of addresses.
        binning: T and the rest.

    Returns:
        (T, size); zeros where there is no event.
    """
    steps = binning.timesteps
    if not len(times):
        return np.zeros((steps, size), np.uint8)
    if binning.by == "time":
        first = int(times.min())
        part = (times - first) * steps // (int(times.max()) - first + 1)
    else:
        part = np.arange(len(times)) * steps // len(times)
        if (times[1:] < times[:-1]).any():  # rarely: sorting costs more than everything else
            order = np.argsort(times, kind="stable")
            part[order] = part.copy()
    counts = np.bincount(part * size + addresses, minlength=steps * size)
    return np.minimum(counts, binning.clip).astype(np.uint8).reshape(steps, size)


def unwrapped(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the times of a 32-bit clock with overflows unwrapped, starting from the first time as a signed number.

        t(0) = times(0),  t(i) = t(i - 1) + ((times(i) - times(i - 1) + 2^31) mod 2^32 - 2^31)

    So steps keep their size, backwards or forwards, as long as none reaches 2^31 us (36 minutes), and negative times precede zero.

    Args:
        times: (n,) as stored, modulo 2^32, in the order of the recording.
    """
    half = 1 << 31
    steps = (np.diff(times, prepend=0) + half) % (2 * half) - half
    return np.cumsum(steps)


def camera_frames(events: Events, sensor: int, size: int, binning: Binning) -> NDArray[np.uint8]:
    """Bin a camera's events, with its sensor x sensor pixels scaled to size x size: pixel x goes to  floor(x size / sensor).

    Returns:
        (T, 2, size, size), polarity 0 first.
    """
    x, y = events.x * size // sensor, events.y * size // sensor
    frames = bin_events(events.t, (events.p * size + y) * size + x, 2 * size * size, binning)
    return frames.reshape(binning.timesteps, 2, size, size)


def gather(
    items: Sequence[Item], labels: Sequence[int], shape: tuple[int, ...], frames: Callable[[Item], NDArray[np.uint8]], where: Path
) -> Split:
    """Bin recordings into one array; at most one recording per core is in memory as events at a time.

    Args:
        items: the recordings, e.g. paths.
        labels: their classes.
        shape: (T, ...) of what `frames` returns for one.
        frames: reads and bins one recording; called from several threads.
        where: their folder, for the messages.

    Raises:
        DataError: they do not fit into memory; also the errors that `frames` raises.
    """
    try:
        values = np.zeros((len(items), *shape), np.uint8)
    except (MemoryError, ValueError) as error:
        raise DataError(
            f"{len(items)} recordings of {where} as frames {shape} need {len(items) * int(np.prod(shape)) / 1e9:.1f} GB of memory. "
            "Ask for fewer timesteps or a smaller size."
        ) from error

    def fill(index: int) -> None:
        values[index] = frames(items[index])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(fill, range(len(items))):  # the first error ends it
            pass
    return Split(values, np.asarray(labels, np.int64))
