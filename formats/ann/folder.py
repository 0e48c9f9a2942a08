"""The run folder of a conversion: the network as model.onnx, calibration samples, and the accuracies."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from ...errors import UsageError
from ...files import sha256, write_bytes, write_json
from ...network.model import Stage
from ...subset import Subset, choose
from .. import onnx as model_onnx
from .evaluate import Accuracy
from .normalise import Converted

CALIBRATION_SAMPLES = 512
Calibration = tuple[NDArray[np.uint8], NDArray[np.int64]]


def check_static(data: str, *, temporal: bool) -> None:
    """Refuse samples with a time axis.

    Raises:
        UsageError: the samples have a time axis.
    """
    if temporal:
        raise UsageError(f"The samples of {data} are recorded events; an ANN's inputs are constant. Name a data set of images.")


def calibration_samples(values: Any, labels: NDArray[np.int64] | None) -> Calibration:
    """Return evenly spaced training samples, (samples, inputs), and their labels; 0 where there are none."""
    chosen = choose(CALIBRATION_SAMPLES, len(values)).indices()
    picked = np.asarray(values[chosen])
    known = np.zeros(len(picked), np.int64) if labels is None else np.ascontiguousarray(labels[chosen])
    return np.ascontiguousarray(picked.reshape(len(picked), -1)), known


def write_run(
    folder: Path,
    source: Path,
    converted: Converted,
    own: float,
    found: Accuracy,
    tested: Subset,
    calibration: Calibration,
    provenance: dict[str, str],
    percentile: float,
) -> dict[str, Any]:
    """Write model.onnx, calibration.safetensors and conversion.json; return the contents of the last.

    Args:
        own: the ANN's accuracy on the `tested` test samples; found: that of the spiking network.
        provenance: further entries for the network's provenance.
    """
    last = max(found.by_steps)
    stages = Stage.on("ann", own, tested), Stage.on("converted", found.by_steps[last], tested)
    origin = provenance | {"conversion": f"percentile {percentile:g}", "ann": source.name, "ann.sha256": sha256(source.read_bytes())}
    model_onnx.write(replace(converted.network, stages=stages, provenance=origin), folder / "model.onnx")
    write_bytes(folder / "calibration.safetensors", save(dict(zip(("values", "labels"), calibration, strict=True)), {"split": "train"}))
    document = {
        "ann": {"file": source.name, "accuracy": own},
        "samples": tested.samples,
        "subset": tested.document(),
        "percentile": percentile,
        "timesteps": converted.network.timesteps,
        "accuracy": {str(steps): right for steps, right in found.by_steps.items()},
        "scales": converted.scales,
        "shift": converted.shift,
        **{k: v for k, v in asdict(found).items() if k != "by_steps"},
        "provenance": origin,
    }
    write_json(folder / "conversion.json", document)
    return document
