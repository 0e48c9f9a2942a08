"""Backends: one file each, with `simulate(network, events, options) -> Recording` (see `_base`) and BATCH, the
most samples a call takes (None: all)."""
