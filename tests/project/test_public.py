"""What is public: `__all__`, `dir()` and tab completion of every package agree, and everything is there, imported on first use."""

from __future__ import annotations

import ast
import importlib
import rlcompleter
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import spikeloom
from invented import made, results
from netgen import Labelled, float_network, samples
from spikeloom.errors import OutputError, UsageError

ROOT = Path(spikeloom.__file__).resolve().parent
PACKAGES = ("", "compile", "data", "formats", "hwmodels", "network", "report", "runtime", "sweep", "train")


def package(name: str) -> Any:
    """Import a package of ours, the whole where the name is empty."""
    return importlib.import_module(f"spikeloom.{name}" if name else "spikeloom")


@pytest.mark.parametrize("name", PACKAGES)
def test_all_and_dir_agree_and_everything_is_there(name: str) -> None:
    found = package(name)
    assert dir(found) == sorted(found.__all__)
    for public in found.__all__:
        assert getattr(found, public) is not None
    assert found.__doc__
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'; it offers .*" + found.__all__[0]):
        _ = found.nonsense


@pytest.mark.parametrize("name", PACKAGES)
def test_type_checkers_are_told_the_same_names(name: str) -> None:
    """What is imported for type checkers is what is public and not defined in the file itself."""
    tree = ast.parse((ROOT / name / "__init__.py").read_text())
    told = {
        alias.asname or alias.name
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    own = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)} | {"__version__"}
    assert told == set(package(name).__all__) - own


def test_tab_completion_offers_what_is_public() -> None:
    completer = rlcompleter.Completer({"spikeloom": spikeloom})
    offered = {match.rstrip("()") for match in iter_matches(completer, "spikeloom.")}
    assert offered == {f"spikeloom.{name}" for name in spikeloom.__all__ if not name.startswith("_")}
    assert {match.rstrip("()") for match in iter_matches(completer, "spikeloom.train.f")} == {"spikeloom.train.fit"}


def iter_matches(completer: rlcompleter.Completer, text: str) -> list[str]:
    """All that is offered for a text."""
    found: list[str] = []
    while (match := completer.complete(text, len(found))) is not None:
        found.append(match)
    return found


def test_importing_the_package_imports_nothing_else() -> None:
    """Beside what Python itself imports (-S: no .pth file of an editable install), three files of ours."""
    code = f"""
import sys, importlib.util
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("spikeloom", {str(ROOT / "__init__.py")!r}, submodule_search_locations=[{str(ROOT)!r}])
sys.modules["spikeloom"] = found = importlib.util.module_from_spec(spec)
spec.loader.exec_module(found)
dir(found)
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(["__future__", "spikeloom", "spikeloom._version", "spikeloom.lazy", "spikeloom.reproducible"])


def test_the_chain_from_the_package_alone(tmp_path: Path) -> None:
    network = float_network(3, sizes=(20, 12, 4))
    deployed = spikeloom.compile_network(network)
    again = spikeloom.load(deployed.save(tmp_path / "model.loom"))
    values = samples(network, 1, 8)
    results = spikeloom.run(again, Labelled(values=values, labels=values[:, 0] % 4), check=True)
    results.save(tmp_path / "results.json")
    assert spikeloom.load_results(tmp_path / "results.json") == results
    assert (results.checks, spikeloom.load_results(tmp_path).checks) == ([], [results.check])  # a folder: with the checks of all runs in it
    assert spikeloom.report.write(results, tmp_path / "one.html").read_text().lower().startswith("<!doctype html>")
    several = {"first": results, "second": results}
    for suffix in ("html", "md", "json"):
        assert "second" in spikeloom.report.write(several, tmp_path / f"two.{suffix}").read_text()
        assert spikeloom.report.write(results, tmp_path / f"one.{suffix}").stat().st_size > 500


def test_reports_that_cannot_be_written_say_why(tmp_path: Path) -> None:
    found = made(results())
    with pytest.raises(UsageError, match=r"written as \.html, \.md, \.json, \.csv, \.tex, \.parquet; .*one\.pdf"):
        spikeloom.report.write(found, tmp_path / "one.pdf")
    for wrong in (tmp_path, {"a": 3}):
        with pytest.raises(UsageError, match=r"spikeloom\.load_results"):
            spikeloom.report.write(wrong, tmp_path / "one.html")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="results is empty"):
        spikeloom.report.write({}, tmp_path / "one.html")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        spikeloom.report.write(found, tmp_path / "file" / "one.json")
