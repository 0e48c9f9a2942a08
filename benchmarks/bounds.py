"""Lower bounds of seeded networks and what is found: by fan-ins and fan-outs alone, and by expansion, with the seconds that they take.

python benchmarks/bounds.py [--only random-784] [--effort default | --bounds-only]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import mapping
import numpy as np
from spikeloom.compile.compiler import Compilation
from spikeloom.compile.mapping.bounds.least import cheap, least
from spikeloom.compile.mapping.loads.load import Wiring
from spikeloom.hwmodels import chip as chips
from spikeloom.train import untrained


def by_name(net: str, shape: tuple[int, ...], sparsity: float, **options: object) -> Wiring:
    """Return a network of the library with random zeros, after the passes, of which every neuron fires once."""
    network = untrained(net, shape, sparsity=sparsity, options=options, timesteps=8)
    network = Compilation(network, chip="loihi", encoding="rate").run_passes().network
    return Wiring.of(network, np.ones(sum(p.count for p in network.senders))).stored_on(chips.load("loihi"))


CASES: dict[str, Callable[[], Wiring]] = {
    "random-784": lambda: by_name("fc", (784,), 0.85, hidden=(3000, 3000, 2000)),
    "mnist-5%": lambda: by_name("fc", (784,), 0.95, hidden=(800,)),
    "ff-10k-1m": lambda: mapping.CASES["ff-10k-1m"]().wiring,
    "conv-5%": lambda: mapping.CASES["conv-5%"]().wiring,
    "conv-1%": lambda: mapping.CASES["conv-1%"]().wiring,
    "clustered-100k-1m": lambda: mapping.CASES["clustered-100k-1m"]().wiring,
}


def main() -> None:
    """Print one row a network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=CASES, action="append", help="a network; repeatable")
    parser.add_argument("--effort", choices=("fast", "default", "best"), default="default")
    parser.add_argument("--bounds-only", action="store_true", help="leave the mapping out")
    options = parser.parse_args()
    chip = mapping.CHIPS["all"]
    print("| network | cores | / bound before | / bound | messages | / bound before | / bound | s to find | s to bound |\n|" + "---|" * 9)
    for name in options.only or CASES:
        wiring = CASES[name]()
        if options.bounds_only:
            begun = time.process_time()
            print(name, cheap(wiring, chip), least(wiring, chip), f"{time.process_time() - begun:.1f} s", flush=True)
            continue
        begun = time.process_time()
        core_of = mapping.partition(wiring, chip, mapping.PLENTY, effort=options.effort).core_of
        found = time.process_time()
        plain, tight = cheap(wiring, chip), least(wiring, chip)
        bounded = time.process_time()
        cores, messages = int(core_of.max()) + 1, wiring.messages(core_of)
        ratios = [f"{cores / b.cores:.2f}" for b in (plain, tight)], [f"{messages / b.messages:.2f}" for b in (plain, tight)]
        cells = [name, f"{cores:,}", *ratios[0], f"{messages / 1e3:,.1f}k", *ratios[1], f"{found - begun:.1f}", f"{bounded - found:.1f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
