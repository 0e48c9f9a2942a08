"""Break the package on purpose, one line at a time, and see whether the tests that should notice do.

    python benchmarks/mutations.py            # all faults of mutations.toml; exit code 1 if one survives
    python benchmarks/mutations.py --list
    python benchmarks/mutations.py --only fixed_point --only bounds

A fault is a piece of one file, what stands there instead, and the tests that must fail then. The package is copied to a temporary folder
for each of them, so that the checkout is never touched, and code compiled before from the changed folder is left behind. The tests that
the chosen faults name run once on an unchanged copy first: a test that fails anyway notices nothing. A fault that keeps tests from being
collected, or takes longer than --limit, is not counted as caught. hypothesis draws from --seed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (".git", ".venv", ".peers", ".hypothesis", ".pytest_cache", ".ruff_cache", "build", "runs", "shared")
COMPILED = ("*.nbi", "*.nbc")
CAUGHT, SURVIVED, BROKEN, LATE = "caught", "SURVIVED", "BROKEN", "TOO LATE"


@dataclass(frozen=True)
class Fault:
    """`before`, which `path` holds once, is replaced by `after`; `tests`, as pytest takes them, must fail then."""

    path: str
    before: str
    after: str
    tests: tuple[str, ...]
    kind: str

    def applied(self, text: str) -> str:
        """Return the file's text with the fault in it.

        Raises:
            ValueError: the text holds `before` not once.
        """
        if text.count(self.before) != 1 or self.before == self.after:
            raise ValueError(f"{self.path} holds {self.before!r} {text.count(self.before)} times; a fault needs a place of its own")
        return text.replace(self.before, self.after)

    def __str__(self) -> str:
        return f"{self.path}: {self.before.strip()}  ->  {self.after.strip() or 'nothing'}"


def faults() -> list[Fault]:
    """Read the list."""
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return [Fault(path, row[0], row[1], tuple(f"tests/{n}" for n in row[3:]), row[2]) for path, rows in table.items() for row in rows]


@contextmanager
def copied() -> Generator[Path]:
    """Yield a copy of the package, in a folder of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mutations") as folder:
        copy = Path(folder) / "spikeloom"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        yield copy


def run_tests(copy: Path, tests: tuple[str, ...], seed: int, limit: float) -> tuple[int | None, str]:
    """Run tests in a copy, as far as the first that fails; return pytest's exit code, None past the limit, and what it said."""
    environment = os.environ | {"PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=line", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}", *tests]
    try:
        done = subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return None, "past the limit"
    return done.returncode, done.stdout[-2000:] + done.stderr[-2000:]


def check_unbroken(chosen: list[Fault], seed: int) -> None:
    """Refuse to begin where the copy is not what is imported, or where tests fail without a fault."""
    with copied() as copy:
        where, environment = (
            [sys.executable, "-c", "import spikeloom; print(spikeloom.__file__)"],
            os.environ | {"PYTHONPATH": str(copy.parent)},
        )
        found = subprocess.run(where, cwd=copy.parent, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        if Path(found).parent != copy:
            raise SystemExit(f"{found} would be tested in place of the copy {copy}.")
        code, said = run_tests(copy, tuple(dict.fromkeys(test for fault in chosen for test in fault.tests)), seed, 3600.0)
    if code:
        raise SystemExit(f"The tests fail without any fault:\n{said}")


def outcome(fault: Fault, seed: int, limit: float) -> tuple[str, str]:
    """Return how the tests took a fault, and what pytest said."""
    with copied() as copy:
        path = copy / fault.path
        try:
            path.write_text(fault.applied(path.read_text(encoding="utf-8")), encoding="utf-8")
        except ValueError as error:  # the code has moved on
            return BROKEN, str(error)
        for pattern in COMPILED:  # compiled callers hold what they call
            for compiled in path.parent.glob(f"__pycache__/{pattern}"):
                compiled.unlink()
        code, said = run_tests(copy, fault.tests, seed, limit)
    return {0: SURVIVED, 1: CAUGHT, None: LATE}.get(code, BROKEN), said


def main() -> None:
    """Run the chosen faults and print a line for each."""
    parser = argparse.ArgumentParser(description="Break the package on purpose and see whether tests notice.")
    parser.add_argument("--only", action="append", default=[], help="faults whose line in --list holds this text")
    parser.add_argument("--list", action="store_true", help="list the faults and their tests")
    parser.add_argument("--seed", type=int, default=0, help="of hypothesis")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds that the tests of a fault may take")
    parser.add_argument("--unchecked", action="store_true", help="do not run the tests without a fault first")
    given = parser.parse_args()
    chosen = [f for f in faults() if not given.only or any(text in f"{f} ({f.kind})" for text in given.only)]
    if not chosen:
        raise SystemExit("No fault has such a line; see --list.")
    if given.list:
        print("\n".join(f"{fault} ({fault.kind}; {', '.join(fault.tests)})" for fault in chosen))
        return
    if not given.unchecked:
        check_unbroken(chosen, given.seed)
    found: list[str] = []
    for fault in chosen:
        began = time.monotonic()
        how, said = outcome(fault, given.seed, given.limit)
        found.append(how)
        print(f"{how:8} {time.monotonic() - began:6.1f} s  {fault}", flush=True)
        if how == BROKEN:
            print(said)
    print(f"{found.count(CAUGHT)} of {len(found)} faults caught")
    if found.count(CAUGHT) < len(found):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
