"""What those who carry on find: the workflow, the hooks, the forms for issues and the citation are valid and agree with pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import spikeloom

yaml: Any = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install 'spikeloom[dev]'")

ROOT = Path(spikeloom.__file__).resolve().parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
PAGES = [*FORMS, *(ROOT / name for name in ("CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "CITATION.cff", ".github/pull_request_template.md"))]


def read(path: str) -> Any:
    """A YAML file of the repository."""
    return yaml.safe_load((ROOT / path).read_text())


def make_targets(text: str) -> list[str]:
    """What a script makes, in order."""
    return re.findall(r"^\s*(?:- run: )?make (\S+)$", text, re.MULTILINE)


def test_the_workflow_runs_every_python_that_the_package_names() -> None:
    matrix = read(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", c)]
    assert matrix["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"
    systems = {"ubuntu-latest": "POSIX :: Linux", "macos-latest": "MacOS"}
    assert {f"Operating System :: {systems[name]}" for name in matrix["os"]} <= set(PROJECT["classifiers"])


def test_the_workflow_makes_what_a_clean_clone_has_to_pass() -> None:
    targets = make_targets((ROOT / ".github/workflows/ci.yml").read_text())
    assert set(make_targets((ROOT / ".ci/run").read_text())) <= set(targets)
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_hooks_have_the_pinned_versions() -> None:
    (local,) = read(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    assert [hook["id"] for hook in local["hooks"]] == ["ruff", "ruff-format"]
    for hook in local["hooks"]:
        assert set(hook["additional_dependencies"]) <= set(PROJECT["optional-dependencies"]["dev"])
        assert hook["language"] == "python"


@pytest.mark.parametrize("path", [p for p in FORMS if p.name != "config.yml"], ids=lambda p: p.name)
def test_the_forms_are_forms(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids)
    for part in form["body"]:
        assert part["type"] in ("textarea", "input", "dropdown", "checkboxes")
        assert part["attributes"]["label"]
        assert ("options" in part["attributes"]) == (part["type"] in ("dropdown", "checkboxes"))


def test_the_citation_is_that_of_this_version() -> None:
    """Of version 1.2.0 of the format: the keys that it demands, and none that it does not know."""
    cited = read("CITATION.cff")
    assert cited["cff-version"] == "1.2.0"
    known = {"cff-version", "message", "type", "title", "authors", "version", "license", "keywords", "abstract", "date-released"}
    assert {"cff-version", "message", "title", "authors"} <= set(cited) <= known
    assert str(cited["version"]) == spikeloom.__version__
    assert cited["license"] == PROJECT["license"]
    assert cited["type"] == "software"
    assert all(set(author) <= {"name", "family-names", "given-names"} for author in cited["authors"])


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_no_address_is_invented(path: Path) -> None:
    """The project has no public address yet."""
    assert not re.search(r"https?://|www\.|[\w.]+@[\w-]+\.\w", path.read_text())
