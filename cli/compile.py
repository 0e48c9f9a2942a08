"""The command `spikeloom compile`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .foreign import fed, module_of, named, pinned
from .progress import Bar
from .shared import AsJson, DataDir, Seed, folder_of, next_step, print_json, render, say, say_compiled

if TYPE_CHECKING:
    from ..compile.deployed import DeployedNetwork
    from ..compile.pipeline import PipelineResult

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="compile", short_help="Quantise a network and map it onto cores.")(compile_)


def compile_(
    source: Annotated[
        Path,
        typer.Argument(
            help="Run folder, model.onnx, .nir file, .net file of lava-dl, zoo:NAME (see spikeloom zoo), or FILE.py:NAME, what makes your "
            "own torch module.",
            show_default=False,
        ),
    ],
    target: Annotated[
        str, typer.Option(help="What to compile for: lava, truenorth, xylo, or netx (lava, restricted to integers that .net files hold).")
    ] = "lava",
    chip: Annotated[str | None, typer.Option(help="Chip name or chip file [default: loihi2, truenorth or xylo].")] = None,
    mode: Annotated[str | None, typer.Option(help="Weights on crossbars: ternary, codebook or exact [default: codebook].")] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            help="How samples enter: current, graded, rate, host or events [default: the chip's first; events for recorded events]."
        ),
    ] = None,
    weight_bits: Annotated[
        str, typer.Option(help="2..8 or ternary, also per layer: 8,hidden1=4. A network trained in integers keeps its own.")
    ] = "8",
    granularity: Annotated[str, typer.Option(help="layer: one weight exponent per layer; channel: up to four.")] = "layer",
    max_chips: Annotated[int | None, typer.Option("--chips", help="Most chips it may use [default: all of the chip's system].")] = None,
    effort: Annotated[str, typer.Option(help="Most work to spend on the mapping: fast, default or best.")] = "default",
    objective: Annotated[
        str, typer.Option(help="What the mapping makes small: messages, or latency or energy, of a step under the chip's model.")
    ] = "messages",
    mapping: Annotated[
        Path | None, typer.Option(help="Neurons on cores, of all or of some: .csv or .json, as export --to mapping writes, or a .loom.")
    ] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER=CORES", help="A layer's cores: hidden1=0-7,12. The others have their own. Repeatable."),
    ] = None,
    stop_after: Annotated[
        str | None, typer.Option(metavar="PASS", help="Run the passes up to and including this one, without mapping.")
    ] = None,
    dump_dir: Annotated[Path | None, typer.Option(help="Folder for the network after each pass, as text and as arrays.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show for each pass its purpose, options and changes.")] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Weights (.safetensors) of the module of FILE.py:NAME, by the names of its state_dict.")
    ] = None,
    dt: Annotated[float | None, typer.Option("--dt", help="Seconds per time step of a .nir file [default: 1e-4].")] = None,
    timesteps: Annotated[int | None, typer.Option("--timesteps", "-T", help="Time steps per sample: modules, .nir and .net files.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set, .npz, .npy, HDF5, folder of classes, or FILE.py:NAME: for calibration, and what a foreign file leaves open."
        ),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Labels (.npy) of the samples in --data SAMPLES.npy.")] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="An option of the format (reset=subtract) or of the data (data.timesteps=20). Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write [default: model.loom beside the network; runs/NAME/model.loom for zoo:NAME].")
    ] = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Quantise a network, map it onto a chip's cores, and print what fits where, and how close it is to the lower bounds."""
    from ..compile.compiler import Compilation
    from ..compile.files.asked import write as write_asked

    given, samples = fed(named({"dt": dt, "timesteps": timesteps}, chosen or []), data, labels, data_dir)
    asked = Compilation(
        module_of(source, weights),
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
        mapping=mapping,
        pin=pinned(pin or []),
        objective=objective,  # pyright: ignore[reportArgumentType]
    )
    if stop_after is not None:
        given = {"--out": out, "--chips": max_chips, "--mapping": mapping, "--pin": pin or None}
        given |= {"--effort": effort if effort != "default" else None, "--objective": objective if objective != "messages" else None}
        _check_unmapped([flag for flag, value in given.items() if value is not None])
        _show_passes(asked.run_passes(stop_after=stop_after, dump_dir=dump_dir), stop_after, dump_dir, as_json)
        return
    with Bar("compiling") as bar:
        deployed = asked.deploy(effort=effort, dump_dir=dump_dir, progress=bar.stage)  # pyright: ignore[reportArgumentType]
    path = deployed.save(out or folder_of(source) / "model.loom")
    if source.is_dir() and path == source / "model.loom" and data is None and not chosen:
        options = {"target": target, "chip": chip, "encoding": encoding, "weight_bits": weight_bits, "granularity": granularity}
        options |= {"seed": seed, "max_chips": max_chips, "mode": mode, "effort": effort, "objective": objective}
        write_asked(source, options, shlex.join(["spikeloom", *sys.argv[1:]]), deployed.digest)
    _show(deployed, path, data, explain, as_json)


def _check_unmapped(given: Sequence[str]) -> None:
    if given:
        raise UsageError(f"{given[0]} is for a mapping, and --stop-after ends before there is one. Leave one of the two out.")


def _show_passes(stopped: PipelineResult, stop_after: str, dump_dir: Path | None, as_json: bool) -> None:
    from ..compile.summary import passes_document
    from ..report.terminal import explanation

    document = passes_document(stopped)
    if as_json:
        print_json(document)
        return
    render(explanation(document["passes"]))
    say(f"Stopped after {stop_after}; nothing was mapped." + (f" The networks are in {dump_dir}." if dump_dir else ""))


def _show(deployed: DeployedNetwork, path: Path, data: str | None, explain: bool, as_json: bool) -> None:
    from ..compile.summary import summary
    from ..report.terminal import explanation, mapping_summary

    document = summary(deployed)
    if as_json:
        print_json(document | {"path": str(path)})
        return
    if explain:
        render(explanation(document["passes"]), "")
    render(mapping_summary(document | {"cores": document["cores_table"]}))
    say_compiled()
    say(f"Wrote {path}. {next_step('run', path, '--data', deployed.network.provenance.get('data', data or 'NAME'))}")
