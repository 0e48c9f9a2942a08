"""A network that was run on a Loihi chip, written down in its integers and held against the spikes that the chip recorded.

python examples/loihi_recorded.py [FOLDER]

FOLDER holds xor250.npz ($SPIKELOOM_DATA/loihi-recorded if it is left out): weights, input and the chip's spikes of an example of Intel's
slayerPytorch. Nothing is trained and nothing is quantised: the numbers are the chip's own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from spikeloom import runtime
from spikeloom.compile import compile_network
from spikeloom.network import InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime.backends import lava

# A connection takes a step on the chip, from the input too; here times are local, step t of a layer being its t-th, whenever it comes.
LATE = {"hidden": 1, "output": 2}


def network(recorded: dict[str, NDArray[np.int64]]) -> Network:
    """Return the recorded network: dense weights, no more and no less than the chip held."""
    neuron = IntegerLIF(du=int(recorded["du"]), dv=int(recorded["dv"]), vth=int(recorded["vth"]))
    w1, w2 = recorded["w1"], recorded["w2"]
    return Network(
        populations=(
            Population("input", (w1.shape[1],), None),
            Population("hidden", (w1.shape[0],), neuron),
            Population("output", (w2.shape[0],), neuron),
        ),
        projections=(
            Projection("hidden", "input", "hidden", Synapses.from_dense(w1), exponent=0, weight_bits=8),
            Projection("output", "hidden", "output", Synapses.from_dense(w2), exponent=0, weight_bits=8),
        ),
        timesteps=len(recorded["input"]),
        input=InputSpec(levels=1, scale=1.0, encoding="events"),
    )


def main(folder: Path) -> None:
    """Compile and run the network, and compare every spike with the recorded ones."""
    with np.load(folder / "xor250.npz") as file:  # plain arrays: nothing pickled is read
        recorded = {name: file[name].astype(np.int64) for name in file.files}
    deployed = compile_network(network(recorded), target="lava", chip="loihi")
    sample = recorded["input"][None]  # one sample of T frames
    for backend in ("native", "lava") if lava.available() is None else ("native",):
        results = runtime.run(deployed, sample, backend=backend, check=True)
        for population in results.raster.populations if results.raster else ():
            name, late = population.name, LATE[population.name]
            ours = np.zeros_like(recorded[name])
            ours[population.times, population.ids] = 1
            chip = recorded[name][late:]
            differ = int((ours[: len(chip)] != chip).sum())
            spikes, found = int(chip.sum()), int(ours[: len(chip)].sum())
            print(f"{backend}, {name}: {spikes} spikes of the chip, {found} of ours, {differ} of {chip.size:,} differ")


if __name__ == "__main__":
    data = Path(os.environ.get("SPIKELOOM_DATA") or "data") / "loihi-recorded"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else data)
