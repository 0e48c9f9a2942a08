"""What the commands share: options that several have, and how they speak."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["AsJson", "DataDir", "Seed", "print_json", "render", "say"]

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the data sets [default: $SPIKELOOM_DATA, else ./data].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for scripts.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2))


def render(*parts: Any) -> None:
    from rich.console import Console

    console = Console()
    for part in parts:
        console.print(part)


def say(text: str) -> None:
    """A line for people, on standard error so that standard output stays what a script asked for."""
    print(text, file=sys.stderr)
