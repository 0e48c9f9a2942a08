"""The architecture: which package imports which, torch only where it belongs, every package shipped, chips with sources."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import networkx as nx
import pytest
import spikeloom
from spikeloom.errors import FormatError, UsageError
from spikeloom.hwmodels import chip as chips

HEAVY = ("torch", "spikingjelly", "torchvision", "torchaudio", "numba", "lava")
ROOT = Path(spikeloom.__file__).resolve().parent
GROUND = {
    "checked",
    "display",
    "errors",
    "fed",
    "files",
    "hdf5",
    "jit",
    "lazy",
    "python_file",
    "registry",
    "reproducible",
    "subset",
    "_version",
    "",
}
ALLOWED = {
    "hwmodels": {"hwmodels"},
    "data": {"data"},
    "report": {"report"},
    "network": {"network", "hwmodels"},
    "formats": {"formats", "network", "hwmodels"},
    "compile": {"compile", "data", "formats", "network", "hwmodels"},
    "runtime": {"runtime", "compile", "data", "formats", "network", "hwmodels", "report"},
    "train": {"train", "formats", "network", "hwmodels", "data"},
    "sweep": {"sweep", "train", "runtime", "compile", "formats", "network", "hwmodels", "data", "report"},
    "cli": {"cli", "sweep", "train", "runtime", "compile", "formats", "network", "hwmodels", "data", "report"},
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


def sources(package: str) -> list[Path]:
    return [p for p in (ROOT / package).rglob("*.py") if not {"lava_worker", "xylosim_worker"} & set(p.parts)]


def used_by(package: str) -> set[str]:
    """The other packages of ours that a package imports."""
    found = {
        parts[1] for path in sources(package) for name in imports(path) if len(parts := name.split(".")) > 1 and parts[0] == "spikeloom"
    }
    return {other for other in found if other not in GROUND and not other.startswith("__")} - {package}


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_only_those_below_it(package: str) -> None:
    for path in sources(package):
        for name in imports(path):
            parts = name.split(".")
            other = parts[1] if parts[0] == "spikeloom" and len(parts) > 1 else ""
            assert other in GROUND | ALLOWED[package] or other.startswith("__"), f"{path.relative_to(ROOT)} imports {name}"


def test_the_documented_graph_of_packages_is_the_code_s() -> None:
    lines = [f"{package:10} uses  {', '.join(sorted(used_by(package))) or 'nothing'}" for package in ALLOWED]
    sys.stdout.write("\n".join(lines) + "\n")
    documented = (ROOT / "docs/architecture.md").read_text().splitlines()
    assert [line for line in lines if line not in documented] == []


def circles() -> list[set[str]]:
    """Modules of ours that import one another, at their tops, in functions or for types; the root, which only names all packages, apart."""
    files = [p for p in ROOT.glob("*.py") if p.name not in ("__init__.py", "conftest.py")] + [
        p for package in ALLOWED for p in sources(package)
    ]
    modules = {".".join(("spikeloom", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): p for p in files}
    graph: nx.DiGraph[str] = nx.DiGraph()
    for module, path in modules.items():
        for name in imports(path):
            found = name if name in modules else name.rpartition(".")[0]
            if found in modules and found != module:
                graph.add_edge(module, found)
    assert graph.number_of_edges() > 500
    return [{m.removeprefix("spikeloom.") for m in group} for group in nx.strongly_connected_components(graph) if len(group) > 1]


def test_no_modules_import_one_another() -> None:
    assert [sorted(circle) for circle in circles()] == []


def test_no_file_imports_a_private_module_or_name_of_another_folder() -> None:
    """What others build on is public; a folder's `_helpers.py` are its own. (Within a file the type checker sees to private names.)"""
    examples = [
        p
        for folder in ("examples", "cli", *ALLOWED)
        for p in (ROOT / folder).rglob("*.py")
        if not {"lava_worker", "xylosim_worker"} & set(p.parts)
    ]
    assert len(examples) > 200
    for path in examples:
        folder = ".".join(("spikeloom", *path.relative_to(ROOT).parent.parts))
        for name in imports(path):
            parts = name.split(".")
            private = next((i for i, part in enumerate(parts) if part.startswith("_") and not part.startswith("__")), None)
            if parts[0] == "spikeloom" and private is not None:
                assert ".".join(parts[:private]) == folder, f"{path.relative_to(ROOT)} imports {name}"


def test_only_train_the_format_torch_and_the_torch_backend_import_torch() -> None:
    for package in ALLOWED.keys() - {"train"}:
        for path in sources(package):
            if (
                not path.relative_to(ROOT)
                .as_posix()
                .startswith(("runtime/backends/torch.py", "runtime/backends/_torch_", "formats/torch/"))
            ):
                assert not {n.split(".")[0] for n in imports(path)} & {"torch", "spikingjelly"}, path


@pytest.mark.parametrize(
    "module",
    [
        "spikeloom.cli",
        "spikeloom.sweep",
        "spikeloom.compile",
        "spikeloom.runtime",
        "spikeloom.train",
        "spikeloom.data.dataset",
        "spikeloom.formats.torch",
    ],
)
def test_light_imports_stay_light(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_package_is_shipped() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(["spikeloom", *p.parent.relative_to(ROOT).parts]) for package in ALLOWED for p in (ROOT / package).rglob("__init__.py")
    }
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
