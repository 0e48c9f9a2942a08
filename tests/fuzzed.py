"""Every reader of files, a small real file for each, and one attempt to read it damaged."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import anngen
import mutate
import netgen
import netxgen
import nirgen
import numpy as np
import onnx
import test_datasets
import test_datasets_layouts as layouts
import test_datasets_pickle
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save
from spikeloom.cli import report as cli_report
from spikeloom.compile import compile_network, deployed
from spikeloom.compile.files import dump
from spikeloom.data.dataset import load_dataset
from spikeloom.data.stored import read_stored
from spikeloom.errors import SpikeloomError
from spikeloom.formats import onnx as model_onnx
from spikeloom.formats.ann import read_ann
from spikeloom.formats.netx import reader as netx
from spikeloom.formats.nir import reader as nir_reader
from spikeloom.hwmodels import chip as chips
from spikeloom.runtime import results as results_file
from spikeloom.runtime import run as run_network
from spikeloom.train.recipe import merged, read_recipe
from spikeloom.train.settings import TrainSettings

TEXTS = ("-1", "0", "1", "1e3", "²", str(2**63), str(2**64), "nan", "weights.bin", "\0", "C:x")
WORKER_MEMORY = 2.0  # GiB of address space that a worker may take
WORKER_LIMIT = 5.0  # seconds of a worker; outside tests it has at least 60
TIME_LIMIT = 20  # seconds that reading a small file may take, however damaged
RECIPE = """data = "digits"
method = "grad-r"
sparsity = 0.9
epochs = 4
seed = 3
lr = 0.001
[method_options]
ramp = 0.5
[net_options]
hidden = [16, 8]
"""
Mutation = Callable[[Path, Random], None]


class HangError(BaseException):
    """Reading took longer than TIME_LIMIT; no handler of the reader's may take it for something else."""


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Args:
        make: writes a real file into a folder; returns the file to be damaged.
        read: reads it.
        structure: changes what the format is made of, in place; None: bytes alone.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    structure: Mutation | None = None


# --- real files ----------------------------------------------------------------------------------------------------------


def _loom(folder: Path, network: Any, **options: Any) -> Path:
    return compile_network(network, **options).save(folder / "model.loom")


def _handed_over(folder: Path, network: Any) -> Path:
    return model_onnx.write(network, folder / "model.onnx")


def write_nir(folder: Path) -> Path:
    nirgen.nir.write(folder / "model.nir", nirgen.Generator(7).make().graph())
    return folder / "model.nir"


def write_netx(folder: Path) -> Path:
    netxgen.random_file(3, folder / "model.net")
    return folder / "model.net"


def write_chip(folder: Path) -> Path:
    source = Path(chips.__file__).with_name("chips") / "loihi2.toml"
    return Path(shutil.copy(source, folder / "chip.toml"))


def _recipe(folder: Path) -> Path:
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"


def _data(folder: Path, write: Callable[..., Any], pattern: str) -> Path:
    write(folder, np.random.default_rng(0))
    return sorted(folder.rglob(pattern))[0]


def _mnist(folder: Path, *, packed: bool) -> Path:
    test_datasets.write_mnist(folder)
    for path in list(folder.rglob("*.gz")):
        if not packed:
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
    return sorted(p for p in folder.rglob("*ubyte*") if "train-images" in p.name)[0]


def _cifar_python(folder: Path) -> Path:
    test_datasets_pickle._write_python(folder, partial(pickle.dumps, protocol=2))
    return sorted(folder.rglob("data_batch_1"))[0]


def _results(folder: Path) -> Path:
    network = netgen.integer_network(3)
    split = netgen.Labelled(netgen.samples(network, 0), np.zeros(5, np.int64))
    return run_network(compile_network(network), split, check=True).save(folder / "results.json")


def _run(folder: Path, name: str) -> Path:
    """A finished run folder, without its summary where the checkpoint is what is read."""
    from spikeloom.train import fit

    run = folder / "run"
    fit("digits", method="grad-r", sparsity=0.8, epochs=1, hidden=(4,), timesteps=2, out=run)
    if name == "checkpoint.safetensors":  # what a finished run no longer looks at
        (run / "train.json").unlink()
    shutil.rmtree(run / "tensorboard")
    return run / name


# --- reading -------------------------------------------------------------------------------------------------------------


def _read_data(name: str, path: Path) -> object:
    home = next(p for p in path.parents if p.name == "home")
    return load_dataset(name, home, {})


def _read_recipe(path: Path) -> object:
    return TrainSettings.read(merged(read_recipe(path), {}, ()))


def _read_results(path: Path) -> object:
    found, out = results_file.load(path), path.with_name("out")
    for form in cli_report.FORMATS:
        if form == "parquet" and find_spec("pyarrow") is None:
            continue
        with redirect_stdout(StringIO()):
            cli_report._one(path, found, form, out, None)
            cli_report._several([(path, found), (path, found)], form, out, "runs")
    return found


def _resume(path: Path) -> object:
    from spikeloom.train.running import train_run

    settings = TrainSettings(
        data="digits", method="grad-r", sparsity=0.8, epochs=1, timesteps=2, net_options={"hidden": (4,)}, device="auto"
    )
    return train_run(settings, path.parent, resume=True)


def _sweep_row(path: Path) -> object:
    from spikeloom.sweep import grid

    return grid._trained(_resume(path))  # type: ignore[arg-type]


def _read_calibration(path: Path) -> object:
    from spikeloom.compile import compiler

    return compiler._calibration(path)


def _calibration(folder: Path) -> Path:
    arrays = {"values": np.zeros((4, 6), np.uint8), "labels": np.arange(4)}
    (folder / "calibration.safetensors").write_bytes(save(arrays))
    return folder / "calibration.safetensors"


def _external(folder: Path, which: str) -> Path:
    model = onnx.load(anngen.mlp(np.random.default_rng(0), folder / "whole.onnx"))
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    return folder / which


def _npy(folder: Path) -> Path:
    np.save(folder / "values.npy", np.arange(60, dtype=np.uint8).reshape(10, 6))
    np.save(folder / "labels.npy", np.arange(10))
    return folder / "values.npy"


def _read_npy(path: Path) -> object:
    mapped = read_stored(path, path.with_name("labels.npy"))
    return np.asarray(mapped.values[:2]).sum()


def _dump(folder: Path) -> Path:
    dump.write(netgen.integer_conv_network(4), folder, 1, "quantise")
    return sorted(folder.glob("*.safetensors"))[0]


# --- changes that need more than the format ------------------------------------------------------------------------------


def signed_again(path: Path, rng: Random) -> None:
    """Change the document or the arrays of a .loom file, and give it the checksum of what it now holds."""
    content = path.read_bytes()
    header, _ = mutate.safetensors_parts(content)
    arrays, metadata = load_tensors(content), header["__metadata__"]
    text = metadata["document"]
    if rng.random() < 0.5:
        text = mutate.text(text, rng)
    else:
        with np.errstate(all="ignore"):
            name = rng.choice(sorted(arrays))
            other = rng.choice(sorted(arrays))
            if rng.random() < 0.3:
                arrays[name], arrays[other] = arrays[other], arrays[name]
            else:
                arrays[name] = np.ascontiguousarray(mutate.array(rng, arrays[name]))
    metadata |= {"document": text, "sha256": deployed._digest(text, arrays)}
    path.write_bytes(save(arrays, metadata=metadata))


def elsewhere(path: Path, rng: Random) -> None:
    """Change where an ONNX file says that its weights lie, or another message of it."""
    model = onnx.ModelProto()
    model.ParseFromString(path.read_bytes())
    for _ in range(rng.randint(1, 2)):
        entry = rng.choice([e for t in model.graph.initializer for e in t.external_data])
        if rng.random() < 0.3:
            entry.key = rng.choice(("location", "offset", "length", "checksum", "", "x"))
        else:
            entry.value = rng.choice(
                ("../weights.bin", "/etc/passwd", "model.onnx", "", ".", "a/b", "a\\b", "x" * 5000, "9" * 5000, *TEXTS)
            )
    path.write_bytes(model.SerializeToString())


def inside_gzip(path: Path, rng: Random) -> None:
    """Change what a gzipped file holds."""
    path.write_bytes(gzip.compress(mutate.damage(gzip.decompress(path.read_bytes()), rng), 1))


def _ann(folder: Path, seed: int) -> Path:
    (folder / "ann.onnx").write_bytes(anngen.Random(seed).build())
    return folder / "ann.onnx"


READERS: dict[str, Reader] = {
    ".loom": Reader(lambda f: _loom(f, netgen.integer_network(3)), deployed.load, signed_again),
    ".loom, convolutions": Reader(lambda f: _loom(f, netgen.integer_conv_network(4)), deployed.load, signed_again),
    ".onnx, handed over": Reader(lambda f: _handed_over(f, netgen.float_network(3)), model_onnx.read, mutate.onnx_file),
    ".onnx, convolutions": Reader(lambda f: _handed_over(f, netgen.conv_network(3)), model_onnx.read, mutate.onnx_file),
    ".onnx, an ANN": Reader(lambda f: anngen.mlp(np.random.default_rng(0), f / "ann.onnx"), read_ann, mutate.onnx_file),
    ".onnx, an ANN of many operators": Reader(partial(_ann, seed=196), read_ann, mutate.onnx_file),
    ".onnx, a residual ANN": Reader(partial(_ann, seed=188), read_ann, mutate.onnx_file),
    ".onnx, weights elsewhere": Reader(lambda f: _external(f, "model.onnx"), read_ann, elsewhere),
    ".onnx's other file": Reader(lambda f: _external(f, "weights.bin"), lambda p: read_ann(p.with_name("model.onnx"))),
    ".npy samples": Reader(_npy, _read_npy),
    "dump of a pass": Reader(_dump, dump.load, mutate.safetensors_file),
    ".nir": Reader(write_nir, lambda p: nir_reader.read(p, nir_reader.Options(timesteps=3)), mutate.hdf5_file),
    ".net": Reader(write_netx, netx.read, mutate.hdf5_file),
    "chip TOML": Reader(write_chip, lambda p: chips.load(str(p)), mutate.toml_file),
    "recipe TOML": Reader(_recipe, _read_recipe, mutate.toml_file),
    "IDX": Reader(partial(_mnist, packed=False), partial(_read_data, "mnist")),
    "IDX, gzipped": Reader(partial(_mnist, packed=True), partial(_read_data, "mnist"), inside_gzip),
    "CIFAR binary": Reader(lambda f: _data(f, layouts.write_cifar10, "data_batch_1.bin"), partial(_read_data, "cifar10")),
    "CIFAR python": Reader(_cifar_python, partial(_read_data, "cifar10")),
    "N-MNIST .bin": Reader(lambda f: _data(f, layouts.write_n_mnist, "*.bin"), partial(_read_data, "n-mnist")),
    "AEDAT 2.0": Reader(lambda f: _data(f, layouts.write_cifar10_dvs, "*.aedat"), partial(_read_data, "cifar10-dvs")),
    "AEDAT 3.1": Reader(lambda f: _data(f, layouts.write_dvs128_gesture, "*.aedat"), partial(_read_data, "dvs128-gesture")),
    "gesture labels": Reader(lambda f: _data(f, layouts.write_dvs128_gesture, "*.csv"), partial(_read_data, "dvs128-gesture")),
    "SHD .h5": Reader(lambda f: _data(f, layouts.write_shd, "*train.h5"), partial(_read_data, "shd"), mutate.hdf5_file),
    "checkpoint": Reader(lambda f: _run(f, "checkpoint.safetensors"), _resume, mutate.safetensors_file),
    "calibration": Reader(_calibration, _read_calibration, mutate.safetensors_file),
    "settings.json": Reader(lambda f: _run(f, "settings.json"), _resume, mutate.json_file),
    "train.json": Reader(lambda f: _run(f, "train.json"), _sweep_row, mutate.json_file),
    "metrics.jsonl": Reader(lambda f: _run(f, "metrics.jsonl"), _sweep_row, mutate.json_file),
    "results.json": Reader(_results, _read_results, mutate.json_file),
}

# --- one attempt ---------------------------------------------------------------------------------------------------------


def fresh(original: Path, scratch: Path) -> Path:
    """Return the path of a copy of a file below `scratch`; what lies beside it is copied anew each time.

    Args:
        original: the file, somewhere below a folder called `home`.
        scratch: a folder for the copy of `home`.
    """
    depth = len(original.parts) - 1 - original.parts[::-1].index("home")
    home, path = Path(*original.parts[: depth + 1]), scratch.joinpath(*original.parts[depth:])
    if not (scratch / "home").exists():
        shutil.copytree(home, scratch / "home")
    shutil.rmtree(path.parent)
    shutil.copytree(original.parent, path.parent)
    return path


def attempt(reader: Reader, path: Path, rng: Random) -> str:
    """Damage a file and read it; return "read" or the name of our error. Anything else is raised."""
    if reader.structure is not None and rng.random() < 0.6:
        reader.structure(path, rng)
    else:
        path.write_bytes(mutate.damage(path.read_bytes(), rng))
    with limited(), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # numpy's, about values that a reader should have looked at
        try:
            reader.read(path)
        except SpikeloomError as error:
            return type(error).__name__
    return "read"


def _alarm(*_: object) -> None:
    raise HangError(f"not done after {TIME_LIMIT} s")


@contextmanager
def limited(seconds: float = TIME_LIMIT) -> Generator[None]:
    """Raise HangError where the body takes longer; children of `forked` have the limit, too."""
    before = signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


SERVERS: dict[int, subprocess.Popen[str]] = {}  # by the process that started it: after a fork each has its own


def forked(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
    """Run a reader's worker in a fork of a small process that has h5py loaded: as isolated as a new one, and 100 times as fast.

    It stands in for `subprocess.run`, and ends a worker after WORKER_LIMIT: the HDF5 library loops on some damaged files.
    """
    server = SERVERS.get(os.getpid()) or _server()
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        server.stdin.write(json.dumps({"program": command[2], "words": command[2:], "seconds": WORKER_LIMIT}) + "\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
    except BaseException:  # out of step, as after a HangError
        SERVERS.pop(os.getpid()).kill()
        raise
    if answer["code"] is None:
        raise subprocess.TimeoutExpired(command, WORKER_LIMIT)
    return subprocess.CompletedProcess(command, answer["code"], "", answer["said"])


def _server() -> subprocess.Popen[str]:
    program = Path(__file__).with_name("worker_server.py")
    command = [sys.executable, "-P", str(program), str(WORKER_MEMORY)]
    SERVERS[os.getpid()] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return SERVERS[os.getpid()]
