"""Dense networks: int8 matrix products by onnxruntime, and neurons side by side. Exact: sums of products of bytes in 32 bits.

A matrix product touches every weight, present or not, but each faster than `sum_pairs` touches a present one.
Samples keep their layout, (samples, steps, neurons), so nothing is transposed.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...jit import jit
from ...network.model import Network
from .kernels.api import run_lanes
from .kernels.lanes import BYTES
from .kernels.limits import STATE_ROWS
from .kernels.neurons import begin
from .program import Layer, Program
from .worker import in_words, taken

TRIED, SURE = 0.1, 0.7
"""Shares of the possible synapses between which it is measured whether the products win, and above which they do: from 0.15 to 0.5 on
where there are AVX-512 and VNNI, as fast as the processor's matrix units are; `benchmarks/dense_threshold.py`."""
OPSET, IR_VERSION = 13, 8
ROUNDS = 4  # of a measurement, of which the fastest counts


@dataclass(frozen=True)
class _Product:
    """A layer's weights in a session: (rows, sources) bytes to (rows, neurons) sums, both as wide as whole words."""

    layer: Layer
    source: str
    session: Any
    biases: NDArray[np.int32]

    @property
    def width(self) -> int:
        """Neurons, rounded up."""
        return self.biases.shape[1]


@dataclass(frozen=True)
class DenseProgram:
    """A flat network as products. `widths`: inputs and neurons as stored in memory; `sure`: whether measuring is unnecessary."""

    program: Program
    products: tuple[_Product, ...]
    widths: dict[str, int]
    sure: bool


def prepare(network: Network, program: Program) -> DenseProgram | None:
    """Return the products of a network; None where it is not dense, or a layer has several projections, wide weights or slow currents."""
    possible = sum(p.synapses.shape[0] * p.synapses.shape[1] for p in network.projections)
    simple = all(len(layer.arriving) == 1 and layer.arriving[0].most and layer.neuron[3] for layer in program.layers)
    share = sum(p.synapses.count for p in network.projections) / max(possible, 1)
    if program.maps or not simple or share < TRIED:
        return None
    widths = {p.name: p.size if p.name == program.entry else in_words(p.size) for p in network.populations}
    products: list[_Product] = []
    for layer in program.layers:
        projection = network.inputs_of(layer.name)[0]
        weights = np.zeros((widths[projection.source], widths[layer.name]), np.int8)
        dense = projection.synapses.unrolled().to_dense()
        weights[: dense.shape[1], : dense.shape[0]] = dense.T
        biases = np.zeros((1, widths[layer.name]), np.int32)
        biases[0, : layer.biases.size] = layer.biases
        products.append(_Product(layer, projection.source, _session(weights), biases))
    return DenseProgram(program, tuple(products), widths, share >= SURE)


def wins(dense: DenseProgram, make: Callable[[], Any]) -> bool:
    """Measure whether the products run a block of samples faster on this machine than the worker from `make`."""
    program = dense.program
    last, size = program.layers[-1].name, in_words(program.layers[-1].grid.channels)
    events = np.zeros((program.lanes, program.timesteps, program.grids[program.entry].channels), np.uint8)
    spikes = {last: np.empty((program.lanes, program.timesteps, size), np.bool_)}
    least: list[float] = []
    for worker in (DenseWorker(dense), make()):
        times: list[float] = []
        for _ in range(ROUNDS):
            blocks: queue.SimpleQueue[range] = queue.SimpleQueue()
            blocks.put(range(program.lanes))
            begun = time.perf_counter()
            worker.run(blocks, events, spikes)
            times.append(time.perf_counter() - begun)
        least.append(min(times))
    return least[0] < least[1]


def _session(weights: NDArray[np.int8]) -> Any:
    """Return onnxruntime's session of  a (rows, sources) uint8  times weights (sources, neurons) int8."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node("MatMulInteger", ["a", "weights"], ["sums"])
    ends = (
        helper.make_tensor_value_info("a", TensorProto.UINT8, ["rows", weights.shape[0]]),
        helper.make_tensor_value_info("sums", TensorProto.INT32, ["rows", weights.shape[1]]),
    )
    graph = helper.make_graph([node], "product", [ends[0]], [ends[1]], [numpy_helper.from_array(weights, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # blocks of samples are distributed over our own threads
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@jit
def _run_neurons(totals: Any, n: int, state: Any, registers: Any, dead: Any, spikes: Any, counts: Any, sums: Any) -> None:
    """Run n neurons sample by sample; totals (samples, live steps, width), spikes (samples, steps, width), sums (2, n) added to."""
    flat, (samples, steps, width) = spikes.reshape(spikes.size), spikes.shape
    for s in range(samples):
        run_lanes(totals[s], n, state, registers, flat, s * steps * width, width, steps, BYTES, counts)
        for k in range(begin(dead, 0), dead.size):
            counts[0, dead[k]] = counts[1, dead[k]] = 0
            for t in range(steps):
                spikes[s, t, dead[k]] = 0
        for j in range(n):
            sums[0, j] += counts[0, j]
            sums[1, j] += counts[1, j]
        for t in range(steps):
            for j in range(n, width):  # padding lanes of a word may spike, depending on adjacent memory
                spikes[s, t, j] = 0


def _state(biases: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the scratch of a layer's neurons, its biases first."""
    state = np.zeros((STATE_ROWS, biases.shape[1]), np.int32)
    state[0] = biases[0]
    return state


class DenseWorker:
    """One thread of a dense network; it has what `_worker.Worker` has for those that run it."""

    def __init__(self, dense: DenseProgram, by_step: bool = False) -> None:
        """Make the counts, and the scratch of the neurons."""
        self.dense, self.by_step = dense, by_step
        sizes = {p.layer.name: p.layer.grid.channels for p in dense.products}
        self.sums = {name: np.zeros((2, size), np.int64) for name, size in sizes.items()}
        self.states = {p.layer.name: _state(p.biases) for p in dense.products}
        self.steps = {name: np.zeros((dense.program.timesteps, size), np.int64) for name, size in sizes.items() if by_step}

    def run(self, blocks: queue.SimpleQueue[range], events: NDArray[np.uint8], spikes: dict[str, NDArray[np.bool_]]) -> None:
        """Take blocks of samples until there are none; write their spikes into place."""
        for samples in taken(blocks):
            for start in samples[:: self.dense.program.lanes]:
                block = events[start : min(start + self.dense.program.lanes, samples.stop)]
                self._run_block(block, start, spikes)

    def _run_block(self, events: NDArray[np.uint8], start: int, spikes: dict[str, NDArray[np.bool_]]) -> None:
        program, samples = self.dense.program, len(events)
        program.check(events)
        streams: dict[str, NDArray[np.uint8]] = {program.entry: np.ascontiguousarray(events[:, : program.live])}
        for product in self.dense.products:
            layer, source = product.layer, streams[product.source]
            totals = product.session.run(None, {"a": source.reshape(-1, source.shape[2])})[0].reshape(samples, -1, product.width)
            out = np.empty((samples, program.timesteps, product.width), np.uint8)
            counts, n = np.empty((2, product.width), np.uint8), layer.grid.channels
            _run_neurons(totals, n, self.states[layer.name], layer.registers, layer.dead, out, counts, self.sums[layer.name])
            if self.by_step:
                self.steps[layer.name] += out[:, :, :n].sum(axis=0, dtype=np.int64)
            if layer.name in spikes:
                spikes[layer.name][start : start + samples] = out.view(np.bool_)
            streams[layer.name] = out
