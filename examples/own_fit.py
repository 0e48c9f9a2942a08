"""Your own SpikingJelly model and your own data, trained and pruned by Spikeloom, then Loihi's integers.

python examples/own_fit.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import spikeloom
import torch
from sklearn.datasets import load_digits
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own_fit")

# Your data: 8 x 8 images whose pixels are 0..16, and classes; every fifth is for testing.
images, labels = load_digits(return_X_y=True)
x = images.astype("uint8")
tested = np.arange(len(x)) % 5 == 0

# Your model: here time comes first, as in SpikingJelly's multi-step mode.
torch.manual_seed(0)
model = nn.Sequential(
    layer.Linear(64, 100, bias=False),
    layer.BatchNorm1d(100),
    neuron.LIFNode(surrogate_function=surrogate.ATan()),
    layer.Linear(100, 10),
    neuron.LIFNode(v_reset=None, surrogate_function=surrogate.ATan()),
)
functional.set_step_mode(model, "m")


def loss(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the spikes of each class, (T, N, 10) over all T steps."""
    return nn.functional.cross_entropy(output.sum(0), labels)


run = spikeloom.fit(
    model,
    (x[~tested], labels[~tested]),
    "grad-r",
    sparsity=0.9,
    epochs=10,
    lr=0.01,
    loss=loss,
    data_options={"test": (x[tested], labels[tested]), "levels": 16, "name": "my digits"},
    out=out,
)
network = spikeloom.compile_network(run, target="lava")
results = spikeloom.run(network, (x[tested], labels[tested]), check=True)
print(f"{run.accuracy:.1%} of the test samples, {run.sparsity:.1%} of the weights are zero")
print(f"in Lava's integers: {results.accuracy:.1%}")
