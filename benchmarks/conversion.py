"""Trains ordinary ANNs of ReLUs and writes them as ONNX, for `spikeloom convert`.

    python benchmarks/conversion.py --data mnist --out runs/anns

mlp.onnx: 784-128-64-10 by scikit-learn.  cnn.onnx: two convolutions of 3 x 3, each with an average over 2 x 2, and a fully connected
layer, by torch, normalisation in the file. Pixels are 0..1.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from sklearn.neural_network import MLPClassifier
from spikeloom.data.dataset import Dataset, load_dataset
from torch import nn

Arrays = dict[str, NDArray[Any]]


def write(path: Path, nodes: list[tuple[str, list[str], dict[str, Any]]], weights: Arrays, shape: list[Any]) -> None:
    """Write a chain: (operator, constants, attributes) each."""
    made: list[onnx.NodeProto] = []
    last = "x"
    for number, (kind, constants, attributes) in enumerate(nodes):
        out = f"{kind.lower()}{number}"
        made.append(helper.make_node(kind, [last, *constants], [out], name=out, **attributes))
        last = out
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in (("x", shape), (last, None))]
    graph = helper.make_graph(made, "ann", values[:1], values[1:], [numpy_helper.from_array(w, name) for name, w in weights.items()])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString())


def mlp(data: Dataset, path: Path) -> None:
    """Train with scikit-learn."""
    trained: Any = MLPClassifier((128, 64), max_iter=15, random_state=0, early_stopping=True)
    trained.fit(data.train.values.reshape(len(data.train), -1) / data.levels, data.train.labels)
    weights: Arrays = {}
    nodes: list[tuple[str, list[str], dict[str, Any]]] = []
    for i, (w, b) in enumerate(zip(trained.coefs_, trained.intercepts_, strict=True)):
        weights |= {f"w{i}": w.astype(np.float32), f"b{i}": b.astype(np.float32)}
        nodes += [("Gemm", [f"w{i}", f"b{i}"], {}), ("Relu", [], {})]
    write(path, [*nodes[:-1], ("Softmax", [], {})], weights, ["N", data.inputs])


def cnn(data: Dataset, path: Path, epochs: int) -> None:
    """Train with torch."""
    torch.manual_seed(0)
    side = data.shape[-1]
    convs = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.Conv2d(16, 32, 3, padding=1, bias=False)
    norms, last = (nn.BatchNorm2d(16), nn.BatchNorm2d(32)), nn.Linear(32 * (side // 4) ** 2, 10)
    parts = [[c, n, nn.ReLU(), nn.AvgPool2d(2)] for c, n in zip(convs, norms, strict=True)]
    network = nn.Sequential(*parts[0], *parts[1], nn.Flatten(), last)
    x = torch.from_numpy(data.train.values.reshape(-1, 1, side, side) / np.float32(data.levels))
    y = torch.from_numpy(data.train.labels)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(128):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x[chosen]), y[chosen]).backward()
            optimiser.step()
    weights: Arrays = {"w": last.weight.detach().numpy(), "b": last.bias.detach().numpy()}
    nodes: list[tuple[str, list[str], dict[str, Any]]] = []
    for i, (c, n) in enumerate(zip(convs, norms, strict=True)):
        kept = {"g": n.weight, "s": n.bias, "m": n.running_mean, "v": n.running_var}
        weights |= {f"k{i}": c.weight.detach().numpy()} | {f"{k}{i}": v.detach().numpy() for k, v in kept.items() if v is not None}
        nodes += [("Conv", [f"k{i}"], {"pads": [1] * 4}), ("BatchNormalization", [f"g{i}", f"s{i}", f"m{i}", f"v{i}"], {})]
        nodes += [("Relu", [], {}), ("AveragePool", [], {"kernel_shape": [2, 2], "strides": [2, 2]})]
    write(path, [*nodes, ("Flatten", [], {}), ("Gemm", ["w", "b"], {"transB": 1})], weights, ["N", 1, side, side])


def main() -> None:
    """Train both and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--epochs", type=int, default=2, help="of the cnn")
    parser.add_argument("--out", type=Path, default=Path("runs/anns"))
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    data = load_dataset(chosen.data, chosen.data_dir)
    for name, train in (("mlp", lambda path: mlp(data, path)), ("cnn", lambda path: cnn(data, path, chosen.epochs))):
        start = time.perf_counter()
        train(chosen.out / f"{name}.onnx")
        print(f"{chosen.out / name}.onnx after {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
