"""Strategies that order the neurons before cores are filled: one file each, found by its name. Each has

EFFORT: the least effort (`fast`, `default` or `best`) that tries it;
propose(wiring, chip, cores, effort, seed) -> Proposal | None: None if the strategy does not apply to this network;
    missing() -> str, if it needs an optional library: why it cannot run here, or an empty string.
"""
