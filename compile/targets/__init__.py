"""Targets: one file each, with `TARGET`, an object that does what `api.Target` says."""
