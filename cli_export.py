"""The command `spikeloom export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .compile.deployed import DeployedNetwork

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Write a network in another format.")(export)


def export(
    source: Annotated[Path, typer.Argument(help="A model.loom.", show_default=False)],
    to: Annotated[str, typer.Option("--to", help="netx: layers for Intel's lava-dl; graphml: the graph of cores with its traffic.")],
    out: Annotated[Path | None, typer.Option(help="File to write [default: beside the network].")] = None,
) -> None:
    """Write a deployed network in another format; prints the path."""
    from . import registry
    from .compile import writers
    from .compile.deployed import load
    from .errors import unknown_name

    if to == "graphml":
        print(_graphml(load(source), out or source.with_suffix(".graphml")))
        return
    if to not in registry.names(writers):
        raise unknown_name("export format", to, [*registry.names(writers), "graphml"])
    writer = registry.load(writers, "writer", to)
    print(writer.write(load(source).network, out or source.with_suffix(writer.SUFFIXES[0])))


def _graphml(deployed: DeployedNetwork, path: Path) -> Path:
    import networkx as nx

    from .files import write_text

    return write_text(path, "\n".join(nx.generate_graphml(deployed.core_graph())) + "\n")
