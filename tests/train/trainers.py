"""Trainers of small networks on made samples, for tests of single steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from spikeloom.data.dataset import Dataset, Split
from spikeloom.train import TrainSettings
from spikeloom.train.distributed import World
from spikeloom.train.loop import Trainer
from spikeloom.train.parts import Parts

BATCH = 5


def made(shape: tuple[int, ...], samples: int = 29) -> Dataset:
    def split(count: int) -> Split:
        return Split(np.random.default_rng(count).integers(0, 256, (count, *shape)).astype(np.uint8), np.arange(count) % 4)

    return Dataset("made", split(samples), split(4), 4, 255, shape)


def trainer_of(folder: Path, net: str, method: str, device: str = "cpu", side: int = 16, epochs: int = 3, **options: Any) -> Trainer:
    """Return a trainer of a network of two channels, or 17 hidden neurons, at a sparsity of a half."""
    data = made((16,) if net == "fc" else (3, side, side))
    settings = TrainSettings(
        data.identity,
        net=net,
        method=method,
        sparsity=0.0 if method == "dense" else 0.5,
        batch_size=BATCH,
        timesteps=2,
        epochs=epochs,
        net_options={"hidden": (17,)} if net == "fc" else {"width": 2},
        method_options=options,
    )
    parts, world = Parts.of(settings, data), World(device=torch.device(device))
    model = parts.build_model(data, 2).to(world.device)
    model.train()
    return Trainer(parts.settings, data, model, parts.build_method(model, parts.settings), folder, None, world)
