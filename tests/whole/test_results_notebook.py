"""The notebook on results: stored with what it shows, and its cells run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from extras import library

NOTEBOOK = Path(__file__).parents[2] / "examples" / "results.ipynb"


def cells(kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == kind]


def test_it_is_stored_as_executed_in_order_and_without_errors() -> None:
    code = cells("code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert NOTEBOOK.stat().st_size < 300_000


@pytest.mark.chain
def test_its_cells_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    library("pandas")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells("code"):
        exec("".join(cell["source"]).replace('"epochs": 8', '"epochs": 4').replace('"at": 1500', '"at": 1000'), names)
    assert len(names["runs"]) == 14 and names["seeds"]["accuracy_n"].tolist() == [2] * 7
    assert (tmp_path / "runs/notebook/raster.pdf").exists() and (tmp_path / "runs/notebook/compare.html").exists()
    assert "top 2" in capsys.readouterr().out
