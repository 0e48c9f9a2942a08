"""Writes NIR files (https://neuroir.org): a float network as primitives in continuous time, which the reader turns into the same network.

    LIF                            LIF, IF (no leak), CubaLIF (a synaptic current)
    threshold unit (max pool, AND) Conv2d or Linear, then Threshold: an OR is  sum of spikes > just below 1
    convolution on pooled windows  SumPool2d, Conv2d
    neuron that was removed        v_threshold infinite
    lag                            Delay

NIR spikes above a threshold, our neurons when they reach it: v >= c is  v > the float64 before c,  exactly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import DoesNotFitError, NetworkError, UsageError
from ...files import write_atomically
from ...network.model import LIF, Connectivity, Convolution, Network, Population, Projection, Synapses, Threshold

__all__ = ["SUFFIXES", "Options", "graph_of", "write"]

SUFFIXES = (".nir",)
NOTE = "spikeloom"
MAX_DENSE = 1 << 28  # entries of a matrix, for which NIR has no sparse form: 1 GiB
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Options:
    """How steps become continuous time.

    Args:
        dt: seconds of a time step.
        spike_when: the reading tool's neurons spike `above` their threshold, as in NIR's equations, or when it is `reached`, as
            SpikingJelly's do.
        reset: NIR cannot express a soft reset (the threshold is subtracted from the potential); `subtract` writes a network whose neurons
            have one for tools that subtract anyway, such as snnTorch. None: such a network is refused.
    """

    dt: float = 1e-4
    spike_when: Literal["above", "reached"] = "above"
    reset: Literal["subtract"] | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.dt < np.inf:
            raise UsageError(f"dt is {self.dt}; it must be seconds above 0.")


def write(network: Network, path: Path, options: Options | None = None) -> Path:
    """Write `network` to `path`, atomically.

    Raises:
        NetworkError: a chip's integers, or something that NIR has no primitive for; the layer is named.
        DoesNotFitError: a matrix that is too large when written dense.
        OutputError: the folder cannot be written to.
    """
    graph = graph_of(network, options)
    return write_atomically(path, lambda temporary: _library().write(temporary, graph))


def graph_of(network: Network, options: Options | None = None) -> Any:
    """Return `network` as a `nir.NIRGraph` whose types NIR has checked; see `write`."""
    nir = _library()
    made = _Writer(network, options or Options())
    square = all(n.weight.shape[2] == n.weight.shape[3] for n in made.nodes.values() if isinstance(n, nir.Conv2d))
    return nir.NIRGraph(made.nodes, made.edges, metadata={NOTE: made.note()}, type_check=square)  # nir 1.0.8 assumes square kernels


class _Writer:
    """Adds nodes and edges, population by population."""

    def __init__(self, network: Network, options: Options) -> None:
        self.nir = _library()
        self.network, self.options = _reaching(network), options
        network = self.network
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.names = {p.name: self._reserve(p.name) for p in network.populations}
        self.shapes = self._shapes()
        self.nodes[self.names[network.populations[0].name]] = self.nir.Input(np.array(self.shapes[network.populations[0].name]))
        for population in network.spiking:
            self._layer(population)
        last = network.populations[-1].name
        name = self._reserve("output")
        self._add(name, self.nir.Output(np.array(self.shapes[last])), self.names[last])

    def note(self) -> str:
        """Return what NIR cannot express, as JSON."""
        spec = self.network.input
        return json.dumps(
            {
                "timesteps": self.network.timesteps,
                "levels": spec.levels,
                "input": "events" if spec.is_temporal else "static",
                "votes": self.network.votes,
                "dt": self.options.dt,
                "spike_when": self.options.spike_when,
                "reset": self.options.reset or "zero",
                "layers": [self.names[p.name] for p in self.network.populations],
                "provenance": dict(self.network.provenance),
            }
        )

    def _reserve(self, name: str) -> str:
        """Return an unused name that is valid in HDF5."""
        free = name.replace("/", "_") if name.strip(".") else f"_{name}"
        while free in self.nodes:
            free += "_"
        self.nodes[free] = None
        return free

    def _add(self, name: str, node: Any, *sources: str) -> str:
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def _shapes(self) -> dict[str, Shape]:
        """Return the shape that each population is written with: flat if a matrix leads into it, since NIR cannot go back to maps."""
        shapes = {p.name: self._shape(p) for p in self.network.populations}
        changed = True
        while changed:
            changed = False
            for p in self.network.projections:
                conv = p.synapses
                maps = isinstance(conv, Convolution) and not _is_matrix(conv) and shapes[p.source] == conv.source_shape
                if not maps and len(shapes[p.target]) > 1:
                    shapes[p.target], changed = (self.network.population(p.target).size,), True
        return shapes

    def _shape(self, population: Population) -> Shape:
        """Return maps where all convolutions at a population agree on them and no matrix leads into it, else a flat shape."""
        leaving = {p.synapses.source_shape for p in self.network.outputs_of(population.name) if isinstance(p.synapses, Convolution)}
        arriving = [p.synapses for p in self.network.inputs_of(population.name)]
        maps = leaving | {c.target_shape for c in arriving if isinstance(c, Convolution)}
        if population.neuron is None:
            return next(iter(leaving)) if len(leaving) == 1 else population.shape
        if len(maps) == 1 and arriving and not any(map(_is_matrix, arriving)):
            found = next(iter(maps))
            return found if leaving or found == population.shape else (population.size,)
        return (population.size,)

    # --- what arrives -------------------------------------------------------------------------------------------------

    def _layer(self, population: Population) -> None:
        groups = self._groups(population)
        bias = None if population.bias is None or not population.bias.any() else population.biases.astype(np.float64)
        carrier = self._carrier(population, groups, bias)
        drive = bias if carrier is None else None
        ends = [self._chain(population, group, bias if i == carrier else None) for i, group in enumerate(groups)]
        if not ends:
            ends = [self._silence(population, None if drive is not None and isinstance(population.neuron, LIF) else bias)]
            drive = drive if isinstance(population.neuron, LIF) else None
        self._add(self.names[population.name], self._neuron(population, drive), *ends)

    def _groups(self, population: Population) -> list[list[Projection]]:
        """Return the projections grouped by map and lag, each source at most once in a group."""
        groups: list[list[Projection]] = []
        for p in self.network.inputs_of(population.name):
            self._check_float(p)
            fitting = (g for g in groups if g[0].synapses is p.synapses and g[0].lag == p.lag and p.source not in {q.source for q in g})
            group = next(fitting, None)
            if group is not None and self._same_shape(group[0], p):
                group.append(p)
            else:
                groups.append([p])
        return groups

    def _same_shape(self, a: Projection, b: Projection) -> bool:
        return self.shapes[a.source] == self.shapes[b.source]

    def _check_float(self, p: Projection) -> None:
        if p.weight_bits is not None:
            raise NetworkError(
                f"Projection {p.name} holds a chip's integers, which NIR's neurons do not compute with. Write the float network: train "
                f"without --weight-bits."
            )

    def _carrier(self, population: Population, groups: list[list[Projection]], bias: NDArray[np.float64] | None) -> int | None:
        """Return the group whose node carries the bias, None where the neuron does."""
        neuron = population.neuron
        if bias is None or (isinstance(neuron, LIF) and neuron.tau_syn != 1.0):
            return None
        for i, (first, *_) in enumerate(groups):
            if not self._is_conv(first):
                return i
            channels = bias.reshape(self._conv(first).target_shape[0], -1)
            if (channels == channels[:, :1]).all():
                return i
        if groups and not (isinstance(neuron, LIF) and np.isfinite(neuron.tau)):
            raise NetworkError(
                f"Layer {population.name} has a bias for each neuron of its maps, and NIR's IF and Threshold have no place for it. "
                f"Use one bias per channel."
            )
        return None

    def _is_conv(self, p: Projection) -> bool:
        """Whether a projection is written as a Conv2d: its source is then one of maps."""
        return isinstance(p.synapses, Convolution) and self.shapes[p.source] == p.synapses.source_shape

    def _conv(self, p: Projection) -> Convolution:
        if not isinstance(p.synapses, Convolution):
            raise TypeError(f"{p.name} is not a convolution")
        return p.synapses

    def _chain(self, population: Population, group: list[Projection], bias: NDArray[np.float64] | None) -> str:
        """Add the nodes of a group; return the last one."""
        first = group[0]
        sources = [self._delayed(p) for p in group]
        source_shape: Shape = self.shapes[first.source]
        name = self._reserve(first.name)
        if not self._is_conv(first):
            sources = self._flattened(name, sources, source_shape)
            weight = self._dense(first)
            node = self.nir.Linear(weight) if bias is None else self.nir.Affine(weight, _single(bias))
            return self._fitted(self._add(name, node, *sources), (len(weight),), population)
        conv = self._conv(first)
        sources = self._pooled(name, sources, conv)
        if _is_matrix(conv):
            sources = self._flattened(name, sources, (conv.source_shape[0], *conv.pooled_shape))
            weight = conv.taps.to_dense().astype(np.float32)
            node = self.nir.Linear(weight) if bias is None else self.nir.Affine(weight, _single(bias))
            return self._fitted(self._add(name, node, *sources), (len(weight),), population)
        per_channel = np.zeros(conv.target_shape[0]) if bias is None else bias.reshape(conv.target_shape[0], -1)[:, 0]
        node = self.nir.Conv2d(
            input_shape=conv.pooled_shape,
            weight=conv.to_dense().astype(np.float32),
            stride=(conv.stride, conv.stride),
            padding=(conv.padding, conv.padding),
            dilation=(1, 1),
            groups=1,
            bias=_single(per_channel),
        )
        return self._fitted(self._add(name, node, *sources), conv.target_shape, population)

    def _pooled(self, name: str, sources: list[str], conv: Convolution) -> list[str]:
        if conv.pool == 1:
            return sources
        pool = np.array([conv.pool, conv.pool])
        node = self.nir.SumPool2d(kernel_size=pool, stride=pool.copy(), padding=np.zeros(2, np.int64))
        return [self._add(self._reserve(f"{name}.pool"), node, *sources)]

    def _delayed(self, p: Projection) -> str:
        source = self.names[p.source]
        if not p.lag:
            return source
        name = f"{source}.delay{p.lag}"
        if not isinstance(self.nodes.get(name), self.nir.Delay):
            name = self._reserve(name)
            self._add(name, self.nir.Delay(np.full(self.shapes[p.source], p.lag * self.options.dt)), source)
        return name

    def _flattened(self, name: str, sources: list[str], shape: Shape) -> list[str]:
        if len(shape) == 1:
            return sources
        return [self._add(self._reserve(f"{name}.flatten"), self._flatten(shape), *sources)]

    def _flatten(self, shape: Shape) -> Any:
        return self.nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)

    def _fitted(self, name: str, shape: Shape, population: Population) -> str:
        """Flatten a node's output if its neurons are flat."""
        if shape == self.shapes[population.name]:
            return name
        return self._add(self._reserve(f"{name}.flat"), self._flatten(shape), name)

    def _dense(self, p: Projection) -> NDArray[np.float32]:
        rows, columns = p.synapses.shape
        if rows * columns > MAX_DENSE:
            raise DoesNotFitError(
                f"Projection {p.name} is a matrix of {rows:,} x {columns:,}; NIR keeps zeros too, and up to {MAX_DENSE:,} entries are "
                f"written. Use a narrower layer."
            )
        synapses: Connectivity = p.synapses
        flat: Synapses = synapses.unrolled()
        return flat.to_dense().astype(np.float32)

    def _silence(self, population: Population, bias: NDArray[np.float64] | None) -> str:
        """Give a layer without inputs an edge of zeros, since NIR's layers need one."""
        entry = self.network.populations[0].name
        name = self._reserve(f"{self.names[population.name]}.silence")
        weight = np.zeros((population.size, int(np.prod(self.shapes[entry]))), np.float32)
        sources = self._flattened(name, [self.names[entry]], self.shapes[entry])
        node = self.nir.Linear(weight) if bias is None else self.nir.Affine(weight, _single(bias))
        return self._fitted(self._add(name, node, *sources), (population.size,), population)

    # --- neurons ------------------------------------------------------------------------------------------------------

    def _neuron(self, population: Population, drive: NDArray[np.float64] | None) -> Any:
        shape, neuron, dt = self.shapes[population.name], population.neuron, self.options.dt
        if isinstance(neuron, Threshold):
            return self.nir.Threshold(self._bar(population, neuron.level))
        if not isinstance(neuron, LIF):
            raise NetworkError(
                f"Layer {population.name} has a chip's neurons, which NIR does not have. Write the float network: train without "
                f"--weight-bits."
            )
        self._check_reset(population, neuron)
        bar, reset = self._bar(population, neuron.v_threshold), np.full(shape, neuron.v_reset)
        if np.isinf(neuron.tau):
            if neuron.tau_syn != 1.0:
                raise NetworkError(f"Layer {population.name} integrates a synaptic current without a leak, which no neuron of NIR does.")
            if drive is not None:
                raise NetworkError(f"Layer {population.name} has a bias and nothing arrives at it, for which NIR's IF has no place.")
            return self.nir.IF(r=np.full(shape, 1.0 / dt), v_threshold=bar, v_reset=reset)
        tau, r = np.full(shape, _seconds(neuron.tau, dt)), np.full(shape, 1.0 if neuron.decay_input else neuron.tau)
        rest = np.full(shape, neuron.v_reset)
        if drive is not None:
            rest = rest + drive.reshape(shape) * (1.0 if neuron.decay_input else neuron.tau)
        if neuron.tau_syn == 1.0:
            return self.nir.LIF(tau=tau, r=r, v_leak=rest, v_threshold=bar, v_reset=reset)
        syn, w_in = np.full(shape, _seconds(neuron.tau_syn, dt)), np.full(shape, neuron.tau_syn)
        return self.nir.CubaLIF(tau_syn=syn, tau_mem=tau, r=r, v_leak=rest, v_threshold=bar, v_reset=reset, w_in=w_in)

    def _check_reset(self, population: Population, neuron: LIF) -> None:
        if neuron.soft_reset and self.options.reset is None:
            raise NetworkError(
                f"Layer {population.name} takes its threshold off the potential (soft reset), which NIR cannot say. For a reader that "
                f"subtracts by itself, as snnTorch does, write it with --set reset=subtract."
            )
        if not neuron.soft_reset and neuron.tau > 1.0 and self.options.reset == "subtract":
            raise NetworkError(
                f"Layer {population.name} sets its potential to v_reset, and --set reset=subtract is for networks of which no layer does. "
                f"Leave it out."
            )

    def _bar(self, population: Population, reached: float) -> NDArray[np.float64]:
        """Return the thresholds of a layer; those of removed neurons are infinite."""
        value = float(np.nextafter(reached, -np.inf)) if self.options.spike_when == "above" else reached
        return np.where(population.living, value, np.inf).reshape(self.shapes[population.name])


def _library() -> Any:
    """Return the library nir, imported on first use; this module has its name."""
    return import_module("nir")


def _reaching(network: Network) -> Network:
    """Return the network without layers that have no path to the output: NIR would take each for another output."""
    output, entry = network.populations[-1].name, network.populations[0].name
    kept, waiting = set[str](), [output]
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            waiting += [p.source for p in network.inputs_of(name)]
    if entry not in kept:
        raise NetworkError(f"No way leads from the input {entry} to the output {output}, so there is nothing to write.")
    projections = tuple(p for p in network.projections if p.source in kept and p.target in kept)
    return replace(network, populations=tuple(p for p in network.populations if p.name in kept), projections=projections)


def _is_matrix(synapses: Connectivity) -> bool:
    """Whether a map is written as a matrix: one-to-one, or a kernel covering a non-square map, which nir's type check gets wrong."""
    if isinstance(synapses, Synapses):
        return True
    return synapses.kernel == synapses.pooled_shape and not synapses.padding and synapses.kernel[0] != synapses.kernel[1]


def _single(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)


def _seconds(steps: float, dt: float) -> float:
    """Return a time such that  time / dt  is `steps`, to the last bit if possible."""
    time = steps * dt
    for candidate in (time, np.nextafter(time, np.inf), np.nextafter(time, 0.0)):
        if candidate / dt == steps:
            return float(candidate)
    return time
