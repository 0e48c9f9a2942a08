"""Every network of train, small, trained for a few steps, compiled for Loihi 2 and executed in Lava: all spikes against the reference.

    python benchmarks/lava_networks.py [--only NAME] [--width 4] [--size 16] [--samples 4]

Samples and labels are random, 30 % of the weights pruned at random; convolutions, max pools, residual sums, gates and votes are all
there.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from spikeloom import registry
from spikeloom.compile import compile_network
from spikeloom.compile.pipeline import Calibration
from spikeloom.data.dataset import Dataset, Split
from spikeloom.network import reference
from spikeloom.network.model import Convolution, Threshold
from spikeloom.runtime.backends import lava, native
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.simulator import compare
from spikeloom.train import export, networks
from spikeloom.train.layers import SpikingNetwork

STEPS = 6


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description="Every network in Lava.")
    parser.add_argument("--only", action="append", choices=registry.names(networks))
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--samples", type=int, default=4)
    options = parser.parse_args()
    print("| network | populations | of them gates | neurons | synapses | spike rate | values equal | Lava s |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.only or registry.names(networks):
        print(_row(name, options.width, options.size, options.samples), flush=True)


def _row(name: str, width: int, size: int, count: int) -> str:
    torch.manual_seed(0)
    model = _trained(name, width, size)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (24, 2 * size * size), dtype=np.uint8)
    split = Split(values.reshape(24, 2, size, size), np.arange(24) % 4)
    dataset = Dataset("random", split, split, 4, 255, (2, size, size))
    network = export.network(export.fold(model), None, dataset, (), {})
    deployed = compile_network(
        network, chip="loihi2", encoding="graded", calibration=Calibration(values, np.zeros(24, np.int64)), effort="fast"
    )
    compiled = deployed.network
    events = reference.encode(compiled, values[:count])
    spikes = reference.simulate(compiled, events)
    values_equal = compare(spikes, native.simulate(compiled, events, BackendOptions()).spikes, "native")
    begun = time.perf_counter()
    compare(spikes, lava.simulate(compiled, events, BackendOptions(time_limit=3000)).spikes, "lava")
    seconds = time.perf_counter() - begun
    gates = sum(isinstance(p.neuron, Threshold) for p in network.spiking)
    rate = float(np.mean([s.mean() for s in spikes.values()]))
    taps = any(isinstance(p.synapses, Convolution) for p in compiled.projections)
    label = name if taps else f"{name} (no convolutions)"
    return (
        f"| {label} | {len(compiled.spiking)} | {gates} | {compiled.neurons:,} | {compiled.synapses:,} | {rate:.3f} | {values_equal:,} "
        f"| {seconds:.1f} |"
    )


def _trained(name: str, width: int, size: int) -> SpikingNetwork:
    """Return a small network after a few steps on random samples, 30 % of its weights pruned, its layers made to fire."""
    module = registry.load(networks, "network", name)
    wanted = {"hidden": (60, 40)} if name == "fc" else {"width": width}
    model: SpikingNetwork = module.build((2, size, size), 4, 4, registry.options_of(module, wanted, f"the network {name}"), temporal=False)
    x = torch.rand(16, 2, size, size)
    labels = torch.eye(4)[torch.arange(16) % 4]
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(STEPS):
        loss = (model(x).mean(0) - labels).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        for weight in model.weights().values():
            weight[torch.rand(weight.shape) < 0.3] = 0
        for unit in model.modules():
            if isinstance(unit, torch.nn.BatchNorm2d):
                unit.bias.add_(0.5)
        for _ in range(25):  # running statistics arrive at those of the inputs
            model.train()(x)
    return model.eval()


if __name__ == "__main__":
    main()
