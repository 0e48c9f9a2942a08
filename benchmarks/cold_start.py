"""Processor time of the commands on the digits: from a cold cache of kernels, warm, and what of the latter is imports.

    python benchmarks/cold_start.py
    python benchmarks/cold_start.py --data mnist --epochs 2          784-800-10 at 5 %; SPIKELOOM_DATA names the folder

Each command is a process of its own. Cold: NUMBA_CACHE_DIR is a new folder; warm: the one that the cold run filled. Imports are the sum of
what `-X importtime` counts in a run by itself. Processor time, so that others on the machine matter little.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SELF = re.compile(r"^import time:\s+(\d+) \|", re.MULTILINE)


def seconds(words: list[str], folder: Path, cache: Path, *, fails: bool = False) -> float:
    """Run a command; return the processor time of it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command(words), cwd=folder, env=environment(cache), capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if (done.returncode == 0) == fails:
        sys.exit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-500:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def imports(words: list[str], folder: Path, cache: Path) -> float:
    """Return the seconds that a command imports."""
    timed = [sys.executable, "-X", "importtime", *command(words)[1:]]
    done = subprocess.run(timed, cwd=folder, env=environment(cache), capture_output=True, text=True, check=False)
    return sum(map(int, SELF.findall(done.stderr))) / 1e6


def command(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "spikeloom", *words]


def environment(cache: Path) -> dict[str, str]:
    return os.environ | {"NUMBA_CACHE_DIR": str(cache)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--epochs", default="20")
    given = parser.parse_args()
    train = ["train", "--data", given.data, "--method", "grad-r", "--sparsity", "0.95" if given.data == "mnist" else "0.9"]
    rows = {
        "train": [*train, "--epochs", given.epochs, "--weight-bits", "8", "--out", "run"],
        "compile run": ["compile", "run"],
        "run --check": ["run", "run/model.loom", "--check"],
        "report": ["report", "run"],
        "a recipe that is refused": ["train", "--recipe", "bad.toml", "--out", "none"],
        "--help": ["--help"],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bad.toml").write_text("epochs = 'many'\n")
        print("| command | cold | warm | imports |\n|---|---|---|---|")
        for label, words in rows.items():
            cache = folder / f"cache of {label}"
            again = [[*words[:-1], out] if label == "train" else words for out in ("second", "third")]
            fails = "refused" in label
            cold, warm = seconds(words, folder, cache, fails=fails), seconds(again[0], folder, cache, fails=fails)
            shown = imports(again[1], folder, cache)
            print(f"| `{label}` | {cold:.1f} s | {warm:.1f} s | {shown:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
