"""A pruning rule of one's own: examples/parts/train/methods/magnitude.py, trained beside Grad R and ESL on the built-in digits.

python examples/own_pruning_rule.py FOLDER [EPOCHS]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from spikeloom import train

PARTS = Path(__file__).parent / "parts"


def main(folder: str, epochs: int) -> None:
    """Train the same network by three rules and print what came out."""
    os.environ["SPIKELOOM_PARTS"] = str(PARTS)  # in a shell: export SPIKELOOM_PARTS=examples/parts
    for method in ("magnitude", "grad-r", "esl"):
        run = train.fit("digits", method=method, sparsity=0.9, epochs=epochs, hidden=(100,), out=f"{folder}/{method}")
        print(f"{method}: sparsity {run.sparsity:.2%}, test accuracy {run.accuracy:.2%}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/own-rule", int(sys.argv[2]) if len(sys.argv) > 2 else 20)
