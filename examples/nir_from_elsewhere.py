"""A NIR file as other frameworks write them, compiled for Loihi 2 and run: here a random network of LIF neurons.

python examples/nir_from_elsewhere.py FOLDER
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
from spikeloom import compile as compiler
from spikeloom import runtime, train


def graph() -> Any:
    """Return 64 inputs, 40 LIF neurons, 10 LIF neurons, with time constants of some milliseconds."""
    rng = np.random.default_rng(0)

    def lif(n: int) -> Any:
        tau = np.full(n, 2e-3)
        return nir.LIF(tau=tau, r=np.full(n, 5.0), v_leak=np.zeros(n), v_threshold=np.ones(n), v_reset=np.zeros(n))

    nodes: dict[str, Any] = {
        "input": nir.Input({"input": np.array([64])}),
        "fc1": nir.Linear(rng.normal(0.05, 0.2, (40, 64)).astype(np.float32)),
        "lif1": lif(40),
        "fc2": nir.Linear(rng.normal(0.05, 0.3, (10, 40)).astype(np.float32)),
        "lif2": lif(10),
        "output": nir.Output({"output": np.array([10])}),
    }
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)))


def main(folder: str) -> None:
    """Write FOLDER/model.nir, compile it with steps of 1 ms, run it on the digits."""
    path = Path(folder) / "model.nir"
    path.parent.mkdir(parents=True, exist_ok=True)
    nir.write(path, graph())
    digits = train.load_dataset("digits")
    options = {"dt": 1e-3, "timesteps": 16, "reset": "zero"}  # what the file does not say, beside what the data does
    network = compiler.compile_network(path, reader=options, data=train.samples_of("digits"))
    results = runtime.run(network, digits.test, check=True, data_name="digits")
    rates = ", ".join(f"{layer.name} {layer.spike_rate:.3f}" for layer in results.layers)
    print(f"{network.mapping.cores} core, spikes per neuron and step: {rates}; {results.sops_per_sample:,.0f} SOPs a digit")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/nir")
