"""Whether this interpreter has Lava, without importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

__all__ = ["INSTALL", "VERSION", "missing"]

VERSION = "0.10.0"  # the last release of lava-nc
INSTALL = f"pip install asteval scikit-learn && pip install --ignore-requires-python --no-deps lava-nc=={VERSION}   (or: make install)"


def missing() -> list[str]:
    """Return the libraries that Lava needs and this interpreter lacks."""
    return [name for name in ("lava", "asteval", "sklearn", "scipy") if not _found(name)]


def _found(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    if spec is None or name != "lava":
        return spec is not None
    # lava is a namespace package, so any folder of that name is found, including leftovers of an uninstall
    return any((Path(place) / "magma/compiler/var_model.py").is_file() for place in spec.submodule_search_locations or ())
