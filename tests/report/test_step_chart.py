"""The picture of a step and its words."""

from __future__ import annotations

from typing import Any

import pytest
from invented import results
from spikeloom.report import step_chart
from spikeloom.report.step_bound import StepBound
from spikeloom.report.view import gather
from spikeloom.runtime.results import Results


def bound(**changed: Any) -> StepBound:
    return StepBound.model_validate(results()["step_bound"] | changed)


def test_what_binds_and_what_would_help_are_said() -> None:
    said = " ".join(step_chart.sentences(bound()))
    assert said.startswith("Memory binds, 62.5 % of the 8.00 µs of a step: synaptic operations (memory) 5.00 µs, updates and spikes")
    assert "What would help most: split core 2 in two; a step of mean loads then takes 5.00 µs instead of 7.50 µs, 1.50 times" in said
    assert step_chart.sentences(bound(change=None))[1] == "No change of the mapping that was tried shortens the step."


@pytest.mark.parametrize(("overlap", "sides"), [("sum", 1), ("max", 1), ("queue", 2)])
def test_receiving_and_sending_are_apart_where_they_overlap(overlap: str, sides: int) -> None:
    found = bound(overlap=overlap)
    first = step_chart.stacks(found)[0]
    assert sum(first.up) + sum(first.down) == pytest.approx(9e-6)
    assert (sum(first.down) > 0) == (sides == 2) and sum(first.up) == pytest.approx(7e-6 if sides == 2 else 9e-6)
    drawn = str(step_chart.chart(found))
    assert ("receives" in drawn) == (sides == 2) and "core 2, synapses: 6.00 µs; the slowest in 100.00 % of the steps" in drawn


def test_of_many_cores_the_slowest_are_drawn_and_listed() -> None:
    found = StepBound.model_validate(results(300)["step_bound"])
    assert len(step_chart.stacks(found)) == step_chart.MOST and str(step_chart.chart(found)).count("<title>core") == 3 * step_chart.MOST
    table = step_chart.table(found)
    assert len(table.rows) == step_chart.LISTED and "of 300 cores" in table.note


def test_results_of_earlier_versions_have_no_such_section() -> None:
    older = results()
    del older["step_bound"]
    view = gather(Results.model_validate(older))
    assert view["step_chart"] is None and view["tables"]["step"] is None
    assert "step" not in [anchor for anchor, _ in view["contents"]]
    newer = gather(Results.model_validate(results()))
    assert newer["step_chart"] is not None and "step" in [anchor for anchor, _ in newer["contents"]]
