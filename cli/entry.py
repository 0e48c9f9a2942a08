"""The command line. Everything heavy is imported inside the commands, so that --help answers at once."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..errors import SpikeloomError, StoppedError
from . import compile as compile_
from . import convert, doctor, ending, estimate, export, figure, hw, inspect, recipes, repeat, report, run, sweep, train, zoo

__all__ = ["app", "main"]

NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class _Commands(TyperGroup):
    """Reports what Ctrl-C left behind; typer itself would print nothing."""

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
    help="Train sparse spiking neural networks, compile them onto neuromorphic cores, run them, and report accuracy, SOPs and energy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; ends the process with the exit code: 0 done, 1 failed, 2 usage, 3 does not fit, 4 differs, 5 paused."""
    ending.prepare_streams()
    try:
        with ending.signals_as_exceptions():
            code = _run()
    except ending.StoppedBySignal as stop:
        ending.tell(
            f"Stopped by {signal.Signals(stop.number).name}. No file was left half-written; a training run continues with --resume."
        )
        ending.flush()
        ending.stop_as_asked(stop.number)
        code = 128 + stop.number
    error = ending.flush()
    if error is not None and code == 0:
        code = 1
        if error.errno != errno.EPIPE:  # a reader that closed the pipe, as head does, has read enough
            ending.tell(f"Standard output could not be written: {error.strerror}. Free space, or name another file.")
    sys.exit(code)


def _run() -> int:
    """Run a command; return its exit code."""
    try:
        app()
    except SystemExit as end:
        if end.code == StoppedError.exit_code:  # Ctrl-C during argument parsing, which typer does not report
            ending.tell("Interrupted.")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except SpikeloomError as error:
        if error.of_process is None or os.environ.get("RANK", "0") == "0":  # otherwise that process reports it, and so does the first
            ending.tell(str(error))
        return error.exit_code
    except KeyboardInterrupt:  # before the command began
        ending.tell("Interrupted.")
        return StoppedError.exit_code
    except (OSError, MemoryError, RuntimeError) as error:  # from inside a third-party library
        message = _of_the_system(error)
        if message is None:
            raise
        if message:
            ending.tell(message)
        return 1
    return 0


def _of_the_system(error: Exception) -> str | None:
    """Return what the system ran out of; an empty text if the reader of a pipe has gone, as `head` does; None for other errors."""
    if isinstance(error, OSError):
        if error.errno == errno.EPIPE:
            return ""
        return f"The system refused {error.filename or 'a file'}: {error.strerror}. Free space or name another folder."
    if isinstance(error, RuntimeError) and not any(words in str(error) for words in NO_MEMORY):  # torch has no type of its own for it
        return None
    last = str(error).splitlines()[-1:]
    asked = f": {last[0].removesuffix('.')}" if last and last[0] else ""
    return f"There is not enough memory{asked}. Make the network, the batch or the number of samples smaller."


def _version(wanted: bool) -> None:
    if wanted:
        print(f"spikeloom {__version__}")
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False) -> None:
    pass


for _command in (train, recipes, zoo, sweep, compile_, run, repeat, report, figure, inspect, estimate, convert, export, hw, doctor):
    _command.add_to(app)
