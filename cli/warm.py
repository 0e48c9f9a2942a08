"""Compiling the kernels before they are needed: small workloads of every kind, whose machine code is kept for later runs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..hwmodels.chip import Chip
    from ..network.model import Network

__all__ = ["works"]

METHODS = ("grad-r", "soft-deep-r", "esl", "stds", "upr", "dense")  # deep-r uses the kernels of soft-deep-r, fixed those of dense


def works() -> list[tuple[str, Callable[[], None]]]:
    """Return what is to be compiled, each with a readable name; training only if torch is installed."""
    found: list[tuple[str, Callable[[], None]]] = [
        ("mapping to cores", _map),
        ("mapping by objective", _objectives),
        ("simulator", _simulate),
    ]
    if importlib.util.find_spec("torch") is not None:
        found += [(f"training, {method}", lambda method=method: _train(method)) for method in METHODS]
    return found


def network(density: float, encoding: str, du: int = 4095) -> Network:
    """Return two layers of random integers, with a projection past the first where their neurons have a synaptic current (du < 4095)."""
    from ..network.model import InputSpec, IntegerLIF, Network, Population, Projection, Synapses

    rng, sizes = np.random.default_rng(0), (64, 96, 10)
    populations, projections = [Population("input", (sizes[0],), None)], list[Projection]()
    for i in (1, 2):
        weights = rng.integers(-99, 100, (sizes[i], sizes[i - 1])) * (rng.random((sizes[i], sizes[i - 1])) < density)
        populations.append(Population(f"layer{i}", (sizes[i],), IntegerLIF(du, 2047, 60)))
        exponent = -4 if i == 1 and encoding != "rate" else 0
        synapses = Synapses.from_dense(weights.astype(np.int32))
        projections.append(Projection(f"p{i}", populations[i - 1].name, f"layer{i}", synapses, exponent, 8))
    if du < 4095:
        weights = rng.integers(-99, 100, (sizes[2], sizes[0]))
        projections.append(Projection("past", "input", "layer2", Synapses.from_dense(weights.astype(np.int32)), -4, 8))
    spec = InputSpec(255, 1 / 255, encoding)  # pyright: ignore[reportArgumentType]
    return Network(tuple(populations), tuple(projections), 4, spec)


def small_cores() -> Chip:
    """Return Loihi with cores of 24 neurons, so that a small network takes several."""
    from ..hwmodels import chip as chips

    chip = chips.load("loihi")
    limit = chip.limits.neurons.model_copy(update={"value": 24.0})
    return chip.model_copy(update={"limits": chip.limits.model_copy(update={"neurons": limit})})


def _map() -> None:
    from ..compile import compile_network

    compile_network(network(0.5, "rate"), chip=small_cores())
    compile_network(_ring(), chip=small_cores(), effort="fast")


def _objectives() -> None:
    """Map for short steps, for little energy, and to a chip that stores equal lists once."""
    from ..compile import compile_network

    compile_network(network(0.5, "rate"), chip=small_cores(), objective="latency")
    compile_network(network(0.5, "rate"), chip=small_cores(), objective="energy")
    compile_network(network(0.5, "rate"), chip="loihi-shared")


def _ring() -> Network:
    """Return a layer whose neurons share sources with their neighbours, which the mapping orders by them."""
    from ..network.model import InputSpec, IntegerLIF, Network, Population, Projection, Synapses

    size = 96
    near = (np.arange(size)[:, None] - np.arange(size)) % size < 6
    populations = (Population("input", (size,), None), Population("ring", (size,), IntegerLIF(4095, 2047, 60)))
    projection = Projection("p", "input", "ring", Synapses.from_dense(9 * near.astype(np.int32)), 0, 8)
    return Network(populations, (projection,), 4, InputSpec(1, 1.0, "rate"))


def _simulate() -> None:
    """Run all samples at once and one alone, at low and full density, the rate code, and one step of a session."""
    from ..network import reference
    from ..runtime.backends.api import BackendOptions
    from ..runtime.native import lanes
    from ..runtime.sessions import session

    session(network(0.5, "rate"))
    for density, encoding, du in ((0.05, "graded", 4095), (1.0, "graded", 4095), (0.5, "rate", 4095), (0.5, "graded", 1000)):
        made = network(density, encoding, du)
        values = np.random.default_rng(1).integers(0, 256, (300, made.populations[0].size)).astype(np.uint8)
        events = reference.encode(made, values, seed=0)
        for options in (BackendOptions(), BackendOptions(rasters=False)):
            lanes.simulate(made, events, options)
            lanes.simulate(made, events[:1], options)


def _train(method: str) -> None:
    from ..train.fitting import fit

    with TemporaryDirectory(prefix="spikeloom-") as folder:
        options: dict[str, Any] = {} if method == "dense" else {"sparsity": 0.5}
        bits = None if method == "upr" else 8  # UPR's gates have no integer form
        fit("digits", method=method, epochs=2, hidden=(16,), weight_bits=bits, threads=1, out=Path(folder) / "run", **options)
