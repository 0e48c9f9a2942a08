"""The documentation builds as a site: no broken link, nothing loaded from the net, the API in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import spikeloom as package

ROOT = Path(package.__file__).resolve().parent
NEEDED = ("material", "mkdocstrings", "mkdocstrings_handlers.python")
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//|<link\b(?![^>]*rel=[\"']?canonical)[^>]*\bhref=[\"']?(?:https?:)?//"
)

pytestmark = pytest.mark.chain


def installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of its parent
        return False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    missing = [name for name in NEEDED if not installed(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; make docs installs the extra `docs`")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    for page in (ROOT / "docs").glob("**/*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).exists()


def test_nothing_is_loaded_from_the_net(site: Path) -> None:
    for page in site.glob("**/*.html"):
        found = LOADED.search(page.read_text(encoding="utf-8"))
        assert found is None, f"{page.relative_to(site)}: {found[0]}"
    for sheet in site.glob("**/*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_search_and_api_know_the_public_names(site: Path) -> None:
    index = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"] for entry in index["docs"]}
    for name in ("compile_network", "load", "DeployedNetwork"):
        assert f"api/compile.html#spikeloom.compile.{name}" in places
    assert "api/runtime.html#spikeloom.runtime.run" in places
