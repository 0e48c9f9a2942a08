"""Random networks for the property tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from spikeloom.compile.network import LIF, InputSpec, IntegerLIF, Network, Population, Projection, Synapses


@dataclass(frozen=True)
class Labelled:
    """Samples with labels, as a run takes them."""

    values: NDArray[Any]
    labels: NDArray[Any]


def sparse_integers(rng: np.random.Generator, shape: tuple[int, int], density: float, limit: int = 127) -> Synapses:
    """Random signed weights at a density, shape (targets, sources)."""
    return Synapses.from_dense((rng.integers(-limit, limit + 1, shape) * (rng.random(shape) < density)).astype(np.int32))


def integer_network(seed: int, *, layers: int = 2, density: float = 0.3, timesteps: int = 6, encoding: str = "graded") -> Network:
    """A random integer network with a skip projection, random registers and thresholds near the typical potential."""
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.integers(3, 24, layers + 1)]
    names = ["input", *(f"layer{i}" for i in range(1, layers + 1))]
    populations = [Population("input", (sizes[0],), None)]
    projections: list[Projection] = []
    for i in range(1, layers + 1):
        first = i == 1
        du = -1 if first and encoding in ("current", "host") else int(rng.choice([4095, 4095, 0, 1000]))
        vth = int(rng.integers(1, 3000 if first else 200))
        place = "host" if first and encoding == "host" else "chip"
        populations.append(Population(names[i], (sizes[i],), IntegerLIF(du, int(rng.integers(0, 4096)), vth), place))
        exponent = -int(rng.integers(3, 7)) if first else int(rng.integers(-2, 2))
        projections.append(
            Projection(f"p{i}", names[i - 1], names[i], sparse_integers(rng, (sizes[i], sizes[i - 1]), density), exponent, 8)
        )
    if layers > 2:
        projections.append(Projection("skip", names[1], names[-1], sparse_integers(rng, (sizes[-1], sizes[1]), density), 0, 8))
    spec = InputSpec(255, 1 / 255, encoding)  # pyright: ignore[reportArgumentType]
    return Network(tuple(populations), tuple(projections), timesteps, spec)


def float_network(
    seed: int, *, sizes: tuple[int, ...] = (20, 15, 4), density: float = 0.4, timesteps: int = 6, v_reset: float = 0.0
) -> Network:
    """A random float network that spikes."""
    rng = np.random.default_rng(seed)
    names = ["input", *(f"layer{i}" for i in range(1, len(sizes)))]
    populations = [Population("input", (sizes[0],), None)]
    projections: list[Projection] = []
    for i in range(1, len(sizes)):
        neuron = LIF(
            tau=float(rng.choice([1.5, 2.0, 4.0])), v_reset=v_reset, v_threshold=1.0 + v_reset, decay_input=bool(rng.random() < 0.5)
        )
        populations.append(Population(names[i], (sizes[i],), neuron))
        weights = rng.normal(0.15, 0.6, (sizes[i], sizes[i - 1])) * (rng.random((sizes[i], sizes[i - 1])) < density)
        projections.append(Projection(f"p{i}", names[i - 1], names[i], Synapses.from_dense(weights.astype(np.float32))))
    return Network(tuple(populations), tuple(projections), timesteps)


def samples(network: Network, seed: int, count: int = 5) -> NDArray[np.uint8]:
    """Random bytes that fit the network's input, half of them zero."""
    rng = np.random.default_rng(seed)
    shape = (count, network.populations[0].size)
    return (rng.integers(0, network.input.levels + 1, shape) * (rng.random(shape) < 0.5)).astype(np.uint8)


seeds = st.integers(0, 2**31 - 1)
densities = st.sampled_from([0.05, 0.3, 1.0])
