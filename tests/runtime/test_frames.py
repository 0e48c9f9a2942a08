"""Results as rows and data frames, and what objects show of themselves at a prompt and in a notebook."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from extras import library
from netgen import float_network, integer_conv_network, samples
from spikeloom import display
from spikeloom.compile import compile_network
from spikeloom.errors import UsageError
from spikeloom.network import Stage
from spikeloom.report import frames
from spikeloom.runtime import run
from spikeloom.train import TrainedRun, TrainSettings

DEPLOYED = compile_network(float_network(6, sizes=(40, 30, 10)), encoding="graded")
RESULTS = run(DEPLOYED, (samples(DEPLOYED.network, 1, 30), np.arange(30) % 10), data_name="<b>mine</b>\x1b[31m", check=True)


def shown(thing: Any) -> str:
    """What a notebook shows."""
    return thing._repr_html_()


def rows_of(page: str) -> list[list[str]]:
    """The cells of a table, row by row."""
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]


def test_rows_hold_the_figures_of_the_results() -> None:
    layers, cores, energy = (RESULTS.records(kind) for kind in ("layers", "cores", "energy"))
    assert [row["sops_per_sample"] for row in layers] == [layer.sops_per_sample for layer in RESULTS.layers]
    assert [row["utilisation_neurons"] for row in cores] == [core.share("neurons") for core in RESULTS.cores]
    assert [(row["tile_column"], row["tile_row"]) for row in cores] == [core.tile for core in RESULTS.cores]
    assert sum(row["joules_per_sample"] for row in energy) == pytest.approx(RESULTS.energy.joules_per_sample)
    assert {row["model"] for row in energy} == {RESULTS.energy.model}
    assert [row["seconds_per_step"] for row in RESULTS.records("latency")] == [c.seconds_per_step for c in RESULTS.latency.components]
    assert [row["accuracy"] for row in RESULTS.records("stages")] == [stage.accuracy for stage in RESULTS.stages]


def test_a_row_for_every_sample() -> None:
    rows = RESULTS.records("samples")
    assert np.mean([row["label"] == row["prediction"] for row in rows]) == RESULTS.accuracy
    assert RESULTS.output_counts is not None
    assert [[row[f"output_count_{c}"] for c in range(10)] for row in rows] == RESULTS.output_counts.tolist()
    assert [row["sample"] for row in rows] == list(range(30))
    assert {row["label"] for row in run(DEPLOYED, samples(DEPLOYED.network, 1, 3)).records("samples")} == {None}


@pytest.mark.parametrize("kind", frames.KINDS)
def test_frames_are_the_rows(kind: str) -> None:
    library("pandas")
    frame = RESULTS.to_frame(kind)
    assert frame.astype(object).where(frame.notna(), None).to_dict("records") == RESULTS.records(kind)  # pandas has NaN for None


def test_rows_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="Did you mean 'layers'"):
        RESULTS.records("layer")
    with pytest.raises(UsageError, match="hold no predictions"):
        RESULTS.model_copy(update={"predictions": None}).records("samples")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install 'spikeloom\[frames\]'; or take records\(\)"):
        RESULTS.to_frame()


def test_objects_are_short_at_a_prompt() -> None:
    conv = integer_conv_network(1)
    trained = TrainedRun(Path("runs/x"), TrainSettings("digits"), 0.9, None, (Stage("float", 0.975, 360),), 30, 3, 0.97, (1.0,))
    assert repr(DEPLOYED.network).startswith("<Network 40-30-10: ")
    assert repr(DEPLOYED).startswith("<DeployedNetwork 40-30-10: ") and "on 1 core of loihi2" in repr(DEPLOYED)
    assert "of 30 samples" in repr(RESULTS) and "equal to the reference" in repr(RESULTS) and "\x1b" not in repr(RESULTS)
    assert str(RESULTS) == repr(RESULTS)
    assert repr(trained).startswith("<TrainedRun digits, fc, dense: 97.50% at a sparsity of 90.00%, 30 epochs, in runs/x")
    assert all(len(repr(one)) < 260 for one in (conv, DEPLOYED, RESULTS, trained))


def test_objects_show_a_table_in_a_notebook() -> None:
    """Their rows, with what a file could have brought in as text."""
    conv = integer_conv_network(1)
    trained = TrainedRun(Path("runs/x"), TrainSettings("digits"), 0.9, None, (Stage("float", 0.975, 360),), 30, 3, 0.97, (1.0,))
    assert [row[0] for row in rows_of(shown(conv))] == ["population", *(p.name for p in conv.populations)]
    layers = rows_of(shown(DEPLOYED))
    assert layers[0] == ["layer", "neurons", "synapses", "cores"] and layers[-1][0] == "layer2" and layers[-1][-1] == "1"
    assert [row[0] for row in rows_of(shown(RESULTS))[1:]] == [layer.name for layer in RESULTS.layers]
    assert "<b>" not in shown(RESULTS) and "&lt;b&gt;mine" in shown(RESULTS)
    assert rows_of(shown(trained))[1] == ["float", "97.50%", "360", "test"]
    first = replace(DEPLOYED.network.populations[1], place="host")
    assert "on the host" in shown(replace(DEPLOYED, network=DEPLOYED.network.with_population(first)))


def test_long_tables_and_texts_are_cut() -> None:
    found = display.table("<t>", ("a",), [(i,) for i in range(40)])
    assert len(rows_of(found)) == 31 and "10 more" in found and "&lt;t&gt;" in found
    assert display.short("x" * 100) == "x" * 59 + "…" and display.short("a\n\x1bb") == "a b"
    assert display.chain(range(1, 10)) == "1-2-3-4-5-6-…-9" and display.chain([3, 4]) == "3-4"
