"""Random recurrent networks of 200 hidden neurons over 200 steps: every spike of the reference, the native form and xylosim.

make .peers/xylosim && PYTHONPATH=.peers/xylosim python benchmarks/xylo_spikes.py [networks]
"""

from __future__ import annotations

import sys
import time

import numpy as np
from spikeloom.network import InputSpec, Network, Population, Projection, Synapses, XyloLIF, reference
from spikeloom.runtime.backends import native, xylosim
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.simulator import compare

CHANNELS, HIDDEN, OUTPUTS, STEPS, FAN_IN = 16, 200, 8, 200, 32


def network(seed: int) -> Network:
    """Return a random network: 16 channels, 200 neurons that 32 of them on average are connected to, 8 outputs."""
    rng = np.random.default_rng(seed)

    def weights(targets: int, sources: int, share: float) -> Synapses:
        return Synapses.from_dense(
            (rng.integers(-127, 128, (targets, sources)) * (rng.random((targets, sources)) < share)).astype(np.int32)
        )

    populations = (
        Population("input", (CHANNELS,), None),
        Population("hidden", (HIDDEN,), XyloLIF(int(rng.integers(1, 5)), int(rng.integers(1, 6)), int(rng.integers(300, 3000)))),
        Population("output", (OUTPUTS,), XyloLIF(2, 3, int(rng.integers(300, 3000)), 1)),
    )
    projections = (
        Projection("in", "input", "hidden", weights(HIDDEN, CHANNELS, 0.8), int(rng.integers(0, 3)), 8),
        Projection("back", "hidden", "hidden", weights(HIDDEN, HIDDEN, FAN_IN / HIDDEN), int(rng.integers(0, 2)), 8, lag=1),
        Projection("out", "hidden", "output", weights(OUTPUTS, HIDDEN, 0.8), 0, 8),
    )
    return Network(populations, projections, STEPS, InputSpec(15, 1.0, "events"))


def main(count: int) -> None:
    """Compare `count` networks, one sample each, and print how many spikes were equal."""
    spikes = {"hidden": 0, "output": 0}
    seconds = {"native": 0.0, "xylosim": 0.0}
    for seed in range(count):
        made, rng = network(seed), np.random.default_rng(1000 + seed)
        events = (rng.integers(0, 16, (1, STEPS, CHANNELS)) * (rng.random((1, STEPS, CHANNELS)) < 0.2)).astype(np.uint8)
        expected = reference.simulate(made, events)
        for name, backend in (("native", native), ("xylosim", xylosim)):
            began = time.perf_counter()
            compare(expected, backend.simulate(made, events, BackendOptions()).spikes, name)
            seconds[name] += time.perf_counter() - began
        for name, raster in expected.items():
            spikes[name] += int(raster.sum())
    print(
        f"{count} networks of {HIDDEN} neurons, {STEPS} steps: {spikes['hidden']:,} hidden and {spikes['output']:,} output spikes are equal"
    )
    print(f"native {seconds['native'] / count:.2f} s, xylosim {seconds['xylosim'] / count:.2f} s a network, its process included")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
