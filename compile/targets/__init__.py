"""Targets: one file each, with CHIPS (the first is the default) and `check(network, chip)`, the target's own rules."""
