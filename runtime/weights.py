"""Histograms of the weights before and after quantisation, for the report: small tables made from the run folder's files.

    after    the deployed integers, as the real weights that they stand for:  integer * 2^exponent / scale
    before   the float weights from which they were made: those of model.onnx or, for a network trained in integers, the float
             copies behind them in model.safetensors

Bins are a whole (odd) number of integer steps wide, or a step is that many bins, so that every bin holds equally many integers and the
shape is that of the weights. Zeros do not count as weights and are in neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ..compile.compiler import read_source
from ..compile.deployed import DeployedNetwork
from ..errors import DAMAGE, SpikeloomError
from ..network.model import Network, Projection
from ..report.document import Histogram, Histograms

__all__ = ["tables"]

HALF = 30  # approximate number of bins on either side of zero
Float = NDArray[np.float64]


@dataclass(frozen=True)
class _Before:
    """Float weights by projection name, or why there are none."""

    weights: dict[str, Float]
    why_not: str = ""
    source: str = ""


def tables(deployed: DeployedNetwork, folder: Path | None) -> Histograms:
    """Return the histograms of every projection whose weights were trained.

    Args:
        deployed: the integer network.
        folder: where to look for the float network; None: unknown.
    """
    before = _before(deployed, folder)
    groups: dict[str, list[Projection]] = {}
    for p in deployed.network.projections:
        groups.setdefault(_stem(p, deployed.network), []).append(p)
    rows = [_row(name, parts, before.weights.get(name)) for name, parts in groups.items() if _was_trained(parts)]
    return Histograms(before=before.source or None, why_not=before.why_not or None, rows=rows)


def _was_trained(parts: list[Projection]) -> bool:
    return any(p.trained.possible_weights for p in parts) and any(p.synapses.weights for p in parts)


def _stem(projection: Projection, network: Network) -> str:
    """Return a projection's name before it was split by channel: NAME.eN is a part of NAME."""
    stem, _, end = projection.name.rpartition(".e")
    part = stem and end.lstrip("-").isdecimal() and any(p.name == stem for p in network.projections)
    return stem if part else projection.name


def _row(name: str, parts: list[Projection], before: Float | None) -> Histogram:
    steps = [2.0**p.exponent / p.scale for p in parts]
    integers = [p.synapses.data[p.synapses.data != 0].astype(np.int64) for p in parts]
    after = np.concatenate([values * step for values, step in zip(integers, steps, strict=True)]).astype(np.float64)
    both = after if before is None else np.concatenate([before, after])
    largest = float(np.abs(both).max(initial=0.0))
    width, half = _bins(largest, max(steps))
    return Histogram(
        layer=parts[0].target,
        projection=name,
        bits=max(p.weight_bits or 0 for p in parts),
        step=max(steps),
        weights_before=None if before is None else int(before.size),
        weights_after=int(after.size),
        integers=int(np.unique(np.concatenate(integers)).size),
        largest_before=None if before is None else float(np.abs(before).max(initial=0.0)),
        largest_after=float(np.abs(after).max(initial=0.0)),
        first=-(half + 0.5) * width,
        width=width,
        before=None if before is None else _counted(before, width, half),
        after=_counted(after, width, half),
    )


def _bins(largest: float, step: float) -> tuple[float, int]:
    """Return the bin width and the bins on either side of the middle one: an odd number of steps per bin, or of bins per step."""
    steps = max(largest / step, 1.0)
    together, apart = 2 * int(steps / HALF / 2) + 1, 2 * int(HALF / steps / 2) + 1
    width = step * together / apart  # one of the two is 1
    return width, int(np.floor(largest / width + 0.5))


def _counted(weights: Float, width: float, half: int) -> list[int]:
    # no integer lies on an edge: edges are at odd halves of odd widths
    places = np.clip(np.floor(weights / width + 0.5).astype(np.int64) + half, 0, 2 * half)
    return np.bincount(places, minlength=2 * half + 1).tolist()


def _before(deployed: DeployedNetwork, folder: Path | None) -> _Before:
    if folder is None or not (folder / "model.onnx").exists():
        return _Before({}, "The float network (model.onnx) is not beside the deployed one.")
    try:
        network = read_source(folder).network
    except SpikeloomError as error:
        return _Before({}, f"The float network could not be read: {error}")
    if dict(network.provenance) != dict(deployed.network.provenance) or network.stages != deployed.network.stages:
        return _Before({}, "The model.onnx beside the deployed network is of another training. Compile and run again.")
    if not network.is_integer:
        return _Before({p.name: _nonzero(p.synapses.data) for p in network.projections}, source="model.onnx")
    return _copies(network, folder / "model.safetensors")


def _copies(network: Network, path: Path) -> _Before:
    """Return the float weights behind a network trained in integers, if they match it: the same signs everywhere."""
    found: dict[str, Float] = {}
    try:
        with safe_open(str(path), framework="numpy") as handle:
            names = set(handle.keys())
            for p in network.projections:
                key = f"layers.{p.target}.connections.0.op.weight"
                if key in names and handle.get_slice(key).get_shape() == list(p.synapses.shape):
                    found[p.name] = np.asarray(handle.get_tensor(key), dtype=np.float64)
    except (SafetensorError, OSError, *DAMAGE) as error:
        return _Before(
            {}, f"The network was trained in integers, and the float copies behind them ({path.name}) could not be read: {error}."
        )
    for p in network.projections:
        held = p.synapses.unrolled()
        weights = found.get(p.name)
        if weights is None or not _same_signs(weights, held.rows, held.indices, held.data):
            return _Before({}, f"The network was trained in integers, and {path.name} does not hold the float copies behind them.")
    return _Before({name: _nonzero(weights) for name, weights in found.items()}, source=f"{path.name}, the float copies in training")


def _same_signs(weights: Float, rows: NDArray[Any], columns: NDArray[Any], integers: NDArray[Any]) -> bool:
    nonzero = integers != 0
    signs = np.sign(weights)
    return int(np.count_nonzero(signs)) == int(nonzero.sum()) and bool(
        (signs[rows[nonzero], columns[nonzero]] == np.sign(integers[nonzero])).all()
    )


def _nonzero(weights: NDArray[Any]) -> Float:
    values = weights.ravel().astype(np.float64)
    return values[values != 0]
