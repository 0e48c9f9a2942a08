"""Counts of files damaged at random and what reading them ended in, for docs/results/robustness.md.

    python benchmarks/fuzz.py -n 1000                          every reader, 1,000 files each
    python benchmarks/fuzz.py -n 1000 --reader .nir
    python benchmarks/fuzz.py --minutes 60 --log fuzz.jsonl     reader after reader, for an hour; again: goes on with files not yet tried
    python benchmarks/fuzz.py --log fuzz.jsonl --table          what all such runs came to

Each batch is a fork of one process that has everything imported. It may take `--memory` GiB of address space beyond what it then has, and a
file 20 s; one that dies is a crash, and the next goes on behind the file that it died of. Ends with 1 if anything but an error of ours
came out.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/data"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/formats"))

import fuzzed
from worker_server import limit_memory

BAD = ("other error", "hang", "crash")
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@dataclass
class Batch:
    """What some files of one reader ended in."""

    reader: str
    seed: int
    first: int
    count: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    grown_mib: float = 0.0
    seconds: float = 0.0

    @property
    def bad(self) -> int:
        """How many ended in anything but reading or an error of ours."""
        return sum(self.outcomes[kind] for kind in BAD)


def fuzz(batch: Batch, most: int, seconds: float, memory: float, where: mmap.mmap) -> None:
    """Damage and read up to `most` files for up to `seconds`; `where` always holds the number of the file at hand."""
    reader, name = fuzzed.READERS[batch.reader], batch.reader
    subprocess.run = fuzzed.forked
    fuzzed.WORKER_MEMORY = memory
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        home = Path(folder) / "original" / "home"
        home.mkdir(parents=True)
        original = reader.make(home)
        reader.read(fuzzed.fresh(original, Path(folder)))
        limit_memory(memory)
        before, end = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic() + seconds
        for number in range(batch.first, batch.first + most):
            where[:8] = number.to_bytes(8, "little")
            try:
                outcome = fuzzed.attempt(reader, fuzzed.fresh(original, Path(folder)), Random(f"{name} {batch.seed} {number}"))
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                outcome = "hang" if isinstance(error, fuzzed.HangError) else "other error"
                lines = traceback.format_exc().splitlines()
                batch.failures.setdefault(f"{type(error).__name__} {lines[-3:-1]}", f"number {number}: {traceback.format_exc()[-2500:]}")
            batch.outcomes[outcome] += 1
            batch.count += 1
            if time.monotonic() > end:
                break
        batch.grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def in_a_process(batch: Batch, most: int, seconds: float, memory: float) -> Batch:
    """Run `fuzz` in a fork of this process; one that dies, or stands still for a minute, is counted as a crash or a hang."""
    where, (reading, writing) = mmap.mmap(-1, 8), os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            os.setpgid(0, 0)
            fuzz(batch, most, seconds, memory, where)
            os.write(writing, json.dumps(vars(batch)).encode()[:60_000])
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    still = _watched(child, where)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    if code or not said:
        number = int.from_bytes(where[:8], "little")
        batch.count = max(number + 1 - batch.first, 1)
        batch.outcomes = Counter({"hang" if still else "crash": 1, "not counted": batch.count - 1})
        batch.failures = {"crash": f"number {number}: exit {code}{', stood still' if still else ''}"}
    else:
        batch = _batch(json.loads(said))
    batch.seconds = time.monotonic() - began
    return batch


def _watched(child: int, where: mmap.mmap) -> bool:
    """Wait for a child; kill its group, and return True, if it stays with one file for a minute."""
    ended, seen, since = os.pidfd_open(child), bytes(where[:8]), time.monotonic()
    try:
        while not select.select([ended], [], [], 1.0)[0]:
            if bytes(where[:8]) != seen:
                seen, since = bytes(where[:8]), time.monotonic()
            if time.monotonic() - since > 3 * fuzzed.TIME_LIMIT:
                os.killpg(child, signal.SIGKILL)
                return True
        return False
    finally:
        os.close(ended)


# --- the log -------------------------------------------------------------------------------------------------------------


def logged(path: Path | None) -> list[Batch]:
    """Read the batches of earlier runs."""
    if path is None or not path.exists():
        return []
    return [_batch(json.loads(line)) for line in path.read_text().splitlines()]


def _batch(line: dict[str, Any]) -> Batch:
    held: dict[str, Any] = {name: value for name, value in line.items() if name in Batch.__dataclass_fields__}
    held["outcomes"] = Counter(held["outcomes"])
    return Batch(**held)


def log(path: Path | None, batch: Batch, revision: str) -> None:
    """Append a batch."""
    if path is not None:
        line = vars(batch) | {"revision": revision, "when": datetime.now(UTC).isoformat(timespec="seconds")}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def table(batches: list[Batch]) -> str:
    """A line for each reader, and the total."""
    lines = ["| reader | files | read | refused by an error of ours | other errors, crashes, hangs | memory grew by | seconds |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(b.reader for b in batches):
        own = [b for b in batches if b.reader == name]
        outcomes = sum((b.outcomes for b in own), Counter[str]())
        bad, files = sum(b.bad for b in own), sum(b.count for b in own)
        refused = files - outcomes["read"] - bad - outcomes["not counted"]
        grown, seconds = max(b.grown_mib for b in own), sum(b.seconds for b in own)
        lines.append(f"| {name} | {files:,} | {outcomes['read']:,} | {refused:,} | {bad} | {grown:.0f} MiB | {seconds:,.0f} |")
    return "\n".join([*lines, "", f"{sum(b.count for b in batches):,} files, {sum(b.bad for b in batches)} of them wrong"])


def run(asked: argparse.Namespace, done: list[Batch]) -> list[Batch]:
    """Batch after batch, each reader as long as the others, until the files or the minutes are used up."""
    revision = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
    names, found = asked.reader or list(fuzzed.READERS), list[Batch]()
    firsts = {name: max((b.first + b.count for b in done if (b.reader, b.seed) == (name, asked.seed)), default=0) for name in names}
    left = dict.fromkeys(names, sys.maxsize if asked.minutes else asked.n)
    end = time.monotonic() + 60 * asked.minutes if asked.minutes else float("inf")
    while any(left.values()) and time.monotonic() < end:
        for name in [name for name in names if left[name]]:
            seconds = min(asked.batch, end - time.monotonic()) if asked.minutes else float("inf")
            if seconds <= 0:
                break
            batch = in_a_process(Batch(name, asked.seed, firsts[name]), min(left[name], 1 << 30), seconds, asked.memory)
            firsts[name], left[name] = firsts[name] + batch.count, left[name] - batch.count
            found.append(batch)
            log(asked.log, batch, revision)
            for failure in batch.failures.values():
                print(f"{name} {failure}", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Print a line for each reader."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1000, help="files a reader, where no minutes are given")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--batch", type=float, default=20.0, help="seconds of a batch, with --minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=float, default=2.0)
    parser.add_argument("--reader", action="append", choices=list(fuzzed.READERS))
    parser.add_argument("--log", type=Path, help="file of JSON lines, a batch each; runs add up")
    parser.add_argument("--table", action="store_true", help="only say what is in the log")
    asked = parser.parse_args()
    done = logged(asked.log)
    found: list[Any] = [] if asked.table else run(asked, done)
    shown = done + found if asked.log else found
    print(table(shown))
    return int(any(b.bad for b in (shown if asked.table else found)))


if __name__ == "__main__":
    sys.exit(main())
