"""A recurrent network of 16 channels and 60 hidden neurons on SynSense's Xylo, and what the same network costs on Loihi 2.

python examples/xylo_digits.py            digits that are scanned row by row, so that the network has to remember what it saw
python examples/xylo_digits.py n-mnist    recordings of an event camera (SPIKELOOM_DATA), 4 x 4 blocks of pixels, 10 ms a step

Eight classes, the digits 0 to 7, since the chip has eight outputs. Its simulator xylosim checks every spike where it is installed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import spikeloom
import torch
from numpy.typing import NDArray
from spikeloom.runtime.backends import xylosim
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

CHANNELS, CLASSES, HIDDEN, MOST = 16, 8, 60, 15
Samples = tuple[NDArray[np.uint8], NDArray[np.int64]]


def scanned(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Scan images of 8 x 8 pixels, (N, 8, 8) of 0..16: a row for two steps, left to the channels 0-7, its mirror image to 8-15."""
    rows = np.concatenate([images, images[:, :, ::-1]], axis=2).repeat(2, axis=1)
    return np.minimum(rows, MOST).astype(np.uint8)


def blocks(frames: NDArray[Any]) -> NDArray[np.uint8]:
    """Sum the events of a camera's frames, (N, T, 2, 34, 34), in 4 x 4 blocks of pixels, both polarities together."""
    edges = np.linspace(0, frames.shape[-1], 5).astype(int)[:-1]
    summed = np.add.reduceat(np.add.reduceat(frames.sum(axis=2, dtype=np.int64), edges, axis=2), edges, axis=3)
    return np.minimum(summed // 2, MOST).astype(np.uint8).reshape(*summed.shape[:2], CHANNELS)


def samples(name: str) -> tuple[Samples, Samples]:
    """Return training and test samples (N, T, 16), 0 to 15 events of a channel in a step, and their labels 0..7."""
    options = {"timesteps": 30, "by": "time", "clip": 255} if name == "n-mnist" else {}
    data = spikeloom.load_dataset(name, options=options)
    made: list[Samples] = []
    for split in (data.train, data.test):
        kept = np.asarray(split.labels) < CLASSES
        values = np.asarray(split.values)[kept]
        x = blocks(values) if name == "n-mnist" else scanned(values.reshape(-1, 8, 8))
        made.append((x, np.asarray(split.labels)[kept].astype(np.int64)))
    return made[0], made[1]


def network(tau: float, tau_syn: float) -> nn.Module:
    """Return 16-60-8, the hidden layer connected to itself, of neurons with a current and a soft reset."""

    def lif() -> nn.Module:
        return neuron.CUBALIFNode(1 - 1 / tau_syn, 1 - 1 / tau, 1.0, v_reset=None, surrogate_function=surrogate.ATan())

    hidden = nn.Sequential(layer.Linear(CHANNELS, HIDDEN, bias=False), lif())
    model = nn.Sequential(
        layer.LinearRecurrentContainer(hidden, CHANNELS, HIDDEN, bias=False), layer.Linear(HIDDEN, CLASSES, bias=False), lif()
    )
    functional.set_step_mode(model, "m")
    return model


def loss(output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the spikes of each class, (T, N, 8), summed over the steps."""
    return nn.functional.cross_entropy(output.sum(0), labels)


def accuracy(deployed: spikeloom.DeployedNetwork, test: Samples, backend: str = "native") -> Any:
    """Run the test samples, every spike compared with the integer reference."""
    return spikeloom.run(deployed, test, backend=backend, check=True)


def main(name: str, folder: Path) -> None:
    """Train, compile, run, and print accuracy by stage and energy by model."""
    train, test = samples(name)
    torch.manual_seed(0)
    model = network(tau=8.0, tau_syn=2.0)
    options = {"test": test, "levels": MOST, "temporal": True, "name": name}
    trained = spikeloom.fit(
        model, train, epochs=16, lr=0.02, batch_size=64, loss=loss, data_options=options, out=folder / "run", device="cpu", threads=1
    )
    print(f"float: {trained.accuracy:.1%} of {len(test[1])} test samples")
    first = torch.from_numpy(train[0][:8]).float().transpose(0, 1) / MOST
    few, steps = (train[0][:256], train[1][:256]), train[0].shape[1]
    for target in ("xylo", "lava"):
        deployed = spikeloom.compile_network(
            model.eval(),
            sample=first,
            events=True,
            timesteps=steps,
            reader={"levels": MOST, "scale": 1 / MOST},
            calibration=few,
            target=target,
        )
        deployed.save(folder / f"{target}.loom")
        results = accuracy(deployed, test)
        print(
            f"{target}: {results.accuracy:.1%}, {results.energy.dynamic_joules_per_sample * 1e6:.3g} uJ dynamic in a sample's {steps} steps"
        )
        if target == "xylo":
            report_simulator(deployed, test)
        for row in results.models.rows if results.models else ():
            print(f"  {row.model}: {row.dynamic_joules_per_sample * 1e6:.3g} uJ dynamic, {row.joules_per_sample * 1e6:.3g} uJ in all")


def report_simulator(deployed: spikeloom.DeployedNetwork, test: Samples) -> None:
    """Run xylosim, if it is installed, and say so if not."""
    missing = xylosim.available()
    if missing:
        print(f"  {missing}")
        return
    results = accuracy(deployed, test, "xylosim")
    print(f"  xylosim: {results.accuracy:.1%}, every spike equal to the reference")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(sys.argv[1] if len(sys.argv) > 1 else "digits", Path(temporary))
