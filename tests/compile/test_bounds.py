"""Lower bounds of the mapping against the best of all partitions of tiny networks, found by trying every one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
from budget import examples
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from spikeloom.compile.estimate import estimate
from spikeloom.compile.mapping.bounds import counted as bounds
from spikeloom.compile.mapping.bounds.least import least
from spikeloom.compile.mapping.loads.load import Wiring, core_loads
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip, SynapseFormat
from spikeloom.network.model import InputSpec, IntegerLIF, Network, Population, Projection, Synapses

LIMITS = ("neurons", "synapse_words", "input_axons", "output_axons", "words_per_axon")
BITS = 8
Partition = tuple[int, ...]  # the core of each neuron


def partitions(neurons: int) -> Iterator[Partition]:
    """Every way to divide neurons among cores, each once: neuron v is on one of the cores in use before it, or on the next."""
    found: list[Partition] = [()]
    for _ in range(neurons):
        found = [(*p, core) for p in found for core in range(max(p, default=-1) + 2)]
    return iter(found)


@dataclass(frozen=True)
class Case:
    """A tiny network and the limits of a core.

    `entering`: (neurons, inputs) and `own`: (neurons, neurons) weights of 0 and 1; `limits`: in the order of LIMITS, words of 32 bits,
    which two synapses fill; `rates`: of the inputs, then of the neurons. `prefix`: bits of an entry, which holds `each` synapses.
    """

    entering: np.ndarray
    own: np.ndarray
    limits: tuple[int, ...]
    rates: np.ndarray
    prefix: int = 0
    each: int = 60
    dense: bool = False
    twice: bool = False  # the input has a second projection, side by side with the first

    @property
    def chip(self) -> Chip:
        chip = chips.load("loihi")
        changed = {n: getattr(chip.limits, n).model_copy(update={"value": float(v)}) for n, v in zip(LIMITS, self.limits, strict=True)}
        layout = SynapseFormat(
            name="dense" if self.dense else "sparse",
            prefix_bits=self.prefix,
            index_field_bits=0,
            index_bits=8,
            synapses_per_entry=self.each,
            source="a test",
            status="assumed",
        )
        return chip.model_copy(update={"limits": chip.limits.model_copy(update=changed), "word_bits": 32, "formats": (layout,)})

    @property
    def network(self) -> Network:
        neurons, inputs = self.entering.shape
        kept = Synapses.from_dense(self.entering)
        projections = [
            Projection("in", "input", "only", kept, 0, BITS),
            Projection("own", "only", "only", Synapses.from_dense(self.own), 0, BITS, lag=1),
        ]
        if self.twice:
            projections.append(Projection("again", "input", "only", kept, 0, BITS))
        populations = (Population("input", (inputs,), None), Population("only", (neurons,), IntegerLIF()))
        return Network(populations, tuple(projections), 4, InputSpec(1, 1.0, "rate"))

    @property
    def wiring(self) -> Wiring:
        return Wiring.of(self.network, self.rates)

    def words(self, locals_: list[int]) -> int:
        """Words of a list of targets, numbered on their core: entries of a prefix and `each` synapses of 16 bits; dense ones in a row.

        Parallel projections have entries of their own.
        """
        found = 0
        for copy in range(max(locals_.count(n) for n in locals_)):
            group = [n for n in set(locals_) if locals_.count(n) > copy]
            synapses = max(group) - min(group) + 1 if self.dense else len(group)
            found += -(-synapses // self.each) * self.prefix + synapses * (BITS + 8)
        return -(-found // 32)

    def measured(self, core_of: Partition) -> tuple[np.ndarray, np.ndarray]:
        """The load of each core, in the order of LIMITS, and how many cores each source reaches."""
        inputs = np.concatenate([self.entering * (2 if self.twice else 1), self.own], axis=1)
        outside, cores = self.entering.shape[1], max(core_of) + 1
        load, reached = np.zeros((cores, 5), np.int64), np.zeros(inputs.shape[1], np.int64)
        for core in core_of:
            load[core, 0] += 1
        local = [core_of[:v].count(core) for v, core in enumerate(core_of)]
        for (source, column), core in product(enumerate(inputs.T), range(cores)):
            targets = [n for v, c in enumerate(core_of) if c == core for n in [local[v]] * int(column[v])]
            if targets:
                load[core, 1] += self.words(targets)
                load[core, 2] += 1
                load[core, 4] = max(load[core, 4], self.words(targets))
                reached[source] += 1
                if source >= outside:
                    load[core_of[source - outside], 3] += 1
        return load, reached


@dataclass(frozen=True)
class Best:
    """The least that any partition needs that holds every limit: cores, the cores of each source, messages; most neurons on a core."""

    cores: int
    reach: np.ndarray
    messages: float
    arriving: int
    crowd: int


def best(case: Case) -> Best | None:
    """Try all partitions; None if none holds the limits."""
    held = [(p, *case.measured(p)) for p in partitions(len(case.entering))]
    held = [(p, load, reach) for p, load, reach in held if (load <= case.limits).all()]
    if not held:
        return None
    reaches = np.array([reach for _, _, reach in held])
    return Best(
        min(max(p) + 1 for p, _, _ in held),
        reaches.min(axis=0),
        float((reaches @ case.rates).min()),
        int(reaches.sum(axis=1).min()),
        max(int(load[:, 0].max()) for _, load, _ in held),
    )


def bits(*rows: str) -> np.ndarray:
    return np.array([[int(c) for c in row] for row in rows], np.int64)


def nothing(neurons: int) -> np.ndarray:
    return np.zeros((neurons, neurons), np.int64)


FREE = 10_000
EXACT = {
    # the neurons alone: 5 on cores of 2
    "neurons": (Case(bits("0", "0", "0", "0", "0"), nothing(5), (2, FREE, FREE, FREE, FREE), np.ones(6)), 3, 0.0),
    # two lists of two synapses fill a word each, and two neurons a core of two words exactly
    "words of the smallest fan-ins": (Case(bits("11", "11", "11", "11"), nothing(4), (9, 2, FREE, FREE, FREE), np.ones(6)), 2, 4.0),
    # lists of one synapse, which fill half of the word that they take: twelve words on cores of four
    "words of all lists": (Case(np.kron(np.eye(6, dtype=np.int64), [[1, 1]]), nothing(6), (9, 4, FREE, FREE, FREE), np.ones(18)), 3, 12.0),
    # the silent neurons leave room for the count, but four neurons of two synapses take four words
    "words of what a source reaches": (
        Case(bits("11", "11", "11", "11", "00", "00"), nothing(6), (6, 2, FREE, FREE, FREE), np.ones(8)),
        2,
        4.0,
    ),
    # a source for two neurons each on cores of two, and one neuron that has both
    "messages that arrive": (Case(bits("11", "10", "01"), nothing(3), (2, FREE, FREE, FREE, FREE), np.ones(5)), 2, 3.0),
    "input axons": (Case(np.kron(np.eye(4, dtype=np.int64), [[1, 1]]), nothing(4), (9, FREE, 2, FREE, FREE), np.ones(12)), 4, 8.0),
    "output axons": (Case(bits("0", "0", "0", "0"), np.eye(4, dtype=np.int64), (9, FREE, FREE, 1, FREE), np.ones(5)), 4, 4.0),
    # two synapses from one source to each neuron are one axon, one message, and two synapses of a list
    "parallel projections": (Case(bits("1", "1", "1"), nothing(3), (1, 1, 1, FREE, 1), np.ones(4), twice=True), 3, 3.0),
    "parallel projections in dense lists": (
        Case(bits("1", "1"), nothing(2), (2, 2, FREE, FREE, 2), np.ones(3), dense=True, twice=True),
        1,
        1.0,
    ),
    "rates": (
        Case(bits("11", "10", "01"), nothing(3), (1, FREE, FREE, FREE, FREE), np.array([0.5, 0.25, 0, 0, 0])),
        3,
        1.5,
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_bounds_are_the_optimum_where_everything_fits_exactly(name: str) -> None:
    case, cores, messages = EXACT[name]
    found = best(case)
    assert found is not None and (found.cores, found.messages) == (cores, messages)
    assert bounds.cores_bound(case.wiring, case.chip) == cores
    assert bounds.messages_bound(case.wiring, case.chip) == messages


@st.composite
def cases(draw: st.DrawFn) -> Case:
    neurons, inputs = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    flags = st.integers(0, 1)
    entering = np.array(draw(st.lists(flags, min_size=neurons * inputs, max_size=neurons * inputs)), np.int64).reshape(neurons, inputs)
    own = np.array(draw(st.lists(flags, min_size=neurons**2, max_size=neurons**2)), np.int64).reshape(neurons, neurons)
    most = st.integers(1, 8)
    limits = (draw(st.integers(1, neurons)), draw(most), draw(most), draw(most), draw(st.integers(1, 4)))
    rates = np.array(draw(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=inputs + neurons, max_size=inputs + neurons)))
    return Case(
        entering,
        own * draw(flags),
        limits,
        rates,
        draw(st.sampled_from([0, 8, 16])),
        draw(st.sampled_from([1, 2, 60])),
        *(draw(flags) == 1 for _ in range(2)),
    )


@settings(max_examples=examples(60), deadline=None)
@given(cases())
@example(EXACT["words of the smallest fan-ins"][0])
@example(EXACT["words of what a source reaches"][0])
@example(EXACT["messages that arrive"][0])
@example(EXACT["parallel projections"][0])
@example(EXACT["parallel projections in dense lists"][0])
@example(replace(EXACT["neurons"][0], entering=bits("1", "1", "1", "1", "1"), rates=np.zeros(6)))
def test_no_partition_at_all_beats_a_bound(case: Case) -> None:
    found = best(case)
    assume(found is not None)
    assert found is not None  # of those that fit at all
    wiring, chip = case.wiring, case.chip
    assert bounds.cores_bound(wiring, chip) <= found.cores
    assert estimate(case.network, chip, 1.0).cores <= found.cores
    assert bounds.core_capacity(wiring, chip) >= found.crowd
    assert (bounds.reach_bound(wiring, chip) <= found.reach).all()
    assert bounds.arriving_bound(wiring, chip, np.ones(len(case.rates))) <= found.arriving
    assert bounds.arriving_bound(wiring, chip, case.rates) <= found.messages + 1e-9
    assert bounds.messages_bound(wiring, chip) <= found.messages + 1e-9
    tight = least(wiring, chip)
    assert bounds.cores_bound(wiring, chip) <= tight.cores <= found.cores
    assert bounds.messages_bound(wiring, chip) <= tight.messages + 1e-9
    assert tight.messages <= found.messages + 1e-9
    assert least(replace(case, rates=np.ones(len(case.rates))).wiring, chip).messages <= found.arriving + 1e-9


@pytest.mark.parametrize(("prefix", "each", "weight"), [(1, 7, 4), (0, 60, 8), (10, 60, 8), (3, 7, 5), (1, 3, 2)])
def test_synapses_that_fill_a_core_to_the_last_bit_fit(prefix: int, each: int, weight: int) -> None:
    """A synapse may take a fraction of a bit, whose sums round: what fits exactly must not be one too many, nor one more fit."""
    chip = Case(bits("0"), nothing(1), (FREE, 1, FREE, FREE, FREE), np.ones(2), prefix, each).chip
    layout = chip.formats[0].model_copy(update={"index_bits": 0})
    for entries in range(1, 100):
        exact = chip.model_copy(update={"formats": (layout,), "word_bits": entries * (each * weight + prefix)})  # one word holds them all
        fan_in = np.ones(entries * each + 1, np.int64)
        assert bounds.capacity(fan_in, bounds.bits_of_synapse(weight, exact), exact) == entries * each


@settings(max_examples=examples(40), deadline=None)
@given(cases(), st.integers(0, 51))
@example(EXACT["parallel projections in dense lists"][0], 0)
@example(replace(EXACT["words of all lists"][0], dense=True), 7)
def test_loads_are_those_counted_list_by_list(case: Case, number: int) -> None:
    core_of = (found := list(partitions(len(case.entering))))[number % len(found)]
    assert (core_loads(case.wiring, np.array(core_of), case.chip) == case.measured(core_of)[0]).all()


def test_every_partition_is_tried_once() -> None:
    for neurons, bell in zip(range(1, 7), (1, 2, 5, 15, 52, 203), strict=True):
        found = list(partitions(neurons))
        assert len(set(found)) == len(found) == bell
