"""What a run adds to results.json for its report: weights before and after, every chip model, rates by step; and how they are drawn."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from invented import made as read
from invented import results
from netgen import Labelled, conv_network, float_network, integer_network, samples, seeds, sparse_integers
from spikeloom.compile import compile_network
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import NetworkError
from spikeloom.hwmodels import chip as chips
from spikeloom.network import reference
from spikeloom.network.model import IntegerLIF, Network
from spikeloom.report import core_map, histogram, html, models, raster
from spikeloom.report.prices import Part
from spikeloom.report.sizes import ChipInUse
from spikeloom.runtime import Results, pricing, run
from spikeloom.runtime import weights as weight_tables
from spikeloom.runtime.pricing import ENERGY_PARTS, LATENCY_PARTS, ONLY_SOME
from spikeloom.runtime.rates import StepRates


def ran(deployed: DeployedNetwork, *, check: bool = True, energy_model: str | None = None, count: int = 6) -> Results:
    values = samples(deployed.network, 3, count)
    return run(deployed, Labelled(values=values, labels=np.zeros(count, np.int64)), check=check, energy_model=energy_model)


@pytest.fixture(scope="module")
def deployed() -> DeployedNetwork:
    return compile_network(float_network(3, sizes=(30, 25, 8)))


@settings(max_examples=examples(20), deadline=None)
@given(seeds, st.sampled_from([2, 4, 8]))
def test_histograms_hold_every_weight_in_its_bin(seed: int, bits: int) -> None:
    network = float_network(seed, sizes=(20, 15, 12, 6))
    try:
        made = compile_network(network, weight_bits=bits)
    except NetworkError:
        return  # a random network may have a dead layer
    for row, projection in zip(weight_tables.tables(made, None).rows, made.network.projections, strict=True):
        step = 2.0**projection.exponent / projection.scale
        assert row.step == step and row.weights_after == projection.synapses.weights == sum(row.after)
        edges = row.first + row.width * np.arange(len(row.after) + 1)
        expected = np.histogram(projection.synapses.data * step, edges)[0]
        assert row.after == expected.tolist()
        ratio = row.width / step if row.width >= step else step / row.width
        assert round(ratio) % 2 == 1 and ratio == pytest.approx(round(ratio))


def test_the_float_weights_come_from_the_run_folder(digits_run: Path, tmp_path: Path) -> None:
    from spikeloom.train import fit

    fit("digits", method="grad-r", sparsity=0.8, epochs=4, hidden=(32,), out=tmp_path / "float")
    made = compile_network(tmp_path / "float")
    found = weight_tables.tables(made, tmp_path / "float")
    assert found.before == "model.onnx" and found.why_not is None
    trained = {p.name: p.synapses for p in weight_tables.read_source(tmp_path / "float").network.projections}
    for row in found.rows:
        data = trained[row.projection].data
        assert row.weights_before == data.size == sum(row.before or []) >= row.weights_after
        assert row.largest_before is not None and row.largest_before == pytest.approx(float(np.abs(data).max()))
        assert abs(row.largest_after - min(row.largest_before, row.largest_after)) <= row.step
    other = weight_tables.tables(compile_network(digits_run), tmp_path / "float")
    assert other.before is None and "another training" in (other.why_not or "")


def test_of_a_network_trained_in_integers_the_copies_behind_them_are_the_weights_before(digits_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(digits_run, folder)
    made = compile_network(folder)
    found = weight_tables.tables(made, folder)
    assert found.before is not None and found.before.startswith("model.safetensors")
    for row in found.rows:
        assert row.before is not None and row.weights_before is not None and row.weights_before >= row.weights_after
        assert abs(np.argmax(row.before) - np.argmax(row.after)) <= 3
    (folder / "model.safetensors").write_bytes(b"broken")
    broken = weight_tables.tables(made, folder)
    assert broken.before is None and "could not be read" in (broken.why_not or "") and broken.rows[0].before is None
    shutil.rmtree(folder)
    gone = weight_tables.tables(made, folder)
    assert gone.before is None and "not beside" in (gone.why_not or "") and [r.after for r in gone.rows] == [r.after for r in broken.rows]
    document = json.loads(json.dumps({**results(), "weights": gone.model_dump()}))
    page = html.render(read(document))
    assert "not beside the deployed one" in page and 'class="after"' in page and 'class="before"' not in page


def test_weights_stored_in_parts_are_one_histogram() -> None:
    network = float_network(8, sizes=(20, 15, 6))
    parts = compile_network(network, granularity="channel")
    found = weight_tables.tables(parts, None).rows
    assert len(parts.network.projections) > len(found) == len(network.projections)
    assert sum(r.weights_after for r in found) == sum(p.synapses.weights for p in parts.network.projections)


def test_pools_and_shortcuts_have_no_histogram() -> None:
    made = compile_network(conv_network(3))
    names = {r.layer for r in weight_tables.tables(made, None).rows}
    assert "conv1" in names and "pool" not in names and "both" not in names


def test_every_model_of_the_target_prices_the_counts_and_none_of_another(deployed: DeployedNetwork) -> None:
    found = ran(deployed)
    assert found.models is not None
    rows = {row.model: row for row in found.models.rows}
    assert next(iter(rows)) == "loihi2" == found.models.mapped_for and {"loihi", "loihi-silicon"} <= set(rows)
    assert {one.model for one in found.models.left_out} >= {"truenorth", "truenorth-separable"}
    assert set(rows) | {one.model for one in found.models.left_out} == set(chips.names())
    for name, row in rows.items():
        alone = ran(deployed, energy_model=name)
        assert row.joules_per_sample == alone.energy.joules_per_sample
        assert row.seconds_per_sample == alone.latency.seconds_per_sample
        assert sum(p.value for p in row.energy) == pytest.approx(row.joules_per_sample)
        assert sum(p.value for p in row.latency) == pytest.approx(row.seconds_per_sample)
        assert [p.name for p in row.energy] == [name for name in ENERGY_PARTS if name not in ONLY_SOME] and [
            p.name for p in row.latency
        ] == list(LATENCY_PARTS)
        statuses = {c.status for c in alone.energy.components if c.joules_per_sample > 0}
        assert {p.status for p in row.energy if p.value} <= statuses


def test_crossbars_are_priced_by_crossbars_alone_and_their_two_models_are_never_added() -> None:
    network = float_network(5, sizes=(18, 14, 8))
    calibration = Calibration(samples(network, 5, 16), np.zeros(16, np.int64))
    found = ran(compile_network(network, target="truenorth", mode="ternary", calibration=calibration))
    assert found.models is not None
    assert [row.model for row in found.models.rows] == ["truenorth", "truenorth-separable"]
    both = [row.joules_per_sample for row in found.models.rows]
    page = html.render(found)
    assert "already contain what truenorth-separable lists" in page
    assert list(models.quantities(found.models)[0].totals) == both


def test_a_part_is_as_sure_as_the_least_sure_number_in_it() -> None:
    rows = [
        ("spikes out", 2.0, "published"),
        ("messages", 3.0, "derived"),
        ("hops, vertical", 4.0, "published"),
        ("hops, horizontal", 0.0, "assumed"),
    ]
    found = {part.name: part for part in pricing._parts(rows, ENERGY_PARTS, 2)}
    assert found["spikes and messages"] == Part(name="spikes and messages", value=10.0, status="derived")
    assert found["hops"].status == "published"  # a number that is zero adds no doubt
    assert found["static power"] == Part(name="static power", value=0, status="")


def test_a_model_that_cannot_price_several_chips_is_left_out_with_its_reason() -> None:
    chip = chips.load("loihi2")
    few = chip.limits.model_copy(
        update={
            "neurons": chip.limits.neurons.model_copy(update={"value": 2.0}),
            "cores": chip.limits.cores.model_copy(update={"value": 4.0}),
        }
    )
    system = chip.system
    assert system is not None
    system = system.model_copy(update={"cores_per_chip": system.cores_per_chip.model_copy(update={"value": 4.0})})
    small = chip.model_copy(update={"limits": few, "system": system, "name": "small"})
    made = compile_network(float_network(3, sizes=(12, 20, 6)), chip=small)
    assert made.mapping.chips > 1
    alone = small.model_copy(update={"system": None, "name": "alone"})
    from spikeloom.runtime.counts import Tally, count

    tally = Tally(made)
    found = pricing.side_by_side(made, count(made, tally), alone)
    assert found.rows[0].model == "small"
    (why,) = (one.why for one in found.left_out if one.model == "alone")
    assert "no system of several" in why


def test_rates_by_step_are_means_over_the_samples_whose_rasters_there_are(deployed: DeployedNetwork) -> None:
    values = samples(deployed.network, 3, 6)
    spikes = reference.simulate(deployed.network, reference.encode(deployed.network, values))
    for check in (True, False):
        found = ran(deployed, check=check)
        assert found.rates is not None and found.rates.samples == 6
        for population in found.rates.populations:
            assert population.rate_per_step == pytest.approx(spikes[population.name].mean(axis=(0, 2)), abs=1e-9)
        layers = {row.name: row.spike_rate for row in found.layers}
        for population in found.rates.populations:
            assert np.mean(population.rate_per_step) == pytest.approx(layers[population.name], abs=1e-8)


def test_rates_are_of_the_neurons_that_are_left() -> None:
    network = integer_network(2, encoding="graded")
    last = network.populations[-1]
    alive = np.arange(last.size) > 0
    network = network.with_population(replace(last, alive=alive))
    tally = StepRates(network)
    tally.add({p.name: np.broadcast_to(p.living, (2, network.timesteps, p.size)) for p in network.spiking})
    assert all(rate == 1.0 for row in tally.document(network).populations for rate in row.rate_per_step)


def test_drawn_bars_are_as_high_as_the_rates() -> None:
    found = raster.panels(read(results()).raster, read(results()).rates)[0]
    (path,) = re.findall(r'<path d="([^"]+)" class="rate"', str(found.chart))
    heights = [float(h) for h in re.findall(r"v([\d.]+)h", path)]
    assert [h / max(heights) for h in heights] == pytest.approx([0.5, 1.0, 0.25, 0.5, 0.5, 0.5], abs=0.01)  # zeros are not drawn
    assert "highest 20.0\u00a0%" in found.rate


def test_of_a_wide_layer_neurons_from_its_whole_width_are_recorded() -> None:
    rng = np.random.default_rng(0)
    wide = replace(integer_network(2, encoding="graded"), timesteps=3)
    first, hidden, last = wide.populations
    many = 4001
    populations = (first, replace(hidden, shape=(many,), neuron=IntegerLIF(4095, 0, 1)), last)
    projections = (
        replace(wide.projections[0], synapses=sparse_integers(rng, (many, first.size), 0.9)),
        replace(wide.projections[1], synapses=sparse_integers(rng, (last.size, many), 0.9), exponent=-6),
    )
    made = compile_network(Network(populations, projections, 3, wide.input), encoding="graded")
    values = np.full((1, first.size), 200, np.uint8)
    found = run(made, Labelled(values=values, labels=np.zeros(1, np.int64)))
    spikes = reference.simulate(made.network, reference.encode(made.network, values))[hidden.name][0]
    assert found.raster is not None
    layer = found.raster.populations[0]
    size = made.network.populations[1].size
    assert size > 2000 and layer.every == -(-size // 2000) and layer.neurons == size
    seen = set(zip(layer.times, layer.ids, strict=True))
    assert seen == {(int(t), int(n)) for t, n in np.argwhere(spikes) if n % layer.every == 0}
    note = raster.panels(found.raster)[0].note
    assert note.startswith(f"{-(-size // layer.every):,} of {size:,} neurons, every")


def test_drawn_weights_are_as_high_as_their_counts() -> None:
    drawn = str(histogram.panels(read(results()).weights)[0].chart)
    for half, peak in (("before", 100), ("after", 100)):
        (path,) = re.findall(rf'<path d="([^"]+)" class="{half}"', drawn)
        heights = [float(h) for h in re.findall(r"v([\d.]+)h", path)]
        counts = [c for c in results()["weights"]["rows"][0][half] if c]
        assert [peak * h / max(heights) for h in heights] == pytest.approx(counts, abs=1.5)


def test_a_map_for_every_limit_shows_each_used_core() -> None:
    whole = read(results(12))
    maps = core_map.by_limit(whole.cores, whole.chip)
    assert [m.name for m in maps] == ["neurons", "synapse words", "input axons", "output axons"]
    for one in maps:
        used = "".join(re.findall(r'<path d="([^"]+)" class="(?:f\d|over)"', str(one.chart)))
        assert used.count("M") == 12
    assert maps[0].chart != maps[1].chart


def test_of_a_large_mesh_the_corner_in_use_is_drawn() -> None:
    chip = ChipInUse(name="big", mesh=(64, 64), cores_per_tile=1, cores=4096, limits={})
    cores = [core.model_copy(update={"tile": (n % 3, n // 3), "core": n}) for n, core in enumerate(read(results(7)).cores)]
    drawn, said = core_map.in_use(cores, chip)
    assert drawn.mesh == (4, 4) and said == "Drawn: 4 by 4 of the 64 by 64 tiles; the others are unused."
    assert len(str(core_map.chart(cores, drawn))) < len(str(core_map.chart(cores, chip))) * 2
    small = chip.model_copy(update={"mesh": (8, 4)})
    assert core_map.in_use(cores, small) == (small, "")
    far = [cores[0].model_copy(update={"tile": (60, 60)})]
    assert core_map.in_use(far, chip) == (chip, "")
