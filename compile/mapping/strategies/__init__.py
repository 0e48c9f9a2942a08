"""One file per way to order the neurons before cores are filled, found by its name. Each has

EFFORT: the least effort (`fast`, `default` or `best`) that tries it;
propose(wiring, chip, cores, effort, seed) -> Proposal | None: None where it has nothing to say of this network;
    missing() -> str, if it needs a library that is not everywhere: why it cannot run here, or an empty text.
"""
