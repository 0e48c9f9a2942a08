"""The command line. Everything heavy is imported inside the commands, so that --help answers at once."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from .._version import VERSION
from ..errors import SpikeloomError, StoppedError
from . import compile as compile_
from . import convert, doctor, estimate, export, hw, report, run, sweep, train

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Says what Ctrl-C left; typer by itself would end without a word."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            StoppedError: in place of KeyboardInterrupt.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            left = "Every finished epoch is kept: repeat the command with --resume." if ctx.invoked_subcommand == "train" else ""
            raise StoppedError(f"Interrupted. {left or 'No file was left half-written.'}") from stop


app = typer.Typer(
    name="spikeloom",
    cls=_Commands,
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
    except KeyboardInterrupt:  # before the command began
        _fail("Interrupted.", 130)


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


for _command in (train, sweep, compile_, run, report, estimate, convert, export, hw, doctor):
    _command.add_to(app)
