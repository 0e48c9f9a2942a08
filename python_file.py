"""Runs a Python file of the user's and returns what one of its names is: `FILE.py:NAME` on the command line."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import SpikeloomError, UsageError, nearest

__all__ = ["named_in", "split_name"]


def split_name(text: str) -> tuple[Path, str] | None:
    """Return file and name of FILE.py:NAME; None for any other text."""
    file, colon, name = text.rpartition(":")
    return (Path(file), name) if colon and file.endswith(".py") else None


def named_in(path: Path, name: str, take: Callable[[Any], Any], makes: str) -> Any:
    """Run a Python file, and return what `take` makes of its `name`.

    Args:
        path: the file; the folder that holds it can be imported from.
        name: of a function, class or variable in it.
        take: called with that, while the folder can be imported from.
        makes: what the name is for, in messages: "your module".

    Raises:
        UsageError: no such file or name, or code that raises.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}. Name the Python file that makes {makes}, FILE.py:NAME.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be loaded as a Python file.")
    found = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, found)  # what a dataclass or a pickle in it looks up
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(found)
        made = getattr(found, name, None)
        if made is not None:
            made = take(made)
    except SpikeloomError:
        raise
    except Exception as error:  # the user's own code
        raise UsageError(f"{path}:{name} raises {type(error).__name__}: {error}. It must run without arguments.") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if made is None:
        near = nearest(name, [n for n in vars(found) if not n.startswith("_")])
        raise UsageError(f"{path} has no {name}.{f' Did you mean {near[0]!r}?' if near else ''}")
    return made
