"""Backends: one file each, with `simulate(network, events, options) -> Recording` (see `api`) and BATCH, the
most samples a call takes (None: all)."""
