"""The command line. Everything heavy is imported inside the commands, so that --help answers at once."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ._version import VERSION
from .cli_convert import add_to as add_convert
from .cli_doctor import add_to as add_doctor
from .cli_estimate import add_to as add_estimate
from .cli_export import add_to as add_export
from .cli_foreign import fed, named
from .cli_hw import hw
from .cli_report import add_to as add_report
from .cli_run import backends, peers, threads_each, what_to_run
from .cli_shared import AsJson, DataDir, Seed, print_json, render, say
from .cli_sweep import add_to as add_sweep
from .errors import SpikeloomError, UsageError
from .registry import names

app = typer.Typer(
    name="spikeloom",
    help="Train sparse spiking networks, compile what survives onto neuromorphic cores, run it, report accuracy, SOPs and energy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; ends the process with the exit code: 0 done, 1 failed, 2 usage, 3 does not fit, 4 differs, 5 paused."""
    try:
        app()
    except SpikeloomError as error:
        if error.of_process is not None and os.environ.get("RANK", "0") != "0":
            sys.exit(error.exit_code)  # that process says it, and the first
        _fail(str(error), error.exit_code)
    except OSError as error:  # a disk that fills up in the middle of someone else's library
        _fail(f"The system refused {error.filename or 'a file'}: {error.strerror}. Free space or name another folder.", 1)
    except KeyboardInterrupt:
        _fail("Interrupted. A training run continues with --resume.", 130)


def _fail(message: str, code: int) -> NoReturn:
    print(f"spikeloom: {message}", file=sys.stderr)
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"spikeloom {VERSION}")
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False) -> None:
    pass


def _listed(part: str) -> str:
    """Name the files of a folder of train, for the help; nothing of them is imported."""
    from importlib import import_module

    return ", ".join(names(import_module(f".train.{part}", __package__)))


@app.command(short_help="Train a sparse network; writes model.onnx.")
def train(
    out: Annotated[Path, typer.Option(help="Run folder to create.")],
    data: Annotated[str | None, typer.Option(help=f"Data set: {_listed('datasets')}.")] = None,
    net: Annotated[str | None, typer.Option(help=f"Network: {_listed('networks')} [default: fc].")] = None,
    method: Annotated[str | None, typer.Option(help=f"Pruning rule: {_listed('methods')} [default: dense].")] = None,
    sparsity: Annotated[
        float | None, typer.Option(help="Share of weights to remove, 0 <= S < 1; comes out within 0.1 points [default: 0].")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data [default: 20].")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Samples a step, of all processes together [default: 128, or fewer for a small data set].")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's peak learning rate [default: 0.01, or 0.001 with convolutions].")] = None,
    schedule: Annotated[str | None, typer.Option(help="Its course: cosine, warmup-cosine, one-cycle, constant [default: cosine].")] = None,
    warmup: Annotated[float | None, typer.Option(help="Share of the training in which those that warm up do so [default: 0.1].")] = None,
    timesteps: Annotated[
        int | None, typer.Option("--timesteps", "-T", help="Time steps a sample [default: 8, or the frames of temporal data].")
    ] = None,
    loss: Annotated[str | None, typer.Option(help="mse or ce on mean rates, tet on every step [default: mse].")] = None,
    tet_lambda: Annotated[float | None, typer.Option(help="Weight of tet's second term, 0..1 [default: 0.001].")] = None,
    augment: Annotated[
        str | None, typer.Option(help="none; gentle: small turns, shifts and scales; published: what papers use [default: none].")
    ] = None,
    hidden: Annotated[str | None, typer.Option(help="Hidden layers of fc, e.g. 800 or 400,200; short for --set net.hidden=...")] = None,
    width: Annotated[str | None, typer.Option(help="Width of a convolutional network; short for --set net.width=...")] = None,
    weight_bits: Annotated[int | None, typer.Option(help="Train in the chip's integers with weights of 2..8 bits at the end (fc).")] = None,
    qat_fraction: Annotated[float | None, typer.Option(help="Share of the epochs that do [default: 0.25].")] = None,
    qat_lr: Annotated[float | None, typer.Option(help="Their learning rate at the start, as a share of --lr [default: 0.3].")] = None,
    validation_fraction: Annotated[float | None, typer.Option(help="Share of the training samples held out [default: 0.1].")] = None,
    init: Annotated[str | None, typer.Option(help="Run folder or model.safetensors whose weights to start from.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda [default: auto].")] = None,
    precision: Annotated[str | None, typer.Option(help="float32, or bf16 by autocast [default: float32].")] = None,
    compile_step: Annotated[bool | None, typer.Option("--compile/--no-compile", help="Let torch.compile build the training step.")] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option: method.x=, net.x= or data.x=; or a setting. Repeatable."),
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML file of settings; flags and --set override it.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random [default: 0].")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out, to the same bits.")] = False,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds after which no further epoch begins: exit code 5, and --resume continues.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data set's files where they are missing.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train a sparse spiking network; writes model.onnx, checkpoint, metrics and TensorBoard into --out.

    Under torchrun all processes train together: torchrun --nproc-per-node 4 -m spikeloom train ...
    """
    from .files import read_json
    from .train.fitting import train_run
    from .train.recipe import merged, read_recipe
    from .train.settings import TrainSettings

    flags = {
        "data": data,
        "net": net,
        "method": method,
        "sparsity": sparsity,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "schedule": schedule,
        "warmup": warmup,
        "timesteps": timesteps,
        "loss": loss,
        "tet_lambda": tet_lambda,
        "augment": augment,
        "net.hidden": None if hidden is None else _sizes(hidden),
        "net.width": width,
        "weight_bits": weight_bits,
        "qat_fraction": qat_fraction,
        "qat_lr": qat_lr,
        "validation_fraction": validation_fraction,
        "init": init,
        "device": device,
        "precision": precision,
        "compile": compile_step,
        "seed": seed,
        "data_dir": None if data_dir is None else str(data_dir),
    }
    settings = TrainSettings.read(merged({} if recipe is None else read_recipe(recipe), flags, chosen or []))
    bar, speaks = _Bar("training"), os.environ.get("RANK", "0") == "0"  # under torchrun the first process speaks
    with bar if speaks else nullcontext():
        done = train_run(settings, out, resume=resume, download=download, time_limit=time_limit, progress=bar.epoch)
    if not speaks:
        return
    if as_json:
        print_json(read_json(out / "train.json", "a summary of training"))
        return
    stages = "   ".join(f"{s.name} {s.accuracy:.2%}" for s in done.stages)
    say(f"sparsity {done.sparsity:.2%}   test accuracy: {stages}")
    say(f"Wrote {out}/model.onnx. Next: spikeloom compile {out} --target lava")


add_sweep(app)
add_estimate(app)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        sizes = ()
    if not sizes or any(size < 1 for size in sizes):
        raise UsageError(f"--hidden is {text!r}; it must be sizes of at least 1, e.g. 800 or 400,200.")
    return sizes


class _Bar:
    """A progress bar on standard error, with the time left; plain lines where there is no terminal."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
        self._console = Console(stderr=True)
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(title, total=None, note="")

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def epoch(self, epoch: int, epochs: int, batch: int, batches: int, metrics: dict[str, float], seconds_left: float) -> None:
        """Show where a training is; called by `train.fit`."""
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        left = f"{int(seconds_left) // 60}:{int(seconds_left) % 60:02d} left"
        note = f"{shown}  {left}"
        self._bar.update(
            self._task, total=epochs * batches, completed=(epoch - 1) * batches + batch, description=f"epoch {epoch}/{epochs}", note=note
        )
        if batch == batches and not self._console.is_terminal:
            say(f"epoch {epoch}/{epochs}  {note}")

    def samples(self, done: int, total: int) -> None:
        """Show where a run is; called by `runtime.run`."""
        self._bar.update(self._task, total=total, completed=done, note=f"{done:,} of {total:,} samples")


@app.command(name="compile", short_help="Quantise a network and map it onto cores.")
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
    effort: Annotated[str, typer.Option(help="How long the mapping onto cores is worked on: fast, default or best.")] = "default",
    stop_after: Annotated[str | None, typer.Option(metavar="PASS", help="Run the passes up to this one and map nothing.")] = None,
    dump_dir: Annotated[Path | None, typer.Option(help="Folder for the network after each pass, as text and to load again.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say of each pass what it is for, its options and what it changed.")] = False,
    dt: Annotated[float | None, typer.Option("--dt", help="Seconds of a time step, of a model.nir [default: 1e-4].")] = None,
    timesteps: Annotated[int | None, typer.Option("--timesteps", "-T", help="Time steps a sample, of a model.nir.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set that a model.nir is fed: its levels and time steps, and samples to calibrate on.")
    ] = None,
    chosen: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An option of the reader, e.g. spike_when=reached. Repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write [default: model.loom beside the network].")] = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Quantise a network, map it onto a chip's cores, and print what fits where and how close to the bounds."""
    from .compile.compiler import compile_network, run_passes
    from .compile.summary import passes_document, summary
    from .runtime.report.terminal import explanation, mapping_summary

    reader = named({"dt": dt, "timesteps": timesteps}, chosen or [])
    calibration = None
    if data is not None:
        reader, calibration = fed(source, data, data_dir, reader)
    if stop_after is not None:
        stopped = run_passes(
            source,
            stop_after=stop_after,
            dump_dir=dump_dir,
            target=target,
            chip=chip,
            encoding=encoding,  # pyright: ignore[reportArgumentType]
            weight_bits=weight_bits,
            granularity=granularity,
            calibration=calibration,
            seed=seed,
            mode=mode,
            reader=reader,
        )
        document = passes_document(stopped)
        if as_json:
            print_json(document)
        else:
            render(explanation(document["passes"]))
            say(f"Stopped after {stop_after}; nothing was mapped." + (f" The networks are in {dump_dir}." if dump_dir else ""))
        return
    deployed = compile_network(
        source,
        target=target,
        chip=chip,
        encoding=encoding,  # pyright: ignore[reportArgumentType]
        weight_bits=weight_bits,
        granularity=granularity,
        calibration=calibration,
        mode=mode,
        reader=reader,
        dump_dir=dump_dir,
        seed=seed,
        max_chips=max_chips,
        effort=effort,  # pyright: ignore[reportArgumentType]
    )
    path = deployed.save(out or (source if source.is_dir() else source.parent) / "model.loom")
    document = summary(deployed)
    if as_json:
        print_json(document | {"path": str(path)})
        return
    if explain:
        render(explanation(document["passes"]), "")
    render(mapping_summary(document | {"cores": document["cores_table"]}))
    say(f"Wrote {path}. Next: spikeloom run {path} --data {deployed.network.provenance.get('data', 'NAME')}")


@app.command(short_help="Run a deployed network; counts, energy, check.")
def run(
    network: Annotated[Path, typer.Argument(help="A model.loom.", show_default=False)],
    data: Annotated[
        str | None, typer.Option(help="Data set whose test split is run, or a .npy of samples [default: the one it was trained on].")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="The .npy of labels of the samples in --data SAMPLES.npy.")] = None,
    backend: Annotated[str, typer.Option(help=f"What runs it: {backends()}.")] = "native",
    device: Annotated[str | None, typer.Option(help="Of the torch backend: auto, cpu or cuda [default: auto].")] = None,
    samples: Annotated[int | None, typer.Option(help="How many of the first test samples [default: all].")] = None,
    check: Annotated[bool, typer.Option("--check", help="Compare every spike with the integer reference; exit 4 at a difference.")] = False,
    energy_model: Annotated[
        str | None, typer.Option(help="Chip whose energies and times are used [default: the one compiled for].")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds that the Lava worker may take.")] = 600.0,
    lava_python: Annotated[str | None, typer.Option(help="Python that has lava-nc, if not this one.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the simulator [default: all cores].")] = None,
    by_step: Annotated[bool, typer.Option("--by-step", help="Count by core and time step too, into results.json.")] = False,
    out: Annotated[Path | None, typer.Option(help="File for the results [default: results.json beside the network].")] = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run a deployed network: accuracy, spikes, SOPs, messages, energy and latency; writes results.json.

    Under torchrun the processes share the samples: torchrun --nproc-per-node 4 -m spikeloom run ...
    """
    from .runtime import BackendOptions
    from .runtime import run as run_network
    from .runtime.shards import together

    if device is not None and backend != "torch":
        raise UsageError(f"--device chooses where the torch backend computes; {backend} has no such choice. Add --backend torch.")
    bar = _Bar(f"running on {backend}")
    options = BackendOptions(time_limit=time_limit, lava_python=lava_python, threads=threads_each(threads), by_step=by_step, device=device)
    with peers() as all_, bar if all_.rank == 0 else nullcontext():
        deployed, name, split = together(all_, lambda: what_to_run(network, data, labels, data_dir))
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
            folder=network.parent,
        )
        if all_.rank > 0:
            return
    path = results.save(out or network.parent / ("results.json" if backend == "native" else f"results-{backend}.json"))
    if as_json:
        print_json(results.document())
        return
    from .runtime.report.terminal import summary

    render(summary(results.document()))
    say(f"Wrote {path}. Next: spikeloom report {path.parent}")


add_report(app)


add_export(app)
add_convert(app)
app.add_typer(hw)
add_doctor(app)
