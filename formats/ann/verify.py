"""Compares the layers read from an ANN's file with what onnxruntime computes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError
from .ann import Ann, Float

SAMPLES = 64  # compared
TOLERANCE = 1e-3  # relative to the largest output, between onnxruntime's float32 and the layers read


def verify(ann: Ann, samples: NDArray[np.floating[Any]]) -> None:
    """Compare the outputs of the first real-valued samples (samples, inputs).

    Raises:
        FormatError: onnxruntime does not run the file, or computes something else than was read from it.
    """
    head = samples[:SAMPLES]
    if not _agree(logits(ann, head.astype(np.float32)), ann.activations(head)[-1]):
        raise FormatError(
            f"onnxruntime computes other outputs of this ANN than its {len(ann.layers)} layers, as they were read, give "
            f"({', '.join(layer.name for layer in ann.layers[:8])}{', ...' if len(ann.layers) > 8 else ''}). Simplify its graph (onnxsim)."
        )


def _agree(outputs: Float, read: Float) -> bool:
    """Compare outputs with the layers' own; after a Softmax or LogSoftmax, by their differences within a sample."""
    candidates = [outputs, np.log(np.maximum(outputs, 1e-30))]
    for found in candidates:
        exact = read if found is outputs else read - read.max(axis=1, keepdims=True)
        shown = found if found is outputs else found - found.max(axis=1, keepdims=True)
        clear = np.abs(exact) < 20.0 if found is not outputs else np.ones(exact.shape, np.bool_)  # a float32 softmax resolves no more
        if shown.shape == exact.shape and np.abs(shown - exact)[clear].max(initial=0.0) <= TOLERANCE * max(1.0, float(np.abs(exact).max())):
            return True
    centred = [x - x.max(axis=1, keepdims=True) for x in (outputs, read)]  # LogSoftmax subtracts one number per sample
    return centred[0].shape == centred[1].shape and bool(np.abs(centred[0] - centred[1]).max() <= TOLERANCE * max(1.0, np.abs(read).max()))


def logits(ann: Ann, samples: NDArray[np.float32]) -> Float:
    """Return the outputs that onnxruntime computes, (samples, outputs).

    Raises:
        FormatError: it does not run the file.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(ann.content, options, providers=["CPUExecutionProvider"])
        kind: Any = np.float64 if session.get_inputs()[0].type == "tensor(double)" else np.float32
        size = ann.batch or 256
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
