"""Counts of files damaged at random and what reading them ended in, for docs/results.md.

    python benchmarks/fuzz.py -n 1000                 every reader, each in a process of its own
    python benchmarks/fuzz.py -n 1000 --reader .nir

A process may take `--memory` GiB of address space beyond what it has once all is imported, and a file 20 s. Ends with 1 if anything but
an error of ours came out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fuzzed


def limit_memory(gibibytes: float) -> None:
    """Bound what this process and its children may take beyond what it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + int(gibibytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def fuzz(name: str, count: int, seed: int, memory: float) -> dict[str, Any]:
    """Damage and read `count` files; return how many ended how, and the first traces of what should not have come."""
    reader, outcomes, failures = fuzzed.READERS[name], Counter[str](), dict[str, str]()
    subprocess.run = fuzzed.forked
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "original" / "home"
        home.mkdir(parents=True)
        original = reader.make(home)
        reader.read(fuzzed.fresh(original, Path(folder)))
        limit_memory(memory)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(count):
            try:
                outcomes[fuzzed.attempt(reader, fuzzed.fresh(original, Path(folder)), Random(f"{name} {seed} {number}"))] += 1
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                kind = "hang" if isinstance(error, fuzzed.HangError) else "other error"
                outcomes[kind] += 1
                where = traceback.format_exc().splitlines()
                failures.setdefault(f"{type(error).__name__} {where[-3:-1]}", f"number {number}: {traceback.format_exc()[-1500:]}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"outcomes": outcomes, "failures": list(failures.values()), "grown_mib": grown / 1024}


def in_a_process(name: str, count: int, seed: int, memory: float) -> dict[str, Any]:
    """Run `fuzz` in a process of its own; one that dies is counted as a crash."""
    command = [sys.executable, __file__, "--child", "--reader", name, "-n", str(count), "--seed", str(seed), "--memory", str(memory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"outcomes": {"crash": 1}, "failures": [f"exit {done.returncode}: {done.stderr[-1500:]}"], "grown_mib": 0.0}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    """Print a line for each reader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=float, default=2.0)
    parser.add_argument("--reader", action="append", choices=list(fuzzed.READERS))
    parser.add_argument("--child", action="store_true")
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(fuzz(asked.reader[0], asked.n, asked.seed, asked.memory)))
        return 0
    print("| reader | files | read | refused by an error of ours | other errors, crashes, hangs | memory grew by | seconds |")
    print("|---|---|---|---|---|---|---|")
    wrong, total = 0, 0
    for name in asked.reader or fuzzed.READERS:
        began = time.monotonic()
        found = in_a_process(name, asked.n, asked.seed, asked.memory)
        outcomes = Counter(found["outcomes"])
        bad = sum(outcomes[kind] for kind in ("other error", "hang", "crash"))
        files, read = sum(outcomes.values()), outcomes["read"]
        wrong, total = wrong + bad, total + files
        seconds = time.monotonic() - began
        print(
            f"| {name} | {files:,} | {read:,} | {files - read - bad:,} | {bad} | {found['grown_mib']:.0f} MiB | {seconds:.0f} |", flush=True
        )
        for failure in found["failures"]:
            print(failure, file=sys.stderr, flush=True)
    print(f"\n{total:,} files, {wrong} of them wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
