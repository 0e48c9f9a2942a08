"""The accuracy of an ANN, by onnxruntime, and of the spiking network converted from it, by number of time steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...network import reference
from .ann import Ann
from .normalise import Converted, check_axes
from .verify import logits, verify

BATCH = 64  # samples simulated at once


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of a spiking network, by number of time steps.

    `by_steps`: fraction of correct predictions by number of time steps; `rate_error`: by population, mean distance of the rates over all
    time steps from the clipped activations that they stand for; `spikes`: mean number per sample, over all time steps.
    """

    by_steps: dict[int, float]
    rate_error: dict[str, float]
    spikes: float


def steps_of(timesteps: int) -> list[int]:
    """Return 4, 8, 16, ... and `timesteps` as the last."""
    powers = [4 << k for k in range(12) if 4 << k < timesteps]
    return [*powers, timesteps]


def ann_accuracy(ann: Ann, values: NDArray[np.uint8], labels: NDArray[np.int64], scale: float) -> float:
    """Return the ANN's accuracy by onnxruntime, on samples (samples, ...) of integers.

    Raises:
        FormatError: onnxruntime does not run the file, or computes something else than was read from it.
    """
    check_axes(ann, values.shape[1:])
    samples = (values.reshape(len(values), -1) * scale).astype(np.float32)
    verify(ann, samples)
    return float((logits(ann, samples).argmax(axis=1) == labels).mean())


def spiking_accuracy(
    converted: Converted,
    ann: Ann,
    values: NDArray[np.uint8],
    labels: NDArray[np.int64],
    steps: Sequence[int],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Accuracy:
    """Run the float spiking network once for all its time steps, and read its predictions after each number of `steps`.

    Args:
        values: (samples, ...) integers; labels: (samples,).
        steps: numbers of time steps, none above the network's.
        progress: called with samples done, and in all.
    """
    network, names = converted.network, [p.name for p in converted.network.spiking]
    right = dict.fromkeys(steps, 0)
    error, spikes = dict.fromkeys(names, 0.0), 0
    flat = values.reshape(len(values), -1)
    for start in range(0, len(flat), BATCH):
        part = flat[start : start + BATCH]
        rasters = reference.simulate_float(network, part)
        for count in steps:
            right[count] += int((reference.decide(rasters[names[-1]][:, :count]) == labels[start : start + BATCH]).sum())
        activations = ann.activations(part * network.input.scale)
        activations[-1] = activations[-1] + converted.shift
        for name, found in zip(names, activations, strict=True):
            wanted = np.clip(found / converted.scales[name], 0.0, 1.0)
            error[name] += float(np.abs(rasters[name].mean(axis=1) - wanted).mean()) * len(part)
            spikes += int(rasters[name].sum())
        if progress is not None:
            progress(start + len(part), len(flat))
    share = 1.0 / len(flat)
    return Accuracy({n: r * share for n, r in right.items()}, {n: e * share for n, e in error.items()}, spikes * share)
