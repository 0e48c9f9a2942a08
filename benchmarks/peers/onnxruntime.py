"""onnxruntime: the integer matrix products (MatMulInteger, u8 x s8), and NumPy neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .case import INPUTS, STEPS, Case, Outcome, Run, lif

SAMPLES = (2048, 2048)
BLOCK = 64


def prepare(case: Case) -> Run:
    """Return what runs the case."""
    first, second = _product(case.w1), _product(case.w2)

    def run() -> Outcome:
        spikes = 0
        for start in range(0, case.samples, BLOCK):
            events = np.ascontiguousarray(case.events[start : start + BLOCK].transpose(1, 0, 2))
            sums = _times(first, events.reshape(-1, INPUTS)).reshape(STEPS, -1, len(case.w1))
            hidden = lif(sums, case.vth1).view(np.uint8)
            spikes += np.count_nonzero(lif(_times(second, hidden.reshape(-1, len(case.w1))).reshape(STEPS, -1, len(case.w2)), case.vth2))
        return Outcome(int(spikes))

    return run


def _times(session: ort.InferenceSession, values: NDArray[np.uint8]) -> NDArray[Any]:
    return np.asarray(session.run(None, {"x": values})[0])


def _product(weights: NDArray[np.int8]) -> ort.InferenceSession:
    """Return a session that computes  x W^T  in integers."""
    rows, columns = weights.shape
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    inputs = [helper.make_tensor_value_info("x", TensorProto.UINT8, [None, columns])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT32, [None, rows])]
    graph = helper.make_graph([node], "product", inputs, outputs, [numpy_helper.from_array(np.ascontiguousarray(weights.T), "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
