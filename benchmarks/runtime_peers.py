"""Run one engine on one case and print a line of JSON: what `runtime_speed.py` calls for each engine, in a process of its own.

    python benchmarks/runtime_peers.py ENGINE case.npz [--samples N] [--rounds R]

Exit code 3 and one line: the engine is not installed. One thread each (Lava: a process a layer).
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import pkgutil
import resource
import statistics
import sys
from pathlib import Path
from typing import Any, Protocol, cast

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
os.environ.update(dict.fromkeys(LIMITS, "1"))  # before numpy is imported

import peers  # noqa: E402
from peers import clock  # noqa: E402
from peers.case import Case, Run, load_case  # noqa: E402

MISSING = 3
LEAST_SECONDS = 0.3  # of a round: shorter runs are repeated within it
MOST_REPEATS = 100  # of a run whose own seconds came out as next to nothing


class Engine(Protocol):
    """A file of `peers`."""

    SAMPLES: tuple[int, int]

    def prepare(self, case: Case) -> Run:
        """Build the network; return what runs all samples once."""
        ...


def names() -> list[str]:
    """Return the engines by name."""
    found = (m.name for m in pkgutil.iter_modules(peers.__path__))
    return sorted(name.replace("_", "-") for name in found if name not in ("case", "clock") and not name.startswith("_"))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="One engine on one case.")
    parser.add_argument("engine", choices=names())
    parser.add_argument("case", type=Path)
    parser.add_argument("--samples", type=int, default=None, help="the first of the case; the engine's own number if not given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=sorted(clock.KINDS), default="wall")
    options = parser.parse_args()
    clock.choose(options.clock)
    if options.rounds < 1 or (options.samples is not None and options.samples < 1):
        parser.error("--rounds and --samples must be at least 1")
    try:
        case = load_case(options.case)
    except (OSError, KeyError, ValueError) as error:
        parser.error(f"{options.case} is not a case: {error}")
    try:
        engine = cast(Engine, importlib.import_module(f"peers.{options.engine.replace('-', '_')}"))
        wanted = options.samples or engine.SAMPLES[int(case.density > 0.5)]
        case = case.first(min(wanted, case.samples))
        run = engine.prepare(case)
    except ModuleNotFoundError as error:
        print(f"{options.engine} is not installed here: no module {error.name}. Try: make bench-peers", file=sys.stderr)
        return MISSING
    print(json.dumps({"engine": options.engine, **measure(case, run, options.rounds)}))
    return 0


def measure(case: Case, run: Run, rounds: int) -> dict[str, Any]:
    """Run the case once for nothing, then `rounds` times; return the median time with what else the line holds."""
    run()
    once, spikes = _timed(run, 1)
    repeats = min(max(1, math.ceil(LEAST_SECONDS / once)), MOST_REPEATS)
    times = [once] if repeats == 1 else []
    while len(times) < rounds:
        times.append(_timed(run, repeats)[0])
    seconds = statistics.median(times)
    return {
        "samples": case.samples,
        "seconds": seconds,
        "samples_per_second": case.samples / seconds,
        "peak_mib": peak_mib(),
        "output_spikes": spikes,
    }


def _timed(run: Run, repeats: int) -> tuple[float, int]:
    """Return the seconds of one of `repeats` runs, and its output spikes."""
    own, spikes = 0.0, 0
    begun = clock.now()
    for _ in range(repeats):
        outcome = run()
        spikes = outcome.output_spikes
        own += outcome.seconds or 0.0
    return (own or clock.now() - begun) / repeats, spikes


def peak_mib() -> float:
    """Return the peak memory of this process, or of the largest that it waited for.

    Of this process from /proc: the kernel's rusage of a fresh process begins at that of the one which started it.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return max(int(line.split()[1]) / 1024, children)
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    sys.exit(main())
