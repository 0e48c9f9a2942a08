"""The command `spikeloom train`."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .foreign import is_module, module_of, own_samples
from .progress import Bar
from .shared import AsJson, DataDir, listed, next_step, print_json, said, say, say_compiled

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Train a sparse network; writes model.onnx.")(train)


def train(
    out: Annotated[Path, typer.Option(help="Run folder to create.")],
    data: Annotated[
        str | None,
        typer.Option(help=f"Data set: {listed('data.sets')}; or your own: .npz, .npy, HDF5, a folder of classes, or FILE.py:NAME."),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Labels (.npy) of the samples in --data SAMPLES.npy.")] = None,
    net: Annotated[
        str | None,
        typer.Option(help=f"Network: {listed('train.networks')}, or FILE.py:NAME, what makes your own torch module [default: fc]."),
    ] = None,
    method: Annotated[str | None, typer.Option(help=f"Pruning rule: {listed('train.methods')} [default: dense].")] = None,
    sparsity: Annotated[
        float | None, typer.Option(help="Share of weights to prune, 0 <= S < 1, reached within 0.1 points [default: 0].")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data [default: 20].")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Samples per step, of the whole process group [default: 128, or fewer for a small data set].")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's peak learning rate [default: 0.01, or 0.001 with convolutions].")] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="adam, or another of torch.optim, such as sgd or adamw; options by --set optimizer.nesterov=true [default: adam]."
        ),
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd or rmsprop; short for --set optimizer.momentum=...")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of the optimizer; short for --set optimizer.weight_decay=...")] = None,
    schedule: Annotated[
        str | None, typer.Option(help=f"Schedule of the learning rate: {listed('train.schedules')} [default: cosine].")
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Share of the training spent on warm-up, in schedules that have one [default: 0.1].")
    ] = None,
    timesteps: Annotated[
        int | None, typer.Option("--timesteps", "-T", help="Time steps per sample [default: 8; for event data its frames].")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help=f"Loss: {listed('train.losses')}; tet is on every step, the others on mean rates [default: mse].")
    ] = None,
    tet_lambda: Annotated[float | None, typer.Option(help="Weight of the second term of tet, 0..1 [default: 0.001].")] = None,
    augment: Annotated[str | None, typer.Option(help=f"Augmentation: {listed('train.augments')} [default: none].")] = None,
    hidden: Annotated[str | None, typer.Option(help="Hidden layers of fc, e.g. 800 or 400,200; short for --set net.hidden=...")] = None,
    width: Annotated[str | None, typer.Option(help="Width of a convolutional network; short for --set net.width=...")] = None,
    exempt: Annotated[
        str | None,
        typer.Option(
            help="Layers that are not pruned or counted: conv1,output, conv*, linear, first; short for --set net.exempt=... "
            "(net.unpruned: counted)."
        ),
    ] = None,
    weight_bits: Annotated[
        int | None,
        typer.Option(help="Train in the chip's integers, with weights of 2..8 bits, in the last epochs (net fc, or your own module)."),
    ] = None,
    qat_fraction: Annotated[float | None, typer.Option(help="Share of the epochs that train in integers [default: 0.25].")] = None,
    qat_lr: Annotated[float | None, typer.Option(help="Initial learning rate of these epochs, as a share of --lr [default: 0.3].")] = None,
    ema: Annotated[
        float | None,
        typer.Option(help="Decay per step of moving averages of the weights, e.g. 0.9995, exported in their place [default: 0, none]."),
    ] = None,
    tune_fraction: Annotated[
        float | None,
        typer.Option(help="Share of the float epochs, at their end, that keep the synapses and train their weights [default: 0]."),
    ] = None,
    validation_fraction: Annotated[
        float | None, typer.Option(help="Share of the training samples held out for validation [default: 0.1].")
    ] = None,
    init: Annotated[str | None, typer.Option(help="Run folder, model.safetensors or zoo:NAME with initial weights.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda [default: auto].")] = None,
    precision: Annotated[str | None, typer.Option(help="float32, or bf16 with autocast [default: float32].")] = None,
    compile_step: Annotated[bool | None, typer.Option("--compile/--no-compile", help="Build the training step with torch.compile.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of torch [default: as many as the work is worth; with --resume as before].")
    ] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option (method.x=, net.x=, data.x=, loss.x=, ...) or a setting. Repeatable."),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of settings, a run's settings.json, or the name of a recipe (spikeloom recipes); flags and --set override it."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers [default: 0].")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out, to the same bits.")] = False,
    time_limit: Annotated[
        float | None, typer.Option(help="Start no epoch after this many seconds: exit code 5; continue with --resume.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Download missing files of the data set.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train a sparse spiking network. Writes model.onnx, a checkpoint, metrics and TensorBoard logs into --out.

    Several processes train together under torchrun: torchrun --nproc-per-node 4 -m spikeloom train ...
    """
    from ..files import read_json
    from ..train.recipe import merged, read_recipe
    from ..train.settings import TrainSettings

    flags = {
        "data": data,
        "net": net,
        "method": method,
        "sparsity": sparsity,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "optimizer": optimizer,
        "optimizer.momentum": momentum,
        "optimizer.weight_decay": weight_decay,
        "schedule": schedule,
        "warmup": warmup,
        "timesteps": timesteps,
        "loss": loss,
        "tet_lambda": tet_lambda,
        "augment": augment,
        "net.hidden": None if hidden is None else _sizes(hidden),
        "net.width": width,
        "net.exempt": exempt,
        "weight_bits": weight_bits,
        "qat_fraction": qat_fraction,
        "qat_lr": qat_lr,
        "tune_fraction": tune_fraction,
        "ema": ema,
        "validation_fraction": validation_fraction,
        "init": init,
        "device": device,
        "precision": precision,
        "compile": compile_step,
        "threads": threads,
        "seed": seed,
        "data_dir": None if data_dir is None else str(data_dir),
    }
    settings = TrainSettings.read(merged({} if recipe is None else read_recipe(recipe), flags, chosen or []))
    dataset, module = own_samples(settings.data, labels, settings.data_options), None
    settings.check_names(data=dataset is None, net=not is_module(settings.net))  # before torch is imported, which takes seconds
    if dataset is not None and download:
        raise UsageError(f"--download is for data sets by name, and {settings.data} is yours. Leave it out.")
    if dataset is not None:
        settings = replace(settings, data=dataset.identity, data_options={})
    if is_module(settings.net):
        from ..train.own_module import identity_of, made

        source = Path(settings.net)
        module = made(lambda: module_of(source, None), settings.seed)
        settings = replace(settings, net=identity_of(module))
    from ..train.running import train_run

    bar, speaks = Bar("training"), os.environ.get("RANK", "0") == "0"  # under torchrun only the first process prints
    with said(), bar if speaks else nullcontext():
        done = train_run(
            settings, out, resume=resume, download=download, time_limit=time_limit, progress=bar.epoch, dataset=dataset, module=module
        )
    if not speaks:
        return
    if as_json:
        print_json(read_json(out / "train.json", "a summary of training"))
        return
    stages = "   ".join(f"{s.name} {s.accuracy:.2%}" for s in done.stages)
    say(f"sparsity {done.sparsity:.2%}   test accuracy: {stages}")
    counts = (("weights", done.connectivity), ("synapses", done.connectivity_unrolled), ("reachable synapses", done.connectivity_reachable))
    say("connectivity: " + "   ".join(f"{name} {share:.2%}" for name, share in counts if share is not None))
    for what, layers in (("neither pruned nor counted", done.exempt), ("not pruned, but counted", done.unpruned)):
        if layers:
            say(f"{what}: {', '.join(layers)}")
    for warning in done.warnings:
        say(f"Warning: {warning}")
    say_compiled()
    if not done.model.exists():
        return
    say(f"Wrote {out}/model.onnx. {next_step('compile', out, '--target', 'lava')}")


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        sizes = ()
    if not sizes or any(size < 1 for size in sizes):
        raise UsageError(f"--hidden is {text!r}; it must be sizes of at least 1, e.g. 800 or 400,200.")
    return sizes
