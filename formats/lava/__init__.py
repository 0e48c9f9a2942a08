"""Lava: a deployed network as a Python package with a hierarchical process of Intel's Lava, or as that process itself (`to_lava`)."""

from .process import to_lava
from .writer import SUFFIXES, write_integers

__all__ = ["SUFFIXES", "to_lava", "write_integers"]
