"""Libraries of others that tests hold ours against: skipped only where they are not installed."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest

__all__ = ["library"]


def library(name: str) -> Any:
    """Import a module, or skip the test; not if SPIKELOOM_EXTRAS names it, as `make test-extras` does of those that it installed."""
    if name.partition(".")[0] in os.environ.get("SPIKELOOM_EXTRAS", "").split():
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed; make test-extras installs it")
