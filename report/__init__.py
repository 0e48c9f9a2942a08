"""Reports of results: `write` makes a page, Markdown, JSON, or one table in CSV or LaTeX; `figure` draws with
matplotlib, `to_frame` makes a pandas frame of several runs.

Everything comes from results; nothing is measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from .drawing import figure
    from .frames import to_frame
    from .writing import write

__all__ = ["figure", "to_frame", "write"]

if not TYPE_CHECKING:  # type checkers would accept any name from a module with __getattr__
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "figure": ".drawing",
            "to_frame": ".frames",
            "write": ".writing",
        },
    )
