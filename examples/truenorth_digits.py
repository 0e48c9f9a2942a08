"""Crossbars of TrueNorth's kind: cores and accuracy in each mode, every spike of the simulated cores checked.

python examples/truenorth_digits.py RUN_FOLDER        (of a network trained without --weight-bits)
"""

from __future__ import annotations

import sys

from spikeloom import compile as compiler
from spikeloom import runtime, train
from spikeloom.errors import SpikeloomError


def main(run: str) -> None:
    """Compile in each mode and run on the simulated cores."""
    test = train.load_dataset("digits").test
    for mode in ("ternary", "codebook", "exact"):
        try:
            network = compiler.compile_network(run, target="truenorth", mode=mode)
        except SpikeloomError as error:
            print(f"{mode}: {error}")  # a neuron with more inputs than its mode can take is refused by name
            continue
        results = runtime.run(network, test, backend="truenorth", samples=60, check=True, data_name="digits")
        print(f"{mode}: {network.mapping.cores} cores, {results.accuracy:.1%} of {results.samples} digits")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/float")
