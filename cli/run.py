"""The command `spikeloom run`."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SpikeloomError, SpikeloomWarning, UsageError
from .foreign import only_data
from .progress import Bar
from .samples import peers, threads_each, what_to_run
from .shared import AsJson, DataDir, SamplesOption, Seed, folder_of, listed, next_step, print_json, render, say

__all__ = ["add_to"]

BACKENDS_WITH: dict[str, tuple[str, ...]] = {"--device": ("torch",), "--time-limit": ("lava", "xylosim"), "--lava-python": ("lava",)}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Run a compiled network: accuracy, counts, energy, check.")(run)


def run(
    network: Annotated[
        Path, typer.Argument(help="Compiled network (model.loom), or zoo:NAME, compiled as in its record.", show_default=False)
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set (its test split is run), .npz, .npy, HDF5, folder of classes, or FILE.py:NAME [default: what it was trained on]."
        ),
    ] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the data set, e.g. data.by=time. Repeatable."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels (.npy) of the samples in --data SAMPLES.npy; without them there is no accuracy.")
    ] = None,
    backend: Annotated[str, typer.Option(help=f"Engine: {listed('runtime.backends')}.")] = "native",
    device: Annotated[str | None, typer.Option(help="Device of the torch backend: auto, cpu or cuda [default: auto].")] = None,
    samples: SamplesOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare every spike with the integer reference; exit code 4 at a difference.")
    ] = False,
    energy_model: Annotated[
        str | None, typer.Option(help="Chip whose energies and times are used [default: the chip it was compiled for].")
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(help="Time limit of the backends lava and xylosim, in seconds [default: 600].")
    ] = None,
    lava_python: Annotated[str | None, typer.Option(help="Python interpreter with lava-nc [default: this one].")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the simulator [default: all cores].")] = None,
    by_step: Annotated[bool, typer.Option("--by-step", help="Also count per core and time step, into results.json.")] = False,
    probe: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER.STATE", help="Record spikes, v (potential) or u (current) of a layer at every step. Repeatable."),
    ] = None,
    probe_samples: Annotated[
        str | None, typer.Option(metavar="N", help="Record N of the samples, evenly spread, or first:N [default: all].")
    ] = None,
    probe_megabytes: Annotated[int | None, typer.Option(help="MiB that the probes may fill [default: 256].")] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the results [default: results.json beside the network; in runs/NAME for zoo:NAME].")
    ] = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run a compiled network: predictions, accuracy, spikes, SOPs, messages, energy and latency. Writes results.json.

    Several processes share the samples under torchrun: torchrun --nproc-per-node 4 -m spikeloom run ...
    """
    from ..network.zoo import name_of
    from ..runtime import BackendOptions
    from ..runtime import run as run_network
    from ..runtime.arrays import INLINE, beside
    from ..runtime.probes import LIMIT
    from ..runtime.shards import together

    _check_flags(backend, {"--device": device, "--time-limit": time_limit, "--lava-python": lava_python})
    bar = Bar(f"running on {backend}")
    threads = threads_each(threads, backend)
    time_limit = BackendOptions.time_limit if time_limit is None else time_limit
    options = BackendOptions(time_limit=time_limit, lava_python=lava_python, threads=threads, by_step=by_step, device=device)
    data_options = only_data(chosen or [], "run")
    quiet = warnings.catch_warnings(action="ignore", category=SpikeloomWarning)  # the summary has them
    with quiet, peers() as all_, bar if all_.rank == 0 else nullcontext():
        deployed, name, split = together(all_, lambda: what_to_run(network, data, labels, data_dir, data_options))
        results = run_network(
            deployed,
            split,
            backend=backend,
            samples=samples,
            check=check,
            energy_model=energy_model,
            seed=seed,
            data_name=name,
            options=options,
            command=shlex.join(["spikeloom", *sys.argv[1:]]),
            progress=bar.samples,
            peers=all_,
            folder=None if name_of(network) is not None else network.parent,
            probes=probe or (),
            probe_samples=probe_samples,
            probe_megabytes=LIMIT if probe_megabytes is None else probe_megabytes,
        )
        if all_.rank > 0:
            return
    results = results.with_commands(_before(network, deployed.digest), data_options)
    path = results.save(out or folder_of(network) / ("results.json" if backend == "native" else f"results-{backend}.json"))
    if as_json:
        print_json(results.document(INLINE))
        return
    from ..report.terminal import summary

    render(summary(results))
    if results.probed is not None:
        recorded = ", ".join(f"{p.name} {' x '.join(f'{n:,}' for n in p.shape)}" for p in results.probed.probes)
        say(f"Wrote {beside(path, 'probes')}: {recorded} (samples x time steps x neurons).")
    say(f"Wrote {path}. {next_step('report', path.parent if path.match('results*.json') else path)}")


def _check_flags(backend: str, given: Mapping[str, object]) -> None:
    """Refuse what the backend would not read."""
    for flag, value in given.items():
        takers = BACKENDS_WITH[flag]
        if value is not None and backend not in takers:
            raise UsageError(
                f"{flag} is an option of the backend {' and of '.join(takers)}, and the backend is {backend}. Leave it out, or add "
                f"--backend {takers[0]}."
            )


def _before(network: Path, digest: str) -> list[str]:
    """Return the commands that trained and compiled the network, as far as its folder records them."""
    from ..compile.files.asked import FILE, read
    from ..files import read_json

    folder = network.parent
    try:
        if network.name != "model.loom" or read(folder, digest) is None:
            return []
        compiled = str(read_json(folder / FILE, "the options of spikeloom compile").get("command") or "")
        return [text for text in (_trained(folder), compiled) if text]
    except SpikeloomError:  # a damaged record is no reason to lose the results
        return []


def _trained(folder: Path) -> str:
    """Return the command that trained a run folder; empty if it was trained with what no command names."""
    from dataclasses import replace

    from ..files import read_json
    from ..sweep.grid import training_command
    from ..train.settings import TrainSettings

    if not (folder / "train.json").exists():
        return ""
    settings = TrainSettings.read(read_json(folder / "settings.json", "the settings of a run"))
    settings.check_names()
    used = read_json(folder / "train.json", "the summary of a run").get("threads")
    return training_command(replace(settings, threads=settings.threads or used), folder)
