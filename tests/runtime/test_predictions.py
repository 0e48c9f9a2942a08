"""Predictions and output counts of a run, with labels and without, in Python, in the files and from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from netgen import Labelled, float_network, samples
from spikeloom.compile import compile_network
from spikeloom.errors import FormatError, UsageError
from spikeloom.network import reference
from spikeloom.report import compare, html, markdown
from spikeloom.runtime import arrays, load_results, run
from spikeloom.train import load_dataset
from test_shards import in_threads

DEPLOYED = compile_network(float_network(6, sizes=(40, 30, 10)), encoding="graded")
VALUES = samples(DEPLOYED.network, 1, 150)


def test_predictions_and_counts_are_the_reference_s() -> None:
    """Of all samples in their order, over several batches, votes of a class added up."""
    for votes in (1, 2):
        deployed = replace(DEPLOYED, network=replace(DEPLOYED.network, votes=votes))
        output = reference.simulate(deployed.network, reference.encode(deployed.network, VALUES))[deployed.network.populations[-1].name]
        counts = output.sum(axis=1, dtype=np.int64).reshape(150, 10 // votes, votes).sum(axis=2)
        results = run(deployed, VALUES)
        assert results.output_counts is not None and np.array_equal(results.output_counts, counts)
        assert results.predictions is not None and np.array_equal(results.predictions, counts.argmax(axis=1))
        assert results.sample_ids is not None and np.array_equal(results.sample_ids, np.arange(150))
        assert len(set(results.predictions.tolist())) > 1


def counts_of(results: Any) -> np.ndarray:
    assert results.output_counts is not None
    return results.output_counts


def test_labels_change_the_accuracy_and_nothing_else() -> None:
    """A pair, a split and values alone are the same samples; processes that share them find the same."""
    labels = np.arange(150) % 10
    known = run(DEPLOYED, (VALUES, labels))
    assert (
        known.accuracy == np.mean(counts_of(known).argmax(axis=1) == labels)
        and run(DEPLOYED, Labelled(VALUES, labels)).accuracy == known.accuracy
    )
    unknown = run(DEPLOYED, VALUES)
    assert unknown.accuracy is None and not any(s.name.startswith("deployed") for s in unknown.stages)
    assert np.array_equal(counts_of(unknown), counts_of(known))
    shared = in_threads(3, lambda peers: run(DEPLOYED, VALUES, peers=peers))
    assert all(np.array_equal(counts_of(s), counts_of(known)) and s.accuracy is None for s in shared), shared


def test_what_is_no_sample_is_refused() -> None:
    with pytest.raises(UsageError, match="There are 150 samples and 149 labels"):
        run(DEPLOYED, (VALUES, np.zeros(149, np.int64)))
    with pytest.raises(UsageError, match="labels are integers"):
        run(DEPLOYED, (VALUES, np.zeros(150)))
    for wrong, said in (
        ({"values": VALUES}, "data must be an array of samples"),
        ("digits", r"The samples have the shape \(8, 8\)"),
        (3, "data is 3"),
    ):
        with pytest.raises(UsageError, match=said):
            run(DEPLOYED, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("inline", [10**6, 500, 0])
def test_files_hold_them_whatever_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline: int) -> None:
    monkeypatch.setattr(arrays, "INLINE", inline)
    results = run(DEPLOYED, VALUES)
    path = results.save(tmp_path / "results.json")
    beside = tmp_path / "results-arrays.safetensors"
    assert beside.exists() == (inline < 1500)
    found = load_results(path)
    assert found == results and found.predictions is not None and not found.predictions.flags.writeable
    document = json.loads(path.read_text())
    assert ("predictions" in document) == (inline >= 150) and ("output_counts" in document) == (inline >= 1500)
    if beside.exists():
        beside.write_bytes(beside.read_bytes()[:-1] + b"x")
        with pytest.raises(FormatError, match="damaged or of another run"):
            load_results(path)
        beside.unlink()
        with pytest.raises(FormatError, match="copy both"):
            load_results(path)
    monkeypatch.setattr(arrays, "INLINE", 10**6)
    results.save(path)
    assert not beside.exists() and load_results(path) == results


def test_lists_of_numbers_take_a_line(tmp_path: Path) -> None:
    path = run(DEPLOYED, VALUES).save(tmp_path / "results.json")
    assert len([line for line in path.read_text().splitlines() if line.strip().startswith('"predictions": [')]) == 1
    assert path.read_text().count("\n") < 3000


def test_reports_of_a_run_without_labels(tmp_path: Path) -> None:
    """The page, Markdown and a comparison with a run that has labels say that there were none."""
    unknown, known = (run(DEPLOYED, data) for data in (VALUES, (VALUES, np.zeros(150, np.int64))))
    assert "150 samples, no labels" in html.render(unknown) and "150 samples, no labels" in markdown.report(unknown)
    rows = compare.rows([("a", unknown), ("b", known)])
    assert "no labels" in markdown.comparison(rows) and "no labels" in html.render_comparison(rows)


def test_the_command_without_labels(spikeloom: Any, digits_run: Path, tmp_path: Path) -> None:
    digits = load_dataset("digits").test
    np.save(tmp_path / "x.npy", digits.values)
    words = ("run", digits_run / "model.loom", "--data", tmp_path / "x.npy", "--samples", 40, "--out", tmp_path / "r.json")
    ended = spikeloom(*words)
    assert ended.code == 0 and "40 of 359 samples, evenly spread, which had no labels, in" in " ".join(ended.out.split())
    document = json.loads(spikeloom(*words, "--json").out)
    assert document["accuracy"] is None and len(document["predictions"]) == len(document["output_counts"]) == 40
    right = np.mean(np.array(document["predictions"]) == digits.labels[document["sample_ids"]])
    assert right > 0.7
    assert spikeloom("report", tmp_path / "r.json").code == 0
