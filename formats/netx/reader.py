"""Reads `.net`, the HDF5 files that SLAYER of Intel's lava-dl exports and its netx loads. docs/netx.md says what is supported.

A file lists layers in their order, each with integers of Loihi's CUBA neuron; netx builds Lava's bit-accurate processes from them, whose
equations are those of `hwmodels.fixed_point.lif_step`:

    du = iDecay - 1,   dv = vDecay,   vth = vThMant,   bias = bias << 6

The integers stay as they are. What the network cannot represent exactly is refused with the layer's number and type.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ...errors import DAMAGE, FormatError, NetworkError, UsageError
from ...fed import Known
from ...hwmodels.fixed_point import ALIGN, BIAS_BITS, NO_MEMORY, VTH_MAX
from ...network.model import InputSpec, IntegerLIF, Network, Population, Projection, Reading
from .file import Arrays, Layer, layers_of, read_arrays
from .weights import HIGHEST_WEIGHT, LOWEST_WEIGHT, MAX_SYNAPSES, Geometry, projections, spread

SUFFIXES = (".net",)
MAX_NEURONS = 1 << 24
MAX_DELAY = 62  # netx clamps longer ones
BIAS_LIMIT = (1 << (BIAS_BITS - 1)) - 1
NEURONS = ("CUBA", "LOIHI")
DOCUMENT = "spikeloom/document"
REFUSED = {  # options of other readers, and why this one has no use for them
    "dt": "its neurons count in time steps, not in seconds",
    "spike_when": "its registers are those of Lava's neurons, which spike above their threshold",
    "reset": "Lava's neurons set their potential to 0",
    "input": "its first layer tells whether samples have time steps of their own",
}
IF_SILENT = (
    "Give it more time steps with -T, or samples of the levels that SLAYER trained it on (--set levels= where events count beyond 1)."
)


@dataclass(frozen=True)
class Options:
    """What a .net file may leave out.

    Args:
        timesteps: per sample; None: simulation/tSample of the file, which SLAYER's exporter leaves out.
        levels: event counts are 0..levels; default 1. For a file whose input has no neurons.
        readout: threshold (a mantissa, like vThMant) for a last layer that reads out a membrane potential; None: it is refused.
        data: name of the data set, for the record.
    """

    timesteps: int | None = None
    levels: int | None = None
    readout: int | None = None
    data: str | None = None

    def __post_init__(self) -> None:
        for name, value, most in (
            ("timesteps", self.timesteps, 4096),
            ("levels", self.levels, 255),
            ("readout", self.readout, VTH_MAX - 1),
        ):
            if value is not None and not 1 <= value <= most:
                raise UsageError(f"{name} is {value}; it must lie in 1..{most:,}.")


def known(path: Path, options: Options) -> Known:
    """Return what a file says about its samples; errors are those of `read`."""
    said = "simulation/tSample" in read_arrays(path)
    found = read(path, options if said or options.timesteps else replace(options, timesteps=1)).takes
    return found if said or options.timesteps else replace(found, timesteps=None)


def read(path: Path, options: Options | None = None) -> Network:
    """Read a network of integers.

    Raises:
        FormatError: a file that is damaged or of another kind, or a layer that cannot be represented, by number and type.
        NetworkError: a last layer that never spikes, without a threshold given for it.
        UsageError: nothing says how many time steps a sample has, or an option does not go with the file.
    """
    arrays = read_arrays(path)
    try:
        return _Reader(arrays, options or Options()).network()
    except UsageError:
        raise
    except _ReadoutError as error:
        raise NetworkError(f"{path}: {error}") from error
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except (NetworkError, *DAMAGE) as error:
        raise FormatError(f"{path} holds layers that do not go together: {error!s}") from error


class _ReadoutError(FormatError):
    """A layer that reads out a membrane potential."""


class _Reader:
    """Walks the layers; `shape` is that of the last population, (n,) once it is flat."""

    def __init__(self, arrays: Arrays, options: Options) -> None:
        self.layers = layers_of(arrays)
        self.document = _document(arrays)
        self.options = options
        self.timesteps = _timesteps(arrays, options)
        self.last = max((layer.index for layer in self.layers if layer.kind != "average"), default=0)
        self.reads_out = False
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self.shape: tuple[int, ...] = ()
        self.spec = InputSpec(options.levels or 1, 1.0, "events")
        self.votes = 1

    def network(self) -> Network:
        """Return the network of the layers."""
        readers: dict[str, Callable[[Layer], None]] = {
            "input": self._input,
            "dense": self._dense,
            "dense_rec": self._dense,
            "conv": self._conv,
            "flatten": self._flatten,
            "average": self._average,
        }
        for layer in self.layers:
            if layer.kind not in readers:
                raise layer.wrong("its type cannot be read (netx itself has no pool, concat, unpool or convT)", f"Use {', '.join(readers)}")
            if self.votes > 1:
                raise layer.wrong("it comes after the average over output neurons, which must be the last layer")
            readers[layer.kind](layer)
        if len(self.populations) < 2:
            raise FormatError("no layer has neurons. Export the network again.")
        if self.options.readout is not None and not self.reads_out:
            raise UsageError(
                "readout is for a last layer that reads out a membrane potential; this file's last layer spikes. Leave it out."
            )
        network = Network(tuple(self.populations), tuple(self.projections), self.timesteps, self.spec, votes=self.votes)
        network = _as_documented(replace(network, provenance={"format": "netx"}), self.document)
        if self.options.data is not None:
            network = replace(network, provenance={**network.provenance, "data": self.options.data})
        return network if self.document else replace(network, reading=Reading("netx", if_silent=IF_SILENT))

    @property
    def source(self) -> str:
        """The population from which the next layer receives input."""
        return self.populations[-1].name

    def _add(self, population: Population) -> None:
        if sum(p.size for p in self.populations) + population.size > MAX_NEURONS:
            raise FormatError(f"the layers up to {population.name} have more than {MAX_NEURONS:,} neurons.")
        self.populations.append(population)
        self.shape = population.shape

    def _input(self, layer: Layer) -> None:
        if layer.index:
            raise layer.wrong("only the first layer can be the input")
        shape = layer.shape()
        self._add(Population("input", shape, None))
        if not layer.has("neuron"):
            return
        weight = layer.number("weight", 0, HIGHEST_WEIGHT, 64)
        bias = layer.number("bias", -BIAS_LIMIT, BIAS_LIMIT, 0) << ALIGN
        biases = None if bias == 0 else np.full(shape[0], bias, np.int32)
        identity = np.eye(shape[0], dtype=np.int64)[:, :, None, None] * weight
        geometry = Geometry((shape[0], shape[1], shape[2]), (1, 1), (0, 0)) if len(shape) == 3 else None
        made = projections(layer.name, ("input", layer.name), identity if geometry else identity[:, :, 0, 0], geometry)
        self.projections += [replace(p, exponent=p.exponent - 8) for p in made]  # x in 0..1 is a byte / 256
        if self.options.levels not in (None, 255):
            raise UsageError(
                f"levels is {self.options.levels}, and the input of this file has neurons that take bytes, 0..255. Leave it out."
            )
        self.spec = InputSpec(255, 1.0 / 255.0, "direct")
        self._add(Population(layer.name, shape, self._neuron(layer), bias=biases))

    def _flatten(self, layer: Layer) -> None:
        if not self.shape:
            raise layer.wrong("nothing comes before it")
        self.shape = (int(np.prod(self.shape)),)

    def _average(self, layer: Layer) -> None:
        classes, size = layer.shape()[0], int(np.prod(self.shape or (0,)))
        if layer is not self.layers[-1] or not size or size % classes:
            raise layer.wrong(f"{size} neurons cannot be averaged to {classes} classes at the end", "Put it last.")
        self.votes = size // classes

    def _dense(self, layer: Layer) -> None:
        size = int(np.prod(layer.shape()))
        weights = _matrix(layer, "weight", size)
        if not self.populations:
            self._add(Population("input", (weights.shape[1],), None))
        if len(self.shape) == 3 and self.shape[1:] == (1, 1):
            self.shape = self.shape[:1]
        if self.shape != (weights.shape[1],):
            raise layer.wrong(
                f"its weights take {weights.shape[1]:,} inputs; what comes before has the shape {self.shape}", "Put a flatten between."
            )
        lags = _lags(layer, weights)
        made = projections(layer.name, (self.source, layer.name), weights, None, lags)
        if layer.kind == "dense_rec":
            back = _matrix(layer, "weight_rec", size)
            if lags is not None or back.shape[1] != size:
                raise layer.wrong(f"its recurrent weights have the shape {back.shape} (or delays), which cannot be read")
            own = projections(f"{layer.name}.rec", (layer.name, layer.name), back, None)
            made += [replace(p, lag=1) for p in own]
        self._add(Population(layer.name, (size,), self._neuron(layer), bias=_biases(layer, size)))
        self.projections += made

    def _conv(self, layer: Layer) -> None:
        if len(self.shape) != 3:
            raise layer.wrong(f"what comes before has the shape {self.shape or None}; a convolution needs channels, rows and columns")
        if layer.has("delay"):
            raise layer.wrong("it has delays, which netx itself leaves out of convolutions", "Train it without delays.")
        weights, (channels, height, width) = _kernel(layer, self.shape[0]), self.shape
        geometry = Geometry((channels, height, width), layer.pair("stride", 1, 1), layer.pair("padding", 0, 0))
        made = len(weights), *geometry.positions((weights.shape[2], weights.shape[3]))
        if layer.shape() != made or min(made) < 1:
            raise layer.wrong(f"its shape is {layer.shape()}; its weights make {made} of {self.shape}", "Export it again.")
        if made[1] * made[2] * int(np.count_nonzero(weights)) > MAX_SYNAPSES and geometry.stride[0] != geometry.stride[1]:
            raise layer.wrong("strides that differ along rows and columns are unrolled, and it would have too many synapses")
        self.projections += projections(layer.name, (self.source, layer.name), weights, geometry)
        self._add(Population(layer.name, made, self._neuron(layer), bias=_biases(layer, made[0])))

    def _neuron(self, layer: Layer) -> IntegerLIF:
        """Return a layer's neurons; a membrane readout at the end gets the given threshold."""
        why = None if self.document else _membrane_readout(layer)
        if why is None:
            return _neuron(layer, VTH_MAX)
        if layer.index != self.last:
            raise layer.wrong(f"{why}, so the layers after it receive no spikes", "Train with spiking neurons there.")
        if self.options.readout is None:
            raise _ReadoutError(
                f"Layer {layer.index} ({layer.kind}), the last, is a membrane readout: {why}, and predictions are counts of spikes. "
                f"Train with spiking neurons there, or give it a threshold, a mantissa as vThMant, with --set readout=64, which changes "
                f"the network: the accuracy has to be measured again."
            )
        self.reads_out = True
        return _neuron(layer, self.options.readout) if layer.has("neuron") else IntegerLIF(NO_MEMORY, 0, self.options.readout)


def _checked(layer: Layer, key: str) -> NDArray[np.int64]:
    if layer.has(f"{key}/imag") or layer.has(f"{key}/real"):
        raise layer.wrong("its weights are complex", "Only CUBA neurons with real weights are read.")
    weights = layer.integers(key)
    if weights.size and not LOWEST_WEIGHT <= weights.min() <= weights.max() <= HIGHEST_WEIGHT:
        raise layer.wrong(
            f"{key} spans {weights.min():,}..{weights.max():,}; Loihi's synapses hold {LOWEST_WEIGHT}..{HIGHEST_WEIGHT}",
            "netx would clip it.",
        )
    return weights


def _matrix(layer: Layer, key: str, size: int) -> NDArray[np.int64]:
    """Return weights (targets, sources)."""
    weights = _checked(layer, key)
    if not weights.size or weights.size % size or (weights.ndim > 1 and weights.shape[0] != size) or weights.ndim > 5:
        raise layer.wrong(f"{key} has the shape {weights.shape}; it must have {size:,} rows, one per neuron")
    return weights.reshape(size, -1)


def _kernel(layer: Layer, channels: int) -> NDArray[np.int64]:
    """Return the kernel (channels out, channels in, height, width), groups and dilation written out."""
    weights, groups = _checked(layer, "weight"), layer.number("groups", 1, 1 << 16, 1)
    dilation = layer.pair("dilation", 1, 1)
    if weights.ndim == 5 and weights.shape[4] == 1:
        weights = weights[..., 0]
    if weights.ndim != 4 or weights.shape[1] * groups != channels or weights.shape[0] % groups or not weights.size:
        raise layer.wrong(f"weight has the shape {layer.values['weight'].shape} in {groups} groups; {channels} channels come before it")
    size = [(k - 1) * d + 1 for k, d in zip(weights.shape[2:], dilation, strict=True)]
    if weights.shape[0] * channels * size[0] * size[1] > MAX_SYNAPSES:
        raise layer.wrong(f"its kernel, with groups and dilation written out, has more than {MAX_SYNAPSES:,} taps")
    return spread(weights, groups, dilation)


def _lags(layer: Layer, weights: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the delay of each synapse, or None: axonal delays are stored per neuron of the layer, or per input."""
    if not layer.has("delay"):
        return None
    stored = layer.values["delay"]
    delays = np.floor(stored).astype(np.int64) if stored.dtype.kind == "f" and np.isfinite(stored).all() else layer.integers("delay")
    if delays.min(initial=0) < 0 or delays.max(initial=0) > MAX_DELAY:
        raise layer.wrong(f"it has delays of {delays.min()}..{delays.max()} steps; a synapse delays by 0..{MAX_DELAY}", "Train with fewer.")
    if delays.size == 1:
        return np.full_like(weights, delays.ravel()[0])
    if delays.shape == weights.shape:
        return delays
    if delays.shape == (weights.shape[0],):
        return np.broadcast_to(delays[:, None], weights.shape)
    if delays.shape == (weights.shape[1],):
        return np.broadcast_to(delays[None, :], weights.shape)
    raise layer.wrong(f"its delays have the shape {delays.shape}; its weights have {weights.shape}")


def _biases(layer: Layer, channels: int) -> NDArray[np.int32] | None:
    """Return the voltage added to each channel at each step; None: nothing."""
    if not layer.has("bias"):
        return None
    found = layer.integers("bias").ravel()
    if found.size not in (1, channels):
        raise layer.wrong(f"it has {found.size} biases for {channels} channels", "Only one per channel is read.")
    if np.abs(found).max() > BIAS_LIMIT:
        raise layer.wrong(f"it has a bias of {found[np.abs(found).argmax()]:,}; a mantissa of {BIAS_BITS} bits holds {BIAS_LIMIT:,}")
    biases = np.broadcast_to(found << ALIGN, (channels,)).astype(np.int32)
    return biases if biases.any() else None


def _membrane_readout(layer: Layer) -> str | None:
    """Return why a layer reads out a membrane potential and never spikes; None if it spikes.

    SLAYER's exporter writes the largest 17-bit mantissa for a threshold that is deliberately out of reach.
    """
    if not layer.has("neuron"):
        return "it has no neuron"
    if "neuron/vThMant" not in layer.values:
        return None
    threshold = layer.number("neuron/vThMant", 0, 1 << 20)
    return None if threshold < VTH_MAX else f"its threshold of {threshold:,}, the largest of 17 bits or beyond, is never passed"


def _neuron(layer: Layer, most: int) -> IntegerLIF:
    """Return the registers of a layer's neurons, their threshold at most `most`."""
    kind = layer.text("neuron/type")
    if kind not in NEURONS:
        raise layer.wrong(f"its neurons are {kind!r}", f"Carried: {', '.join(NEURONS)}.")
    for key, low, high, why in (
        ("refDelay", 0, 1, "a refractory period, which Lava's neurons do not have"),
        ("gradedSpike", 0, 0, "graded spikes"),
        ("messageBits", 0, 0, "graded spikes"),
        ("wgtExp", 0, 0, "a weight exponent, which netx leaves out"),
        ("weight_exp", 0, 0, "a weight exponent of its normalisation, which netx leaves out"),
    ):
        if key in [name.removeprefix("neuron/") for name in layer.values] and not low <= layer.number(f"neuron/{key}", -512, 512) <= high:
            raise layer.wrong(f"its neurons have {key} {layer.number(f'neuron/{key}', -512, 512)}: {why}; that cannot be read")
    threshold = min(layer.number("neuron/vThMant", 0, 1 << 20), most)
    if (leak := layer.number("neuron/vDecay", 0, 4096)) == 4096:
        raise layer.wrong("its vDecay is 4,096, no memory at all; the chip's register of 12 bits ends at 4,095")
    return IntegerLIF(layer.number("neuron/iDecay", 0, 4096) - 1, leak, threshold)


def _timesteps(arrays: Arrays, options: Options) -> int:
    if "simulation/tSample" not in arrays and options.timesteps is None:
        raise UsageError(
            "This .net file has no simulation/tSample, so it does not say how many time steps a sample has. Say it with --timesteps (-T, "
            "or --set timesteps=), or name a data set of events with --data."
        )
    said = Layer(0, "simulation", arrays).number("simulation/tSample", 1, 4096, options.timesteps)
    return options.timesteps or said


def _document(arrays: Arrays) -> dict[str, Any]:
    """Return what `formats.netx.writer` notes beside the layers; netx ignores it."""
    if DOCUMENT not in arrays:
        return {}
    try:
        document = json.loads(str(arrays[DOCUMENT]))
    except DAMAGE as error:
        raise FormatError(f"its note {DOCUMENT} is not JSON: {error}. Export it again.") from error
    if not isinstance(document, dict):
        raise FormatError(f"its note {DOCUMENT} is not a valid document. Export it again.")
    return document


def _as_documented(network: Network, document: dict[str, Any]) -> Network:
    """Return the network with the names, input and output neurons per class that our own writer noted."""
    if not document:
        return network
    names = TypeAdapter(list[str]).validate_python(document.get("names"))
    shape = TypeAdapter(tuple[int, ...]).validate_python(document.get("input_shape"))
    if len(names) != len(network.populations) or min(shape, default=0) < 1 or int(np.prod(shape)) != network.populations[0].size:
        raise FormatError(f"its note {DOCUMENT} has other populations than the layers. Export it again.")
    entry, *others = network.populations
    of = {p.name: name for p, name in zip(network.populations, names, strict=True)}
    return replace(
        network,
        populations=(replace(entry, name=of[entry.name], shape=shape), *(replace(p, name=of[p.name]) for p in others)),
        projections=tuple(replace(p, source=of[p.source], target=of[p.target]) for p in network.projections),
        input=TypeAdapter(InputSpec).validate_python(document.get("input")),
        votes=TypeAdapter(int).validate_python(document.get("votes")),
        provenance=TypeAdapter(dict[str, str]).validate_python(document.get("provenance")),
    )
