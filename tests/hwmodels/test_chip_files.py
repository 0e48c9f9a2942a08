"""A user's own chip file: faults by line and key; the models of operations, and the baselines that stand beside a run."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import Labelled, conv_network, float_network, integer_network, samples, seeds
from spikeloom.compile import compile_network
from spikeloom.compile.mapping.loads.load import core_loads
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import FormatError, NetworkError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels import operations_model
from spikeloom.hwmodels.chip_file import line_of, lines
from spikeloom.network import reference
from spikeloom.network.model import Network
from spikeloom.report import html
from spikeloom.runtime import run

LOIHI = resources.files("spikeloom.hwmodels.chips").joinpath("loihi.toml").read_text()


def changed(tmp_path: Path, old: str, new: str) -> tuple[str, int]:
    """Write Loihi's file with one change; return its path and the line of the change."""
    assert LOIHI.count(old) >= 1
    text = LOIHI.replace(old, new, 1)
    path = tmp_path / "my.toml"
    path.write_text(text)
    return str(path), LOIHI[: LOIHI.index(old)].count("\n") + 1


@pytest.mark.parametrize("name", chips.names())
def test_weights_take_a_width_that_the_chip_has(name: str) -> None:
    """Loihi has no 7 bits; the widths are those that its files state, and hold every width that is asked for."""
    chip = chips.load(name)
    stored = [chip.stored_bits(bits) for bits in range(2, chip.limit("weight_bits") + 1)]
    assert all(width >= bits for bits, width in enumerate(stored, 2)) and chip.stored_bits(8) == 8
    assert stored == ([2, 3, 4, 5, 6, 8, 8, 9] if name.startswith("loihi") and name != "loihi2" else list(range(2, len(stored) + 2)))


@pytest.mark.parametrize("name", ["loihi", "loihi-silicon", "loihi2"])
def test_seven_bits_are_counted_as_they_are_stored(name: str) -> None:
    network = float_network(3, sizes=(60, 50, 10))
    words = {bits: compile_network(network, chip=name, weight_bits=bits, effort="fast", encoding="rate") for bits in (6, 7, 8)}
    held = {bits: sum(deployed.mapping.load[:, 1]) for bits, deployed in words.items()}
    rooms = {bits: deployed.network.projections[0].weight_bits for bits, deployed in words.items()}
    assert rooms == {6: 6, 7: 7, 8: 8}
    said = [f"weights of 7 bits take 8 bits of memory: {name} has no 7"] if name != "loihi2" else []
    assert list(words[7].mapping.changes) == said and not words[8].mapping.changes
    seven = replace(words[7].wiring, weight_bits=8 if said else 7)
    assert held[7] == sum(core_loads(seven, words[7].mapping.core_of, words[7].chip)[:, 1])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('unit = "cores", source', 'unit = "cores", status = "guess", sauce', None),
        ("columns = 8", "columns = 0", "mesh.columns is 0"),
        ("columns = 8", "colums = 8", "there is no key mesh.colums. Did you mean columns?"),
        ("[mesh]", "[mash]", "there is no key mash. Did you mean mesh?"),
        ("index_bits = ", "index_bit = ", "there is no key formats.0.index_bit. Did you mean index_bits?"),
        ("word_bits = 64", 'word_bits = "many"', "word_bits is 'many'"),
        ("value = 1024,", "value = 0,", "limits.neurons: its value is 0; it must be a whole number of at least 1."),
        ("value = 9,", "value = 8.5,", "limits.weight_bits: its value is 8.5; it must be a whole number of at least 2."),
        ('value = 23.6, unit = "pJ"', 'value = 0.0236, unit = "nJ"', "energy.synaptic_op: its unit is 'nJ'; write the value in pJ."),
        ('unit = "mW per chip"', 'unit = "W per chip"', "energy.static_power: its unit is 'W per chip'; write the value in mW."),
        ('value = 22, unit = "ns"', 'value = 22, unit = "us"', "system.hop_time: its unit is 'us'; write the value in ns."),
        ("value = 465,", "value = 65,", "time.barrier_max: 65 ns for all tiles is less than barrier_min, 113 ns for one."),
        ("entry = [0, 0]", "entry = [8, 0]", "mesh.entry: not a tile of 8 columns and 4 rows, counted from 0."),
    ],
)
def test_faults_name_file_line_and_key(tmp_path: Path, old: str, new: str, said: str | None) -> None:
    path, line = changed(tmp_path, old, new)
    with pytest.raises(FormatError) as caught:
        chips.load(path)
    assert path in str(caught.value)
    assert f"line {line}" in str(caught.value)
    if said is not None:
        assert said in str(caught.value)


def test_what_is_missing_names_its_table(tmp_path: Path) -> None:
    whole = next(line for line in LOIHI.split("\n") if line.startswith("neurons = "))
    path, _ = changed(tmp_path, whole + "\n", "")
    table = LOIHI[: LOIHI.index("[limits]")].count("\n") + 1
    with pytest.raises(FormatError, match=rf"line {table}: limits.neurons is missing"):
        chips.load(path)


def test_tables_that_contradict_each_other_name_the_later_one(tmp_path: Path) -> None:
    def refused(old: str, new: str, table: str, said: str) -> None:
        path, _ = changed(tmp_path, old, new)
        line = LOIHI[: LOIHI.index(table)].count("\n") + 1
        with pytest.raises(FormatError, match=rf"my\.toml line {line}: {said}"):
            chips.load(path)

    refused("cores_per_tile = 4", "cores_per_tile = 2", "[mesh]", "mesh: 8 x 4 tiles of 2 cores make 64; the chip has 128.")
    refused("value = 128, unit", "value = 100, unit", "[system]", "system: cores_per_chip is 128, but a chip has 100 cores.")
    refused("columns = 32", "columns = 3", "[system]", "system: 768 chips do not fit a grid of 3 x 24.")


def test_a_wrong_item_is_the_only_fault(tmp_path: Path) -> None:
    """Where the one format has a wrong name, the list is not said to be too short as well."""
    tables = re.split(r"(?m)^(?=\[)", LOIHI)
    kept = [table for table in tables if not table.startswith("[[formats]]") or 'name = "sparse"' in table]
    (tmp_path / "one.toml").write_text("".join(kept).replace('name = "sparse"', 'name = "sprse"'))
    with pytest.raises(FormatError, match="name is 'sprse'") as caught:
        chips.load(str(tmp_path / "one.toml"))
    assert "at least 1" not in str(caught.value) and "more" not in str(caught.value)


def test_many_faults_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(LOIHI.replace('status = "published"', 'status = "guess"'))
    with pytest.raises(FormatError, match=r"it must be 'published', 'derived' or 'assumed'.* And \d+ more\."):
        chips.load(str(path))
    path.write_text("name = \n")
    with pytest.raises(FormatError, match="line 1"):
        chips.load(str(path))


NAME = st.text("abcdefgh", min_size=1, max_size=4)
VALUE = st.one_of(st.integers(0, 99).map(str), st.just('"text # [x]"'), st.just("[1, 2]"), st.just("{ a = 1, b = 2 }"))


@settings(max_examples=examples(150), deadline=None)
@given(st.data())
def test_every_key_is_found_on_its_line(data: st.DataObject) -> None:
    """Documents of tables, arrays of tables and dotted keys, with comments and blank lines."""
    text, where, used = list[str](), dict[tuple[str | int, ...], int](), set[str]()
    arrays: dict[str, int] = {}

    def fill(path: tuple[str | int, ...]) -> None:
        for key in data.draw(st.lists(NAME, max_size=3, unique=True)):
            if data.draw(st.booleans()):
                text.append("# a comment = 3")
            dotted = data.draw(st.booleans())
            text.append(f"  {key}.x = {data.draw(VALUE)}" if dotted else f"{key} = {data.draw(VALUE)}")
            where[(*path, key, "x") if dotted else (*path, key)] = len(text)

    fill(())
    used |= {str(k[0]) for k in where}
    for table in data.draw(st.lists(NAME, max_size=4)):
        array = data.draw(st.booleans())
        if table in used and not (array and table in arrays):
            continue
        used.add(table)
        if array or table in arrays:
            arrays[table] = arrays.get(table, -1) + 1
            text.append(f"[[{table}]]  # one more")
            path: tuple[str | int, ...] = (table, arrays[table])
        else:
            text.append(f"[ {table} ]")
            path = (table,)
        where[path] = len(text)
        fill(path)
    document = "\n".join(text)
    tomllib.loads(document)
    found = lines(document)
    for path, line in where.items():
        assert line_of(found, path) == line, (path, document)
        assert line_of(found, (*path, "deeper", 3)) == line


# --- operations and baselines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", operations_model.names())
def test_every_model_of_operations_has_sources(name: str) -> None:
    model = operations_model.load(name)
    assert model.name == name
    assert model.note
    assert model.energy.ac.value > 0
    assert model.energy.ac.source


def measured(network: Network, values: np.ndarray, **options: Any) -> tuple[Any, Network, dict[str, np.ndarray]]:
    """Run a network and count its spikes by hand."""
    deployed = compile_network(network, **options)
    results = run(deployed, Labelled(values, np.zeros(len(values), np.int64)))
    events = reference.encode(deployed.network, values)
    spikes = {deployed.network.populations[0].name: events > 0} | reference.simulate(deployed.network, events)
    return results, deployed.network, spikes


@settings(max_examples=examples(15), deadline=None)
@given(seeds, st.sampled_from(["rate", "graded"]))
def test_baselines_are_what_is_counted_by_hand(seed: int, encoding: str) -> None:
    network = float_network(seed, density=0.6)
    calibration = Calibration(samples(network, 1, 10), np.zeros(10, np.int64))
    values = samples(network, seed, 8)
    try:
        results, deployed, spikes = measured(network, values, encoding=encoding, calibration=calibration)
    except NetworkError as error:
        assert "has no live synapse" in str(error)
        return
    sizes = [20, 15, 4]
    full = [sizes[0] * sizes[1], sizes[1] * sizes[2]]
    rows = {row.name: row for row in results.baselines.rows}
    assert (rows["dense ANN"].macs_per_sample, rows["dense ANN"].acs_per_sample) == (sum(full), 0)
    each = [spikes[p.source].sum() / len(values) for p in deployed.projections]
    dense = [count * size for count, size in zip(each, sizes[1:], strict=True)]
    fan_out = [(p.synapses.unrolled().to_dense() != 0).sum(axis=0) for p in deployed.projections]
    sparse = [(spikes[p.source].sum(axis=(0, 1)) @ f) / len(values) for p, f in zip(deployed.projections, fan_out, strict=True)]
    for name, (first, second) in (("dense SNN", dense), ("deployed SNN", sparse)):
        macs, acs = (first, second) if encoding == "graded" else (0.0, first + second)
        assert rows[name].macs_per_sample == pytest.approx(macs)
        assert rows[name].acs_per_sample == pytest.approx(acs)
        assert rows[name].joules_per_sample == pytest.approx((macs * 4.6 + acs * 0.9) * 1e-12)


def test_a_model_without_multiplies_prices_what_needs_none() -> None:
    from spikeloom.runtime.baselines import _row  # pyright: ignore[reportPrivateUsage]

    prices = operations_model.load(operations_model.names()[0])
    without = prices.model_copy(update={"energy": prices.energy.model_copy(update={"mac": None})})
    assert _row("a", "", 0.0, 10.0, without).joules_per_sample == pytest.approx(10 * prices.energy.ac.value * 1e-12)
    assert _row("a", "", 1.0, 10.0, without).joules_per_sample is None


def test_baselines_of_maps_count_every_possible_synapse() -> None:
    network = conv_network(9)
    calibration = Calibration(samples(network, 1, 10), np.zeros(10, np.int64))
    results, deployed, _ = measured(network, samples(network, 2, 4), calibration=calibration)
    possible = sum(p.trained.possible_synapses for p in deployed.projections)
    assert results.baselines.rows[0].macs_per_sample == possible
    page = html.render(results)
    assert "dense ANN" in page
    assert "Not to be added to the chip" in page


def test_integer_networks_have_baselines_too() -> None:
    network = integer_network(3)
    results, _, _ = measured(network, samples(network, 3, 4), encoding="graded")
    assert results.baselines is not None and json.dumps(results.baselines.model_dump())
