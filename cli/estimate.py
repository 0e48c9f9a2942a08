"""The command `spikeloom estimate`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .foreign import fed, module_of, named
from .shared import AsJson, DataDir, Seed, listed, print_json, render

if TYPE_CHECKING:
    from ..compile.estimate import Estimate
    from ..hwmodels.chip import Chip

__all__ = ["add_to"]

NET = "net."  # how options of a network by name begin


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Bound cores, chips and energy, at any size, without mapping.")(estimate)


def estimate(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="Run folder, network file, zoo:NAME, or FILE.py:NAME, what makes your own torch module; or --net.", show_default=False
        ),
    ] = None,
    chip: Annotated[str | None, typer.Option(help="Chip name or chip file [default: loihi2].")] = None,
    encoding: Annotated[str | None, typer.Option(help="How samples enter: current, graded, rate, host or events.")] = None,
    weight_bits: Annotated[str, typer.Option(help="2..8 or ternary, also per layer: 8,hidden1=4.")] = "8",
    rate: Annotated[
        float | None, typer.Option(help="Spikes per neuron and time step [default: measured on the run folder's calibration samples].")
    ] = None,
    net: Annotated[str | None, typer.Option(help=f"A network by name, without a file: {listed('train.networks')}.")] = None,
    shape: Annotated[str | None, typer.Option(metavar="C,H,W", help="Of a sample, or of each of its frames, for --net.")] = None,
    sparsity: Annotated[
        str | None, typer.Option(help="Share of zeros among the weights, for --net, also per layer: 0.9,output=0.5 [default: 0].")
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Classes, for --net [default: 10].")] = None,
    temporal: Annotated[bool, typer.Option("--temporal", help="Samples carry their own frames of events, for --net.")] = False,
    timesteps: Annotated[
        int | None, typer.Option("--timesteps", "-T", help="Time steps per sample: modules, .nir and .net files, --net [default: 8].")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights (.safetensors) of the module of FILE.py:NAME, by the names of its state_dict.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set, .npz, .npy, HDF5, folder of classes, or FILE.py:NAME, on which spike rates are measured.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Labels (.npy) of the samples in --data SAMPLES.npy.")] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="An option of the format or of the data, or of --net (net.width=128). Repeatable."
        ),
    ] = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Compute lower bounds of what a network needs on a chip, without mapping it: for networks of any size, up to thousands of chips."""
    from ..compile.compiler import Compilation
    from ..compile.paper import estimated
    from ..hwmodels import chip as chips
    from ..report.terminal import paper

    model = chips.load(chip or "loihi2")
    given = named({} if net else {"timesteps": timesteps}, chosen or [])
    sizes = _Sizes(
        net, shape, sparsity, classes, temporal, timesteps, {n.removeprefix(NET): v for n, v in given.items() if n.startswith(NET)}
    )
    reader, samples = fed({n: v for n, v in given.items() if not n.startswith(NET)}, data, labels, data_dir)
    asked = Compilation(
        sizes.network(source, weights, rate, seed),
        chip=chip,
        encoding=encoding,  # pyright: ignore[reportArgumentType]
        weight_bits=weight_bits,
        seed=seed,
        reader=reader,
        data=samples,
    )
    made = estimated(asked, model, rate, "--data, or one with --rate, such as --rate 0.1")
    found = made.bounds
    times = {name: getattr(found, name) for name in ("seconds_per_step", "seconds_per_sample")}
    warned = [*(made.warnings if net is None else [sizes.assumed]), *made.remarks]
    document = asdict(found) | times | {"chip": model.name, "joules_per_sample": found.joules, "warnings": warned}
    if as_json:
        print_json(document)
        return
    render(paper(document), "", _verdict(found, model))


@dataclass(frozen=True)
class _Sizes:
    """The options of a network by name."""

    net: str | None
    shape: str | None
    sparsity: str | None
    classes: int | None
    temporal: bool
    timesteps: int | None
    options: dict[str, Any]

    def network(self, source: Path | None, weights: Path | None, rate: float | None, seed: int) -> Any:
        """Return the network by name, or else what `source` names.

        Raises:
            UsageError: neither was named or both were, or an option without its use.
        """
        if self.net is None:
            self._refuse_unused()
            if source is None:
                raise UsageError("No network was named. Name a run folder or a network file, or a network by name: --net fc --shape 784.")
            return module_of(source, weights)
        if source is not None or weights is not None:
            raise UsageError(f"Both {source or f'--weights {weights}'} and --net {self.net} were named. Leave one out.")
        if self.shape is None or rate is None:
            lacking = "--shape, such as --shape 3,32,32" if self.shape is None else "--rate, such as --rate 0.1: nothing spikes on paper"
            raise UsageError(f"--net {self.net} needs {lacking}.")
        from ..train.untrained import untrained

        default, by_layer = _shares(self.sparsity or "0")
        return untrained(
            self.net,
            tuple(_whole(part) for part in self.shape.split(",")),
            classes=self.classes or 10,
            timesteps=self.timesteps or 8,
            sparsity=default,
            by_layer=by_layer,
            temporal=self.temporal,
            options=self.options,
            seed=seed,
        )

    @property
    def assumed(self) -> str:
        """What an estimate of a network by name assumes."""
        return (
            f"Weights were removed at random, the same share in each layer that --sparsity does not name ({self.sparsity or 0}). Training "
            "removes more in some layers than in others."
        )

    def _refuse_unused(self) -> None:
        given = {"--shape": self.shape, "--sparsity": self.sparsity, "--classes": self.classes, "--temporal": self.temporal or None}
        unused = [name for name, value in given.items() if value is not None] + [f"--set {NET}{name}=" for name in self.options]
        if unused:
            raise UsageError(f"{', '.join(unused)}: for a network by name, --net; a file has its own. Leave it out.")


def _shares(text: str) -> tuple[float, dict[str, float]]:
    """Read --sparsity: a number, and LAYER=NUMBER for others."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    plain = [part for part in parts if "=" not in part]
    try:
        if len(plain) > 1:
            raise ValueError
        by_layer = {name.strip(): float(value) for name, value in (part.split("=", 1) for part in parts if "=" in part)}
        return float(plain[0]) if plain else 0.0, by_layer
    except ValueError:
        raise UsageError(f"--sparsity is {text!r}; it must be a number, and LAYER=NUMBER for others: 0.9,output=0.5.") from None


def _whole(text: str) -> int:
    if not text.strip().isdecimal() or len(text) > 9:
        raise UsageError(f"--shape has the size {text!r}; it must be whole numbers with commas, such as 3,32,32.")
    return int(text)


def _verdict(found: Estimate, chip: Chip) -> str:
    machine = "one chip" if chip.system is None else f"{chip.system.name}, {chip.chips:,} chips"
    needs, used = (f"{n:,} {what}{'s' * (n > 1)}" for n, what in ((found.cores, "core"), (found.chips, "chip")))
    return f"At least {needs} of {chip.name} on {used}: {'fits' if found.fits else 'does not fit'} {machine}."
