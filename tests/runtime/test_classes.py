"""Confusion matrix, accuracy by class and top-k against plain loops, and what they need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import float_network, samples
from spikeloom.compile import compile_network
from spikeloom.errors import UsageError
from spikeloom.runtime import Results, arrays, load_results, run

DEPLOYED = compile_network(float_network(6, sizes=(40, 30, 10)), encoding="graded")
VALUES = samples(DEPLOYED.network, 1, 60)
RESULTS = run(DEPLOYED, (VALUES, np.arange(60) % 10))


def of(labels: list[int], counts: list[list[int]]) -> Results:
    found = np.array(counts)
    held = {"labels": np.array(labels), "output_counts": found, "predictions": found.argmax(axis=1)}
    return RESULTS.model_copy(update=held)


@settings(max_examples=examples(40), deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 3), min_size=4, max_size=4)), min_size=1, max_size=12), st.integers(1, 4)
)
@example([(3, [0, 0, 0, 0])], 4)
@example([(0, [0, 0, 0, 0]), (1, [2, 2, 0, 0])], 1)
def test_metrics_by_class_are_those_of_a_plain_loop(rows: list[tuple[int, list[int]]], k: int) -> None:
    results = of([label for label, _ in rows], [counts for _, counts in rows])
    matrix, hits = np.zeros((4, 4), np.int64), 0
    for label, counts in rows:
        order = sorted(range(4), key=lambda c, counts=counts: (-counts[c], c))
        matrix[label, order[0]] += 1
        hits += label in order[:k]
    assert (results.confusion_matrix == matrix).all()
    assert results.top_k(k) == hits / len(rows)
    for label, accuracy in enumerate(results.accuracy_by_class):
        assert np.isnan(accuracy) if not matrix[label].any() else accuracy == matrix[label, label] / matrix[label].sum()


def test_a_run_keeps_the_labels_of_its_samples(tmp_path: Path) -> None:
    results = run(DEPLOYED, (VALUES, np.arange(60) % 10), samples=20)
    assert results.labels is not None and results.sample_ids is not None
    assert (results.labels == results.sample_ids % 10).all()
    assert results.top_k(1) == results.accuracy == results.confusion_matrix.trace() / 20
    assert (load_results(results.save(tmp_path / "results.json")).confusion_matrix == results.confusion_matrix).all()


def test_labels_in_a_file_beside_below_zero_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "INLINE", 10)
    results = RESULTS.model_copy(update={"labels": np.arange(60) - 1})  # as another tool may have written
    again = load_results(results.save(tmp_path / "results.json"))
    assert again.labels is not None and (again.labels == np.arange(60) - 1).all() and again.accuracy == results.accuracy
    with pytest.raises(UsageError, match=r"labels run from -1 to 58; the network has the classes 0\.\.9"):
        _ = again.confusion_matrix


def test_what_they_need() -> None:
    for without in (run(DEPLOYED, VALUES), RESULTS.model_copy(update={"labels": None})):
        with pytest.raises(UsageError, match="The results hold no labels: run samples with labels"):
            _ = without.accuracy_by_class
    for k in (0, 11):
        with pytest.raises(UsageError, match=rf"k is {k}; it must lie in 1\.\.10"):
            RESULTS.top_k(k)
