"""Backends: one file each, with `simulate(network, events, options) -> Recording` (see `_base`)."""
