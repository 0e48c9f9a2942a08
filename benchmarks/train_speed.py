"""Epoch time of `spikeloom train` against a plain SpikingJelly multi-step loop: the same network, data, batches and Adam.

Both run in this process, in turn, a slice of an epoch each, so that a machine that slows down slows both; medians are compared.

    python benchmarks/train_speed.py --data mnist
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from spikeloom import registry
from spikeloom.train import TrainSettings, load_dataset, methods
from spikeloom.train.data import Dataset
from spikeloom.train.evaluate import inputs_of
from spikeloom.train.loop import Trainer
from spikeloom.train.networks import fc
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn


def plain_network(inputs: int, hidden: int, classes: int) -> nn.Sequential:
    """The network as SpikingJelly's documentation would write it: every layer over [T, N, C]."""

    def spiking() -> neuron.LIFNode:
        return neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan(), detach_reset=True)

    net = nn.Sequential(layer.Linear(inputs, hidden, bias=False), spiking(), layer.Linear(hidden, classes, bias=False), spiking())
    functional.set_step_mode(net, "m")
    return net


def plain_step(net: nn.Sequential, adam: torch.optim.Optimizer, x: Tensor, labels: Tensor, timesteps: int, classes: int) -> None:
    """One training step of the plain loop."""
    adam.zero_grad()
    rates = net(x.unsqueeze(0).repeat(timesteps, 1, 1)).mean(0)
    nn.functional.mse_loss(rates, nn.functional.one_hot(labels, classes).float()).backward()
    adam.step()
    functional.reset_net(net)


def our_step(trainer: Trainer, x: Tensor, labels: Tensor) -> None:
    """One training step as `Trainer` takes it; the sparsity is halfway up its ramp."""
    trainer.method.zero_grad()
    trainer._loss(x, labels).backward()
    trainer.method.step(1e-3, 0.25)


def measure(data: Dataset, batch: int, timesteps: int, hidden: int, rounds: int, slice_steps: int) -> dict[str, float]:
    """Return the medians of both loops' epoch times in seconds, and their ratio."""
    settings = TrainSettings(data.name, method="grad-r", sparsity=0.95, batch_size=batch, timesteps=timesteps, hidden=(hidden,))
    model = fc.build(data.inputs, data.classes, (hidden,), timesteps)
    method = registry.load(methods, "method", "grad-r").build(model, settings)
    times: dict[str, list[float]] = {"spikeloom": [], "spikingjelly": []}
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(settings, data, model, method, Path(folder), None)
        net = plain_network(data.inputs, hidden, data.classes)
        adam = torch.optim.Adam(net.parameters(), lr=1e-3)
        for turn in range(rounds + 1):  # the first compiles and warms up
            chosen = torch.randint(len(trainer.labels), (slice_steps, batch))
            for name, taken in times.items():
                began = time.perf_counter()
                for row in chosen:
                    x, labels = inputs_of(trainer.values[row], data.levels, integer=False), trainer.labels[row]
                    if name == "spikeloom":
                        our_step(trainer, x, labels)
                    else:
                        plain_step(net, adam, x, labels, timesteps, data.classes)
                if turn:
                    taken.append((time.perf_counter() - began) / slice_steps * trainer.batches)
        medians = {name: statistics.median(taken) for name, taken in times.items()}
        return medians | {"ratio": medians["spikingjelly"] / medians["spikeloom"], "batches": float(trainer.batches)}


def main() -> None:
    """Measure, and print one JSON object: seconds an epoch of each loop, and how many times faster Spikeloom's is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="mnist", help="mnist or digits; files from SPIKELOOM_DATA")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--timesteps", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=7, help="slices of an epoch that are timed, of each loop")
    parser.add_argument("--steps", type=int, default=30, help="steps in a slice")
    chosen = parser.parse_args()
    data = load_dataset(chosen.data)
    result = measure(data, chosen.batch_size, chosen.timesteps, chosen.hidden, chosen.rounds, chosen.steps)
    print(json.dumps({"data": data.name, "threads": torch.get_num_threads()} | {k: round(v, 3) for k, v in result.items()}))


if __name__ == "__main__":
    main()
