"""Grad R in a training loop of your own: a SpikingJelly network, plain PyTorch, the built-in digits; then Lava's integers.

python examples/own_loop.py
"""

from __future__ import annotations

import spikeloom
import torch
from spikeloom.train import load_dataset, prune
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn
from torch.nn.functional import mse_loss, one_hot
from torch.optim.lr_scheduler import CosineAnnealingLR

EPOCHS, BATCH, T = 10, 16, 8


def spiking(inputs: int, outputs: int) -> list[nn.Module]:
    """A linear layer and its neurons; at three times torch's initial width they spike from the start."""
    linear = layer.Linear(inputs, outputs, bias=False)
    nn.init.uniform_(linear.weight, -3 / inputs**0.5, 3 / inputs**0.5)
    return [linear, neuron.LIFNode(surrogate_function=surrogate.ATan(), detach_reset=True)]


torch.manual_seed(0)
digits = load_dataset("digits")
x, y = torch.tensor(digits.train.values) / digits.levels, torch.tensor(digits.train.labels)
model = nn.Sequential(layer.Flatten(), *spiking(64, 100), *spiking(100, 10))
functional.set_step_mode(model, "m")  # (T, N, ...) in, (T, N, 10) out

steps = EPOCHS * -(-len(x) // BATCH)
optimizer = prune(model, "grad-r", sparsity=0.9, total_steps=steps, lr=1e-2)
schedule = CosineAnnealingLR(optimizer, steps)
for _ in range(EPOCHS):
    for batch in torch.randperm(len(x)).split(BATCH):
        rates = model(x[batch].expand(T, *x[batch].shape)).mean(0)
        mse_loss(rates, one_hot(y[batch], 10).float()).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        functional.reset_net(model)
model = optimizer.finish().eval()

with torch.no_grad():
    test = torch.tensor(digits.test.values) / digits.levels
    predictions = model(test.expand(T, *test.shape)).mean(0).argmax(1)
labels = torch.tensor(digits.test.labels)
accuracy = float((predictions == labels).float().mean())
print(f"{accuracy:.1%} of the test samples, {optimizer.sparsity():.1%} of the weights are zero")
for name, share in optimizer.connectivity().layers.items():
    print(f"  layer {name}: {share:.1%} of the weights left")

functional.reset_net(model)
network = spikeloom.compile_network(model, sample=x[:4], timesteps=T, calibration=(x[:500], y[:500]), value_range=(0, 1), target="lava")
results = spikeloom.run(network, (test, labels), value_range=(0, 1))
print(f"in Lava's integers: {results.accuracy:.1%}")
