"""Targets: one file each, with CHIPS (the first is the default) and `check(network, chip)`, the target's own rules.

A target whose neurons are not Loihi's also has `chain(default, options)`, the passes that it runs, and `build(network, rates, chip, mode=,
effort=, seed=)`, which returns the mapping and its crossbars.
"""
