"""A module with batch normalisation, max pooling and soft reset, trained on MNIST with SpikingJelly alone, and deployed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spikeloom as package
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn


@pytest.mark.chain
def test_trained_elsewhere_and_deployed(mnist_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKELOOM_DATA", str(mnist_folder))
    torch.manual_seed(0)
    data, steps = package.load_dataset("mnist"), 4
    x = torch.tensor(data.train.values[:2000] / 255.0).float().unsqueeze(1)
    y = torch.tensor(data.train.labels[:2000]).long()
    model = nn.Sequential()
    for i, (inner, outer) in enumerate(((1, 4), (4, 8))):
        cells = neuron.LIFNode(v_reset=None, surrogate_function=surrogate.ATan())
        parts = (layer.Conv2d(inner, outer, 3, padding=1, bias=False), layer.BatchNorm2d(outer), cells, layer.MaxPool2d(2))
        model.add_module(f"block{i}", nn.Sequential(*parts))
    model.extend([layer.Flatten(), layer.Linear(8 * 49, 10), neuron.LIFNode(v_reset=None, surrogate_function=surrogate.ATan())])
    functional.set_step_mode(model, "m")
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _epoch in range(2):
        for batch in torch.randperm(len(x)).split(25):
            rates = model(x[batch].expand(steps, -1, -1, -1, -1)).mean(0)
            loss = nn.functional.mse_loss(rates, nn.functional.one_hot(y[batch], 10).float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            functional.reset_net(model)
    deployed = package.compile_network(model.eval(), sample=x[:8], timesteps=steps, calibration=(x[:256], y[:256]))
    test = np.asarray(data.test.values[:1000]), np.asarray(data.test.labels[:1000])
    results = package.run(deployed, test, check=True)
    with torch.no_grad():
        said = model(torch.tensor(test[0] / 255.0).float().unsqueeze(1).expand(steps, -1, -1, -1, -1)).sum(0).argmax(1).numpy()
    accuracy = float((said == test[1]).mean())
    assert results.check is not None
    assert results.check.equal
    assert accuracy > 0.85
    assert results.accuracy is not None
    assert abs(results.accuracy - accuracy) < 0.03, f"module {accuracy:.4f}, deployed {results.accuracy:.4f}"
