"""The command `spikeloom inspect`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .shared import AsJson, compiled_file, print_json, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..compile.deployed import DeployedNetwork

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="inspect", short_help="Look into a compiled network: layers, cores, neurons.")(inspect)


def inspect(
    source: Annotated[Path, typer.Argument(help="Compiled network (model.loom), its run folder, or zoo:NAME.", show_default=False)],
    core: Annotated[int | None, typer.Option(metavar="N", help="One core: its neurons, and what it receives and sends.")] = None,
    neuron: Annotated[
        str | None, typer.Option(metavar="LAYER:N", help="One neuron, hidden1:37, or conv1:2,5,7 on a map: its place, synapses and costs.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Spikes per neuron and time step [default: as measured when it was compiled].")] = None,
    results: Annotated[Path | None, typer.Option(help="Results of a run of this network, whose rates by layer are used.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is in a compiled network by layer and core, or one core or neuron: where it is, its connections, what it costs."""
    from ..compile.inspection.inspect import inspect as look_into
    from ..compile.loading import load
    from ..report import inspected

    if core is not None and neuron is not None:
        raise UsageError("--core and --neuron show one thing each. Leave one of them out.")
    network = load(compiled_file(source))
    rates, said = _rates(network, rate, results)
    found = look_into(network, rates=rates)
    if core is not None:
        document, shown = asdict(found.core(core)), inspected.core
    elif neuron is not None:
        document, shown = asdict(found.neuron(*_neuron(network, neuron))), inspected.neuron
        document["energy_pj_per_sample"] = sum(part["pj_per_sample"] for part in document["energy"])
    else:
        document, shown = found.document(), inspected.whole
    if as_json:
        print_json(document)
    else:
        render(shown(document, said))


def _rates(network: DeployedNetwork, rate: float | None, results: Path | None) -> tuple[float | Mapping[str, float] | None, str]:
    """Return the stated rates, and a sentence on where they are from."""
    if rate is not None and results is not None:
        raise UsageError("--rate and --results both say how often neurons spike. Leave one of them out.")
    if rate is not None:
        return rate, f"all neurons spike at {rate:g} of the time steps."
    if results is None:
        return None, "rates as they were measured when it was compiled."
    from ..runtime.results import load

    ran = load(results)
    if ran.provenance.artefact_sha256 != network.digest:
        raise UsageError(f"{results} holds the results of another compiled network. Run this one: spikeloom run MODEL.loom.")
    return {
        n.name: float(n.spike_rate) for n in ran.layers
    }, f"rates by layer of {results} ({ran.samples:,} samples); the input's as compiled."


def _neuron(network: DeployedNetwork, text: str) -> tuple[str, int]:
    """Return the layer and the number that LAYER:N, or LAYER:CHANNEL,ROW,COLUMN, names."""
    layer, colon, number = text.rpartition(":")
    parts = [part.strip() for part in number.split(",")]
    if not colon or not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise UsageError(f"--neuron {text} is not of the form LAYER:N, such as hidden1:37, or LAYER:CHANNEL,ROW,COLUMN.")
    places = [int(part) for part in parts]
    shapes = {p.name: p.shape for p in network.network.populations}
    shape = shapes.get(layer)
    if len(places) == 1 or shape is None:
        return layer, places[0]
    if len(places) != len(shape) or any(place >= size for place, size in zip(places, shape, strict=True)):
        raise UsageError(f"{layer} has the shape {' x '.join(map(str, shape))} in the compiled network; {number} is no position in it.")
    found = 0
    for place, size in zip(places, shape, strict=True):
        found = found * size + place
    return layer, found
