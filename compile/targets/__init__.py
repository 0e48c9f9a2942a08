"""Targets: one file each, with `TARGET`, an object that implements `api.Target`."""
