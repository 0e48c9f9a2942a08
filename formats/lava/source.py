"""Writes a network as the source of a hierarchical Lava process: one line per layer, its connections below, the arrays beside it.

No text of the network gets into the source: names are reduced to letters, digits and underscores, all else is numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ...hwmodels.fixed_point import bias_registers
from ...network.model import IntegerLIF, Network, Population, Projection, Synapses
from .limits import bounded, obstacle

__all__ = ["Written", "write_source"]

WAY_OUT = "Export a network that spikeloom compile made for --target lava."
ENCODINGS = ("current", "graded", "rate", "events")
LONGEST_NAME = 40


@dataclass(frozen=True)
class Written:
    """A network as source: the text of `network.py`, its arrays by name, and what a README says about it.

    `latency`: time steps by which the output runs behind the input; `ports`: output port of each hidden layer's spikes.
    """

    source: str
    arrays: dict[str, NDArray[Any]]
    network: Network
    latency: int
    ports: dict[str, str]


def write_source(network: Network, package: str) -> Written:
    """Write an integer network as the source of a Lava process.

    Args:
        network: as deployed; its convolutions are unrolled and its removed neurons left out.
        package: the name of the Python package that the source belongs to.

    Raises:
        NetworkError: Lava cannot compute it exactly; the population or projection, the limit and a way out are named.
    """
    _check(network)
    flat = _whole_output(network).flat.network
    levels = flat.input.payload.largest
    reason = obstacle(flat, levels)
    if reason:
        raise NetworkError(f"{reason} {WAY_OUT}")
    layers = _Layers(flat, _identifiers([p.name for p in flat.populations]), flat.arrivals())
    source = "\n".join(_module(layers, package)) + "\n"
    ports = {p.name: f"spikes_{layers.names[p.name]}" for p in flat.spiking[:-1]}
    return Written(source, dict(_arrays(layers)), flat, layers.depth[flat.populations[-1].name], ports)


def _check(network: Network) -> None:
    hosts = [p.name for p in network.spiking if p.place == "host"]
    if hosts:
        raise NetworkError(
            f"Layer {hosts[0]} runs on the host, and a Lava package holds the layers on the chip alone. Compile with --encoding current."
        )
    if not network.is_integer or network.input.encoding not in ENCODINGS:
        raise NetworkError(f"The network is not compiled: its input is encoded as {network.input.encoding}. {WAY_OUT}")


def _whole_output(network: Network) -> Network:
    """Return the network with all its output neurons: those that were removed stay, without synapses and silent, so no class is missing."""
    output = network.populations[-1]
    if output.alive is None:
        return network
    alive, projections = output.alive, list[Projection]()
    for p in network.projections:
        synapses = p.synapses.unrolled() if output.name in (p.source, p.target) else p.synapses
        if p.target == output.name:
            synapses = synapses.select(alive[synapses.unrolled().rows])
        if p.source == output.name:
            synapses = synapses.select(alive[synapses.unrolled().indices])
        projections.append(replace(p, synapses=synapses, origin=p.trained))
    bias = None if output.bias is None else np.where(alive, output.biases, 0)
    whole = replace(output, shape=(output.size,), alive=None, bias=bias)
    return replace(network, populations=(*network.populations[:-1], whole), projections=tuple(projections))


def _identifiers(names: Sequence[str]) -> dict[str, str]:
    """Return an identifier for each name, all different; they only ever follow a prefix."""
    found: dict[str, str] = {}
    for name in names:
        plain = made = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:LONGEST_NAME] or "layer"
        number = 2
        while made in found.values():
            made, number = f"{plain}_{number}", number + 1
        found[name] = made
    return found


@dataclass(frozen=True)
class _Layers:
    """A flat network with the identifiers and depths of its populations."""

    network: Network
    names: dict[str, str]
    depth: dict[str, int]

    @cached_property
    def connections(self) -> list[tuple[str, Projection]]:
        """The projections, with an identifier for each.

        Lava runs only what is connected, so projections without synapses are among them, and populations that are not connected to the
        input at all receive such a projection from it.
        """
        projections = (*self.network.projections, *self._ties())
        made = _identifiers([f"{i} {self.names[p.source]} {self.names[p.target]}" for i, p in enumerate(projections)])
        return list(zip(made.values(), projections, strict=True))

    def _ties(self) -> Iterator[Projection]:
        entry = self.network.populations[0]
        reached = {entry.name}
        for population in self.network.populations:
            if population.name not in reached:
                nothing = Synapses.from_dense(np.zeros((population.size, entry.size), np.int32))
                yield Projection("", entry.name, population.name, nothing, 0, 8)
            reached |= self._around(population.name)

    def _around(self, name: str) -> set[str]:
        """Return the populations that are connected to one, by any path in any direction, itself included."""
        found, waiting = {name}, [name]
        while waiting:
            here = waiting.pop()
            others = {p.source for p in self.network.inputs_of(here)} | {p.target for p in self.network.outputs_of(here)}
            waiting += others - found
            found |= others
        return found


def _arrays(layers: _Layers) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, projection in layers.connections:
        s = projection.synapses.unrolled()
        yield f"{name}_weights", s.data.astype(np.int16)
        yield f"{name}_columns", s.indices.astype(np.int32)
        yield f"{name}_rows", s.indptr.astype(np.int32 if s.count < 1 << 31 else np.int64)
        yield f"{name}_shape", np.array(s.shape, np.int32)
    for population in layers.network.spiking:
        if population.bias is not None:
            mantissa, exponent = bias_registers(population.biases)
            yield f"{layers.names[population.name]}_bias_mant", mantissa.astype(np.int16)
            yield f"{layers.names[population.name]}_bias_exp", exponent.astype(np.int16)


# --- the text --------------------------------------------------------------------------------------------------------


def _module(layers: _Layers, package: str) -> Iterator[str]:
    network = layers.network
    sizes = "-".join(str(p.size) for p in network.populations) if len(network.populations) < 20 else f"of {len(network.spiking)} layers"
    yield f'"""A spiking network, {sizes}, as a hierarchical Lava process with one InPort and an OutPort per layer.'
    yield ""
    yield "Every connection takes one time step, so a layer at depth d runs its first step d time steps after the input's first."
    yield '"""'
    yield ""
    yield from ("from __future__ import annotations", "", "from pathlib import Path", "from typing import Any", "", "import numpy as np")
    yield from (
        "from lava.magma.core.decorator import implements",
        "from lava.magma.core.model.sub.model import AbstractSubProcessModel",
        "from lava.magma.core.process.ports.ports import InPort, OutPort",
        "from lava.magma.core.process.process import AbstractProcess",
        "from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol",
        "from scipy.sparse import csr_matrix",
        "",
        f"from {package} import encoding",
        f"from {package}.processes.blocks import {'Delay, ' if _delays(layers) else ''}Input, Neurons, Synapses",
        "",
    )
    yield from (
        'ARRAYS = Path(__file__).with_name("arrays.npz")',
        "",
        "",
        *_process(layers),
        "",
        "",
        *_model(layers),
        "",
        "",
        *_helpers(layers),
    )


def _constants(layers: _Layers) -> Iterator[str]:
    network = layers.network
    longest = None if bounded(network, network.input.payload.largest) else network.timesteps
    yield f"    INPUTS = {network.populations[0].size}"
    yield f"    OUTPUTS = {network.populations[-1].size}"
    yield f"    NEURONS_PER_CLASS = {network.votes}  # output neurons of a class, side by side"
    yield f"    TIMESTEPS = {network.timesteps}  # of a sample"
    yield f"    LATENCY = {layers.depth[network.populations[-1].name]}  # time steps by which the output runs behind the input"
    yield f'    ENCODING = "{network.input.encoding}"  # how samples enter: see encoding.py'
    yield f"    LEVELS = {network.input.levels}  # samples are whole numbers from 0 to this"
    yield f"    LARGEST = {network.input.payload.largest}  # what arrives at s_in in a time step is a whole number from 0 to this"
    yield f"    LONGEST = {longest}  # time steps of the longest sample that Lava's 32-bit integers hold; None: any"


PROCESS = '''class Network(AbstractProcess):
    """The network as one process. Connect a source to `s_in`, and what uses the spikes to `s_out`.

    Ports:
        s_in: whole numbers 0..LARGEST, (INPUTS,), one vector per time step.
        s_out: the output's spikes, 0 or 1, (OUTPUTS,).
        spikes_LAYER: the spikes of a hidden layer; they need not be connected.

    Args:
        period: time steps from the start of one sample to the start of the next; all neurons are set to zero there. None: one sample
            without end.
        first_step: time step at which the first sample starts to arrive at s_in; 1 for a source that is connected to it directly.
    """

CONSTANTS

    def __init__(self, *, period: int | None = TIMESTEPS, first_step: int = 1, name: str | None = None) -> None:
        if first_step < 1 or (period is not None and period < 1):
            raise ValueError(f"period is {period} and first_step {first_step}; both must be at least 1.")
        if self.LONGEST is not None and (period is None or period > self.LONGEST):
            raise ValueError(f"period is {period}; beyond {self.LONGEST} time steps sums could exceed the 32-bit integers of Lava.")
        super().__init__(period=period, first_step=first_step, name=name)
        self.s_in = InPort(shape=(self.INPUTS,))
        self.s_out = OutPort(shape=(self.OUTPUTS,))
PORTS

    @classmethod
    def encode(cls, samples: Any, *, seed: int = 0) -> Any:
        """Return what s_in receives for samples of whole numbers 0..LEVELS, (INPUTS, samples * TIMESTEPS); see `encoding.encode`."""
        return encoding.encode(samples, encoding=cls.ENCODING, timesteps=cls.TIMESTEPS, largest=cls.LEVELS, seed=seed)

    @classmethod
    def spike_counts(cls, spikes: Any) -> Any:
        """Return the output spikes of each sample and class in what s_out sent, (OUTPUTS, steps); see `encoding.spike_counts`."""
        shape = {"timesteps": cls.TIMESTEPS, "latency": cls.LATENCY, "neurons_per_class": cls.NEURONS_PER_CLASS}
        return encoding.spike_counts(spikes, **shape)'''


def _process(layers: _Layers) -> Iterator[str]:
    for line in PROCESS.splitlines():
        if line == "CONSTANTS":
            yield from _constants(layers)
        elif line == "PORTS":
            yield from (f"        self.spikes_{layers.names[p.name]} = OutPort(shape=({p.size},))" for p in layers.network.spiking[:-1])
        else:
            yield line


def _model(layers: _Layers) -> Iterator[str]:
    network = layers.network
    yield from '''@implements(proc=Network, protocol=LoihiProtocol)
class NetworkModel(AbstractSubProcessModel):
    """The layers of the network and how they are connected."""

    def __init__(self, proc: Any) -> None:
        period, first = proc.proc_params["period"], proc.proc_params["first_step"]
        with np.load(ARRAYS, allow_pickle=False) as file:
            arrays = dict(file)

        # The input, and the neurons of each layer at its depth.'''.splitlines()
    yield f"        self.input = Input(size={network.populations[0].size}, largest=proc.LARGEST)"
    yield from (_neurons(layers, p) for p in network.spiking)
    yield ""
    yield "        # The connections: synapses send to their target one time step after they received."
    for name, projection in layers.connections:
        yield from _connection(layers, name, projection)
    yield ""
    yield "        # The ports of the whole."
    yield "        proc.s_in.connect(self.input.s_in)"
    yield f"        self.neurons_{layers.names[network.populations[-1].name]}.s_out.connect(proc.s_out)"
    for p in network.spiking[:-1]:
        yield f"        self.neurons_{layers.names[p.name]}.s_out.connect(proc.spikes_{layers.names[p.name]})"


def _neurons(layers: _Layers, population: Population) -> str:
    neuron, name, first = population.neuron, layers.names[population.name], _first(layers, population.name)
    assert isinstance(neuron, IntegerLIF)  # `obstacle` refuses others
    said = f"size={population.size}, du={neuron.du}, dv={neuron.dv}, vth={neuron.vth}, first={first}, period=period"
    said += ", soft_reset=True" if neuron.soft_reset else ""
    said += f', **_bias(arrays, "{name}")' if population.bias is not None else ""
    return f"        self.neurons_{name} = Neurons({said})"


def _first(layers: _Layers, population: str) -> str:
    return f"first + {layers.depth[population]}" if layers.depth[population] else "first"


def _sending(layers: _Layers, population: str) -> str:
    is_input = population == layers.network.populations[0].name
    return "input" if is_input else f"neurons_{layers.names[population]}"


def _delays(layers: _Layers) -> dict[tuple[str, int, int], str]:
    """Return the delay lines: by source, steps and lag."""
    wanted = {(p.source, p.delay, p.lag): None for _, p in layers.connections if p.delay or p.lag}
    return {key: f"delay_{i}_{layers.names[key[0]]}" for i, key in enumerate(wanted)}


def _connection(layers: _Layers, name: str, projection: Projection) -> Iterator[str]:
    key = projection.source, projection.delay, projection.lag
    late = f", {projection.lag} steps late" if projection.lag else ""
    ends = f"{layers.names[projection.source]} -> {layers.names[projection.target]}"
    yield f"        # {ends}: {projection.synapses.count:,} synapses{late}"
    source, delays = _sending(layers, projection.source), _delays(layers)
    if key in delays:
        users = [n for n, p in layers.connections if (p.source, p.delay, p.lag) == key]
        if users[0] == name:
            size = layers.network.population(projection.source).size
            steps = f"steps={projection.delay}, lag={projection.lag}, first={_first(layers, projection.source)}, period=period"
            yield f"        self.{delays[key]} = Delay(size={size}, {steps})"
            yield f"        self.{source}.s_out.connect(self.{delays[key]}.s_in)"
        source = delays[key]
    yield f'        self.synapses_{name} = Synapses(weights=_weights(arrays, "{name}"), exponent={projection.exponent})'
    yield f"        self.{source}.s_out.connect(self.synapses_{name}.s_in)"
    yield f"        self.synapses_{name}.a_out.connect(self.neurons_{layers.names[projection.target]}.a_in)"


def _helpers(layers: _Layers) -> Iterator[str]:
    yield from '''def _weights(arrays: dict[str, Any], name: str) -> Any:
    """Return a sparse matrix (targets, sources) of integers."""
    data, columns, rows, shape = (arrays[f"{name}_{part}"] for part in ("weights", "columns", "rows", "shape"))
    return csr_matrix((data.astype(np.int32), columns, rows), shape=tuple(shape))'''.splitlines()
    if any(p.bias is not None for p in layers.network.spiking):
        yield from '''

def _bias(arrays: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a layer's biases,  bias_mant << bias_exp."""
    return {part: arrays[f"{name}_{part}"] for part in ("bias_mant", "bias_exp")}'''.splitlines()
