"""The command line. Everything heavy is imported inside the commands, so that --help answers at once."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ._version import VERSION
from .errors import SpikeloomError, UsageError

if TYPE_CHECKING:
    from .hwmodels.chip import Chip

app = typer.Typer(
    name="spikeloom",
    help="Train sparse spiking networks, compile what survives onto neuromorphic cores, run it, report accuracy, SOPs and energy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
hw = typer.Typer(
    name="hw",
    help="Chips: limits, energy and time, each number with unit, source and status.",
    short_help="List and show chips, with sources.",
    no_args_is_help=True,
)
app.add_typer(hw)

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the data sets [default: $SPIKELOOM_DATA, else ./data].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for scripts.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]


def main() -> None:
    """Run the command line; ends the process with the exit code: 0 done, 1 failed, 2 usage, 3 does not fit, 4 differs."""
    try:
        app()
    except SpikeloomError as error:
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


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2))


def _render(*parts: Any) -> None:
    from rich.console import Console

    console = Console()
    for part in parts:
        console.print(part)


def _note(text: str) -> None:
    """A line for people, on standard error so that standard output stays what a script asked for."""
    print(text, file=sys.stderr)


@app.command(short_help="Train a sparse network; writes model.onnx.")
def train(
    data: Annotated[str, typer.Option(help="Data set: digits (built in), mnist.")],
    out: Annotated[Path, typer.Option(help="Run folder to create.")],
    net: Annotated[str, typer.Option(help="Network: fc.")] = "fc",
    method: Annotated[str, typer.Option(help="Pruning rule: dense, grad-r.")] = "dense",
    sparsity: Annotated[float, typer.Option(help="Share of weights to remove, 0 <= S < 1; comes out within 0.1 points.")] = 0.0,
    epochs: Annotated[int, typer.Option(help="Passes over the training data.")] = 20,
    batch_size: Annotated[int | None, typer.Option(help="Samples a step [default: 128, or fewer for a small data set].")] = None,
    lr: Annotated[float, typer.Option(help="Adam's learning rate at the start; decays along a cosine.")] = 1e-2,
    timesteps: Annotated[int, typer.Option("--timesteps", "-T", help="Time steps a sample.")] = 8,
    hidden: Annotated[str, typer.Option(help="Hidden layers of fc, e.g. 800 or 400,200.")] = "800",
    weight_bits: Annotated[int | None, typer.Option(help="Train in the chip's integers with weights of 2..8 bits at the end.")] = None,
    control: Annotated[
        str, typer.Option(help="grad-r: closed reaches the sparsity; open is the paper's form, ruled by --alpha.")
    ] = "closed",
    alpha: Annotated[float, typer.Option(help="grad-r --control open: strength of the prior.")] = 1e-3,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out, to the same bits.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train a sparse spiking network; writes model.onnx, checkpoint, metrics and TensorBoard into --out."""
    from .files import read_json
    from .train import fit

    with _Bar("training") as bar:
        done = fit(
            data,
            net=net,
            method=method,
            sparsity=sparsity,
            epochs=epochs,
            out=out,
            batch_size=batch_size,
            lr=lr,
            timesteps=timesteps,
            hidden=_sizes(hidden),
            weight_bits=weight_bits,
            control=control,  # pyright: ignore[reportArgumentType]
            alpha=alpha,
            seed=seed,
            resume=resume,
            data_dir=data_dir,
            progress=bar.epoch,
        )
    if as_json:
        _print_json(read_json(out / "train.json", "a summary of training"))
        return
    stages = "   ".join(f"{s.name} {s.accuracy:.2%}" for s in done.stages)
    _note(f"sparsity {done.sparsity:.2%}   test accuracy: {stages}")
    _note(f"Wrote {out}/model.onnx. Next: spikeloom compile {out} --target lava")


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        sizes = (0,)
    if any(size < 1 for size in sizes):
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
            _note(f"epoch {epoch}/{epochs}  {note}")

    def samples(self, done: int, total: int) -> None:
        """Show where a run is; called by `runtime.run`."""
        self._bar.update(self._task, total=total, completed=done, note=f"{done:,} of {total:,} samples")


@app.command(name="compile", short_help="Quantise a network and map it onto cores.")
def compile_(
    source: Annotated[Path, typer.Argument(help="Run folder, or a model.onnx.", show_default=False)],
    target: Annotated[str, typer.Option(help="What executes it: lava.")] = "lava",
    chip: Annotated[str | None, typer.Option(help="Chip name or chip file [default: loihi2 for lava].")] = None,
    encoding: Annotated[str | None, typer.Option(help="Input as current, graded, rate or host [default: the chip's first].")] = None,
    weight_bits: Annotated[int, typer.Option(help="2..8, for a float network; one trained in integers keeps its own.")] = 8,
    out: Annotated[Path | None, typer.Option(help="File to write [default: model.loom beside the network].")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Quantise a network, map it onto a chip's cores, and print what fits where and how close to the bounds."""
    from .compile.compiler import compile_network
    from .compile.summary import summary

    deployed = compile_network(source, target=target, chip=chip, encoding=encoding, weight_bits=weight_bits, seed=seed)  # pyright: ignore[reportArgumentType]
    path = deployed.save(out or (source if source.is_dir() else source.parent) / "model.loom")
    document = summary(deployed)
    if as_json:
        _print_json(document | {"path": str(path)})
        return
    from .runtime.report.terminal import mapping_summary

    _render(mapping_summary(document | {"cores": document["cores_table"]}))
    _note(f"Wrote {path}. Next: spikeloom run {path} --data {deployed.network.provenance.get('data', 'NAME')}")


@app.command(short_help="Run a deployed network; counts, energy, check.")
def run(
    network: Annotated[Path, typer.Argument(help="A model.loom.", show_default=False)],
    data: Annotated[str, typer.Option(help="Data set: digits (built in), mnist; its test split is run.")],
    backend: Annotated[str, typer.Option(help="native, lava or onnx.")] = "native",
    samples: Annotated[int | None, typer.Option(help="How many of the first test samples [default: all].")] = None,
    check: Annotated[bool, typer.Option("--check", help="Compare every spike with the integer reference; exit 4 at a difference.")] = False,
    energy_model: Annotated[
        str | None, typer.Option(help="Chip whose energies and times are used [default: the one compiled for].")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds that the Lava worker may take.")] = 600.0,
    lava_python: Annotated[str | None, typer.Option(help="Python that has lava-nc, if not this one.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the simulator [default: all cores].")] = None,
    out: Annotated[Path | None, typer.Option(help="File for the results [default: results.json beside the network].")] = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run a deployed network: accuracy, spikes, SOPs, messages, energy and latency; writes results.json."""
    from .compile.deployed import load
    from .runtime import BackendOptions
    from .runtime import run as run_network
    from .train.data import load_dataset

    deployed = load(network)
    split = load_dataset(data, data_dir).test
    options = BackendOptions(time_limit=time_limit, lava_python=lava_python, threads=threads)
    with _Bar(f"running on {backend}") as bar:
        results = run_network(
            deployed,
            split,
            backend=backend,
            samples=samples,
            check=check,
            energy_model=energy_model,
            seed=seed,
            data_name=data,
            options=options,
            command=shlex.join(["spikeloom", *sys.argv[1:]]),
            progress=bar.samples,
        )
    path = results.save(out or network.parent / ("results.json" if backend == "native" else f"results-{backend}.json"))
    if as_json:
        _print_json(results.document())
        return
    from .runtime.report.terminal import summary

    _render(summary(results.document()))
    _note(f"Wrote {path}. Next: spikeloom report {path.parent}")


@app.command(short_help="Write one HTML page from the results.")
def report(
    source: Annotated[Path, typer.Argument(help="Run folder, or a results.json.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Page to write [default: report.html beside the results].")] = None,
) -> None:
    """Write one self-contained HTML page from results.json; prints its path."""
    from .runtime.results import gather, load

    results = gather(source) if source.is_dir() else load(source)
    folder = source if source.is_dir() else source.parent
    print(results.write_report(out or folder / "report.html"))


@app.command()
def export(
    network: Annotated[Path, typer.Argument(help="A model.loom.", show_default=False)],
    to: Annotated[str, typer.Option("--to", help="graphml: the graph of cores with its expected traffic.")],
    out: Annotated[Path | None, typer.Option(help="File to write [default: beside the network].")] = None,
) -> None:
    """Export the graph of cores; prints the path."""
    from .compile.deployed import load
    from .errors import unknown_name
    from .files import write_text

    if to != "graphml":
        raise unknown_name("export format", to, ["graphml"])
    import networkx as nx

    text = "\n".join(nx.generate_graphml(load(network).core_graph()))
    print(write_text(out or network.with_suffix(".graphml"), text + "\n"))


@hw.command(name="list")
def hw_list(as_json: AsJson = False) -> None:
    """List the chips."""
    from .hwmodels import chip as chips

    models = [chips.load(name) for name in chips.names()]
    if as_json:
        _print_json([{"name": c.name, "title": c.title, "cores": c.limit("cores"), "encodings": c.encodings} for c in models])
        return
    from rich.table import Table

    table = Table("chip", "what", "cores", "neurons a core", "input as", box=None)
    for c in models:
        table.add_row(c.name, c.title, f"{c.limit('cores'):,}", f"{c.limit('neurons'):,}", ", ".join(c.encodings))
    _render(table)


@hw.command(name="show")
def hw_show(
    name: Annotated[str, typer.Argument(help="Chip name, or the path of a chip TOML.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show a chip: every limit, energy and time with unit, source and status."""
    from .hwmodels import chip as chips

    chip = chips.load(name)
    if as_json:
        _print_json(chip.model_dump(mode="json"))
        return
    _render(f"[bold]{chip.title}[/bold]\n{chip.description}", *_chip_tables(chip))


def _chip_tables(chip: Chip) -> list[Any]:
    from rich.table import Table

    from .hwmodels.chip import Quantity

    tables: list[Any] = []
    for section in ("limits", "energy", "time"):
        part = getattr(chip, section)
        table = Table(section, "value", "status", "source", box=None, title_justify="left", pad_edge=False)
        for field in type(part).model_fields:
            quantity = getattr(part, field)
            if isinstance(quantity, Quantity):
                table.add_row(field.replace("_", " "), f"{quantity.value:g} {quantity.unit}", quantity.status, quantity.source)
        note = getattr(part, "note", "")
        tables += ["", table, *([f"Note: {note}"] if note else [])]
    mesh = chip.mesh
    shape = f"mesh: {mesh.columns} x {mesh.rows} tiles of {mesh.cores_per_tile} cores, {mesh.status}: {mesh.source}"
    formats = [
        f"synapses {f.name}: {f.prefix_bits}+{f.index_field_bits} bits an entry, {f.index_bits} index bits each ({f.status})"
        for f in chip.formats
    ]
    return [*tables, "", shape, *formats, f"input as: {', '.join(chip.encodings)}"]
