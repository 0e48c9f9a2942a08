"""The native simulator and the rate code of this checkout and of another in turns: a machine whose speed changes does not blur that.

python benchmarks/runtime_pair.py OTHER [--turns 4] [--densities 0.01,0.05]

OTHER: a checkout with a .venv of its own (`git worktree add ../before COMMIT; make -C ../before install`).
Prints the fastest of all runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLES, RUNS, THREADS = 4096, 25, (1, 2)


def measure(densities: list[float]) -> dict[str, float]:
    """Return samples a second of the fastest run, by density and threads, of the checkout that this interpreter has."""
    import numpy as np
    from peers.case import make_case
    from peers.native import network_of, prepare
    from spikeloom.network.model import InputSpec
    from spikeloom.runtime.encoding import encode

    found: dict[str, float] = {}

    def fastest(name: str, run: Callable[[], object]) -> None:
        times: list[float] = []
        for _ in range(RUNS):
            begun = time.perf_counter()
            run()
            times.append(time.perf_counter() - begun)
        found[name] = SAMPLES / min(times)

    for density in densities:
        case = make_case(density, SAMPLES)
        for threads in THREADS:
            fastest(f"{density:.0%}, {threads} thread{'s' * (threads > 1)}", prepare(case, threads))
    network = replace(network_of(make_case(densities[0], 1)), input=InputSpec(255, 1 / 255, "rate"))
    pixels = np.random.default_rng(0).integers(0, 256, (SAMPLES, network.populations[0].size)).astype(np.uint8)
    fastest("rate code, 1 thread", lambda: encode(network, pixels))
    return found


def child(checkout: Path, densities: str) -> dict[str, float]:
    """Measure in a process of a checkout's own interpreter."""
    words = [str(checkout / ".venv" / "bin" / "python"), str(HERE / "runtime_pair.py"), "--measure", "--densities", densities]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def main() -> None:
    """Print a table, or as a child what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, nargs="?")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--densities", default="0.01,0.05")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure([float(d) for d in options.densities.split(",")])))
        return
    if options.other is None:
        parser.error("name another checkout")
    best: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for turn in range(options.turns):
        for held, checkout in zip(best, (options.other, HERE.parent), strict=True):
            for case, rate in child(checkout, options.densities).items():
                held[case] = max(held.get(case, 0.0), rate)
        print(f"turn {turn + 1} of {options.turns} done", file=sys.stderr)
    print("| | other, samples/s | this, samples/s | this / other |\n|---|---|---|---|")
    for case, rate in best[1].items():
        print(f"| {case} | {best[0][case]:,.0f} | {rate:,.0f} | {rate / best[0][case]:.2f} |")


if __name__ == "__main__":
    main()
