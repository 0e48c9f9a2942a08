"""The package is typed (PEP 561): a user's program passes strict checks against the installed package, and a wrong call does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import spikeloom

ROOT = Path(spikeloom.__file__).resolve().parent
PROGRAM = ROOT / "tests/typed/user_program.py"


@pytest.mark.chain
def test_a_users_program_passes_strict_checks(tmp_path: Path) -> None:
    checker = Path(sys.executable).with_name("basedpyright")
    if not checker.exists():
        pytest.skip("basedpyright is not installed: pip install 'spikeloom[dev]'")
    install(tmp_path)
    shutil.copy(PROGRAM, tmp_path / "good.py")
    wrong = 'spikeloom.compile_network(42)\nspikeloom.run("model.loom", [1], backend=3)\nspikeloom.nonsense\n'
    (tmp_path / "bad.py").write_text(f"import spikeloom\n{wrong}")
    settings = {"typeCheckingMode": "strict", "venvPath": str(tmp_path), "venv": "venv", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings | {"include": ["good.py", "bad.py"]}))
    done = subprocess.run([checker, "--outputjson"], cwd=tmp_path, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    assert [f["message"] for f in found if f["file"].endswith("good.py")] == []
    lines = [f["range"]["start"]["line"] for f in found if f["file"].endswith("bad.py") and f["severity"] == "error"]
    assert sorted(set(lines)) == [1, 2, 3]


def install(folder: Path) -> None:
    """Install a copy of the package, not an editable one, into an environment that finds the libraries in that of the tests."""
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "runs", "__pycache__", "tests", "docs", "site", "benchmarks")
    shutil.copytree(ROOT, folder / "source", ignore=unwanted)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    site = folder / "venv/lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    libraries = {sysconfig.get_paths()["purelib"], *(p for p in sys.path if p.endswith("site-packages"))}
    (site / "libraries.pth").write_text("\n".join(sorted(libraries)))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", site, folder / "source"], check=True)
    assert (site / "spikeloom/py.typed").exists()
