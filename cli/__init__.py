"""The command line, one file a command; `main` runs it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .. import lazy
from ..errors import StoppedError

if TYPE_CHECKING:
    from .entry import app as app
else:
    __getattr__, __dir__ = lazy.exports(__name__, {"app": ".entry"}, ("main",))

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line, and end the process with its exit code; a Ctrl-C while the commands are imported, too, is told in a line."""
    try:
        from .entry import main as run
    except KeyboardInterrupt:
        sys.stderr.write("spikeloom: Interrupted.\n")
        sys.exit(StoppedError.exit_code)
    run()
