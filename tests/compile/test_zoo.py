"""The zoo: every network is the file of its record, connected and as accurate as it says, and is taken wherever a network is named."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spikeloom as package
from conftest import Command
from spikeloom import registry
from spikeloom.compile import compile_network
from spikeloom.compile.loading import compile_of_zoo, load
from spikeloom.data.dataset import load_dataset
from spikeloom.errors import DataError, FormatError, MismatchError, UsageError
from spikeloom.formats import onnx
from spikeloom.network import zoo
from spikeloom.network.model import Network
from spikeloom.runtime import run
from spikeloom.runtime.claims import measured

ROOT = Path(package.__file__).resolve().parent
NAMES = zoo.names()
BUILT_IN = [name for name in NAMES if zoo.entry(name).training.data == "digits"]
FIRST = "digits-gradr-10"  # of the quick start


def integers(network: Network) -> list[Any]:
    return [(p.name, p.exponent, p.synapses.to_dense().tolist()) for p in network.projections] + [p.neuron for p in network.populations]


def claim_of(name: str, *, whole: bool) -> None:
    """Compare a claim with what comes out; skip where the data is not there."""
    if name not in BUILT_IN and "SPIKELOOM_DATA" not in os.environ:
        pytest.skip("SPIKELOOM_DATA names no folder with data")
    try:
        found = measured(name, whole=whole)
    except DataError as error:
        pytest.skip(str(error))
    assert found.holds, found


def check_command(words: list[str], data: str) -> None:
    """Check a training command: its words, its settings, and the options of all that it names."""
    from spikeloom.train import augments, schedules
    from spikeloom.train.parts import Parts
    from spikeloom.train.recipe import merged
    from spikeloom.train.settings import TrainSettings

    assert words[:2] == ["spikeloom", "train"]
    given = list(zip(words[2::2], words[3::2], strict=True))
    flags = {name.removeprefix("--").replace("-", "_"): value for name, value in given if name != "--set"}
    assert flags["data"] == data and flags.pop("out").startswith("runs/")
    if ".py:" in flags["net"]:
        file = flags.pop("net").partition(":")[0]
        assert (ROOT / file).exists()
    settings = TrainSettings.read(merged({}, flags, [value for name, value in given if name == "--set"]))
    Parts.of(settings)
    for kind, name, options in (
        (augments, settings.augment, settings.augment_options),
        (schedules, settings.schedule, settings.schedule_options),
    ):
        registry.options_of(registry.load(kind, "part", name), options, name)


def test_there_are_networks_and_every_file_belongs_to_one() -> None:
    assert FIRST in NAMES
    assert {path.name for path in zoo.FOLDER.iterdir()} == {f"{name}{suffix}" for name in NAMES for suffix in (".toml", ".onnx")}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_what_its_record_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for reader in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, reader, None)
    entry = zoo.entry(name)
    entry.check()
    network = onnx.read(entry.path)
    training, live = entry.training, network.without_zeros()
    assert sum(p.synapses.weights for p in live.projections) == entry.weights_left
    assert entry.weights_left / training.weights == pytest.approx(training.connectivity / 100, abs=5.1e-5)
    assert float(name.rpartition("-")[2]) == pytest.approx(training.connectivity, rel=0.01)
    assert entry.path.stat().st_size < 8 * entry.weights_left + 60_000
    said = network.provenance
    assert (said["data"], said["method"], int(said["seed"])) == (training.data, training.method, training.seed)
    assert f"--method {training.method} " in training.command
    started = re.search(r"init=(\S+)", training.command)
    assert (started is not None and started[1].startswith("runs/")) == bool(training.before)
    for before, command in itertools.pairwise([*training.before, training.command]):
        assert f"--set init={before.split('--out ')[1].split()[0]} " in command
    for command in (*training.before, training.command):
        check_command(shlex.split(command), training.data)
    first = network.stages[0]
    assert (round(100 * first.accuracy, 2), first.samples) == (training.accuracy, entry.deployed.samples)
    assert not re.search(rb"/(home|root|tmp|work)/", entry.path.read_bytes() + entry.path.with_suffix(".toml").read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_some_of_its_test_samples_are_predicted_as_claimed(name: str) -> None:
    claim_of(name, whole=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_all_of_its_test_samples_are_predicted_as_claimed(name: str) -> None:
    claim_of(name, whole=True)


@pytest.mark.parametrize("name", BUILT_IN)
def test_without_data_it_has_the_integers_that_calibration_gives(name: str) -> None:
    how = zoo.entry(name).deployed
    given = compile_network(f"zoo:{name}", target=how.target, chip=how.chip, weight_bits=how.weight_bits, data="digits")
    assert integers(compile_of_zoo(name).network) == integers(given.network)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NAMES if n not in BUILT_IN])
def test_without_data_it_has_the_integers_that_calibration_gave(name: str, tmp_path: Path) -> None:
    """Where the data is there."""
    how = zoo.entry(name).deployed
    asked = {"target": how.target, "chip": how.chip, "weight_bits": how.weight_bits}
    try:
        given = compile_network(f"zoo:{name}", data=zoo.entry(name).training.data, **asked)  # pyright: ignore[reportArgumentType]
    except DataError as error:
        pytest.skip(str(error))
    drift = [abs(a - b) for a, b in zip(clips(given), clips(compile_of_zoo(name)), strict=True)]
    assert max(drift) <= 0.2  # the training set here includes what was held out then, so a clip may be the next one


def clips(deployed: Any) -> list[float]:
    changes = [c for r in deployed.passes if r.name == "quantise" for c in r.changes]
    return [int(found[1]) / 100 for c in changes if (found := re.search(r"clipped at (\d+)%", c))]


def test_other_options_are_not_held_to_the_record() -> None:
    """Recorded clips belong to recorded bits; other bits without samples are said to be uncalibrated."""
    few = compile_network(f"zoo:{FIRST}", weight_bits=4)
    assert any("No calibration samples" in text for text in few.warnings)
    assert not any("No calibration samples" in text for text in compile_of_zoo(FIRST).warnings)
    assert set(clips(few)) == {1.0}
    assert clips(compile_of_zoo(FIRST)) == list(zoo.entry(FIRST).deployed.clips.values())


def test_it_is_taken_wherever_a_network_is_named(spikeloom: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source, place = f"zoo:{FIRST}", Path("runs") / FIRST
    assert spikeloom("compile", source).code == 0
    assert load(place / "model.loom").network.synapses == compile_of_zoo(FIRST).network.synapses
    ran = spikeloom("run", source, "--check", "--json")
    assert ran.code == 0, ran.err
    assert round(100 * json.loads(ran.out)["accuracy"], 2) == zoo.entry(FIRST).deployed.accuracy
    assert (place / "results.json").exists()
    assert json.loads(spikeloom("inspect", source, "--json").out)["layers"]
    assert json.loads(spikeloom("estimate", source, "--json").out)["fits"]
    for to, name in (("nir", "model.nir"), ("onnx", "model.onnx"), ("words", "model.words.npz"), ("mapping", "model.mapping.csv")):
        assert spikeloom("export", source, "--to", to).out.strip() == str(place / name)
        assert (place / name).exists()
    given = spikeloom("convert", source, "--data", "digits", "--out", "x")
    assert given.code == 2 and "is a spiking network already" in given.err
    assert set(tmp_path.iterdir()) == {tmp_path / "runs"}


def test_in_python() -> None:
    test = load_dataset("digits").test
    results = run(f"zoo:{FIRST}", test, check=True)
    assert results.accuracy == run(load(f"zoo:{FIRST}"), test).accuracy
    assert package.session(f"zoo:{FIRST}").step(test.values[0])["output"].shape[-1] == 10
    assert package.estimate(f"zoo:{FIRST}").fits


def test_training_starts_from_it() -> None:
    from spikeloom.train.parts import Parts, load_init
    from spikeloom.train.settings import TrainSettings

    data, entry = load_dataset("digits"), zoo.entry(FIRST)
    model = Parts.of(TrainSettings("digits", net_options={"hidden": (100,)})).build_model(data, 8)
    load_init(model, Path(f"zoo:{FIRST}"))
    held = [w.detach().numpy() for w in model.weights().values()]
    read = [p.synapses.to_dense() for p in onnx.read(entry.path).projections]
    assert all(np.array_equal(a, b) for a, b in zip(held, read, strict=True))
    other = Parts.of(TrainSettings("digits", net_options={"hidden": (90,)})).build_model(data, 8)
    with pytest.raises(UsageError, match=r"zoo:.* has the weights of another network"):
        load_init(other, Path(f"zoo:{FIRST}"))


def test_the_command(spikeloom: Command) -> None:
    listed = spikeloom("zoo")
    assert listed.code == 0 and all(name in listed.out for name in NAMES)
    assert {e["name"] for e in json.loads(spikeloom("zoo", "--json").out)} == set(NAMES)
    shown = json.loads(spikeloom("zoo", f"zoo:{FIRST}", "--json").out)
    assert shown["source"] == f"zoo:{FIRST}" and shown["sha256"] == zoo.entry(FIRST).sha256
    assert zoo.entry(FIRST).training.command in spikeloom("zoo", FIRST).out
    checked = spikeloom("zoo", FIRST, "--check", "--json")
    assert checked.code == 0 and json.loads(checked.out)["holds"]
    assert "as claimed" in spikeloom("zoo", FIRST, "--check").out


@pytest.mark.parametrize("words", [("zoo", "digits-gradr-11"), ("compile", "zoo:digits-gradr-11"), ("run", "zoo:digits-gradr-11")])
def test_an_unknown_name_lists_the_known_ones(words: tuple[str, ...], spikeloom: Command) -> None:
    ended = spikeloom(*words)
    assert ended.code == 2
    assert f"Did you mean '{FIRST}'" in ended.err and all(name in ended.err for name in NAMES)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of one network, to be damaged."""
    for suffix in (".toml", ".onnx"):
        shutil.copy(zoo.FOLDER / f"{FIRST}{suffix}", tmp_path)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    return tmp_path / f"{FIRST}.toml"


def test_a_claim_that_does_not_hold_is_found(copied: Path, spikeloom: Command) -> None:
    right = zoo.entry(FIRST).deployed.accuracy
    copied.write_text(copied.read_text().replace(f"accuracy = {right}", "accuracy = 99.72"))
    with pytest.raises(MismatchError, match="its record claims 358"):
        measured(FIRST).require()
    ended = spikeloom("zoo", "--check")
    assert ended.code == 4 and "and not 358 as claimed" in ended.out


def test_another_file_or_a_damaged_record_is_refused(copied: Path) -> None:
    text = copied.read_text()
    for wrong in (
        text.replace("weights_left = ", "weights_left = -"),
        text.replace("[deployed]", "[deployed]\nspeed = 1"),
        text.replace('chip = "loihi2"', "chip = 2"),
        "sha256 = ",
        "",
    ):
        copied.write_text(wrong)
        with pytest.raises(FormatError, match="is not the record of a network of the zoo"):
            zoo.entry(FIRST)
    copied.write_text(text)
    copied.with_suffix(".onnx").write_bytes(copied.with_suffix(".onnx").read_bytes() + b"\0")
    for use in (lambda: compile_network(f"zoo:{FIRST}"), lambda: load(f"zoo:{FIRST}"), lambda: measured(FIRST)):
        with pytest.raises(FormatError, match="SHA-256 differs"):
            use()


def test_other_test_samples_than_those_of_the_record(copied: Path) -> None:
    copied.write_text(copied.read_text().replace("samples = 359", "samples = 360", 1))
    with pytest.raises(DataError, match="there are 359 here"):
        measured(FIRST)


def test_the_table_of_the_page_is_that_of_the_records() -> None:
    page = (ROOT / "docs/zoo.md").read_text()
    rows = re.findall(r"^\| `([\w.-]+)` \| (.+) \|$", page, re.MULTILINE)
    assert [name for name, _ in rows] == NAMES
    for name, row in rows:
        e = zoo.entry(name)
        t, d = e.training, e.deployed
        kilobytes = f"{e.path.stat().st_size / 1000:.0f} KB"
        expected = [t.data, t.network, t.method, str(t.seed), f"{t.connectivity:g} %", f"{t.accuracy:.2f} %", f"{d.accuracy:.2f} %"]
        assert row.split(" | ") == [*expected, f"{d.samples:,}", kilobytes]
