"""A network as tables for one step at a time: what a session advances, in NumPy here and by a kernel in `kernels.stepping`.

All cells (the inputs, then the neurons of every population in the network's order) are numbered. Every synapse is listed by its
source, so that the cost of a step is that of the active sources and the neurons.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ...hwmodels import crossbar, fixed_point
from ...network.model import CrossbarLIF, IntegerLIF, Network, Projection, Synapses
from ...network.neurons import is_integer

__all__ = ["Program", "State", "advance"]

Int = NDArray[np.int64]
LIF, CROSSBAR = 0, 1


@dataclass(frozen=True, eq=False)
class Program:
    """The tables of a network.

    `layers`: by spiking population, its first cell, the one after its last, LIF or CROSSBAR, its registers (du, dv, vth, 1 with a soft
    reset; threshold, leak, 0, 0), and the end of its rows in `arriving`.
    `arriving`: by projection, those of a population side by side: first cell of the source, its size, exponent, lag, and where the source's
    pointers begin in `pointers`.
    `pointers`: of each source cell, where its synapses begin in `targets` and `weights`, and where they end; `targets` count from the
    first cell of the target's population.
    `bias`, `alive`: by cell. `depth`: the steps that have to be remembered, 1 and the largest lag.
    """

    layers: Int
    arriving: Int
    pointers: Int
    targets: NDArray[np.int32]
    weights: NDArray[np.int32]
    bias: Int
    alive: NDArray[np.bool_]
    depth: int

    @classmethod
    def of(cls, network: Network) -> Program:
        """Return the tables of an integer network; convolutions are unrolled, so memory grows with the synapses (8 bytes each).

        Raises:
            UsageError: the network is not quantised.
        """
        first = dict(zip((p.name for p in network.populations), np.cumsum([0, *(p.size for p in network.populations)]), strict=False))
        layers, arriving, lists = list[tuple[int, ...]](), list[tuple[int, ...]](), _Lists()
        for population in network.spiking:
            for p in network.inputs_of(population.name):
                size = p.synapses.shape[1]
                arriving.append((int(first[p.source]), size, p.exponent, p.lag, lists.place(p)))
            start = int(first[population.name])
            layers.append((start, start + population.size, *_registers(population.name, population.neuron), len(arriving)))
        return cls(
            np.array(layers, np.int64).reshape(-1, 8),
            np.array(arriving, np.int64).reshape(-1, 5),
            *lists.joined(),
            np.concatenate([np.zeros(network.populations[0].size, np.int64), *(p.biases for p in network.spiking)]).astype(np.int64),
            np.concatenate([p.living for p in network.populations]),
            1 + max((p.lag for p in network.projections), default=0),
        )

    @property
    def cells(self) -> int:
        """The number of inputs and neurons."""
        return self.alive.size

    @cached_property
    def digest(self) -> bytes:
        """A SHA-256 of the tables: equal for equal networks."""
        found = hashlib.sha256(str(self.depth).encode())
        for field in fields(self)[:-1]:
            array = np.ascontiguousarray(getattr(self, field.name))
            found.update(f"{field.name} {array.dtype} {array.shape}".encode() + array.tobytes())
        return found.digest()


class _Lists:
    """The synapses of several projections, by source, one after another; those that projections share are kept once."""

    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no id is reused
        self.found: list[Synapses] = []
        self.pointers = self.synapses = 0

    def place(self, projection: Projection) -> int:
        """Return where the pointers of a projection's sources begin."""
        key = id(projection.synapses)
        if key not in self.places:
            self.places[key] = self.pointers
            self.kept.append(projection.synapses)
            self.found.append(projection.synapses.unrolled().transposed())
            self.pointers += self.found[-1].indptr.size
        return self.places[key]

    def joined(self) -> tuple[Int, NDArray[np.int32], NDArray[np.int32]]:
        """Return pointers, targets and weights."""
        starts = np.cumsum([0, *(s.count for s in self.found)])
        pointers = [s.indptr + start for s, start in zip(self.found, starts, strict=False)]
        targets, weights = ([getattr(s, name) for s in self.found] for name in ("indices", "data"))
        return (
            np.concatenate([np.zeros(0, np.int64), *pointers]),
            np.concatenate([np.zeros(0, np.int32), *targets]),
            np.concatenate([np.zeros(0, np.int32), *weights]).astype(np.int32, casting="same_kind"),
        )


def _registers(name: str, neuron: Any) -> tuple[int, int, int, int, int]:
    if isinstance(neuron, CrossbarLIF):
        return CROSSBAR, neuron.threshold, neuron.leak, 0, 0
    if isinstance(neuron, IntegerLIF):
        return LIF, neuron.du, neuron.dv, neuron.vth, int(neuron.soft_reset)
    if is_integer(neuron):
        raise UsageError(
            f"A session has no step for the neurons of layer {name} ({type(neuron).__name__}). Run whole samples: spikeloom.run."
        )
    raise UsageError(f"Population {name} is not quantised yet: compile the network first.")


class State:
    """What changes from step to step.

    `u`, `v`: by cell, synaptic current and membrane potential after the last step; `sent`: (depth, cells) what each cell sent, step t in
    row t modulo depth: payloads of inputs, 0 or 1 of neurons. `sums`: scratch for the inputs.
    `held`, `seen`: of the kernel: by projection, the sums W s of its last step, and that step's s; where each projection begins in them is
    its row of `places`. They follow from each other, so that zeros in both are as good as what was there. `order`: scratch.
    """

    def __init__(self, program: Program) -> None:
        self.u, self.v, self.sums = (np.zeros(program.cells, np.int64) for _ in range(3))
        self.sent = np.zeros((program.depth, program.cells), np.uint8)
        ends = np.array([0, *program.layers[:, 7]])
        targets = np.repeat(program.layers[:, 1] - program.layers[:, 0], np.diff(ends))
        sizes = np.stack([targets, program.arriving[:, 1]], axis=1)
        self.places = (np.cumsum(sizes, axis=0) - sizes).astype(np.int64)
        self.held, self.seen = np.zeros(sizes[:, 0].sum(), np.int64), np.zeros(sizes[:, 1].sum(), np.uint8)
        self.order = np.zeros(program.cells + 1, np.uint64)

    def clear(self) -> None:
        """Return to the state before step 0."""
        for array in (self.u, self.v, self.sent, self.held, self.seen):
            array[:] = 0


def advance(program: Program, state: State, t: int) -> None:
    """Advance all populations by their step t; what the inputs send is already in row t of `state.sent`."""
    begin = 0
    for start, stop, kind, *registers, end in program.layers.tolist():
        a = np.zeros(stop - start, np.int64)
        for row in program.arriving[begin:end].tolist():
            _add(program, state, t, row, a)
        begin, cells = end, slice(start, stop)
        if kind == CROSSBAR:
            threshold, leak, *_ = registers
            state.v[cells], fired = crossbar.crossbar_step(state.v[cells], a, threshold=threshold, leak=leak)
        else:
            du, dv, vth, soft = registers
            state.u[cells], state.v[cells], fired = fixed_point.lif_step(
                state.u[cells], state.v[cells], a, du=du, dv=dv, vth=vth, bias=program.bias[cells], soft_reset=bool(soft)
            )
        alive = program.alive[cells]
        state.u[cells] *= alive
        state.v[cells] *= alive
        state.sent[t % program.depth, cells] = fired & alive


def _add(program: Program, state: State, t: int, row: list[int], a: Int) -> None:
    """Add (W s) << exponent of a projection, using only the synapses of active sources."""
    source, size, exponent, lag, place = row
    if t < lag:
        return
    sent = state.sent[(t - lag) % program.depth, source : source + size]
    active = np.flatnonzero(sent)
    starts = program.pointers[place + active]
    counts = program.pointers[place + 1 + active] - starts
    synapses = np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    total = np.zeros(a.size, np.int64)
    np.add.at(total, program.targets[synapses], program.weights[synapses].astype(np.int64) * np.repeat(sent[active], counts))
    a += fixed_point.shift(total, exponent)
