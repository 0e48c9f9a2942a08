"""The accuracy of an ANN by onnxruntime, and of the spiking network that was made of it by number of time steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError
from .. import reference
from .ann import Ann, Float
from .normalise import Converted

BATCH = 64  # samples that are simulated at once
TOLERANCE = 1e-3  # of the largest output, between onnxruntime's float32 and what was read


@dataclass(frozen=True)
class Accuracy:
    """Of a spiking network.

    `by_steps`: by number of time steps, the share of right answers; `rate_error`: by population, the mean distance of the rates over all
    time steps to the clipped activations that they stand for; `spikes`: a sample and all time steps, on average.
    """

    by_steps: dict[int, float]
    rate_error: dict[str, float]
    spikes: float


def steps_of(timesteps: int) -> list[int]:
    """Return 4, 8, 16, ... up to `timesteps`, which is the last."""
    powers = [4 << k for k in range(12) if 4 << k < timesteps]
    return [*powers, timesteps]


def ann_accuracy(ann: Ann, values: NDArray[np.uint8], labels: NDArray[np.int64], scale: float) -> float:
    """Return the ANN's accuracy by onnxruntime, on samples (samples, ...) of integers.

    Raises:
        FormatError: onnxruntime does not run the file, or computes something else than was read from it.
    """
    samples = (values.reshape(len(values), -1) * scale).astype(np.float32)
    logits = _logits(ann, samples)
    head = min(len(samples), BATCH)
    read = ann.activations(samples[:head])[-1]
    if not _agree(logits[:head], read):
        raise FormatError("onnxruntime computes other outputs of this ANN than its layers, as they were read, give. Simplify its graph.")
    return float((logits.argmax(axis=1) == labels).mean())


def _agree(outputs: Float, read: Float) -> bool:
    """Compare outputs with the layers' own; those behind a Softmax, or its logarithm, by their differences within a sample."""
    candidates = [outputs, np.log(np.maximum(outputs, 1e-30))]
    for found in candidates:
        exact = read if found is outputs else read - read.max(axis=1, keepdims=True)
        shown = found if found is outputs else found - found.max(axis=1, keepdims=True)
        clear = np.abs(exact) < 20.0 if found is not outputs else np.ones(exact.shape, np.bool_)  # a float32 softmax ends there
        if shown.shape == exact.shape and np.abs(shown - exact)[clear].max(initial=0.0) <= TOLERANCE * max(1.0, float(np.abs(exact).max())):
            return True
    centred = [x - x.max(axis=1, keepdims=True) for x in (outputs, read)]  # LogSoftmax is the outputs less a number a sample
    return centred[0].shape == centred[1].shape and bool(np.abs(centred[0] - centred[1]).max() <= TOLERANCE * max(1.0, np.abs(read).max()))


def _logits(ann: Ann, samples: NDArray[np.float32]) -> Float:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(ann.content, options, providers=["CPUExecutionProvider"])
        kind: Any = np.float64 if session.get_inputs()[0].type == "tensor(double)" else np.float32
        size = ann.batch or 1024
        parts: list[Float] = []
        for start in range(0, len(samples), size):
            part = samples[start : start + size]
            padded = np.concatenate([part, np.zeros((size - len(part), part.shape[1]), np.float32)]) if ann.batch else part
            found: Any = session.run([ann.exit], {ann.entry: padded.reshape(-1, *ann.shape).astype(kind)})[0]
            parts.append(np.asarray(found, np.float64).reshape(len(padded), -1)[: len(part)])
        return np.concatenate(parts)
    except Exception as error:  # onnxruntime's own exception classes share no base that it exports
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FormatError(f"onnxruntime does not run this ANN: {first}. Export it again.") from error


def spiking_accuracy(
    converted: Converted,
    ann: Ann,
    values: NDArray[np.uint8],
    labels: NDArray[np.int64],
    steps: Sequence[int],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Accuracy:
    """Run the float spiking network once for all its time steps, and read its answers after each number of `steps`.

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
