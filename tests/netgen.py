"""Random networks for the property tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from spikeloom.network.model import LIF, Convolution, InputSpec, IntegerLIF, Network, Population, Projection, Synapses, Threshold


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


def graph_network(
    seed: int, *, hidden: int = 5, timesteps: int = 6, encoding: str = "rate", lags: bool = False, backward: int = 0, slack: bool = False
) -> Network:
    """A random integer graph: each population receives from one to three earlier ones, so that branches differ in length.

    `lags`: some forward projections have one; `backward`: projections to an earlier population or to their own; `slack`: each has a lag
    that any loop can keep to on a chip, else one of at least 1.
    """
    rng = np.random.default_rng(seed)
    names = ["input", *(f"p{i}" for i in range(1, hidden + 1)), "output"]
    sizes = rng.integers(2, 12, len(names))
    populations, projections = [Population("input", (int(sizes[0]),), None)], list[Projection]()

    def connect(a: int, b: int, lag: int) -> None:
        graded = a == 0 and encoding != "rate"
        exponent = -int(rng.integers(5, 8)) if graded else int(rng.integers(-2, 2))
        weights = sparse_integers(rng, (int(sizes[b]), int(sizes[a])), 0.6)
        projections.append(Projection(f"{names[a]}-{names[b]}-{len(projections)}", names[a], names[b], weights, exponent, 8, lag=lag))

    for b in range(1, len(names)):
        bias = rng.integers(-2000, 4000, int(sizes[b])).astype(np.int32) >> 4 << 4 if rng.random() < 0.3 else None
        neuron = IntegerLIF(int(rng.choice([4095, 4095, 0, 1000])), int(rng.integers(0, 4096)), int(rng.integers(1, 200)))
        populations.append(Population(names[b], (int(sizes[b]),), neuron, bias=bias))
        for a in sorted({b - 1, *rng.integers(0, b, int(rng.integers(0, 3))).tolist()}):
            connect(a, b, int(rng.integers(0, 4)) if lags and rng.random() < 0.4 else 0)
    for _ in range(backward):
        a = int(rng.integers(1, len(names)))
        b = int(rng.integers(1, a + 1))
        connect(a, b, int(rng.integers(a - b + 1, a - b + 3) if slack else rng.integers(1, a - b + 3)))
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


def convolution(
    rng: np.random.Generator, source: tuple[int, int, int], channels: int, density: float, *, whole: bool = False
) -> Convolution:
    """A random convolution of float taps; `whole`: the kernel covers the map, as a fully connected layer does."""
    pool = int(rng.integers(1, 3)) if min(source[1:]) >= 4 else 1
    rows, columns = source[1] // pool, source[2] // pool
    size = (rows, columns) if whole else (int(rng.integers(1, min(3, rows) + 1)), int(rng.integers(1, min(3, columns) + 1)))
    weights = rng.normal(0.1, 0.6, (channels, source[0], *size)) * (rng.random((channels, source[0], *size)) < density) / pool**2
    weights[0, 0, 0, 0] = 0.5
    stride, padding = (1, 0) if whole else (int(rng.integers(1, 3)), int(rng.integers(0, 2)))
    return Convolution.from_dense(weights.astype(np.float32), source, stride=stride, padding=padding, pool=pool)


def conv_network(seed: int, *, density: float = 0.5, timesteps: int = 4, temporal: bool = False) -> Network:
    """A random float network with all that training hands over.

    conv + bias - max pool (OR) - two branches with shared weights, one of them an identity shortcut - AND - voting output.
    """
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 3)), int(rng.integers(5, 9)), int(rng.integers(5, 9)))
    populations = [Population("input", shape, None)]
    projections: list[Projection] = []

    def add(
        name: str, neuron: LIF | Threshold, *arriving: tuple[str, Convolution], bias: bool = False, dead: float = 0.0
    ) -> tuple[int, int, int]:
        shape = arriving[0][1].target_shape
        values = rng.normal(0.1, 0.2, shape[0]).astype(np.float32) if bias else None
        alive = rng.random(int(np.prod(shape))) >= dead if dead else None
        populations.append(Population(name, shape, neuron, bias=values, alive=alive))
        projections.extend(Projection(f"{source}_{name}_{i}", source, name, c) for i, (source, c) in enumerate(arriving))
        return shape

    lif = LIF(decay_input=bool(rng.random() < 0.5))
    first = add("conv1", lif, ("input", convolution(rng, shape, 3, 1.0)), bias=True, dead=0.2)
    size = 2 if min(first[1:]) >= 2 else 1
    window = np.eye(3, dtype=np.float32)[:, :, None, None].repeat(size, 2).repeat(size, 3)
    pooled = add("pool", Threshold(1.0), ("conv1", Convolution.from_dense(window, first, stride=size)))
    one = Convolution.from_dense(np.eye(3, dtype=np.float32)[:, :, None, None], pooled)
    taps = (rng.normal(0.2, 0.6, (3, 3, 3, 3)) * (rng.random((3, 3, 3, 3)) < density)).astype(np.float32)
    same = Convolution.from_dense(taps, pooled, padding=1)
    add("left", LIF(), ("pool", same), bias=True)
    add("right", LIF(), ("left", same), ("pool", same), ("pool", one), bias=bool(rng.random() < 0.5))
    add("both", Threshold(2.0), ("right", one), ("pool", one))
    add("output", LIF(v_threshold=0.7), ("right", convolution(rng, pooled, 6, 1.0, whole=True)))
    last = populations[-1].shape
    projections.append(Projection("both_output", "both", "output", convolution_like(rng, pooled, last)))
    spec = InputSpec(1 if temporal else 255, 1.0 if temporal else 1 / 255, "events" if temporal else "direct")
    return Network(tuple(populations), tuple(projections), timesteps, spec, votes=2)


def integer_conv_network(seed: int, *, temporal: bool = False) -> Network:
    """A random network of `conv_network`'s shape in integers; gates are neurons without memory."""
    rng = np.random.default_rng(seed)
    network = conv_network(seed, temporal=temporal)
    integers: dict[int, Any] = {}
    projections: list[Projection] = []
    for p in network.projections:
        gate = isinstance(network.population(p.target).neuron, Threshold)
        data = p.synapses.data if gate else np.round(p.synapses.data * 60).clip(-127, 127)
        synapses = integers.setdefault(id(p.synapses), p.synapses.with_data(data.astype(np.int32)))
        projections.append(replace(p, synapses=synapses, exponent=0 if gate else int(rng.integers(-3, 2)), weight_bits=8))
    populations = [_integer_population(rng, p) for p in network.populations]
    spec = replace(network.input, encoding="events" if temporal else "graded")
    return replace(network, populations=tuple(populations), projections=tuple(projections), input=spec)


def _integer_population(rng: np.random.Generator, population: Population) -> Population:
    if population.neuron is None:
        return population
    if isinstance(population.neuron, Threshold):
        return replace(population, neuron=IntegerLIF(4095, 4095, int(population.neuron.level) - 1))
    bias = None if population.bias is None else rng.integers(-2000, 2000, len(population.bias)).astype(np.int32)
    vth = int(rng.integers(1, 4000 if population.name == "conv1" else 200))
    return replace(population, neuron=IntegerLIF(4095, int(rng.integers(0, 4096)), vth), bias=bias)


def convolution_like(rng: np.random.Generator, source: tuple[int, ...], target: tuple[int, ...]) -> Synapses:
    """Random dense synapses between two maps."""
    return Synapses.from_dense(rng.normal(0.1, 0.5, (int(np.prod(target)), int(np.prod(source)))).astype(np.float32))


def samples(network: Network, seed: int, count: int = 5) -> NDArray[np.uint8]:
    """Random bytes that fit the network's input, half of them zero."""
    rng = np.random.default_rng(seed)
    steps = (network.timesteps,) if network.input.is_temporal else ()
    shape = (count, *steps, network.populations[0].size)
    return (rng.integers(0, network.input.levels + 1, shape) * (rng.random(shape) < 0.5)).astype(np.uint8)


seeds = st.integers(0, 2**31 - 1)
densities = st.sampled_from([0.05, 0.3, 1.0])
