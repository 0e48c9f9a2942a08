"""The rules of the house: who imports whom, torch only where it belongs, every package shipped, chips with sources."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import spikeloom
from spikeloom.errors import FormatError, UsageError
from spikeloom.hwmodels import chip as chips

HEAVY = ("torch", "spikingjelly", "torchvision", "torchaudio", "numba", "lava")
ROOT = Path(spikeloom.__file__).resolve().parent
GROUND = {"errors", "files", "jit", "registry", "reproducible", "subset", "_version", ""}
ALLOWED = {
    "hwmodels": {"hwmodels"},
    "compile": {"compile", "hwmodels"},
    "runtime": {"runtime", "compile", "hwmodels"},
    "train": {"train", "hwmodels"},
    "sweep": {"sweep", "train", "compile", "runtime", "hwmodels"},
    "cli": {"cli", "sweep", "train", "compile", "runtime", "hwmodels"},
}


def imports(path: Path) -> set[str]:
    """Absolute dotted names that a file imports; relative ones resolved as spikeloom.*."""
    package = ["spikeloom", *path.relative_to(ROOT).parent.parts]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def sources(room: str) -> list[Path]:
    return [p for p in (ROOT / room).rglob("*.py") if "lava_worker" not in p.parts]


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_floors(room: str) -> None:
    for path in sources(room):
        for name in imports(path):
            if not name.startswith("spikeloom"):
                continue
            parts = name.split(".")
            other = parts[1] if len(parts) > 1 else ""
            handover = room == "train" and parts[1:3] == ["compile", "handover"]
            ground = other in GROUND or other.startswith("__")
            assert ground or other in ALLOWED[room] or handover, f"{path.relative_to(ROOT)} imports {name}"


def test_only_train_and_the_torch_backend_import_torch() -> None:
    for room in ALLOWED.keys() - {"train"}:
        for path in sources(room):
            if not path.relative_to(ROOT).as_posix().startswith(("runtime/backends/torch.py", "runtime/backends/_torch_")):
                assert not {n.split(".")[0] for n in imports(path)} & {"torch", "spikingjelly"}, path


@pytest.mark.parametrize(
    "module", ["spikeloom.cli", "spikeloom.sweep", "spikeloom.compile", "spikeloom.runtime", "spikeloom.train", "spikeloom.train.data"]
)
def test_light_imports_stay_light(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_package_is_shipped() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {".".join(["spikeloom", *p.parent.relative_to(ROOT).parts]) for room in ALLOWED for p in (ROOT / room).rglob("__init__.py")}
    assert listed == found | {"spikeloom"}


@pytest.mark.parametrize("name", chips.names())
def test_chips_conform(name: str) -> None:
    chip = chips.load(name)
    assert chip.name == name
    assert len(chip.digest) == 64
    assert chip.mesh.columns * chip.mesh.rows * chip.mesh.cores_per_tile >= chip.limit("cores")


def test_a_chip_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = (ROOT / "hwmodels/chips/loihi.toml").read_text()
    path.write_text(text.replace('name = "loihi"', 'name = "mine"'))
    assert chips.load(str(path)).name == "mine"
    path.write_text(text.replace("value = 1024", "value = -5"))
    with pytest.raises(FormatError, match=r"limits\.neurons\.value"):
        chips.load(str(path))
    path.write_text("not = [toml")
    with pytest.raises(FormatError, match="not a TOML file"):
        chips.load(str(path))
    with pytest.raises(UsageError, match="Did you mean 'loihi2'"):
        chips.load("loihi22")
