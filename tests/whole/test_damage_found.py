"""Damage that once ended in something else than an error of ours, found by benchmarks/fuzz.py; one file of each kind."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import netgen
import numpy as np
import onnx
import pytest
import test_datasets_layouts as layouts
from fuzzed import RECIPE, forked
from safetensors.numpy import load, save
from spikeloom.compile import compile_network, deployed
from spikeloom.compile.bits import Bits
from spikeloom.data.dataset import load_dataset
from spikeloom.data.stored import read_stored
from spikeloom.errors import DataError, FormatError, UsageError
from spikeloom.formats import onnx as model_onnx
from spikeloom.formats.nir.graph import Node, whole
from spikeloom.hwmodels import chip as chips
from spikeloom.train import checkpoint, fit
from spikeloom.train.recipe import merged, read_recipe
from spikeloom.train.settings import TrainSettings

NUMBERS = ("1" * 400, "0x" + "f" * 5000, "9" * 5000, "[" * 5000)


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_that_no_register_holds_are_refused_in_toml(text: str, tmp_path: Path) -> None:
    """A double holds no 1e400 that is whole, Python prints no number of 5,000 digits and follows no 5,000 brackets."""
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("0.001", text))
    with pytest.raises(UsageError, match=r"recipe\.toml"):
        TrainSettings.read(merged(read_recipe(tmp_path / "recipe.toml"), {}, ()))
    chip = Path(chips.__file__).with_name("chips").joinpath("loihi2.toml").read_text()
    (tmp_path / "chip.toml").write_text(chip.replace("value = 128", f"value = {text}", 1))
    with pytest.raises(FormatError, match=r"chip\.toml"):
        chips.load(str(tmp_path / "chip.toml"))


@pytest.mark.parametrize("value", ["1" * 400, "nan", "1e400x", 10**400, -(10**400)])
def test_settings_of_huge_numbers_are_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="lr"):
        TrainSettings.read({"data": "digits", "lr": value})


def far(document: dict[str, Any]) -> None:
    """Give a convolution a kernel of one tap, and a map of 2^30 rows and more by its padding."""
    synapses = next(p["synapses"] for p in document["projections"] if "kernel" in p["synapses"])
    synapses["padding"] = 1 << 29


def infinite(document: dict[str, Any]) -> None:
    document["projections"][0]["exponent"] = float("inf")


def infinite_pool(document: dict[str, Any]) -> None:
    document["projections"][0]["synapses"]["stride"] = float("inf")


def bytes_of(arrays: dict[str, Any]) -> None:
    """Keep places of cores in single bytes, which the number of a chip's cores does not fit into."""
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            arrays[name] = array.astype(np.int8)


def no_numbers(arrays: dict[str, Any]) -> None:
    for name, array in arrays.items():
        arrays[name] = np.full(array.shape, np.nan)


def signed(path: Path, change: Callable[[dict[str, Any]], None] | None, arrays_too: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Change a .loom and give it the checksum of what it then holds."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    document, arrays = json.loads(header["document"]), load(content)
    if change is not None:
        change(document)
    if arrays_too is not None:
        arrays_too(arrays)
    text = json.dumps(document)
    path.write_bytes(save(arrays, metadata=header | {"document": text, "sha256": deployed._digest(text, arrays)}))


@pytest.mark.parametrize(
    ("change", "arrays_too"), [(far, None), (infinite, None), (infinite_pool, None), (None, bytes_of), (None, no_numbers)]
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_loom_files_out_of_range_are_refused(change: Any, arrays_too: Any, tmp_path: Path) -> None:
    path = compile_network(netgen.integer_conv_network(4)).save(tmp_path / "model.loom")
    signed(path, None)
    deployed.load(path)
    signed(path, change, arrays_too)
    with pytest.raises(FormatError, match=r"model\.loom"):
        deployed.load(path)


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"a":' * 100_000])
def test_documents_nested_without_end_are_refused(nested: str, tmp_path: Path) -> None:
    path = compile_network(netgen.integer_network(3)).save(tmp_path / "model.loom")
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    arrays = load(content)
    path.write_bytes(save(arrays, metadata=header | {"document": nested, "sha256": deployed._digest(nested, arrays)}))
    with pytest.raises(FormatError, match=r"model\.loom"):
        deployed.load(path)


def test_a_version_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    path = model_onnx.write(netgen.float_network(3), tmp_path / "model.onnx")
    model = onnx.ModelProto.FromString(path.read_bytes())
    next(p for p in model.metadata_props if p.key == "spikeloom.version").value = "9" * 5000
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match="version"):
        model_onnx.read(path)


def test_a_checkpoint_with_settings_of_another_type_is_refused(tmp_path: Path) -> None:
    path = checkpoint.write(tmp_path / "checkpoint.safetensors", checkpoint.Checkpoint({}, {"settings": {}}))
    checkpoint.read(path)
    path.write_bytes(path.read_bytes().replace(b'{\\"settings\\": {}}', b'{\\"settings\\": []}'))
    with pytest.raises(FormatError, match="checkpoint"):
        checkpoint.read(path)


def test_a_checkpoint_without_best_weights_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit("digits", epochs=1, hidden=(4,), timesteps=2, out=run)
    (run / "train.json").unlink()
    held = checkpoint.read(run / "checkpoint.safetensors")
    checkpoint.write(run / "checkpoint.safetensors", checkpoint.Checkpoint(held.tensors, {**held.document, "best": {}}))
    with pytest.raises(FormatError, match="no best float weights"):
        fit("digits", epochs=1, hidden=(4,), timesteps=2, out=run, resume=True)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("field", ["padding", "stride"])
def test_half_precision_in_a_nir_file_is_read(field: str) -> None:
    """A bound that half precision does not hold is compared in doubles."""
    node = Node("conv", "Conv2d", {field: np.array([1, 1], np.float16)})
    assert whole(node, field, 2, least=0) == (1, 1)


ENDLESS = ("{'a': " + 3 * "'", "{(", 200 * "((", "{'descr': '|u1', 'fortran_order': False, 'shape': (4611686018427387904, 4), }")


@pytest.mark.parametrize("header", ENDLESS)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_headers_of_npy_files_are_refused(header: str, suffix: str, tmp_path: Path) -> None:
    """numpy reads a header as words of Python, of which some never end."""
    text = header.encode().ljust(1022) + b"\n"
    content = b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + bytes(64)
    path = tmp_path / f"values{suffix}"
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("x.npy", "y.npy"):
                archive.writestr(name, content)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match="values"):
        read_stored(path)


def test_labels_that_are_text_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", forked)
    layouts.write_shd(tmp_path, np.random.default_rng(0))
    load_dataset("shd", tmp_path, {})
    with h5py.File(next(tmp_path.rglob("*train.h5")), "a") as file:
        count = len(file["labels"])  # type: ignore[arg-type]
        del file["labels"]
        file["labels"] = ["one"] * count
    with pytest.raises(DataError, match="labels"):
        load_dataset("shd", tmp_path, {})


@pytest.mark.parametrize("text", ["²", "٤", "8" * 5000, "-4", "4.0"])
def test_weight_bits_are_one_ascii_digit(text: str) -> None:
    with pytest.raises(UsageError, match="weight-bits"):
        Bits.parse(text)
