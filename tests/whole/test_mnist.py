"""The hand-over on all of MNIST's test images: onnxruntime steps the float network to torch's spikes, every one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from spikeloom.formats import onnx as model_onnx
from spikeloom.runtime.backends.onnx import session, step_through
from spikeloom.train import fit, load_dataset
from spikeloom.train.networks import fc

BATCH = 2000


@pytest.mark.slow
def test_every_spike_of_the_float_network(mnist_folder: Path, tmp_path: Path) -> None:
    trained = fit("mnist", method="grad-r", sparsity=0.95, epochs=2, out=tmp_path / "run", data_dir=mnist_folder)
    assert abs(trained.sparsity - 0.95) < 1e-3
    network = model_onnx.read(trained.model)
    model = fc.build((28, 28), 10, network.timesteps, fc.Options(), temporal=False).double()
    for (_, layer), projection in zip(model.named_layers(), network.projections, strict=True):
        with torch.no_grad():
            layer.linear.weight.copy_(torch.from_numpy(projection.synapses.to_dense().astype(np.float64)))
    stepper = session(trained.model.read_bytes())
    values = load_dataset("mnist", mnist_folder).test.values.reshape(10000, -1).astype(np.float32) / np.float32(255)
    spikes = 0
    for start in range(0, len(values), BATCH):
        x = values[start : start + BATCH]
        stepped = step_through(stepper, np.repeat(x[:, None], network.timesteps, axis=1), network.timesteps)
        with torch.no_grad():
            expected = model.populations(torch.from_numpy(x).double())
        for name, raster in expected.items():
            assert (stepped[name] == raster.numpy().transpose(1, 0, 2).astype(bool)).all(), name
            spikes += int(raster.sum())
    assert spikes > 100_000
