"""The notebooks in examples: each holds the outputs of a run of its own cells, and runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import spikeloom as package
from extras import library

ROOT = Path(package.__file__).resolve().parent
BOOKS = sorted(book for book in (ROOT / "examples").glob("*.ipynb") if book.stem != "results")  # which has a test of its own
NAMES = [book.stem for book in BOOKS]


def cells(book: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(book.read_text(encoding="utf-8"))["cells"]
    return found


def printed(held: list[dict[str, Any]]) -> list[str]:
    """What the cells print, without numbers, whose last digits depend on the processor."""
    texts = ["".join("".join(out["text"]) for out in cell.get("outputs", []) if out.get("name") == "stdout") for cell in held]
    return [re.sub(r"[\s\d.,]+", " N ", text) for text in texts]


def test_there_are_notebooks() -> None:
    assert {"own_model", "own_loop", "nir_graph", "tonic_set"} <= set(NAMES)


@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_a_notebook_holds_a_run(book: Path) -> None:
    """Its cells were executed in order, from the first on, without an error or a warning, and name no place of that machine."""
    code = [cell for cell in cells(book) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [out for cell in code for out in cell["outputs"]]
    assert outputs and all(out["output_type"] == "stream" and out["name"] == "stdout" for out in outputs)
    assert not re.search(r"/(home|root|work|tmp|Users)/", book.read_text(encoding="utf-8"))


@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_links_of_a_notebook(book: Path) -> None:
    for cell in cells(book):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""):
            assert "://" in target or (book.parent / target).exists(), target


@pytest.mark.chain
@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_a_notebook_runs(book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints what it holds, apart from numbers."""
    client, _ = library("nbclient"), library("ipykernel")
    nbformat = library("nbformat")
    if re.search(r'backend="lava"|to_lava', book.read_text(encoding="utf-8").replace("\\", "")):
        library("lava")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    run = nbformat.read(book, as_version=4)
    client.NotebookClient(run, timeout=300, kernel_name="python3").execute(cwd=str(tmp_path))
    assert printed(run.cells) == printed(cells(book))
