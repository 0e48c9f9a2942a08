"""What reproducible products cost: trainings in pairs, one with MKL as it is by itself, one as Spikeloom asks for it.

    python benchmarks/reproducible_products.py --data digits --epochs 20 --pairs 5
    python benchmarks/reproducible_products.py --data mnist --epochs 1 --pairs 5

Each training is a process of its own with one thread; the pairs take turns in which of the two is first. Processor time of the epochs, so
that others on the machine matter little.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from spikeloom.reproducible import STRICT, VARIABLE

TRAIN = """
import json, sys, time, warnings
from spikeloom.train import fit, loop
real, spent = loop.Trainer._train_epoch, []
def timed(self):
    began = time.process_time()
    done = real(self)
    spent.append(time.process_time() - began)
    return done
loop.Trainer._train_epoch = timed
warnings.simplefilter("ignore")
fit(sys.argv[1], epochs=int(sys.argv[2]), out=sys.argv[3], threads=1, method="grad-r", sparsity=0.9)
print(json.dumps(spent))
"""


def seconds(data: str, epochs: int, setting: str) -> float:
    """Return the processor time of an epoch's training steps, the median over the epochs but the first, where there are more."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", TRAIN, data, str(epochs), f"{folder}/run"]
        done = subprocess.run(command, env=os.environ | {VARIABLE: setting}, stdout=subprocess.PIPE, text=True, check=True)
    spent = json.loads(done.stdout)
    return statistics.median(spent[1:] or spent)


def main() -> None:
    """Print the time of each training and the ratios of the pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    ratios: list[float] = []
    for pair in range(asked.pairs):
        order = ("", STRICT) if pair % 2 == 0 else (STRICT, "")
        took = {setting: seconds(asked.data, asked.epochs, setting) for setting in order}
        ratios.append(took[STRICT] / took[""])
        plain, strict = took[""], took[STRICT]
        print(f"pair {pair + 1}: by itself {plain:.3f} s an epoch, {VARIABLE}={STRICT} {strict:.3f} s, ratio {ratios[-1]:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
