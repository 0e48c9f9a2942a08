"""What the commands share: options that several have, and how they speak."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["AsJson", "DataDir", "Seed", "listed", "next_step", "print_json", "render", "say"]

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the data sets [default: $SPIKELOOM_DATA, else ./data].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for scripts.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]


def listed(part: str) -> str:
    """Name the files of a folder such as train.methods, for the help; nothing of them is imported."""
    from importlib import import_module

    from ..registry import names

    return ", ".join(names(import_module(f"..{part}", __package__)))


def print_json(document: Any) -> None:
    from ..files import numbers_in_lines

    print(numbers_in_lines(json.dumps(document, indent=2)))


def render(*parts: Any) -> None:
    from rich.console import Console

    console = Console()
    for part in parts:
        console.print(part)


def next_step(*words: object) -> str:
    """Return the end of a command's last line: what to type next, quoted for the shell."""
    return f"Next: {shlex.join(['spikeloom', *map(str, words)])}"


def say(text: str) -> None:
    """A line for people, on standard error so that standard output stays what a script asked for."""
    with contextlib.suppress(OSError):  # a terminal that closed stops no work
        print(text, file=sys.stderr)
