"""Options and output that several commands share."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import SpikeloomWarning

__all__ = [
    "AsJson",
    "DataDir",
    "SamplesOption",
    "Seed",
    "compiled_file",
    "folder_of",
    "listed",
    "next_step",
    "print_json",
    "render",
    "said",
    "say",
    "say_compiled",
]

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder with data sets [default: $SPIKELOOM_DATA, or ./data].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for scripts.")]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]

JIT = f"{__name__.rpartition('.cli')[0]}.jit"
SHORT = 0.05  # seconds not worth a line

SamplesOption = Annotated[
    str | None,
    typer.Option("--samples", metavar="N", help="Run N test samples, evenly spread over the set; first:N: the first N [default: all]."),
]


def listed(part: str) -> str:
    """List the plug-ins of a folder such as train.methods, for the help, without importing them."""
    from importlib import import_module

    from ..registry import names

    return ", ".join(names(import_module(f"..{part}", __package__)))


def compiled_file(source: Path) -> Path:
    """Return the compiled network of a run folder; any other path unchanged."""
    return source / "model.loom" if source.is_dir() and (source / "model.loom").exists() else source


def folder_of(source: Path) -> Path:
    """Return the folder for what is made of a network, unless another is named: its own, or runs/NAME for one of the zoo."""
    from ..network.zoo import name_of

    name = name_of(source)
    if name is not None:
        return Path("runs") / name
    return source if source.is_dir() else source.parent


def print_json(document: Any) -> None:
    """Print a document as JSON on standard output, each list of whole numbers on one line."""
    from ..files import numbers_in_lines

    print(numbers_in_lines(json.dumps(document, indent=2)))


def render(*parts: Any) -> None:
    """Print tables and texts of rich on standard output."""
    from rich.console import Console

    console = Console()
    for part in parts:
        console.print(part)


def next_step(*words: object) -> str:
    """Return the end of a command's last line: what to type next, quoted for the shell."""
    return f"Next: {shlex.join(['spikeloom', *map(str, words)])}"


def say_compiled() -> None:
    """Say how long this command waited for kernels to be compiled, if it did; importing `jit` here would import numba."""
    jit = sys.modules.get(JIT)
    seconds = 0.0 if jit is None else jit.compiling_seconds()
    if seconds >= SHORT:
        say(f"Compiled kernels once: {seconds:.1f} s, not part of any time above. Later runs reuse them.")


@contextmanager
def said() -> Generator[None]:
    """Show warnings as plain lines, each once, without the line of code that they come from."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", SpikeloomWarning)
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if issubclass(category, SpikeloomWarning):
                say(f"Warning: {message}")
            else:
                shown(message, category, *place)

        warnings.showwarning = show
        yield


def say(text: str) -> None:
    """Print a line for the user on standard error, so that standard output holds only what scripts need."""
    with contextlib.suppress(OSError):  # a closed terminal does not stop the work
        print(text, file=sys.stderr)
