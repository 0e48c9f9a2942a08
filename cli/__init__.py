"""The command line, one file a command; `main` runs it."""

from .entry import app, main

__all__ = ["app", "main"]
