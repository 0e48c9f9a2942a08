"""The command `spikeloom estimate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .foreign import fed, module_of, named
from .shared import AsJson, DataDir, Seed, print_json, render

if TYPE_CHECKING:
    from ..compile.estimate import Estimate
    from ..hwmodels.chip import Chip

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Bound cores, chips and energy, at any size, without mapping.")(estimate)


def estimate(
    source: Annotated[
        Path, typer.Argument(help="Run folder, network file, or FILE.py:NAME, what makes your own torch module.", show_default=False)
    ],
    chip: Annotated[str | None, typer.Option(help="Chip name or chip file [default: loihi2].")] = None,
    encoding: Annotated[str | None, typer.Option(help="How samples enter: current, graded, rate, host or events.")] = None,
    weight_bits: Annotated[str, typer.Option(help="2..8 or ternary, also per layer: 8,hidden1=4.")] = "8",
    rate: Annotated[
        float | None, typer.Option(help="Spikes per neuron and time step [default: measured on the run folder's calibration samples].")
    ] = None,
    timesteps: Annotated[int | None, typer.Option("--timesteps", "-T", help="Time steps per sample: modules, .nir and .net files.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights (.safetensors) of the module of FILE.py:NAME, by the names of its state_dict.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set, .npz, .npy, HDF5, folder of classes, or FILE.py:NAME, on which spike rates are measured.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Labels (.npy) of the samples in --data SAMPLES.npy.")] = None,
    chosen: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An option of the format or of the data. Repeatable.")
    ] = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Compute lower bounds of what a network needs on a chip, without mapping it: for networks of any size, up to thousands of chips."""
    from ..compile.compiler import Compilation
    from ..compile.estimate import estimate as on_paper
    from ..hwmodels import chip as chips
    from ..report.terminal import paper

    model = chips.load(chip or "loihi2")
    reader, samples = fed(named({"timesteps": timesteps}, chosen or []), data, labels, data_dir)
    asked = Compilation(
        module_of(source, weights),
        chip=chip,
        encoding=encoding,  # pyright: ignore[reportArgumentType]
        weight_bits=weight_bits,
        seed=seed,
        reader=reader,
        data=samples,
    )
    result = asked.run_passes()
    if rate is None and result.rates is None:
        raise UsageError(f"{source} has no calibration samples, so its spike rates are unknown. Give one with --rate, e.g. --rate 0.1.")
    found = on_paper(result.network, model, rate if rate is not None else result.rates or {})
    document = asdict(found) | {"chip": model.name, "joules_per_sample": found.joules, "warnings": list(result.warnings)}
    if as_json:
        print_json(document)
        return
    render(paper(document), "", _verdict(found, model))


def _verdict(found: Estimate, chip: Chip) -> str:
    machine = "one chip" if chip.system is None else f"{chip.system.name}, {chip.chips:,} chips"
    needs, used = (f"{n:,} {what}{'s' * (n > 1)}" for n, what in ((found.cores, "core"), (found.chips, "chip")))
    return f"At least {needs} of {chip.name} on {used}: {'fits' if found.fits else 'does not fit'} {machine}."
