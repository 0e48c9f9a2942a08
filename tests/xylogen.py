"""Random networks of Xylo's neurons, and float networks that fit the chip."""

from __future__ import annotations

import numpy as np
from netgen import sparse_integers
from spikeloom.network.model import LIF, InputSpec, Network, Population, Projection, Synapses, XyloLIF

__all__ = ["fitting", "xylo_network"]


def xylo_network(seed: int, *, layers: int = 2, most: int = 14, timesteps: int = 12, wild: bool = False, density: float = 0.6) -> Network:
    """A random recurrent integer network; `wild`: any registers, so that states saturate and wrap around, else ones that spike a lot."""
    rng = np.random.default_rng(seed)
    names = ["input", *(f"hidden{i}" for i in range(1, layers + 1)), "output"]
    sizes = [int(rng.integers(1, 17)), *rng.integers(1, most + 1, layers).tolist(), int(rng.integers(1, 9))]
    shifts = rng.integers(0, 8 if wild else 3, 3).tolist()
    populations, projections = [Population("input", (sizes[0],), None)], list[Projection]()

    def connect(a: int, b: int, lag: int) -> None:
        shift = shifts[0 if a == 0 else 2 if b == layers + 1 else 1]
        weights = sparse_integers(rng, (sizes[b], sizes[a]), density)
        projections.append(Projection(f"{names[a]}-{names[b]}", names[a], names[b], weights, shift, 8, lag=lag))

    for k in range(1, layers + 2):
        output = k == layers + 1
        dashes = rng.integers(0, 16, 2) if wild else rng.integers(1, 5, 2)
        threshold = int(rng.integers(1, 32768 if wild and rng.random() < 0.5 else 600))
        bias = rng.integers(-400, 400, sizes[k]).astype(np.int32) if k == 1 and rng.random() < 0.5 else None
        alive = rng.random(sizes[k]) < 0.9 if not output and rng.random() < 0.3 else None
        neuron = XyloLIF(int(dashes[0]), int(dashes[1]), threshold, 1 if output else 31)
        populations.append(Population(names[k], (sizes[k],), neuron, bias=bias, alive=alive))
        connect(k - 1, k, 0)
    for k in range(1, layers + 1):
        if rng.random() < 0.8:
            connect(k, k, 1)
        if k > 1 and rng.random() < 0.5:
            connect(k, k - 1, 2)
    return Network(tuple(populations), tuple(projections), timesteps, InputSpec(15, 1.0, "events"))


def fitting(
    seed: int, *, hidden: int = 12, timesteps: int = 10, encoding: str = "events", tau: float = 4.0, tau_syn: float = 2.0
) -> Network:
    """A random float network, recurrent, that the target takes."""
    rng = np.random.default_rng(seed)
    populations = [Population("input", (10,), None)]
    for name, size in (("hidden1", hidden), ("output", 4)):
        populations.append(Population(name, (size,), LIF(tau, decay_input=False, soft_reset=True, tau_syn=tau_syn)))

    def weights(targets: int, sources: int, spread: float) -> Synapses:
        return Synapses.from_dense(rng.normal(spread / 4, spread, (targets, sources)).astype(np.float32))

    projections = (
        Projection("in", "input", "hidden1", weights(hidden, 10, 0.2)),
        Projection("back", "hidden1", "hidden1", weights(hidden, hidden, 0.05), lag=1),
        Projection("out", "hidden1", "output", weights(4, hidden, 0.3)),
    )
    spec = InputSpec(3, 1.0, "events") if encoding == "events" else InputSpec(255, 1 / 255, "direct")
    return Network(tuple(populations), projections, timesteps, spec)
