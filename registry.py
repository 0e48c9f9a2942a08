"""Discovery by file name: a pruning rule, data set, network, reader, pass, target or backend is one file in its folder."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from .errors import unknown_name


def names(package: ModuleType) -> list[str]:
    """List what a package offers: its modules' names, `_` written `-`, those that start with `_` left out.

    Nothing is imported, so a listing stays cheap.
    """
    found = pkgutil.iter_modules(package.__path__)
    return sorted(m.name.replace("_", "-") for m in found if not m.name.startswith("_"))


def load(package: ModuleType, kind: str, name: str) -> ModuleType:
    """Import the module of `package` called `name`.

    Raises:
        UsageError: there is none; the message lists the nearest names.
    """
    known = names(package)
    if name not in known:
        raise unknown_name(kind, name, known)
    return importlib.import_module(f"{package.__name__}.{name.replace('-', '_')}")
