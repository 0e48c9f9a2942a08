"""Networks of Xylo's neurons without the chip: its one group of hidden neurons stepped as the chip steps it, a batch of samples at once.

A second form of the arithmetic: dense products in float64, whose sums of integers are exact, in the chip's numbering and steps. Where a
current could saturate within a step, the order of the sources counts, and `hwmodels.xylo.receive` works those neurons out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compile.xylo.layout import Layout, Neurons
from ...hwmodels.xylo import HIDDEN_SPIKES, OUTPUT_SPIKES, STATE_MAX, STATE_MIN, decay, receive
from ...network.model import Network, XyloLIF
from ..backends.api import BackendOptions, Recording, empty_registers

Int = NDArray[np.int64]


def holds(network: Network) -> bool:
    """Return whether a network has neurons of Xylo."""
    return any(isinstance(p.neuron, XyloLIF) for p in network.spiking)


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends.api` for the interface.

    Raises:
        NetworkError: a network that the chip cannot hold.
    """
    flat = network.flat
    layout, samples = Layout.of(flat.network), len(events)
    groups = {
        False: _Group(layout, ("in", "rec"), layout.hidden, HIDDEN_SPIKES, samples),
        True: _Group(layout, ("out",), layout.output, OUTPUT_SPIKES, samples),
    }
    sent = {"in": np.zeros((events.shape[2], samples), np.int64)}
    for t in range(layout.steps):
        sent["rec"] = sent["out"] = groups[False].spikes
        sent["in"] = events[:, t].T.astype(np.int64) if t < events.shape[1] else np.zeros_like(sent["in"])
        for group in groups.values():
            group.step(sent)
    spikes: dict[str, NDArray[Any]] = {}
    active: dict[str, Int] = {}
    registers = empty_registers(options.registers, flat.network, samples)
    for place in layout.places:
        u, v, fired = (layout.local(place, np.array(steps).transpose(2, 0, 1), events.shape[1]) for steps in groups[place.output].recorded)
        active[place.name] = np.count_nonzero((u != 0) | (v != 0) | (fired != 0), axis=(0, 1))
        spikes[place.name] = fired.astype(np.bool_ if place.output else np.uint8)
        for state, values in (("u", u), ("v", v)):
            if (name := f"{place.name}.{state}") in registers:
                registers[name][:] = values
    return Recording(spikes, active, registers=registers or None).spread(flat)


class _Group:
    """The hidden neurons, or the outputs; `recorded`: currents, potentials and spikes of every step, each (neurons, samples)."""

    def __init__(self, layout: Layout, kinds: tuple[str, ...], neurons: Neurons, most: int, samples: int) -> None:
        self.kinds, self.neurons, self.most = kinds, neurons, most
        self.weights = {kind: layout.weights[kind].T << layout.shifts[kind] for kind in kinds}
        joined = np.concatenate([self.weights[kind] for kind in kinds], axis=1)
        self.rising, self.falling = (
            np.ascontiguousarray(part.astype(np.float64)) for part in (np.maximum(joined, 0), np.minimum(joined, 0))
        )
        self.i = self.v = self.spikes = np.zeros((len(joined), samples), np.int64)
        self.recorded: tuple[list[Int], list[Int], list[Int]] = ([], [], [])

    def step(self, sent: dict[str, Int]) -> None:
        """Advance by one step of the chip on what each kind of source sent, (sources, samples)."""
        self.i = self._received(sent)
        n = {name: getattr(self.neurons, name)[:, None] for name in ("dash_syn", "dash_mem", "threshold", "bias")}
        self.i = self.i - decay(self.i, n["dash_syn"])
        lost = (-decay(self.v, n["dash_mem"])).astype(np.int16).astype(np.int64)  # 16 bits, which wrap around
        change = np.clip(np.clip(lost + self.i, STATE_MIN, STATE_MAX) + n["bias"], STATE_MIN, STATE_MAX)
        v = np.clip(self.v + change, STATE_MIN, STATE_MAX)
        self.spikes = np.minimum(np.maximum(v, 0) // n["threshold"], self.most)
        self.v = v - self.spikes * n["threshold"]
        for kept, values in zip(self.recorded, (self.i, self.v, self.spikes), strict=True):
            kept.append(values)

    def _received(self, sent: dict[str, Int]) -> Int:
        spikes = np.concatenate([sent[kind] for kind in self.kinds]).astype(np.float64)
        up, down = (part @ spikes for part in (self.rising, self.falling))
        total = self.i + (up + down).astype(np.int64)
        unsafe = ((self.i + up).max(axis=1, initial=0) > STATE_MAX) | ((self.i + down).min(axis=1, initial=0) < STATE_MIN)
        if unsafe.any():
            total[unsafe] = receive(self.i[unsafe], [(self.weights[kind][unsafe], sent[kind]) for kind in self.kinds])
        return total
