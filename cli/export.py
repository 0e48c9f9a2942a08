"""The command `spikeloom export`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import FormatError, UsageError, unknown_name
from .foreign import named
from .shared import AsJson, compiled_file, folder_of, print_json

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["add_to"]

WRITER = "WriteOptions"
GRAPHML, WORDS, MAPPING, SANAFE = "graphml", "words", "mapping", "sanafe"  # of the cores of a compiled network
FORMATS = "lava, netx, nir, onnx"  # listed here, since discovering them imports them all


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Write a network in another format.")(export)


def export(
    source: Annotated[
        Path,
        typer.Argument(
            help="Run folder, network file, zoo:NAME, or model.loom (graphml, mapping, words, sanafe, lava, netx).", show_default=False
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help=f"Format: {FORMATS}, or one of your own; of a model.loom also graphml: its cores, mapping: .csv or .json, words, sanafe.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="File to write, for lava a folder [default: beside the network].")] = None,
    dt: Annotated[float | None, typer.Option("--dt", help="Seconds per time step, for formats in continuous time [default: 1e-4].")] = None,
    timesteps: Annotated[int | None, typer.Option("--timesteps", "-T", help="Time steps per sample, if the source does not say.")] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the format that is written or read. Repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a float or compiled network in another format, or what the cores of a compiled network hold. Prints the path."""
    given = named({"dt": dt, "timesteps": timesteps}, chosen or [])
    if to in OF_CORES:
        if given:
            raise UsageError(f"The export to {to} has no options, but {', '.join(given)} was given. Leave it out.")
        path = OF_CORES[to](compiled_file(source), out)
    else:
        path = _network(source, to, out, given)
    if as_json:
        print_json({"format": to, "path": str(path)})
    else:
        print(path)


def _beside(source: Path, path: Path, suffix: str) -> Path:
    """Return the file to write: beside the network's own, or, for one of the zoo, in runs/NAME."""
    from ..network.zoo import name_of

    return path.with_suffix(suffix) if name_of(source) is None else folder_of(source) / f"model{suffix}"


def _graphml(source: Path, out: Path | None) -> Path:
    import networkx as nx

    from ..compile.loading import load
    from ..files import write_text

    text = "\n".join(nx.generate_graphml(load(source).core_graph()))
    return write_text(out or _beside(source, source, ".graphml"), text + "\n")


def _words(source: Path, out: Path | None) -> Path:
    from ..compile.loading import load
    from ..compile.words.files import save_words

    return save_words(load(source), out or _beside(source, source, ".words.npz"))


def _mapping(source: Path, out: Path | None) -> Path:
    from ..compile.files.mapping import save_mapping
    from ..compile.loading import load

    return save_mapping(load(source), out or _beside(source, source, ".mapping.csv"))


def _sanafe(source: Path, out: Path | None) -> Path:
    from ..compile.files.sanafe import save_sanafe
    from ..compile.loading import load

    return save_sanafe(load(source), out or _beside(source, source, ".sanafe.yaml"))


OF_CORES = {GRAPHML: _graphml, WORDS: _words, MAPPING: _mapping, SANAFE: _sanafe}


def _network(source: Path, to: str, out: Path | None, given: dict[str, Any]) -> Path:
    from .. import formats, registry
    from ..compile.compiler import reader_of

    known = formats.writers()
    if to not in known:
        raise unknown_name("export format", to, [*OF_CORES, *known])
    writer: Any = known[to]
    if out is not None:
        _check_suffix(out, to, {suffix: name for name, module in known.items() for suffix in module.SUFFIXES})
    if hasattr(writer, "write_integers"):
        return _integers(writer, source, to, out, given)
    if source.suffix == ".loom":
        raise UsageError(f"{source} contains a chip's integers, and {to} needs the float network. Name its run folder or model.onnx.")
    reader, path = reader_of(source)
    parts = {part: _options_for(found, given) for part, found in (("reader", _fields(reader)), ("writer", _fields(writer, WRITER)))}
    for name in given:
        if not any(name in options for options in parts.values()):
            raise unknown_name(f"option of {to} or of {path.suffix} files", name, sorted(_fields(writer, WRITER) | _fields(reader)))
    from ..compile.compiler import read_source

    network = read_source(source, parts["reader"]).network
    if network.is_integer and network.projections:
        raise FormatError(f"{path} was trained in a chip's integers, which {to} cannot express. Train without --weight-bits.")
    options = registry.options_of(writer, parts["writer"], f"the export to {to}", WRITER)
    target = out or _beside(source, path, writer.SUFFIXES[0])
    return writer.write(network, target) if options is None else writer.write(network, target, options)


def _check_suffix(out: Path, to: str, formats: dict[str, str]) -> None:
    """Refuse another format's suffix: who opens the file goes by it."""
    named = formats.get(out.suffix, to)
    if named != to:
        raise UsageError(f"{out} ends in {out.suffix}, as files of {named} do, and --to is {to}. Name another file, or use --to {named}.")


def _integers(writer: Any, source: Path, to: str, out: Path | None, given: dict[str, Any]) -> Path:
    from ..compile.loading import load
    from ..network.zoo import name_of

    if given:
        raise UsageError(f"The export to {to} has no options, but {', '.join(given)} was given. Leave it out.")
    if source.suffix != ".loom" and name_of(source) is None:
        raise UsageError(f"{to} needs a chip's integers, and {source} is not a model.loom. Compile it first: --target {to}.")
    return writer.write_integers(load(source).network, out or _beside(source, source, writer.SUFFIXES[0]))


def _fields(module: ModuleType, called: str = "Options") -> set[str]:
    kind: Any = getattr(module, called, None)
    return set() if kind is None else {f.name for f in dataclasses.fields(kind) if f.init}


def _options_for(fields: set[str], given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in fields}
