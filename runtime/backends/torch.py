"""The deployed integers on torch tensors, CPU or CUDA: matrix products in formats that are proven exact, neurons in integers.

Layer by layer, all steps at once unless a layer receives its own spikes. Each projection uses the fastest format that holds every
partial sum (`native/exact.py` has the proof). It is tried once on the device against the reference's sums, to detect libraries that do
not compute as documented. Otherwise SciPy sums in 64-bit integers on the CPU. Convolutions are unfolded; maps are channels-last.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError, UsageError
from ...hwmodels.fixed_point import ALIGN, STATE_LIMIT
from ...network.model import CrossbarLIF, IntegerLIF, Network, Population, XyloLIF
from ..native.exact import Shape, maps
from .api import BackendOptions, Recording, empty_registers, population_of

try:
    import torch
    from torch import Tensor

    from ._torch_neurons import STEPS_AT_ONCE, Crossbar, Fuser, Lif, Neurons, State
    from ._torch_sums import Arriving, arriving, places
except ModuleNotFoundError as error:
    raise BackendError(
        "The torch backend needs torch. Install it with: pip install 'spikeloom[train]', or use --backend native."
    ) from error

BATCH = 1024
RECORDS = ("u", "v")
ORDERS = {"cpu": ("int8", "float32", "float64"), "cuda": ("int8", "float16", "float32", "float64")}  # fastest first
CPU_MEMORY = 1 << 25  # bytes of the samples that run at once: beyond it, tensors leave the cache (half the speed at 2^29)


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends.api` for the interface. `options.device`: auto (the default), cpu or cuda.

    Raises:
        UsageError: an unavailable device, or an unknown format.
        BackendError: payloads beyond the network's levels, a network that is not quantised, or too little memory on the device.
    """
    most = network.input.payload.largest
    if events.size and int(events.max()) > most:
        raise BackendError(f"The events hold payloads up to {events.max()}; this network's input carries at most {most}.")
    shapes = maps(network)
    if shapes is None:  # inconsistent map shapes: every synapse one by one
        return simulate(network.flat.network, events, options).spread(network.flat)
    device = _device(options.device)
    with _exactly(options.threads), torch.inference_mode():
        try:
            return _prepared(network, shapes, device, options).run(events, options)
        except torch.OutOfMemoryError as error:
            raise BackendError(
                f"{_name(device)} has too little free memory for this network: {str(error).splitlines()[0]} Use --device cpu, or "
                f"BackendOptions(batch_size=...) with fewer samples side by side."
            ) from error


def _device(wanted: str | None) -> torch.device:
    if wanted not in (None, "auto", "cpu", "cuda"):
        raise UsageError(f"--device is {wanted!r}; it must be auto, cpu or cuda.")
    if wanted == "cpu" or (wanted != "cuda" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError("--device is cuda, but torch finds no CUDA device here. Use --device cpu, or install a CUDA build of torch.")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


@contextmanager
def _exactly(threads: int | None) -> Generator[None]:
    """Compute float32 as float32, not in TF32 or bfloat16, on the given number of threads; restore the settings afterwards."""
    precision, before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_float32_matmul_precision("highest")
    if threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Layer:
    """A population: its map, neurons and incoming projections; its biases (in the type of its state) and live neurons, channels last."""

    name: str
    shape: Shape
    neurons: Neurons
    arriving: tuple[Arriving, ...]
    bias: Tensor
    alive: Tensor | None


def _layer(population: Population, inputs: tuple[Arriving, ...], shape: Shape, device: torch.device) -> _Layer:
    neuron = population.neuron
    if isinstance(neuron, XyloLIF):
        raise BackendError(f"Layer {population.name} has neurons of Xylo, which the torch backend does not run. Use --backend native.")
    if not isinstance(neuron, IntegerLIF | CrossbarLIF):
        raise BackendError(f"Layer {population.name} is not quantised; the torch backend runs compiled networks.")
    bias, order = population.biases.astype(np.int64), places(shape)
    below = sum(a.shifted for a in inputs) < STATE_LIMIT >> ALIGN and np.abs(bias).max(initial=0) < STATE_LIMIT
    narrow = isinstance(neuron, IntegerLIF) and bool(below)
    values = torch.from_numpy(bias[order]).to(device, torch.int32 if narrow else torch.int64)
    alive = None if population.alive is None else torch.from_numpy(population.alive[order]).to(device)
    neurons = (
        Crossbar(neuron.threshold, neuron.leak)
        if isinstance(neuron, CrossbarLIF)
        else Lif(neuron.du, neuron.dv, neuron.vth << ALIGN, narrow, neuron.soft_reset)
    )
    return _Layer(population.name, shape, neurons, inputs, values, alive)


@dataclass(frozen=True)
class _Program:
    """A network on a device. `live`: the input's steps that can be non-zero; streams are (steps, samples, neurons)."""

    network: Network
    device: torch.device
    shapes: dict[str, Shape]
    live: int
    groups: list[tuple[_Layer, ...]]
    fuser: Fuser

    def run(self, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
        """Run all samples, in the largest batches that fit the memory."""
        network, size = self.network, self._samples_at_once(options.batch_size)
        wanted = network.spiking if options.rasters else network.spiking[-1:]
        spikes = {p.name: np.empty((len(events), network.timesteps, p.size), np.bool_) for p in wanted}
        totals = {p.name: np.zeros((2, p.size), np.int64) for p in network.spiking}
        by_step = {p.name: np.zeros((network.timesteps, p.size), np.int64) for p in network.spiking if options.by_step}
        registers = empty_registers(options.registers, network, len(events))
        for start in range(0, len(events), size):
            streams, active, kept = self._run_block(events[start : start + size], frozenset(registers))
            for name, counted in active.items():
                fired = streams[name].sum(1, dtype=torch.int64)
                totals[name][:, places(self.shapes[name])] += torch.stack([fired.sum(0), counted]).cpu().numpy()
                if options.by_step:
                    by_step[name][:, places(self.shapes[name])] += fired.cpu().numpy()
            for name, raster in spikes.items():
                raster[start : start + size] = self._raster(name, streams[name]).view(np.bool_)
            for name, values in registers.items():
                values[start : start + size] = self._raster(population_of(name), kept[name])
        spiked, active = ({name: total[kind] for name, total in totals.items()} for kind in (0, 1))
        rows = [a.row for group in self.groups for layer in group for a in layer.arriving]
        arithmetic = {"device": _name(self.device), "torch": torch.__version__, "neurons": self.fuser.said, "projections": rows}
        return Recording(spikes, active, spiked, by_step or None, arithmetic, registers or None)

    def _samples_at_once(self, most: int | None) -> int:
        """Return how many samples' streams, currents and states fit a third of the free memory."""
        sizes = [p.size for p in self.network.populations]
        each = self.network.timesteps * (sum(sizes) + 16 * max(sizes)) + 64 * max(sizes)
        room = torch.cuda.mem_get_info(self.device)[0] // 3 if self.device.type == "cuda" else CPU_MEMORY
        return max(1, min(room // each, most or BATCH))

    def _raster(self, name: str, stream: Tensor) -> NDArray[Any]:
        """Return a population's stream of spikes or of a register as (samples, steps, neurons), channels first."""
        steps, samples, _ = stream.shape
        channels, rows, columns = self.shapes[name]
        maps_ = stream.view(steps, samples, rows, columns, channels).permute(1, 0, 4, 2, 3)
        return maps_.reshape(samples, steps, -1).cpu().numpy()

    def _run_block(
        self, events: NDArray[np.uint8], registers: frozenset[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Return the streams of all populations, the active updates of each neuron, and the registers (steps, samples, neurons)."""
        entry = self.network.populations[0].name
        given = np.ascontiguousarray(events[:, : self.live].transpose(1, 0, 2)[:, :, places(self.shapes[entry])])
        streams = {entry: torch.from_numpy(given).to(self.device)}
        active: dict[str, Tensor] = {}
        shapes = {name: (self.network.timesteps, len(events), self.network.population(population_of(name)).size) for name in registers}
        kept = {name: torch.zeros(shape, dtype=torch.int32, device=self.device) for name, shape in shapes.items()}
        for group in self.groups:
            active |= self._run_group(group, streams, len(events), kept)
        return streams, active, kept

    def _run_group(self, group: tuple[_Layer, ...], streams: dict[str, Tensor], samples: int, kept: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run the populations of a cycle, or a single one: first input from others, at all steps; then, step by step, from each other."""
        inside, steps = {layer.name for layer in group}, self.network.timesteps
        currents = [_currents(layer, streams, inside, steps) for layer in group]
        recorded = {f"{layer.name}.{state}" for layer in group for state in RECORDS} & kept.keys()
        if not recorded and not any(a.source in inside for layer in group for a in layer.arriving):
            (layer,) = group
            streams[layer.name], active = self._run_alone(layer, currents[0], samples)
            return {layer.name: _counted(layer, active)}
        states = [layer.neurons.rest(samples, layer.bias) for layer in group]
        active_of = [torch.zeros_like(state[0], dtype=torch.int16) for state in states]
        for layer in group:
            streams[layer.name] = torch.zeros((steps, samples, len(layer.bias)), dtype=torch.bool, device=self.device)
        for t in range(steps):
            for i, layer in enumerate(group):
                a = _received(layer, currents[i], streams, inside, t)
                states[i], fired, busy = layer.neurons.step(states[i], a, layer.bias)
                active_of[i] += busy
                streams[layer.name][t] = fired if layer.alive is None else fired & layer.alive
                _keep(layer, states[i], t, kept)
        return {layer.name: _counted(layer, active) for layer, active in zip(group, active_of, strict=True)}

    def _run_alone(self, layer: _Layer, currents: Tensor | None, samples: int) -> tuple[Tensor, Tensor]:
        """Run a population without recurrence; return its spikes and in how many steps each neuron had a non-zero state."""
        state = layer.neurons.rest(samples, layer.bias)
        active = torch.zeros_like(state[0], dtype=torch.int16)
        parts: list[Tensor] = []
        for start in range(0, self.network.timesteps, STEPS_AT_ONCE):
            given = None if currents is None or start >= len(currents) else currents[start : start + STEPS_AT_ONCE]
            steps = min(STEPS_AT_ONCE, self.network.timesteps - start)
            state, spikes, busy = self.fuser.run(layer.neurons, state, given, layer.bias, steps)
            parts.append(spikes if layer.alive is None else spikes & layer.alive)
            active += busy
        return parts[0] if len(parts) == 1 else torch.cat(parts), active


def _counted(layer: _Layer, active: Tensor) -> Tensor:
    """Return the active updates of each neuron that was not removed, over all samples."""
    total = active.sum(0, dtype=torch.int64)
    return total if layer.alive is None else total * layer.alive


def _keep(layer: _Layer, state: State, t: int, kept: dict[str, Tensor]) -> None:
    """Write those registers of a step that are recorded; crossbars have no u."""
    for register, values in zip(RECORDS[-len(state) :], state, strict=True):
        if (into := kept.get(f"{layer.name}.{register}")) is not None:
            into[t] = values if layer.alive is None else values * layer.alive


def _received(layer: _Layer, currents: Tensor | None, streams: dict[str, Tensor], inside: set[str], t: int) -> Tensor | None:
    """Return the input of step t, from outside the group and from within."""
    a = currents[t] if currents is not None and t < len(currents) else None
    for one in layer.arriving:
        if one.source in inside and one.lag <= t:
            more = one.currents(streams[one.source][t - one.lag], layer.bias.dtype)
            a = more if a is None else a + more
    return a


def _currents(layer: _Layer, streams: dict[str, Tensor], inside: set[str], steps: int) -> Tensor | None:
    """Return a layer's input from outside its group, (steps that can be non-zero, samples, neurons)."""
    found: Tensor | None = None
    inputs = [a for a in layer.arriving if a.source not in inside and a.lag < steps]
    length = max((min(len(streams[a.source]) + a.lag, steps) for a in inputs), default=0)
    for a in inputs:
        stream = streams[a.source][: steps - a.lag]
        part = a.currents(stream.reshape(-1, stream.shape[2]), layer.bias.dtype).view(len(stream), stream.shape[1], -1)
        if found is None and len(part) == length:
            found = part
            continue
        if found is None:
            found = torch.zeros((length, *part.shape[1:]), dtype=part.dtype, device=part.device)
        found[a.lag : a.lag + len(part)] += part
    return found


_kept: tuple[tuple[Any, ...], _Program] | None = None


def _prepared(network: Network, shapes: dict[str, Shape], device: torch.device, options: BackendOptions) -> _Program:
    """Return the network laid out on the device; the last one is cached, as a run asks for it batch by batch."""
    global _kept
    order = options.formats or ORDERS[device.type]
    parts = (*map(id, network.projections), *map(id, network.spiking))
    key = (parts, network.input, network.timesteps, network.populations[0].size, str(device), order, options.compile_neurons)
    kept = _kept
    if kept is None or kept[0] != key:
        kept = _kept = None  # free its memory first
        kept = _kept = key, _prepare(network, shapes, device, order, options.compile_neurons)
    return kept[1]


def _prepare(
    network: Network, shapes: dict[str, Shape], device: torch.device, order: tuple[str, ...], compile_neurons: bool | None
) -> _Program:
    def layer(population: Population) -> _Layer:
        inputs = tuple(arriving(network, p, shapes, device, order) for p in network.inputs_of(population.name))
        if isinstance(population.neuron, CrossbarLIF):  # its sums are not shifted
            inputs = tuple(Arriving(a.source, a.lag, 0, a.sums, a.limits, a.row) for a in inputs)
        return _layer(population, inputs, shapes[population.name], device)

    live = 1 if network.input.is_once else network.timesteps
    groups = [tuple(layer(p) for p in group) for group in network.components()]
    return _Program(network, device, shapes, live, groups, Fuser(device, compile_neurons))
