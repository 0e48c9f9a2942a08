"""The whole chain in Python: train on the built-in digits, compile, run with the check, write the report."""

from __future__ import annotations

import sys

from spikeloom import compile as compiler
from spikeloom import runtime, train


def main(out: str) -> None:
    """Train into the folder `out`, and leave model.loom, results.json and report.html there."""
    trained = train.fit("digits", method="grad-r", sparsity=0.9, epochs=30, weight_bits=8, hidden=(100,), out=out)
    network = compiler.compile_network(trained, target="lava")
    results = runtime.run(network, train.load_dataset("digits").test, check=True, data_name="digits")
    network.save(f"{out}/model.loom")
    results.save(f"{out}/results.json")
    page = results.write_report(f"{out}/report.html")
    print(f"sparsity {trained.sparsity:.2%}, accuracy {results.accuracy:.2%}, {results.sops_per_sample:,.0f} SOPs a digit")
    print(f"{results.energy.joules_per_sample:.3g} J a digit ({results.energy.model}), {network.mapping.cores} core(s)\n{page}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart")
