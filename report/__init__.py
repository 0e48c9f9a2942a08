"""Reports of results: `write` makes a page, Markdown, JSON, or one table in CSV or LaTeX.

All of it comes from results; nothing is measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from .writing import write

__all__ = ["write"]

if not TYPE_CHECKING:  # to them a module with __getattr__ has every name
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "write": ".writing",
        },
    )
