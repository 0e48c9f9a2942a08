"""Data-based weight normalisation: an ANN's layers as integrate-and-fire neurons whose rates stand for its activations.

With lambda_l a high percentile of the activations of layer l on calibration samples, and lambda_0 = 1 for the samples themselves,

    W_l <- W_l lambda_(l-1) / lambda_l,    b_l <- b_l / lambda_l,    v_threshold = 1,    spikes subtract the threshold

so that the rate of a neuron tends to  min(a_l / lambda_l, 1)  (Rueckauer et al., Front. Neurosci. 11:682, 2017, section 2.2; the
maximum instead of a percentile is Diehl et al., IJCNN 2015). Samples enter as a constant current.

A layer of several branches (a residual block) uses W_l lambda_s / lambda_l for each source s, so that their sum is in the same unit; a
shortcut has W = 1. A ReLU that saturates at c (ReLU6: c = 6) needs no special treatment, since a rate saturates at 1:

    min(max(z, 0), c) / lambda = min(max(z, 0) / lambda, 1)    with  lambda = min(c, percentile),  exactly so where lambda = c

The last layer has no ReLU, and its prediction is the largest of outputs of either sign. A common shift changes no prediction, so
all outputs are shifted until at least the two largest are positive on every calibration sample.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError, UsageError
from ...network.axes import advice, fits
from ...network.model import LIF, InputSpec, Network, Population, Projection
from .ann import INPUT, Ann, Float, Layer
from .verify import verify

NEURON = LIF(tau=np.inf, v_threshold=1.0, v_reset=0.0, decay_input=False, soft_reset=True)


@dataclass(frozen=True)
class Converted:
    """The spiking network, and what the calibration samples gave.

    `scales`: by population, the activation that a rate of one spike per step stands for; `shift`: what was added to every output.
    """

    network: Network
    scales: dict[str, float]
    shift: float


def convert(ann: Ann, values: NDArray[np.uint8], *, levels: int, scale: float, percentile: float = 99.9, timesteps: int = 64) -> Converted:
    """Convert an ANN.

    Args:
        ann: as `read_ann` gives it.
        values: (samples, inputs) calibration samples, integers 0..levels.
        levels: the largest value.
        scale: the ANN's input for one unit of a value; 1 / levels if it was trained on pixels in 0..1.
        percentile: of a layer's activations, above 50 up to 100, that one spike per step stands for.
        timesteps: per sample.

    Raises:
        UsageError: samples of the wrong size, or a percentile or scale out of range.
        FormatError: onnxruntime's outputs for the first samples differ from those of the layers as read.
        NetworkError: a layer that never activates, by name.
    """
    if not 50.0 < percentile <= 100.0:
        raise UsageError(f"--percentile is {percentile:g}; it must be above 50 and at most 100; usual values are 99 to 99.99.")
    if not (scale > 0.0 and np.isfinite(scale)):
        raise UsageError(f"--scale is {scale:g}; it must lie above 0. It is the input of the ANN for one unit of a pixel, such as 1/255.")
    inputs = int(np.prod(ann.shape))
    if values.reshape(len(values), -1).shape[1] != inputs:
        raise UsageError(f"The ANN takes {inputs:,} inputs; the samples have {values.reshape(len(values), -1).shape[1]:,}. Name its data.")
    check_axes(ann, values.shape[1:])
    real = values.reshape(len(values), -1) * scale
    verify(ann, real)
    activations = ann.activations(real)
    names = _names(ann)
    shift = 0.0 if ann.layers[-1].relu else _shift(activations[-1])
    activations[-1] = activations[-1] + shift
    populations, projections, scales = [Population("input", ann.maps, None)], list[Projection](), dict[str, float]()
    for name, layer, found in zip(names, ann.layers, activations, strict=True):
        top = min(layer.ceiling, _top(name, np.maximum(found, 0.0), percentile, last=layer is ann.layers[-1]))
        bias = _single(name, (layer.bias + (shift if layer is ann.layers[-1] else 0.0)) / top)
        shape = layer.target if len(bias) == layer.target[0] else (layer.size,)  # a bias that differs within a channel is stored per neuron
        populations.append(Population(name, shape, NEURON, bias=bias if bias.any() else None))
        scales[name] = top
        projections += _projections(layer, name, names, scales)
    network = Network(tuple(populations), tuple(projections), timesteps, InputSpec(levels, scale))
    return Converted(network, scales, shift)


def _projections(layer: Layer, name: str, names: list[str], scales: dict[str, float]) -> list[Projection]:
    """Return a projection for each branch, its weights times the source's scale over the layer's own."""
    made: list[Projection] = []
    for branch in layer.branches:
        source = "input" if branch.source == INPUT else names[branch.source]
        taken = sum(p.source == source for p in made)
        synapses = branch.connectivity(scales.get(source, 1.0) / scales[name])
        made.append(Projection(f"{source}_{name}" + (f"_{taken + 1}" if taken else ""), source, name, synapses))
    return made


def _single(name: str, bias: Float) -> NDArray[np.float32]:
    if not (np.abs(bias) < np.finfo(np.float32).max).all():
        raise NetworkError(f"Layer {name} has biases that are too large beside its activations for float32. Check --scale and --data.")
    return bias.astype(np.float32)


def check_axes(ann: Ann, shape: tuple[int, ...]) -> None:
    """Refuse samples whose axis order differs from that of the ANN's input; axes of size 1 and flat samples may differ.

    Raises:
        UsageError: the message gives both shapes and the transposition that would fit.
    """
    if not fits(shape, ann.shape):
        way_out = advice(shape, ann.shape, batched=True) or " Name its data."
        raise UsageError(f"The samples have the shape {shape}; the ANN takes {ann.shape}.{way_out}")


def _shift(logits: Float) -> float:
    """Return the shift that makes the second largest output of every sample positive; 0 if none is needed."""
    if logits.shape[1] < 2:
        return 0.0
    second = np.partition(logits, -2, axis=1)[:, -2]
    return max(0.0, -float(second.min()))


def _top(name: str, activations: Float, percentile: float, *, last: bool) -> float:
    """Return the percentile of a layer's activations; in the last layer, of the largest per sample, since saturated outputs tie."""
    top = float(np.percentile(activations.max(axis=1) if last else activations, percentile))
    if not top > 0.0:
        top = float(activations.max(initial=0.0))
    if not (top > 0.0 and np.isfinite(top)):
        raise NetworkError(
            f"Layer {name} never activates on the {len(activations):,} calibration samples. Check --scale (what the ANN saw "
            f"for one unit of a pixel) and --data."
        )
    return top


def _names(ann: Ann) -> list[str]:
    """Name the populations after the nodes, uniquely and in characters that every format accepts."""
    names: list[str] = []
    for number, layer in enumerate(ann.layers, 1):
        name = re.sub(r"\W+", "_", layer.name).strip("_") or f"layer{number}"
        names.append(name if name not in (*names, "input") else f"{name}_{number}")
    return names
