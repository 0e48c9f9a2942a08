"""netx: `.net`, the HDF5 files that SLAYER of Intel's lava-dl exports and its netx loads, read and written."""

from .reader import REFUSED, SUFFIXES, Options, known, read
from .writer import write_integers

__all__ = ["REFUSED", "SUFFIXES", "Options", "known", "read", "write_integers"]
