"""The command `spikeloom compile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .foreign import fed, named
from .progress import Bar
from .shared import AsJson, DataDir, Seed, next_step, print_json, render, say

if TYPE_CHECKING:
    from ..compile.deployed import DeployedNetwork
    from ..compile.pipeline import PipelineResult

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="compile", short_help="Quantise a network and map it onto cores.")(compile_)


def compile_(
    source: Annotated[Path, typer.Argument(help="Run folder, a model.onnx, a model.nir, or a .net of netx.", show_default=False)],
    target: Annotated[
        str, typer.Option(help="What executes it: lava, truenorth, or netx (lava, in integers that its .net files hold).")
    ] = "lava",
    chip: Annotated[str | None, typer.Option(help="Chip name or chip file [default: loihi2, or truenorth].")] = None,
    mode: Annotated[str | None, typer.Option(help="Weights on crossbars: ternary, codebook or exact [default: codebook].")] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="Input as current, graded, rate, host or events [default: the chip's first; events for recorded ones]."),
    ] = None,
    weight_bits: Annotated[
        str, typer.Option(help="2..8 or ternary, also by layer: 8,hidden1=4. One trained in integers keeps its own.")
    ] = "8",
    granularity: Annotated[str, typer.Option(help="One weight exponent a layer, or up to four, by channel.")] = "layer",
    max_chips: Annotated[int | None, typer.Option("--chips", help="Chips it may take [default: all of the chip's system].")] = None,
    effort: Annotated[str, typer.Option(help="How long the mapping onto cores is worked on, at most: fast, default or best.")] = "default",
    stop_after: Annotated[str | None, typer.Option(metavar="PASS", help="Run the passes up to this one and map nothing.")] = None,
    dump_dir: Annotated[Path | None, typer.Option(help="Folder for the network after each pass, as text and to load again.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say of each pass what it is for, its options and what it changed.")] = False,
    dt: Annotated[float | None, typer.Option("--dt", help="Seconds of a time step, of a model.nir [default: 1e-4].")] = None,
    timesteps: Annotated[int | None, typer.Option("--timesteps", "-T", help="Time steps a sample, of a model.nir or .net.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set, .npz or .npy that the network is fed: samples to calibrate on, and what a file of another tool leaves open."
        ),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="The .npy of labels of the samples in --data SAMPLES.npy.")] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="An option of the reader (reset=subtract) or of the data (data.timesteps=20). Repeatable."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write [default: model.loom beside the network].")] = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Quantise a network, map it onto a chip's cores, and print what fits where and how close to the bounds."""
    from ..compile.compiler import Compilation

    given, samples = fed(named({"dt": dt, "timesteps": timesteps}, chosen or []), data, labels, data_dir)
    asked = Compilation(
        source,
        target=target,
        chip=chip,
        encoding=encoding,  # pyright: ignore[reportArgumentType]
        weight_bits=weight_bits,
        granularity=granularity,
        seed=seed,
        max_chips=max_chips,
        mode=mode,
        reader=given,
        data=samples,
    )
    if stop_after is not None:
        _show_passes(asked.run_passes(stop_after=stop_after, dump_dir=dump_dir), stop_after, dump_dir, as_json)
        return
    with Bar("compiling") as bar:
        deployed = asked.deploy(effort=effort, dump_dir=dump_dir, progress=bar.stage)  # pyright: ignore[reportArgumentType]
    path = deployed.save(out or (source if source.is_dir() else source.parent) / "model.loom")
    _show(deployed, path, explain, as_json)


def _show_passes(stopped: PipelineResult, stop_after: str, dump_dir: Path | None, as_json: bool) -> None:
    from ..compile.summary import passes_document
    from ..report.terminal import explanation

    document = passes_document(stopped)
    if as_json:
        print_json(document)
        return
    render(explanation(document["passes"]))
    say(f"Stopped after {stop_after}; nothing was mapped." + (f" The networks are in {dump_dir}." if dump_dir else ""))


def _show(deployed: DeployedNetwork, path: Path, explain: bool, as_json: bool) -> None:
    from ..compile.summary import summary
    from ..report.terminal import explanation, mapping_summary

    document = summary(deployed)
    if as_json:
        print_json(document | {"path": str(path)})
        return
    if explain:
        render(explanation(document["passes"]), "")
    render(mapping_summary(document | {"cores": document["cores_table"]}))
    say(f"Wrote {path}. {next_step('run', path, '--data', deployed.network.provenance.get('data', 'NAME'))}")
