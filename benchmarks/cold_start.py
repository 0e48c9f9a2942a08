"""Processor time of every command on the digits: from a cold cache of kernels, warm, and what of the latter is imports.

    python benchmarks/cold_start.py
    python benchmarks/cold_start.py --data mnist --epochs 2 --only train,compile,run      784-800-10 at 5 %; SPIKELOOM_DATA names the folder
    python benchmarks/cold_start.py --data mnist --epochs 2 --only train,compile,run --method dense       the same on six cores

Each command is a process of its own. Cold: NUMBA_CACHE_DIR is a new folder; warm: the one that the cold run filled. Imports are what the
process spends within imports, in a run by itself. Processor time, so that others on the machine matter little.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SPENT = "seconds within imports:"
TIMED = f"""
import atexit, importlib._bootstrap, sys, time
find, depth, spent = importlib._bootstrap._find_and_load, 0, 0.0

def find_timed(*given):
    global depth, spent
    depth, begun = depth + 1, time.process_time()
    try:
        return find(*given)
    finally:
        depth -= 1
        if depth == 0:
            spent += time.process_time() - begun

importlib._bootstrap._find_and_load = find_timed
atexit.register(lambda: print("{SPENT}", spent, file=sys.stderr))
from spikeloom.cli import main
sys.argv[0] = "spikeloom"
main()
"""


def seconds(words: list[str], folder: Path, cache: Path, *, fails: bool = False) -> float:
    """Run a command; return the processor time of it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command(words), cwd=folder, env=environment(cache), capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if (done.returncode == 0) == fails:
        sys.exit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-500:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def imports(words: list[str], folder: Path, cache: Path) -> float:
    """Return the seconds that a command imports."""
    timed = [sys.executable, "-c", TIMED, *words]
    done = subprocess.run(timed, cwd=folder, env=environment(cache), capture_output=True, text=True, check=False)
    return float(re.findall(rf"{SPENT} (\S+)", done.stderr)[-1])


def command(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "spikeloom", *words]


def environment(cache: Path) -> dict[str, str]:
    return os.environ | {"NUMBA_CACHE_DIR": str(cache)}


def commands(data: str, epochs: str, method: str) -> dict[str, list[str]]:
    """Return the words of each row, each after those whose files it needs; where they end with --out NAME, later runs take other names."""
    sparsity = "0" if method == "dense" else "0.95" if data == "mnist" else "0.9"
    recipe = ["--data", data, "--epochs", epochs, "--weight-bits", "8"]
    return {
        f"train ({epochs} epochs)": ["train", *recipe, "--method", method, "--sparsity", sparsity, "--out", "run"],
        "compile run": ["compile", "run"],
        "run": ["run", "run/model.loom"],
        "run --check": ["run", "run/model.loom", "--check"],
        "run --backend torch": ["run", "run/model.loom", "--out", "torch.json", "--backend", "torch"],
        "report": ["report", "run"],
        "estimate run": ["estimate", "run"],
        "export --to graphml": ["export", "run/model.loom", "--to", "graphml"],
        "figure --kind raster": ["figure", "run", "--kind", "raster"],
        "repeat run": ["repeat", "run"],
        "sweep (2 cells of 2 epochs)": [
            "sweep", *recipe[:2], "--epochs", "2", "--methods", "dense,grad-r", "--sparsities", "0.5", "--out", "grid"
        ],
        "convert ann.onnx": ["convert", "ann.onnx", "--data", data, "--out", "converted"],
        "doctor": ["doctor"],
        "hw list": ["hw", "list"],
        "train, a recipe that is refused": ["train", "--recipe", "bad.toml", "--out", "none"],
        "--help": ["--help"],
    }  # fmt: skip


def ann(inputs: int) -> bytes:
    """Return an ANN of two layers with random weights, as ONNX; what a conversion takes depends on its shape alone."""
    rng, nodes, weights = np.random.default_rng(0), [], []
    for name, source, shape in (("hidden", "x", (32, inputs)), ("y", "active", (10, 32))):
        weights += [numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), f"{name}.weight")]
        nodes += [helper.make_node("Gemm", [source, f"{name}.weight"], [name], transB=1)]
    nodes.insert(1, helper.make_node("Relu", ["hidden"], ["active"]))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, size]) for n, size in (("x", inputs), ("y", 10))]
    graph = helper.make_graph(nodes, "ann", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--epochs", default="20")
    parser.add_argument("--method", default="grad-r")
    parser.add_argument("--only", help="first words of the rows to measure, such as train,compile,run")
    given = parser.parse_args()
    chosen = None if given.only is None else given.only.split(",")
    rows = {n: w for n, w in commands(given.data, given.epochs, given.method).items() if chosen is None or w[0] in chosen}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bad.toml").write_text(f"data = '{given.data}'\nepochs = 'many'\n")
        (folder / "ann.onnx").write_bytes(ann(784 if given.data == "mnist" else 64))
        print("| command | cold | warm | imports |\n|---|---|---|---|")
        for label, words in rows.items():
            cache = folder / f"cache of {label}"
            again = [[*words[:-1], out] if words[-2:-1] == ["--out"] else words for out in ("second", "third")]
            fails = "refused" in label
            cold, warm = seconds(words, folder, cache, fails=fails), seconds(again[0], folder, cache, fails=fails)
            shown = imports(again[1], folder, cache)
            print(f"| `{label}` | {cold:.1f} s | {warm:.1f} s | {shown:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
