"""Probes: spikes and registers of layers at every step, recorded for the samples of a run.

A probe is named layer.state: hidden1.spikes, hidden1.v (membrane potential), hidden1.u (synaptic current). Registers are those after a
step, the reset of a spike included, as `hwmodels/fixed_point.py` and `hwmodels/crossbar.py` define them; 0 of removed neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import registry
from ..errors import BackendError, MismatchError, UsageError, nearest
from ..network.model import CrossbarLIF, IntegerLIF, Network, Population, XyloLIF
from ..network.neurons import most_spikes, states_of
from ..report.document import Probe, Probed
from ..subset import choose
from . import backends, shards
from .backends.api import population_of

__all__ = ["LIMIT", "Probes", "Record", "compare", "wanted"]

LIMIT = 256
"""MiB that the probes of a run may fill by default."""
AT_ONCE = 1 << 26  # bytes of registers of a batch
BYTES = {"spikes": 1, "u": 4, "v": 4}
UNITS = {
    "spikes": "1: a spike of the neuron at this step",
    "v": "membrane potential after the step, in units of the chip's register of 24 bits; a neuron spikes above `threshold`",
    "u": "synaptic current after the step, in units of the chip's register of 24 bits, those of the membrane potential",
}
UNITS_OF: dict[tuple[Any, str], str] = {  # of the other neurons' registers
    (CrossbarLIF, "v"): "membrane potential after the tick, in units of the weights; a neuron spikes at `threshold`",
    (XyloLIF, "v"): "membrane potential after the step, in units of the chip's register of 16 bits; a neuron spikes at `threshold`",
    (XyloLIF, "u"): "synaptic current after the step, its decay included, in units of the chip's register of 16 bits",
    (XyloLIF, "spikes"): "spikes of the neuron at this step",
}
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Probes:
    """The probes of a run: their names, and which of the run's samples they record, (samples,) booleans."""

    network: Network
    names: tuple[str, ...]
    kept: NDArray[np.bool_]

    @property
    def registers(self) -> tuple[str, ...]:
        """The probes of u and v."""
        return tuple(name for name in self.names if _state(name) != "spikes")

    @cached_property
    def each(self) -> int:
        """The bytes that a sample takes."""
        sizes = {p.name: p.size for p in self.network.spiking}
        return self.network.timesteps * sum(sizes[population_of(name)] * BYTES[_state(name)] for name in self.names)

    @property
    def at_once(self) -> int:
        """How many samples may be recorded in one call of a backend."""
        return max(1, AT_ONCE // self.each)

    def document(self, sample_ids: NDArray[np.int64]) -> Probed:
        """Return the entry of results.json; `sample_ids`: of all samples of the run."""
        taken = sample_ids[self.kept]
        rows = [_described(self.network.population(population_of(name)), name, len(taken), self.network.timesteps) for name in self.names]
        return Probed(axes=["samples", "timesteps", "neurons"], sample_ids=taken, probes=rows)


class Record:
    """What the probes of one process have recorded: by probe, (its samples, timesteps, neurons)."""

    def __init__(self, probes: Probes, begin: int, end: int) -> None:
        """Make room for those of the samples at the run's positions `begin` to `end` that are recorded."""
        self.positions = np.flatnonzero(probes.kept[begin:end]) + begin
        self.first = int(probes.kept[:begin].sum())
        network, self.arrays = probes.network, Arrays()
        for name in probes.names:
            shape = (len(self.positions), network.timesteps, network.population(population_of(name)).size)
            self.arrays[name] = np.zeros(shape, _dtype(network.population(population_of(name)), _state(name)))

    def add(self, places: NDArray[np.int64], spikes: dict[str, NDArray[np.bool_]], registers: dict[str, NDArray[np.int32]]) -> None:
        """Add a batch: the samples' positions in the run, and what a backend recorded of them."""
        rows = np.searchsorted(self.positions, places)
        for name, array in self.arrays.items():
            array[rows] = spikes[population_of(name)] if _state(name) == "spikes" else registers[name]

    def gather(self, peers: shards.Peers) -> None:
        """Take in what the other processes of the group have recorded; every process takes part."""
        total = int(peers.add(np.array([len(self.positions)], np.int64))[0])
        for name, array in self.arrays.items():
            self.arrays[name] = shards.gather_rows(array.astype(np.int64), self.first, total, peers).astype(array.dtype)


def wanted(
    names: str | Sequence[str], network: Network, backend: str, samples: int, chosen: int | str | None, megabytes: int
) -> Probes | None:
    """Check the probes of a run of this many samples; None if there are none.

    Args:
        chosen: which samples are recorded, by the rule of `subset.choose`; all if None.
        megabytes: limit of what is recorded, in MiB.

    Raises:
        UsageError: an unknown layer or state, samples that do not describe a subset, or more than the limit.
        BackendError: the backend does not record a state.
    """
    asked = tuple(dict.fromkeys([names] if isinstance(names, str) else names))
    if not asked:
        if chosen is not None:
            raise UsageError("--probe-samples says how many samples the probes record, and there is no probe. Name one with --probe.")
        if megabytes != LIMIT:
            raise UsageError("--probe-megabytes limits what the probes record, and there is no probe. Name one with --probe.")
        return None
    for name in asked:
        _check_name(name, network)
        _check_backend(name, backend)
    kept = np.zeros(samples, np.bool_)
    kept[choose(chosen, samples, "--probe-samples").indices()] = True
    probes = Probes(network, asked, kept)
    needed = probes.each * int(kept.sum())
    if megabytes < 1:
        raise UsageError(f"--probe-megabytes is {megabytes}; it must be at least 1.")
    if needed > megabytes << 20:
        fitting = (megabytes << 20) // probes.each
        fewer = f"Record fewer samples, --probe-samples {fitting}, or" if fitting else "Probe fewer layers, or"
        raise UsageError(
            f"The probes {', '.join(asked)} of {kept.sum():,} samples fill {_size(needed)} ({_size(probes.each)} per sample); the limit is "
            f"{megabytes} MiB. {fewer} raise the limit: --probe-megabytes {-(-needed >> 20)}."
        )
    return probes


def compare(expected: Arrays, found: Arrays, backend: str, numbers: NDArray[np.int64]) -> None:
    """Compare registers with those of the integer reference; `numbers`: each sample's index in its data set.

    Raises:
        MismatchError: the first difference: probe, sample, step and neuron.
    """
    for name, values in expected.items():
        differing = np.argwhere(values != found[name])
        if len(differing):
            sample, step, neuron = (int(i) for i in differing[0])
            raise MismatchError(
                f"{backend} differs from the integer reference, first at the probe {name}, sample {numbers[sample]}, step {step}, neuron "
                f"{neuron}: {found[name][sample, step, neuron]} instead of {values[sample, step, neuron]}. "
                f"{len(differing):,} of {values.size:,} values of this probe differ."
            )


def _state(name: str) -> str:
    return name.rpartition(".")[2]


def _dtype(population: Population, state: str) -> type[Any]:
    """Return the type of a state's array: of spikes bool, or uint8 where neurons send several in a step."""
    if state != "spikes":
        return np.int32
    return np.bool_ if most_spikes(population.neuron) == 1 else np.uint8


def _states(population: Population) -> tuple[str, ...]:
    return ("spikes", *states_of(population.neuron))


def _check_name(name: str, network: Network) -> None:
    layers = {p.name: _states(p) for p in network.spiking}
    population, _, state = name.rpartition(".")
    if population not in layers:
        near = nearest(population or name, layers)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(
            f"The probe {name!r} names no layer of the network.{hint} A probe is LAYER.STATE. Layers: {', '.join(layers)}. "
            f"States: {', '.join(layers[next(iter(layers))])}."
        )
    if state not in layers[population]:
        known = ", ".join(f"{population}.{s}" for s in layers[population])
        raise UsageError(f"The probe {name!r} names no state of the layer {population}. Its probes: {known}.")


def _check_backend(name: str, backend: str) -> None:
    state = _state(name)
    if state == "spikes" or state in getattr(registry.load(backends, "backend", backend), "RECORDS", ()):
        return
    what = "synaptic currents (u)" if state == "u" else "membrane potentials (v)"
    raise BackendError(
        f"The backend {backend} records no {what}, which the probe {name} needs. "
        f"These do: {', '.join(_able(state))}. Choose one with --backend, or probe spikes."
    )


def _able(state: str) -> list[str]:
    """Return the backends that record a state; those that cannot be loaded here are left out."""
    found: list[str] = []
    for name in registry.names(backends):
        try:
            module = registry.load(backends, "backend", name)
        except BackendError:
            continue
        if state in getattr(module, "RECORDS", ()):
            found.append(name)
    return found


def _described(population: Population, name: str, samples: int, timesteps: int) -> Probe:
    state, neuron = _state(name), population.neuron
    threshold = neuron.register_level if isinstance(neuron, IntegerLIF | CrossbarLIF | XyloLIF) else None
    return Probe(
        name=name,
        population=population.name,
        state=state,
        shape=[samples, timesteps, population.size],
        dtype=np.dtype(_dtype(population, state)).name,
        unit=UNITS_OF.get((type(neuron), state), UNITS[state]),
        threshold=threshold if state == "v" else None,
    )


def _size(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"
