"""The command `spikeloom convert`."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .foreign import only_data
from .shared import AsJson, DataDir, SamplesOption, next_step, print_json, render, say

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..formats.ann import Accuracy, Converted
    from ..subset import Subset

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Convert a trained ANN (ONNX) to a spiking network.")(convert)


def convert(
    source: Annotated[Path, typer.Argument(help="ANN with ReLUs (.onnx).", show_default=False)],
    data: Annotated[
        str,
        typer.Option(
            help="Data set, .npz, .npy, HDF5, folder of classes, or FILE.py:NAME: its training samples calibrate, its test samples are run."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Run folder to create.")],
    percentile: Annotated[float, typer.Option(help="Percentile of a layer's activations that one spike per step stands for.")] = 99.9,
    timesteps: Annotated[int, typer.Option("--timesteps", "-T", help="Time steps per sample.")] = 64,
    scale: Annotated[
        float | None, typer.Option(help="Input of the ANN for one unit of a pixel [default: 1/levels, i.e. pixels from 0 to 1].")
    ] = None,
    samples: SamplesOption = None,
    labels: Annotated[Path | None, typer.Option(help="Labels (.npy) of the samples in --data SAMPLES.npy.")] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the data, e.g. data.levels=16 for samples in a file. Repeatable."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Convert a trained ANN to integrate-and-fire neurons by data-based normalisation; prints the accuracy by time steps."""
    from ..compile.sources import Known, on_record
    from ..data.given import labelled
    from ..data.samples import samples_of
    from ..errors import UsageError
    from ..files import make_folder
    from ..formats.ann import ann_accuracy, check_axes, read_ann, spiking_accuracy
    from ..formats.ann import convert as convert_ann
    from ..formats.ann.evaluate import steps_of
    from ..formats.ann.folder import calibration_samples, check_static, write_run
    from ..network.zoo import name_of
    from ..subset import asked_for, choose

    if not 1 <= timesteps <= 4096:
        raise UsageError(f"--timesteps is {timesteps}; it must lie in 1..4096.")
    asked_for(samples)
    if name_of(source) is not None:
        raise UsageError(f"{source} is a spiking network already. Compile it: spikeloom compile {source}.")
    ann = read_ann(source)
    fed = samples_of(data, labels=labels, folder=data_dir, options=only_data(chosen or [], "convert")).load(Known(temporal=False))
    check_static(data, temporal=fed.temporal)
    check_axes(ann, fed.train.values.shape[1:])
    levels = fed.levels or 255
    unit = 1.0 / levels if scale is None else scale
    calibration = calibration_samples(fed.train.values, fed.train.labels)
    converted = convert_ann(ann, calibration[0], levels=levels, scale=unit, percentile=percentile, timesteps=timesteps)
    make_folder(out)
    taken = choose(samples, len(fed.test))
    test = labelled(fed.test if taken.chosen == "all" else fed.test.take(taken.indices()), f"The test samples of {data}")
    own = ann_accuracy(ann, test.values, test.labels, unit)
    with _progress() as bar:
        task = bar.add_task("running the spiking network", total=len(test))
        done = partial(bar.update, task)
        steps = steps_of(timesteps)
        found = spiking_accuracy(converted, ann, test.values, test.labels, steps, progress=lambda n, _: done(completed=n))
    command = shlex.join(["spikeloom", *sys.argv[1:]])
    document = write_run(out, source, converted, own, found, taken, calibration, on_record(fed) | {"command": command}, percentile)
    if as_json:
        print_json(document)
        return
    render(*_tables(converted, own, found, taken))
    say(f"Wrote {out}/model.onnx. {next_step('compile', out)}")


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal)


def _tables(converted: Converted, own: float, found: Accuracy, taken: Subset) -> list[Any]:
    from rich.table import Table

    accuracy = Table("time steps", "accuracy", "to the ANN", box=None)
    accuracy.add_row("ANN", f"{own:.2%}", "")
    for steps, right in found.by_steps.items():
        accuracy.add_row(str(steps), f"{right:.2%}", f"{100 * (right - own):+.2f} points")
    layers = Table("layer", "neurons", "a rate of 1 is", "mean error of rates", box=None)
    for population in converted.network.spiking:
        name = population.name
        layers.add_row(name, f"{population.size:,}", f"{converted.scales[name]:.4g}", f"{found.rate_error[name]:.4f}")
    return [accuracy, "", layers, f"{found.spikes:,.0f} spikes per sample; accuracies on {taken}"]
