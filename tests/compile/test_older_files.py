"""Files that earlier versions wrote: the same network, the same spikes, the same results, of this format version and of the one before.

tests/older holds, by case and format version, a .loom, the results.json of a run of it, and an .npz of its samples with the spikes of every
population in the integer reference of the time. The commits of 2026-11-21 that had these versions wrote them: 7 is a2a99ed (flat, with
convolutions, a graph with delays), 8 is 32aba81 (crossbars).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import spikeloom
from netgen import Labelled
from safetensors import safe_open
from spikeloom.compile.deployed import OLDEST, UPGRADES, VERSION
from spikeloom.network import reference
from spikeloom.runtime import results as results_file

FILES = Path(__file__).resolve().parents[1] / "older"  # not of the package, which make test-lowest installs elsewhere
CASES = sorted(path.stem for path in FILES.glob("*.loom"))
EXACT = ("sops_per_sample", "spikes_per_sample", "neuron_updates_per_sample", "messages_per_sample", "hops_per_sample", "accuracy")


def test_the_version_before_is_read() -> None:
    assert sorted(UPGRADES) == list(range(OLDEST, VERSION))
    assert OLDEST < VERSION
    assert {int(name.split("-")[1]) for name in CASES} >= {VERSION - 1, VERSION}
    kept = {json.loads(path.read_text())["version"] for path in FILES.glob("*.results.json")}
    assert kept >= {max(1, results_file.VERSION - 1), results_file.VERSION}


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_an_earlier_version_gives_the_same_spikes_and_results(name: str) -> None:
    with safe_open(str(FILES / f"{name}.loom"), framework="numpy") as handle:
        assert handle.metadata()["version"] == name.split("-")[1]
    deployed = spikeloom.load(FILES / f"{name}.loom")
    with np.load(FILES / f"{name}.npz") as held:
        recorded = dict(held)
    values, labels = recorded.pop("values"), recorded.pop("labels")
    spikes = reference.simulate(deployed.network, reference.encode(deployed.network, values))
    assert {f"spikes.{population}" for population in spikes} == set(recorded)
    for population, raster in spikes.items():
        np.testing.assert_array_equal(raster, recorded[f"spikes.{population}"])
    before = spikeloom.load_results(FILES / f"{name}.results.json")
    now = spikeloom.run(deployed, Labelled(values=values, labels=labels), check=True)
    assert {key: getattr(now, key) for key in EXACT} == pytest.approx({key: getattr(before, key) for key in EXACT}, rel=1e-12)
    assert now.energy.joules_per_sample == pytest.approx(before.energy.joules_per_sample, rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_an_upgraded_network_is_written_in_the_format_of_today(name: str, tmp_path: Path) -> None:
    deployed = spikeloom.load(FILES / f"{name}.loom")
    with safe_open(str(deployed.save(tmp_path / "model.loom")), framework="numpy") as handle:
        assert handle.metadata()["version"] == str(VERSION)
    assert spikeloom.load(tmp_path / "model.loom").digest == deployed.digest


@pytest.mark.parametrize("name", CASES)
def test_results_of_an_earlier_version_are_reported(name: str, tmp_path: Path) -> None:
    results = spikeloom.load_results(FILES / f"{name}.results.json")
    written = json.loads((FILES / f"{name}.results.json").read_text())
    assert results.sops_per_sample == written["sops_per_sample"]
    for suffix in ("html", "md", "json"):
        assert spikeloom.report.write(results, tmp_path / f"page.{suffix}").stat().st_size > 500
    assert spikeloom.report.write({"old": results}, tmp_path / "compare.html").stat().st_size > 500
