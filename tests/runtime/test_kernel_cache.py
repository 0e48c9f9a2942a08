"""Compiled kernels are found again only where everything that they were made of is the same, and processes do not mix theirs up."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import spikeloom
from spikeloom.jit import VARIABLE, jit, jit_inner

ROOT = Path(spikeloom.__file__).resolve().parent
# A package of two files: a kernel, what it calls, a constant, and an intrinsic with a helper.
CALLER = """
from spikeloom.jit import jit, jit_parallel, prange
from . import callee
from .callee import ADDED, emitted, scaled

@jit
def answer(values):
    total = values[0]
    for i in range(values.size):
        total += scaled(values[i]) + ADDED + emitted(values[i])
    return total

@jit_parallel
def shared(values):
    for i in prange(values.size):
        values[i] = callee.scaled(values[i])
"""
CALLEE = """
from numba.extending import intrinsic
from spikeloom.jit import jit, jit_inline

ADDED = 100

def helper(b, x):
    return b.add(x, x)

@intrinsic
def emitted(typing, x):
    def emit(context, b, signature, args):
        return helper(b, args[0])
    return x(x), emit

@jit_inline
def scaled(x):
    return x * 10
"""
ASK = """
import sys, numpy as np
from toy import caller
values = np.array([1, 2], sys.argv[1] if len(sys.argv) > 1 else "int64")
result = caller.answer(values)
caller.shared(values)
print(result, values[0], sum(caller.answer.stats.cache_hits.values()), sum(caller.shared.stats.cache_hits.values()))
"""
EDITS = {
    "the code of a kernel in another file": ("x * 10", "x * 20", "267 20"),
    "a constant of another file": ("ADDED = 100", "ADDED = 200", "437 10"),
    "a helper of an intrinsic": ("b.add(x, x)", "b.mul(x, x)", "236 10"),
}


def toy(folder: Path) -> Path:
    package = folder / "toy"
    package.mkdir()
    for name, text in (("__init__", ""), ("caller", CALLER), ("callee", CALLEE)):
        (package / f"{name}.py").write_text(text)
    return package


def start(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", VARIABLE)}
    command = [sys.executable, "-c", ASK, *words]
    return subprocess.Popen(command, cwd=folder, env=clean | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ask(folder: Path, *words: str, **environment: str) -> str:
    """What the toy's kernels give in a process of its own, and which of them were found compiled."""
    child = start(folder, *words, **environment)
    out, err = child.communicate()
    assert child.returncode == 0, err
    return out.strip()


@pytest.mark.parametrize("elsewhere", [False, pytest.param(True, marks=pytest.mark.chain)], ids=["beside", "NUMBA_CACHE_DIR"])
def test_an_edit_of_anything_below_a_kernel_is_seen(elsewhere: bool, tmp_path: Path) -> None:
    package = toy(tmp_path)
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")} if elsewhere else {}
    assert ask(tmp_path, **environment) == "237 10 0 0"
    assert ask(tmp_path, **environment) == "237 10 1 1", "nothing was found again"
    files = len([*tmp_path.rglob("*.nbc")])
    for before, after, result in list(EDITS.values())[: 1 if elsewhere else None]:
        (package / "callee.py").write_text(CALLEE.replace(before, after))
        assert ask(tmp_path, **environment) == f"{result} 0 0", after
    assert len([*tmp_path.rglob("*.nbc")]) == files, "files of old code pile up"
    assert ([*package.rglob("*.nbc")] == []) == elsewhere


@pytest.mark.chain
def test_forms_of_the_kernels_keep_their_code_apart(tmp_path: Path) -> None:
    """A choice that a constant depends on: going to and fro compiles nothing again."""
    package = toy(tmp_path)
    callee = CALLEE.replace("ADDED = 100", f"import os\nADDED = 200 if os.environ.get('{VARIABLE}') else 100")
    (package / "callee.py").write_text(callee)
    for found in (0, 1):
        assert ask(tmp_path) == f"237 10 {found} {found}"
        assert ask(tmp_path, **{VARIABLE: "plain"}) == f"437 10 {found} {found}"


@pytest.mark.chain
def test_processes_that_compile_at_once_do_not_mix(tmp_path: Path) -> None:
    toy(tmp_path)
    kinds = ("int64", "int32", "int16")
    children = [start(tmp_path, kind) for kind in kinds]
    assert [child.communicate()[0].split()[:2] for child in children] == [["237", "10"]] * len(kinds)
    for kind in kinds:
        assert ask(tmp_path, kind).split()[:2] == ["237", "10"]


@pytest.mark.chain
def test_damaged_files_are_as_good_as_none(tmp_path: Path) -> None:
    toy(tmp_path)
    ask(tmp_path)
    for suffix in (".nbc", ".nbi"):
        for path in tmp_path.rglob(f"*{suffix}"):
            path.write_bytes(path.read_bytes()[:-20])
        assert ask(tmp_path) == "237 10 0 0"
        assert ask(tmp_path) == "237 10 1 1"


DIGESTS = """
import sys
from spikeloom import jit
from spikeloom.compile.mapping import anneal, fill
from spikeloom.compile.mapping.refinement import refine_kernels
from spikeloom.runtime.backends import truenorth
from spikeloom.runtime.native import dense, lanes, recurrent
from spikeloom.train import kernels, optimiser_kernels
for name, module in sorted(sys.modules.items()):
    if name.startswith("spikeloom."):
        for known, value in sorted(vars(module).items()):
            if hasattr(value, "py_func") and value.py_func.__module__ == name:
                print(f"{name}.{known}", jit.made_of(value.py_func))
"""


def digests(folder: Path) -> dict[str, str]:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", DIGESTS], env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


def test_every_kernel_of_ours_depends_on_what_it_calls(tmp_path: Path) -> None:
    """In a copy of the package: the kernels that an edit reaches, in every package that has some, and no others."""
    copy = tmp_path / "spikeloom"
    for name in ("compile", "runtime", "train", "hwmodels"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.glob("*.py"):
        shutil.copy(path, copy)
    before = digests(tmp_path)
    assert len(before) > 80 and before == digests(tmp_path)
    for edited, old, new in (
        ("compile/mapping/loads/kernels.py", "\nSPARSE, RUNLENGTH = 0, 1", "\nSPARSE, RUNLENGTH = 1, 0"),
        ("runtime/native/kernels/vectors/llvm.py", "value.align = 1", "value.align = 2"),
        ("train/kernels.py", "BLOCK = 1024", "BLOCK = 512"),
    ):
        source = copy / edited
        assert old in source.read_text()
        source.write_text(source.read_text().replace(old, new))
    after = digests(tmp_path)
    changed = {name.removeprefix("spikeloom.") for name, digest in before.items() if after[name] != digest}
    reached = {
        "compile.mapping.loads.kernels.set_load",
        "runtime.native.kernels.tiles.gather_tiles",
        "runtime.native.kernels.sums.sum_rows",
        "train.kernels.lif_forward",
    }
    assert reached <= changed
    kept = {name.removeprefix("spikeloom.") for name in before} - changed
    assert {"runtime.backends.truenorth._run", "runtime.native.kernels.moves.gather", "train.optimiser_kernels._masked_cpu"} <= kept


def test_nothing_but_jit_calls_the_compiler() -> None:
    """Numba's decorators by themselves keep code that is out of date; `jit` has one for every purpose."""
    decorators = re.compile(r"(numba\.)?(n?jit|vectorize|guvectorize|cfunc|stencil)")
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = [ROOT.joinpath(*package.split(".")[1:]) for package in packages]
    for path in (p for folder in folders for p in folder.glob("*.py")):  # not of .peers, build or an environment
        if path == ROOT / "jit.py" or "numba" not in (text := path.read_text()):
            continue
        tree = ast.parse(text)
        used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        used |= {f"numba.{a.name}" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "numba" for a in n.names}
        assert not [name for name in used if name.startswith("numba.") and decorators.fullmatch(name)], path


def test_a_kernel_for_kernels_refuses_a_call_from_python() -> None:
    """It has no code for such a call, before and after a kernel has compiled it."""
    pytest.importorskip("numba")

    @jit_inner
    def doubled(x: int) -> int:
        return 2 * x

    @jit
    def fourfold(x: int) -> int:
        return doubled(doubled(x))

    for _ in range(2):
        with pytest.raises(TypeError, match=r"doubled is called by compiled kernels only"):
            doubled(3)
        assert fourfold(3) == 12
    assert doubled.py_func(3) == 6
