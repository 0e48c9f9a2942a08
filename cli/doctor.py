"""The command `spikeloom doctor`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..errors import MissingFilesError, SpikeloomError, SpikeloomWarning
from .shared import AsJson, DataDir, print_json, render, say

__all__ = ["add_to"]

NEEDED = ("numpy", "scipy", "networkx", "onnx", "onnxruntime", "safetensors", "pydantic", "typer", "rich", "jinja2", "h5py", "nir")
OPTIONAL = {
    "numba": ("fast kernels; without it the reference runs", "pip install numba"),
    "mtkahypar": ("hypergraph partitions; without it layer order and tiles are left", "pip install mtkahypar"),
    "torch": ("training, and the backend torch", "pip install 'spikeloom[train]'"),
    "spikingjelly": ("training", "pip install 'spikeloom[train]'"),
    "tensorboard": ("curves of training", "pip install 'spikeloom[train]'"),
    "matplotlib": ("figures", "pip install 'spikeloom[figures]'"),
    "pandas": ("data frames", "pip install 'spikeloom[frames]'"),
    "pyarrow": ("parquet files", "pip install 'spikeloom[parquet]'"),
    "sklearn": ("the embedded digits, and Lava", "pip install scikit-learn"),
}
DISTRIBUTIONS = {"sklearn": "scikit-learn"}


@dataclass(frozen=True)
class Finding:
    """One finding; `state` is ok, missing (something does not work) or absent (something optional)."""

    name: str
    state: str
    found: str
    way_out: str = ""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Show what is installed, what is missing, and how to add it.")(doctor)


def doctor(
    as_json: AsJson = False,
    data_dir: DataDir = None,
    cuda: Annotated[
        bool,
        typer.Option(
            "--cuda/--no-cuda", help="Import torch, to look for a GPU and test whether products are reproducible; takes a second or two."
        ),
    ] = True,
    warm: Annotated[bool, typer.Option("--warm", help="Compile the kernels now, for all later commands: about a minute, once.")] = False,
) -> None:
    """Check versions, processor, GPU, Lava and the data folder. Exit code 1 if something that every command needs is missing."""
    from .. import __version__

    compiled = _warmed() if warm else []
    findings = [
        Finding("spikeloom", "ok", f"{__version__}, in {Path(__file__).parents[1]}"),
        Finding("python", "ok", f"{platform.python_version()}, {sys.executable}"),
        *(_package(name, "needed by every command", f"pip install {name}", needed=True) for name in NEEDED),
        *(_package(name, use, way) for name, (use, way) in OPTIONAL.items()),
        _vectors(),
        *([_products(), _gpu()] if cuda else []),
        _lava(),
        _xylosim(),
        *_data(data_dir),
        *compiled,
    ]
    if as_json:
        print_json([asdict(f) for f in findings])
    else:
        render(_table(findings))
    if any(f.state == "missing" for f in findings):
        raise typer.Exit(1)


def _warmed() -> list[Finding]:
    """Compile what is not compiled yet, with a line for each item; a failure is a finding and does not stop the rest."""
    if importlib.util.find_spec("numba") is None:
        return [Finding("kernels", "absent", "numba is missing", OPTIONAL["numba"][1])]
    from .. import jit
    from .warm import works

    failed: list[Finding] = []
    for name, work in works():
        before = jit.compiling_seconds()
        say(f"compiling kernels: {name} ...")
        try:
            with warnings.catch_warnings(action="ignore", category=SpikeloomWarning):
                work()
        except SpikeloomError as error:
            failed.append(Finding("kernels", "absent", f"{name}: {error}"))
        say(f"compiling kernels: {name}, {jit.compiling_seconds() - before:.1f} s")
    return failed or [Finding("kernels", "ok", f"compiled and kept; this took {jit.compiling_seconds():.1f} s")]


def _package(name: str, use: str, way_out: str, *, needed: bool = False) -> Finding:
    if importlib.util.find_spec(name) is None:
        return Finding(name, "missing" if needed else "absent", use, way_out)
    return Finding(name, "ok", importlib.metadata.version(DISTRIBUTIONS.get(name, name)))


def _vectors() -> Finding:
    if importlib.util.find_spec("numba") is None:
        return Finding("vectors", "absent", "numba is missing")
    from ..runtime.native.kernels.choose import FORM

    names = {
        "avx512": "AVX-512",
        "avx2": "AVX2",
        "portable": "what LLVM makes of this processor",
        "plain": "none: plain numba was asked for",
    }
    return Finding("vectors", "ok", names[FORM])


def _products() -> Finding:
    """Whether a resumed training run gives the same bits on this CPU."""
    if importlib.util.find_spec("torch") is None:
        return Finding("products", "absent", "torch is missing", OPTIONAL["torch"][1])
    from ..train import platform as found

    texts = found.unreproducible()
    if texts:
        return Finding("products", "absent", texts[0], "see docs/training.md, The same bits")
    return Finding("products", "ok", f"the same bits at every alignment; {found.products()}")


def _gpu() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("GPU", "absent", "torch is missing", OPTIONAL["torch"][1])
    from ..train.devices import describe_cuda

    described = describe_cuda()
    if described is None:
        return Finding("GPU", "absent", "torch sees no CUDA device; everything runs on the CPU")
    return Finding("GPU", "ok", described)


def _lava() -> Finding:
    from ..runtime.backends.lava import available

    reason = available()
    return (
        Finding("lava", "ok", importlib.metadata.version("lava-nc")) if reason is None else Finding("lava", "absent", reason, "make lava")
    )


def _xylosim() -> Finding:
    from ..runtime.backends.xylosim import INSTALL, available

    if available() is None:
        return Finding("xylosim", "ok", importlib.metadata.version("xylosim"))
    return Finding("xylosim", "absent", "the simulator of Xylo's maker, for --backend xylosim; states no licence", INSTALL)


def _data(folder: Path | None) -> list[Finding]:
    """Return the data folder, the data sets whose files are there, and those whose files are not; loading checks what is in them."""
    from ..data.dataset import data_folder, names, place_of

    place = data_folder(folder)
    there: list[str] = []
    missing: list[str] = []
    for name in names():
        try:
            found = place_of(name, place)
        except MissingFilesError:
            missing.append(name)
        else:
            there.append(name if found is None else f"{name} ({found})")
    findings = [Finding("data sets here", "ok", ", ".join(there))]
    if missing:
        way = "spikeloom train --data NAME --download, where it can be; docs/data.md"
        findings.append(Finding("data sets not here", "absent", ", ".join(missing), way))
    if place.is_dir():
        return [Finding("data", "ok", str(place)), *findings]
    return [Finding("data", "absent", f"no folder {place}", "name one with --data-dir or SPIKELOOM_DATA"), *findings]


def _table(findings: list[Finding]) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table("", "state", "found", "to add it")
    colours = {"ok": "green", "absent": "yellow", "missing": "red"}
    for f in findings:
        table.add_row(Text(f.name), Text(f.state, colours[f.state]), Text(f.found), Text(f.way_out))
    return table
