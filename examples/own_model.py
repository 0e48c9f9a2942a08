"""Your own SpikingJelly model on Loihi: ten lines from a trained module to spikes that Lava agrees with.

    python examples/own_model.py

Any `torch.nn.Module` of the layers in docs/modules.md will do. The network is proven on `sample` to send the module's spikes, all of them,
before it is quantised.
"""

from __future__ import annotations

import spikeloom
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate

data = spikeloom.load_dataset("digits")
x, y = torch.tensor(data.train.values / data.levels).float().unsqueeze(1), torch.tensor(data.train.labels).long()

# Your model and your training loop: nothing of ours is in them.
torch.manual_seed(0)
model = torch.nn.Sequential(
    layer.Conv2d(1, 8, 3, padding=1, bias=False),
    layer.BatchNorm2d(8),
    neuron.LIFNode(surrogate_function=surrogate.ATan()),
    layer.MaxPool2d(2),
    layer.Flatten(),
    layer.Linear(8 * 4 * 4, 10),
    neuron.LIFNode(surrogate_function=surrogate.ATan()),
)
functional.set_step_mode(model, "m")
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _epoch in range(12):
    for batch in torch.randperm(len(x)).split(64):
        rates = model(x[batch].expand(8, -1, -1, -1, -1)).mean(0)
        loss = torch.nn.functional.mse_loss(rates, torch.nn.functional.one_hot(y[batch], 10).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        functional.reset_net(model)

# From here on it is ours.
deployed = spikeloom.compile_network(
    model.eval(), sample=x[:4], timesteps=8, calibration=(x[:256], y[:256]), reader={"levels": data.levels}, target="lava", chip="loihi"
)
deployed.save("own_model.loom")
results = spikeloom.run(deployed, data.test, check=True)
print(f"{results.accuracy:.1%} of {results.samples} test samples on {deployed.mapping.cores} cores of {deployed.chip.name}")
