"""Placement, many chips, links: against brute force that walks every message hop by hop."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from meshes import kind, small_system, walk
from netgen import Labelled, float_network, samples, seeds
from spikeloom.compile import compile_network
from spikeloom.compile.deployed import DeployedNetwork, load
from spikeloom.compile.mapping import place as placing
from spikeloom.compile.mapping import system
from spikeloom.compile.mapping.anneal import Problem, anneal, cost
from spikeloom.compile.mapping.loads.load import Layer, Wiring
from spikeloom.errors import DoesNotFitError, FormatError, NetworkError, UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.report import core_map, traffic
from spikeloom.report.sizes import ChipInUse, CoreLoad, TrafficTable
from spikeloom.runtime import run
from spikeloom.runtime.counts import Counts, Tally, count
from spikeloom.runtime.energy import energy, latency
from spikeloom.runtime.step_times import core_parts


def random_traffic(seed: int, cores: int, density: float = 0.3) -> tuple[sp.csr_array[Any], np.ndarray]:
    rng = np.random.default_rng(seed)
    dense = rng.random((cores, cores)) * (rng.random((cores, cores)) < density)
    return sp.csr_array(dense), rng.random(cores) * (rng.random(cores) < 0.5)


def brute_routes(between: Any, entering: np.ndarray, places: np.ndarray, chip: Chip) -> tuple[list[float], dict[Any, float], np.ndarray]:
    """Hops by kind, messages by link, messages into each core: every message walked."""
    hops, links, ports = [0.0, 0.0, 0.0], defaultdict[Any, float](float), np.zeros(len(places))
    at = [tuple(p) for p in places.tolist()]
    sent = [(at[a], at[b], b, float(between[a, b])) for a, b in zip(*between.nonzero(), strict=True)]
    sent += [(tuple(chip.mesh.entry), at[b], b, float(entering[b])) for b in range(len(at)) if entering[b]]
    for start, end, core, messages in sent:
        ports[core] += messages
        for step in walk(start, end):
            hops[kind(step, chip)] += messages
            links[step] += messages
    return hops, links, ports


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.integers(1, 40), st.booleans())
def test_hops_and_links_equal_a_walk_of_every_message(seed: int, cores: int, single: bool) -> None:
    chip = small_system(cores=40, columns=5, rows=4).limited_to(1) if single else small_system()
    between, entering = random_traffic(seed, cores)
    slots, places = system.slots_in_use(chip, cores)
    places = places[np.random.default_rng(seed).permutation(len(slots))[:cores]]
    hops, links, ports = brute_routes(between, entering, places, chip)
    assert system.hops_of_all(between, entering, places, chip) == pytest.approx(hops)
    found = system.link_loads(between, entering, places, chip)
    assert found.ports == pytest.approx(ports)
    for loads, (dx, dy), (bx, by) in (
        (found.east, (1, 0), (0, 0)),
        (found.west, (-1, 0), (1, 0)),
        (found.south, (0, 1), (0, 0)),
        (found.north, (0, -1), (0, 1)),
    ):
        for x, y in np.ndindex(loads.shape):
            assert loads[x, y] == pytest.approx(links.pop(((x + bx, y + by), (x + bx + dx, y + by + dy)), 0.0))
    assert not links  # every link that was walked is known
    prices = system.hop_prices(chip)
    assert system.hop_energy(between, entering, places, chip) == pytest.approx(sum(h * p for h, p in zip(hops, prices, strict=True)))


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(2, 40))
def test_the_busiest_link_is_the_one_in_use_longest(seed: int, cores: int) -> None:
    chip, times = small_system(), (4.1, 6.5, 50.0, 2.1)
    between, entering = random_traffic(seed, cores)
    places = system.slots_in_use(chip, cores)[1][:cores]
    _, links, ports = brute_routes(between, entering, places, chip)
    named = {f"tile {a[0]},{a[1]} to {b[0]},{b[1]}": n * times[kind((a, b), chip)] for (a, b), n in links.items()}
    named |= {f"into core {core}": n * times[3] for core, n in enumerate(ports)}
    found = system.link_loads(between, entering, places, chip).busiest(chip, times)
    assert found.time == pytest.approx(max(named.values()))
    assert named[found.name] == pytest.approx(found.time)


def problem_of(seed: int, cores: int, chip: Chip) -> Problem:
    between, entering = random_traffic(seed, cores)
    places = system.slots_in_use(chip, cores)[1]
    return placing.problem(placing.symmetric(between), entering, places, chip)


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(1, 40))
def test_the_annealers_cost_is_the_energy_of_the_hops(seed: int, cores: int) -> None:
    chip = small_system()
    between, entering = random_traffic(seed, cores)
    problem = problem_of(seed, cores, chip)
    slot_of = np.random.default_rng(seed).permutation(len(problem.at))[:cores]
    assert cost(problem, slot_of) == pytest.approx(system.hop_energy(between, entering, problem.place[slot_of], chip))


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(1, 40), st.integers(0, 5000), st.sampled_from([0.0, 0.1, 3.0]))
def test_annealing_never_costs_more_than_its_start_and_keeps_slots_distinct(seed: int, cores: int, moves: int, heat: float) -> None:
    problem = problem_of(seed, cores, small_system())
    start = np.random.default_rng(seed).permutation(len(problem.at))[:cores]
    found = anneal(problem, start, moves=moves, heat=heat, seed=seed)
    assert cost(problem, found) <= cost(problem, start)
    assert len(set(found.tolist())) == cores and found.min() >= 0 and found.max() < len(problem.at)
    assert (found == anneal(problem, start, moves=moves, heat=heat, seed=seed)).all()


def test_annealing_finds_the_best_of_all_placements() -> None:
    """Six cores on six slots: all 720 orders are tried."""
    from itertools import permutations

    chip = small_system(cores=6, columns=3, rows=2, per_tile=1).limited_to(1)
    for seed in range(5):
        problem = problem_of(seed, 6, chip)
        best = min(cost(problem, np.asarray(order)) for order in permutations(range(6)))
        found = [cost(problem, anneal(problem, np.arange(6), moves=20_000, heat=1.0, seed=draw)) for draw in range(5)]
        assert min(found) == pytest.approx(best)


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(1, 45), st.integers(0, 3))
def test_a_placement_uses_each_slot_once_and_the_fewest_chips(seed: int, cores: int, draw: int) -> None:
    chip = small_system()
    between, entering = random_traffic(seed, cores)
    found = placing.place(between, entering, chip, seed=draw, effort="fast")
    assert len(set(found.slot_of.tolist())) == cores
    assert sorted(set(found.chip_of.tolist())) == list(range(chip.chips_for(cores)))
    assert (found.chip_of == found.slot_of // 6).all()
    local = found.slot_of % 6
    assert (found.tile_of == system.slot_positions(chip)[local]).all()
    assert local.max() < chip.cores_offered(chip.chips_for(cores))
    places = system.joint_places(chip, found.tile_of, found.chip_of)
    row_by_row = system.slots_in_use(chip, cores)[1][:cores]
    dearest = system.hop_energy(between, entering, row_by_row, chip)
    assert system.hop_energy(between, entering, places, chip) <= dearest * (1 + 1e-12)
    again = placing.place(between, entering, chip, seed=draw, effort="fast")
    assert (again.slot_of == found.slot_of).all()


def test_two_groups_that_talk_among_themselves_share_no_chip() -> None:
    chip = small_system(cores=6, offered=6)
    rng = np.random.default_rng(0)
    member = rng.permutation(np.repeat([0, 1], 6))
    between = sp.csr_array((member[:, None] == member[None]) * 10.0 + 0.01)
    found = placing.place(between, np.zeros(12), chip)
    assert len({(a, b) for a, b in zip(member.tolist(), found.chip_of.tolist(), strict=True)}) == 2


def test_placements_of_a_torn_graph_and_of_silence() -> None:
    chip = small_system()
    for cores in (1, 2, 5, 44):
        silent = placing.place(sp.csr_array((cores, cores)), np.zeros(cores), chip)
        assert len(set(silent.slot_of.tolist())) == cores
    parts = sp.csr_array(sp.block_diag([np.ones((3, 3))] * 14))
    assert len(set(placing.place(parts, np.zeros(42), chip).slot_of.tolist())) == 42


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (2, 2), (8, 4), (8, 8), (5, 7)])
def test_the_hilbert_curve_visits_every_place_once_and_neighbours_in_squares(columns: int, rows: int) -> None:
    places = np.stack(np.meshgrid(np.arange(columns), np.arange(rows), indexing="ij"), axis=-1).reshape(-1, 2)
    along = placing.hilbert(places)
    assert len(set(along.tolist())) == len(places)
    if columns == rows and columns & (columns - 1) == 0:
        ordered = places[np.argsort(along)]
        assert sorted(along.tolist()) == list(range(len(places)))
        assert (np.abs(np.diff(ordered, axis=0)).sum(axis=1) == 1).all()


@settings(max_examples=examples(30), deadline=None)
@given(seeds, st.integers(5, 80))
def test_eigenvectors_solve_the_laplacian(seed: int, cores: int) -> None:
    """Against the dense solution: the same smallest eigenvalues, so that as little traffic is cut."""
    between, _ = random_traffic(seed, cores, 0.5)
    flow = placing.symmetric(between)
    axes = placing.eigenvectors(flow)
    assert axes is not None and axes.shape == (cores, 2) and np.isfinite(axes).all()
    dense = flow.toarray()
    degree = np.where(dense.sum(axis=1) > 0, dense.sum(axis=1), 1.0)
    values = np.linalg.eigvalsh(np.eye(cores) - dense / np.sqrt(degree[:, None] * degree[None]))
    for k in range(2):
        x = axes[:, k] * np.sqrt(degree)
        laplacian = x - dense @ (x / np.sqrt(degree)) / np.sqrt(degree)
        assert float(x @ laplacian / (x @ x)) == pytest.approx(values[k + 1], abs=1e-3)


@settings(max_examples=examples(30), deadline=None)
@given(seeds, st.integers(1, 12))
def test_traffic_is_sparse_and_equals_a_loop_over_synapses(seed: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    neurons, outside = 30, 7
    dense = rng.random((neurons, outside + neurons)) < 0.1
    rows, columns = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(dense.sum(axis=1))])
    rates = rng.random(outside + neurons) * (rng.random(outside + neurons) < 0.8)
    layers = (Layer("a", 0, neurons, (neurons,)),)
    wiring = Wiring(indptr, columns.astype(np.int32), outside, neurons, rates, 8, layers, np.arange(neurons, dtype=np.int32))
    core_of = np.sort(np.concatenate([np.arange(cores), rng.integers(0, cores, neurons - cores)]))
    between, entering = np.zeros((cores, cores)), np.zeros(cores)
    for source, core in {(int(c), int(core_of[r])) for r, c in zip(rows, columns, strict=True)}:
        if source < outside:
            entering[core] += rates[source]
        else:
            between[core_of[source - outside], core] += rates[source]
    found, entered = placing.traffic(wiring, core_of)
    assert found.toarray() == pytest.approx(between)
    assert entered == pytest.approx(entering)
    assert found.nnz == np.count_nonzero(between)


# --- the whole way on several chips ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deployed() -> DeployedNetwork:
    return compile_network(float_network(6, sizes=(40, 60, 30, 10)), chip=small_system(), encoding="rate")


def counted(deployed: DeployedNetwork, seed: int = 3) -> Counts:
    rng = np.random.default_rng(seed)
    tally = Tally(deployed)
    tally.samples = int(rng.integers(1, 9))
    for spikes in (tally.spikes, tally.active):
        for values in spikes.values():
            values[:] = rng.integers(0, 20, values.shape) * (rng.random(values.shape) < 0.5)
    return count(deployed, tally)


def test_a_network_spills_onto_the_next_chips_and_its_file_says_so(deployed: DeployedNetwork, tmp_path: Any) -> None:
    mapping = deployed.mapping
    assert mapping.chips == deployed.chip.chips_for(mapping.cores) > 2
    again = load(deployed.save(tmp_path / "model.loom"))
    assert (again.mapping.chip_of == mapping.chip_of).all()
    assert (again.places == deployed.places).all()
    graph = deployed.core_graph()
    assert {data["chip"] for _, data in graph.nodes(data=True)} == set(range(mapping.chips))
    wrong = DeployedNetwork(deployed.network, deployed.chip.limited_to(2), mapping, deployed.target)
    with pytest.raises(FormatError, match="does not belong"):
        load(wrong.save(tmp_path / "wrong.loom"))


@settings(max_examples=examples(15), deadline=None)
@given(seeds, st.integers(10, 40), st.integers(5, 60))
def test_counts_and_time_on_several_chips_equal_brute_force(seed: int, first: int, second: int) -> None:
    network = float_network(seed, sizes=(30, first, second, 10), density=0.6)
    try:
        deployed = compile_network(network, chip=small_system(per_tile=2 + seed % 2), encoding="rate", effort="fast")
    except NetworkError:
        return  # a random network may have a dead layer
    counts, chip, steps = counted(deployed, seed), deployed.chip, deployed.network.timesteps
    hops, links, ports = brute_routes(counts.between, counts.entering, deployed.places, chip)
    assert counts.hops == pytest.approx(hops)
    assert (hops[2] > 0) == (deployed.mapping.chips > 1)
    assert sum(counts.hops_of.values()) == pytest.approx(sum(hops))
    crossing = 50.0 if deployed.mapping.chips > 1 else 0.0
    times = (chip.time.hop_horizontal.value, chip.time.hop_vertical.value, crossing)
    busiest = max([n * times[kind(step, chip)] for step, n in links.items()] + [float(p) * chip.time.message_out.value for p in ports])
    senders, receivers, _ = system.entries(counts.between)
    at = [tuple(p) for p in deployed.places.tolist()]
    routes = [(at[a], at[b]) for a, b in zip(senders, receivers, strict=True)]
    routes += [(tuple(chip.mesh.entry), at[int(core)]) for core in np.flatnonzero(counts.entering)]
    longest = max(sum(times[kind(step, chip)] for step in walk(a, b)) for a, b in routes)
    core = max(sum(float(part.times[c]) for part in core_parts(deployed, counts, chip)) for c in range(deployed.mapping.cores))
    tiles = [
        len({tuple(t) for t in deployed.mapping.tile_of[deployed.mapping.chip_of == k].tolist()}) for k in range(deployed.mapping.chips)
    ]
    barrier = chip.time.barrier(max(tiles), chip.tiles).value
    far = system.chip_positions(chip)[: deployed.mapping.chips].sum(axis=1).max()
    expected = barrier + 2 * far * crossing + core + busiest / steps + longest
    found = latency(deployed, counts, chip)
    assert found.seconds_per_step == pytest.approx(expected * 1e-9)


def test_energy_prices_hops_between_chips_apart_and_every_chip_in_use(deployed: DeployedNetwork) -> None:
    counts, chip = counted(deployed), deployed.chip
    bill = {part.name: part for part in energy(deployed, counts, chip, 1e-6).components}
    assert bill["hops, chip to chip"].joules_per_sample == pytest.approx(counts.hops[2] * 20e-12)
    static = next(part for name, part in bill.items() if name.startswith("static power"))
    assert static.count_per_sample == deployed.mapping.chips
    assert static.joules_per_sample == pytest.approx(deployed.mapping.chips * 0.104 * deployed.network.timesteps * 1e-6)
    alone = chip.model_copy(update={"system": None, "name": "alone"})
    with pytest.raises(UsageError, match=r"alone describes no system.*--energy-model"):
        energy(deployed, counts, alone, 1e-6)


def test_results_and_report_of_several_chips(deployed: DeployedNetwork, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Labelled(samples(deployed.network, 1, 5), np.zeros(5, np.int64))
    whole = run(deployed, data)
    assert whole.traffic.unit == "core"
    table = np.asarray(whole.traffic.messages_per_sample)
    tile = [f"{c}:{x},{y}" for c, (x, y) in zip(deployed.mapping.chip_of.tolist(), deployed.mapping.tile_of.tolist(), strict=True)]
    for most, unit, names in ((20, "tile", tile), (4, "chip", [str(c) for c in deployed.mapping.chip_of.tolist()])):
        monkeypatch.setattr("spikeloom.runtime.counts.MOST_CORES", most)
        grouped = run(deployed, data).traffic
        if unit == "tile" and len(set(names)) > most:
            continue
        assert grouped.unit == unit
        summed = np.zeros((len(grouped.ends),) * 2)
        index = [grouped.ends.index(name) for name in names]
        for a, b in np.argwhere(table > 0):
            summed[index[a], index[b]] += table[a, b]
        assert np.asarray(grouped.messages_per_sample) == pytest.approx(summed)
        assert sum(grouped.input_messages_per_sample or []) == pytest.approx(sum(whole.traffic.input_messages_per_sample or []))
    page = whole.write_report(tmp_path / "report.html").read_text()
    assert f"{deployed.mapping.chips} chips" in page


def on_tile(core: int, chip: int, tile: tuple[int, int]) -> CoreLoad:
    empty = {"neurons": 0, "synapse_words": 0, "input_axons": 0, "output_axons": 0}
    return CoreLoad(core=core, chip=chip, tile=tile, utilisation={}, populations={}, **empty)


@pytest.mark.parametrize(("used", "boxes"), [(1, 8), (3, 24), (12, 96), (13, 13), (40, 40)])
def test_the_core_map_draws_every_core_of_few_chips_and_every_chip_of_many(used: int, boxes: int) -> None:
    places = [(k % 8, k // 8) for k in range(used)]
    cores = [
        on_tile(8 * k + c, k, (c // 2 % 2, c // 4)).model_copy(update={"utilisation": {"neurons": (c + 1) / 8}})
        for k in range(used)
        for c in range(8)
    ]
    drawn = str(core_map.chart(cores, ChipInUse(name="x", mesh=(2, 2), cores_per_tile=2, cores=8, places=places, limits={})))
    found = re.findall(r'<rect x="([^"]+)" y="([^"]+)" width="[^"]+" height="[^"]+"(?: rx="[^"]+")? class="f\d"><title>core', drawn)
    assert len(set(found)) == len(found) == boxes
    if used > 12:  # the fullest core of each stands for its chip
        assert len(re.findall(r"<title>core \d+, (?:chip \d+, )?tile [^<]*neurons 100 %", drawn)) == used


def test_traffic_of_many_chips_is_summed_by_tile_then_by_chip() -> None:
    rng = np.random.default_rng(0)
    for cores, unit, rows in ((80, "tile", 40), (400, "chip", 50)):
        listed = [on_tile(c, c // 8, (c // 2 % 2, c // 4 % 2)) for c in range(cores)]
        table = rng.random((cores, cores))
        found = traffic.matrix(TrafficTable(cores=list(range(cores)), messages_per_sample=table.tolist()), listed)
        assert found is not None and (found.unit, len(found.receivers)) == (unit, rows)
        size = cores // rows
        assert found.messages[1:] == pytest.approx(table.reshape(rows, size, rows, size).sum(axis=(1, 3)))
    named = traffic.matrix(TrafficTable(unit="chip", names=["0", "1"], messages_per_sample=[[1.0, 2.0], [3.0, 4.0]]), [])
    assert named is not None and named.unit == "chip" and named.messages[1:].tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_the_number_of_chips_can_be_limited_and_is_named_when_too_small(deployed: DeployedNetwork) -> None:
    network = float_network(6, sizes=(40, 60, 30, 10))
    need = deployed.mapping.cores
    with pytest.raises(DoesNotFitError, match=rf"needs .*cores; 2 loihi chips have {2 * 5}"):
        compile_network(network, chip=small_system(), encoding="rate", max_chips=2)
    least = deployed.chip.chips_for(need)
    assert compile_network(network, chip=small_system(), encoding="rate", max_chips=least).mapping.chips == least
    with pytest.raises(UsageError, match="10 chips of loihi were asked for; Pohoiki Springs has 9"):
        compile_network(network, chip=small_system(), encoding="rate", max_chips=10)
    with pytest.raises(UsageError, match="no effort called 'hard'"):
        compile_network(network, chip=small_system(), encoding="rate", effort="hard")  # pyright: ignore[reportArgumentType]


def test_a_chip_alone_offers_all_its_cores_and_a_system_what_it_leaves() -> None:
    chip = chips.load("loihi2")
    assert (chip.chips, chip.cores_available) == (1152, 140_544)
    assert [chip.chips_for(n) for n in (1, 128, 129, 244, 245, 140_544)] == [1, 1, 2, 2, 3, 1152]
    assert chip.limited_to(1).cores_available == 128
    places = system.chip_positions(chip)
    assert len({tuple(p) for p in places.tolist()}) == 1152
    for n in (4, 9, 100):  # the first n chips fill a square
        assert places[:n].max() == int(np.sqrt(n)) - 1


def test_a_system_that_its_grid_cannot_hold_is_refused() -> None:
    from importlib import resources

    text = resources.files("spikeloom.hwmodels.chips").joinpath("loihi.toml").read_text()
    with pytest.raises(FormatError, match="768 chips do not fit a grid of 3 x 24"):
        chips.parse(text.replace("columns = 32", "columns = 3").encode(), "mine.toml")
    with pytest.raises(FormatError, match="cores_per_chip"):
        chips.parse(text.replace("cores_per_chip = { value = 128", "cores_per_chip = { value = 129").encode(), "mine.toml")


def test_the_command_line_limits_chips_and_takes_an_effort(spikeloom: Any, digits_run: Any, tmp_path: Any) -> None:
    out = tmp_path / "model.loom"
    done = spikeloom("compile", digits_run, "--chips", 1, "--effort", "fast", "--out", out, "--json")
    assert done.code == 0, done.err
    assert load(out).chip.chips == 1
    refused = spikeloom("compile", digits_run, "--chips", 0, "--out", out)
    assert refused.code == 2 and "Ask for 1 to 1,152." in refused.err
    assert spikeloom("compile", digits_run, "--effort", "hard", "--out", out).code == 2
    shown = spikeloom("hw", "show", "loihi2")
    assert "Hala Point" in shown.out and "140,544" in shown.out
