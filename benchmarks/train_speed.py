"""Epoch time of Spikeloom's training loop beside three other ways of writing it: the same network, data, batches and optimiser.

    reference     one time step after the other, the optimiser a Python loop over the parameters (as Grad R's published code is organised)
    spikingjelly  SpikingJelly's multi-step mode, torch's Adam
    compiled      the same under torch.compile (--compiled)
    spikeloom     `Trainer.step` with Grad R, half-way up its sparsity ramp

All run in this process, in turn, a slice of an epoch each, so that a machine that slows down slows all; medians are compared. An epoch is
its training steps: no validation, no checkpoint. The slices draw the same samples for all. On CUDA all ways get the settings of TF32 and
cuDNN that a training of Spikeloom has, and Spikeloom's step is recorded as a graph (--graph off: it is not).

    python benchmarks/train_speed.py --data mnist
    python benchmarks/train_speed.py --data cifar10 --net 6conv2fc --width 256 --batch-size 16 --device cuda --precision bf16
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from spikeloom.data.dataset import Dataset
from spikeloom.train import TrainSettings, load_dataset
from spikeloom.train.cuda_options import CudaOptions
from spikeloom.train.distributed import World
from spikeloom.train.loop import Trainer
from spikeloom.train.parts import Parts
from spikeloom.train.platform import cuda_set
from torch import Tensor
from training_peers import PlainLoop, ReferenceLoop, stages

Step = Callable[[Tensor, Tensor], object]


def our_step(data: Dataset, options: argparse.Namespace, folder: Path) -> tuple[Step, Trainer]:
    """Return a training step of Spikeloom's, and the trainer."""
    width = {"width": options.width} if options.net != "fc" else {"hidden": (options.width,)}
    asked = TrainSettings(
        data.name,
        net=options.net,
        net_options=width,
        method="grad-r",
        sparsity=0.95,
        batch_size=options.batch_size,
        timesteps=options.timesteps,
        precision=options.precision,
        device=options.device,
        compile=options.compile,
        lr=1e-3,
        cuda_options={"graph": options.graph},
    )
    parts = Parts.of(asked)
    world = World(device=torch.device(options.device))
    model = parts.build_model(data, options.timesteps).to(world.device)
    model.train()
    trainer = Trainer(parts.settings, data, model, parts.build_method(model, parts.settings), folder, None, world)
    return lambda x, labels: trainer.step(x, labels, 1e-3, 0.25), trainer


def peers(data: Dataset, options: argparse.Namespace) -> dict[str, Step]:
    """Return a training step of each of the other ways."""
    shape = data.shape if len(data.shape) == 3 else (1, *data.shape)
    chosen = {"reference": ReferenceLoop, "spikingjelly": PlainLoop}
    loops = {
        n: loop(stages(options.net, shape, data.classes, options.width), options.timesteps, data.classes, options.device)
        for n, loop in chosen.items()
    }
    steps: dict[str, Step] = {name: loop.step for name, loop in loops.items()}
    if options.compiled:
        parts = stages(options.net, shape, data.classes, options.width)
        steps["compiled"] = PlainLoop(parts, options.timesteps, data.classes, options.device, compiled=True).step
    return steps


def measure(data: Dataset, options: argparse.Namespace) -> dict[str, float]:
    """Return each way's median epoch time in seconds, and how many times faster Spikeloom's is."""
    end = time.monotonic() + options.time_limit
    with tempfile.TemporaryDirectory() as folder:
        ours, trainer = our_step(data, options, Path(folder))
        steps = peers(data, options) | {"spikeloom": ours}
        times: dict[str, list[float]] = {name: [] for name in steps}
        for turn in range(options.rounds + 1):  # the first compiles and warms up
            if turn > 1 and time.monotonic() > end:
                break
            chosen = trainer.feed.place(np.random.default_rng(turn).integers(len(trainer.feed), size=(options.steps, options.batch_size)))
            for name, step in steps.items():
                taken = _slice(trainer, step, chosen, options.device)
                times[name] += [taken / options.steps * trainer.batches] if turn else []
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    ratios = {f"times_faster_than_{name}": medians[name] / medians["spikeloom"] for name in medians if name != "spikeloom"}
    graphs = {} if trainer.graph is None else {"graphs": float(trainer.graph.recorded)}
    rounds = len(times["spikeloom"])
    return medians | ratios | graphs | {"batches": float(trainer.batches), "rounds": float(rounds)}


def _slice(trainer: Trainer, step: Step, chosen: Tensor, device: str) -> float:
    began = time.perf_counter()
    for row in chosen:
        x, labels = trainer.feed.take(row, integer=False)
        step(x.unsqueeze(1) if x.dim() == 3 else x, labels)
    if device == "cuda":
        torch.cuda.synchronize()  # the slice before has ended so, too
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print one JSON object: seconds an epoch of each way, and the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="mnist", help="mnist, digits, cifar10, ...; files from --data-dir or SPIKELOOM_DATA")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--net", default="fc", choices=("fc", "6conv2fc"))
    parser.add_argument("--width", type=int, default=None, help="hidden neurons of fc (800), channels of 6conv2fc (256)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--timesteps", type=int, default=8)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="float32", choices=("float32", "bf16"), help="Spikeloom's; the others compute in float32")
    parser.add_argument("--compile", action="store_true", help="Spikeloom's step under torch.compile")
    parser.add_argument("--compiled", action="store_true", help="also SpikingJelly's loop under torch.compile")
    parser.add_argument("--rounds", type=int, default=7, help="slices of an epoch that are timed, of each way")
    parser.add_argument("--steps", type=int, default=30, help="steps in a slice")
    parser.add_argument("--time-limit", type=float, default=math.inf, help="seconds after which no further round begins, but one is timed")
    parser.add_argument("--graph", default="auto", choices=("auto", "on", "off"), help="Spikeloom's step as a CUDA graph")
    options = parser.parse_args()
    options.width = options.width or (800 if options.net == "fc" else 256)
    data = load_dataset(options.data, options.data_dir)
    with cuda_set(CudaOptions()):
        result = measure(data, options)
    kept = ("data", "net", "width", "batch_size", "timesteps", "device", "precision", "compile", "graph")
    settings = {name: getattr(options, name) for name in kept} | {"threads": torch.get_num_threads()}
    print(json.dumps(settings | {k: round(v, 3) for k, v in result.items()}))


if __name__ == "__main__":
    main()
