"""Parts of a data set: which samples they are, whatever takes them, and that every place says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import Labelled, float_network, samples, seeds
from spikeloom.compile import compile_network
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.data.dataset import load_dataset
from spikeloom.errors import MismatchError, NetworkError, UsageError
from spikeloom.formats import onnx as model_onnx
from spikeloom.network import reference
from spikeloom.network.model import Stage
from spikeloom.report import compare, html, markdown
from spikeloom.runtime import run
from spikeloom.runtime.backends import native
from spikeloom.runtime.selection import RATED
from spikeloom.subset import Subset, choose
from test_shards import figures, in_threads

Command = Callable[..., Any]


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 3000))
@example(10, 10, 20)
@example(2, 50, 2)
def test_each_class_of_an_ordered_set_has_its_share(classes: int, each: int, count: int) -> None:
    """Of classes one after another a subset holds equal shares, up to a sample; its numbers rise and none comes twice."""
    labels = np.repeat(np.arange(classes), each)
    taken = choose(count, len(labels))
    found = taken.indices()
    assert len(found) == taken.samples == min(count, len(labels)) and (np.diff(found) > 0).all()
    assert found[0] == 0 and found[-1] <= len(labels) - 1
    share = np.bincount(labels[found], minlength=classes) - len(found) / classes
    assert np.abs(share).max() <= 1.5


@pytest.mark.parametrize("period", [2, 5, 10])
@pytest.mark.parametrize("count", [50, 100, 200, 500])
def test_classes_that_take_turns_have_their_share_too(period: int, count: int) -> None:
    """Steps of exactly n / count would meet the same class again and again."""
    share = np.bincount(choose(count, 1000).indices() % period, minlength=period) / count
    assert share.min() > 0.5 / period, share


def test_what_may_be_asked_for() -> None:
    assert choose(None, 7) == Subset(7, 7, "all") == choose("7", 7) == choose("first:9", 7)
    assert choose(3, 7) == choose("3", 7) == Subset(3, 7, "evenly")
    assert choose("first:3", 7) == Subset(3, 7, "first")
    assert choose(3, 7).indices().tolist() == [0, 3, 6] and choose("first:3", 7).indices().tolist() == [0, 1, 2]
    assert [str(choose(w, 12_000)) for w in (2000, "first:2000", None)] == [
        "2,000 of 12,000 samples, evenly spread",
        "the first 2,000 of 12,000 samples",
        "12,000 samples",
    ]
    for wrong in (0, -3, "first:0"):
        with pytest.raises(UsageError, match=f"--samples is {wrong}; it must be at least 1"):
            choose(wrong, 7)
    for wrong in ("", "first", "last:3", "1.5", "3-5"):
        with pytest.raises(UsageError, match="a number N, for N samples evenly spread over the set, or first:N"):
            choose(wrong, 7)


def rising(deployed: DeployedNetwork, seed: int, count: int) -> Labelled:
    """Samples of a set that lies in an order: the later, the stronger; labels are what the reference decides on each."""
    values = samples(deployed.network, seed, count)
    values = (values * np.linspace(0.1, 1.0, count).reshape(-1, *[1] * (values.ndim - 1))).astype(values.dtype)
    spikes = reference.simulate(deployed.network, reference.encode(deployed.network, values, seed=seed))
    return Labelled(values, reference.decide(spikes[deployed.network.populations[-1].name]))


@settings(max_examples=examples(12), deadline=None)
@given(
    seeds,
    st.integers(2, 200),
    st.integers(1, 200),
    st.booleans(),
    st.sampled_from(["rate", "graded", "host"]),
    st.sampled_from(["native", "torch", "onnx"]),
    st.booleans(),
    st.integers(1, 3),
)
@example(6, 200, 90, False, "rate", "native", False, 2)
@example(6, 90, 20, True, "rate", "native", True, 1)
def test_a_subset_does_what_its_samples_do_in_the_whole(
    seed: int, count: int, wanted: int, first: bool, encoding: Any, backend: str, check: bool, processes: int
) -> None:
    """Every sample's prediction and spikes, on every backend, with any number of processes: rates by step and rasters are theirs, too."""
    try:
        deployed = compile_network(float_network(seed, sizes=(30, 25, 12, 6)), encoding=encoding)
    except NetworkError:
        return  # a random network may have a dead layer
    data = rising(deployed, seed, count)
    word = f"first:{wanted}" if first else wanted
    taken = choose(word, count)
    chosen, size = taken.indices(), min(processes, taken.samples)
    found: Any = in_threads(size, lambda peers: run(deployed, data, samples=word, seed=seed, backend=backend, check=check, peers=peers))
    results = found[0]
    assert all(figures(other) == figures(results) for other in found)
    assert results.sample_ids.tolist() == chosen.tolist() and results.predictions.tolist() == data.labels[chosen].tolist()
    assert results.accuracy == 1.0 and results.subset.model_dump() == taken.document()
    whole = reference.simulate(deployed.network, reference.encode(deployed.network, data.values, seed=seed))
    spikes = {name: raster[chosen] for name, raster in whole.items()}
    assert results.spikes_per_sample == pytest.approx(sum(raster.sum() for raster in spikes.values()) / len(chosen))
    rated = choose(RATED, len(chosen)).indices()
    assert results.rates.samples == len(rated)
    for row in results.rates.populations:
        assert row.rate_per_step == pytest.approx(spikes[row.name][rated].mean(axis=(0, 2)).tolist(), abs=1e-8)
    drawn = results.raster.populations[0]
    assert (drawn.times, drawn.ids) == tuple(part.tolist() for part in np.nonzero(spikes[drawn.name][0]))
    assert results.raster.sample == chosen[0]


def test_a_difference_names_the_sample_by_its_number_in_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = compile_network(float_network(6, sizes=(40, 30, 10)))
    data = rising(deployed, 1, 500)
    real = native.simulate

    def wrong(network: Any, events: Any, options: Any) -> Any:
        recording = real(network, events, options)
        recording.spikes["layer1"][3, 2, 5] ^= True
        return recording

    monkeypatch.setattr(native, "simulate", wrong)
    for word, number in ((20, choose(20, 500).indices()[3]), ("first:20", 3)):
        with pytest.raises(MismatchError, match=f"layer layer1, sample {number}, step 2, neuron 5"):
            run(deployed, data, samples=word, check=True)


@pytest.fixture
def ordered(tmp_path: Path) -> tuple[Path, Path]:
    """The test digits class by class, as two files."""
    digits = load_dataset("digits").test
    order = np.argsort(digits.labels, kind="stable")
    np.save(tmp_path / "v.npy", digits.values[order])
    np.save(tmp_path / "l.npy", digits.labels[order])
    return tmp_path / "v.npy", tmp_path / "l.npy"


def test_a_set_that_lies_class_by_class(spikeloom: Command, digits_run: Path, ordered: tuple[Path, Path], tmp_path: Path) -> None:
    """The command line draws over the whole file, the same for two backends, and says so; first:N is there for those who want it."""
    values, labels = ordered
    words = ("run", digits_run / "model.loom", "--data", values, "--labels", labels, "--out")
    for backend in ("native", "onnx"):
        ended = spikeloom(*words, tmp_path / f"{backend}.json", "--samples", 60, "--check", "--backend", backend)
        assert ended.code == 0, ended.err
        assert "right on 60 of 359 samples, evenly spread, in" in " ".join(ended.out.split())
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("native", "onnx"))
    assert one["subset"] == two["subset"] == {"samples": 60, "of": 359, "chosen": "evenly"}
    assert one["sample_ids"] == two["sample_ids"] and set(np.load(labels)[one["sample_ids"]].tolist()) == set(range(10))
    assert one["accuracy"] == two["accuracy"] and one["raster"] == two["raster"] and one["sops_per_sample"] == two["sops_per_sample"]
    assert spikeloom(*words, tmp_path / "all.json").code == 0
    whole = json.loads((tmp_path / "all.json").read_text())
    assert abs(one["accuracy"] - whole["accuracy"]) < 0.12 and whole["subset"]["chosen"] == "all"
    ended = spikeloom(*words, tmp_path / "first.json", "--samples", "first:20")
    assert ended.code == 0 and "the first 20 of 359 samples" in " ".join(ended.out.split())
    assert json.loads((tmp_path / "first.json").read_text())["stages"][-1]["chosen"] == "first"
    refused = spikeloom(*words, tmp_path / "x.json", "--samples", "some")
    assert refused.code == 2 and "--samples is 'some'" in refused.err


def test_reports_say_which_samples(tmp_path: Path) -> None:
    """And never compare accuracies of different samples, though they may be as many."""
    made = compile_network(float_network(6, sizes=(40, 30, 10)))
    staged = Stage("ann", 0.5, 20, of=50, chosen="evenly")
    deployed = replace(made, network=replace(made.network, stages=(staged,)))
    data = rising(deployed, 1, 50)
    documents = {word: run(deployed, data, samples=word) for word in (20, "first:20")}
    for word, said in ((20, "20 of 50 samples, evenly spread"), ("first:20", "the first 20 of 50 samples")):
        page = html.write(documents[word], tmp_path / "page.html").read_text()
        brief = said.replace(" samples", "")
        assert said in page and brief.replace(", ", '<br><span class="source">') in page
        assert said in markdown.report(documents[word]) and brief in markdown.report(documents[word])
    assert "+50.00" in markdown.report(documents[20]) and "+50.00" not in markdown.report(documents["first:20"])
    rows = compare.rows([(str(word), document) for word, document in documents.items()])
    assert [row.float_accuracy for row in rows] == [0.5, None]


def test_stages_keep_their_samples_in_files(tmp_path: Path) -> None:
    network = replace(float_network(6, sizes=(40, 30, 10)), stages=(Stage("ann", 0.5, 20, of=50, chosen="evenly"), Stage("b", 0.25, 7)))
    model_onnx.write(network, tmp_path / "model.onnx")
    assert model_onnx.read(tmp_path / "model.onnx").stages == network.stages
    deployed = compile_network(tmp_path / "model.onnx")
    from spikeloom.compile.deployed import load

    assert load(deployed.save(tmp_path / "model.loom")).network.stages == network.stages
    assert Stage.of_document({"name": "a", "accuracy": 0.5, "samples": 3, "split": "test"}) == Stage("a", 0.5, 3)
