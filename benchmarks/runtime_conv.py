"""What `runtime_speed.py --conv` measures: a 6Conv2FC (CIFAR-10, width 256, T 8) with 1 % of its weights, in integers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from conv_compile import random_images, random_network
from numpy.typing import NDArray
from peers import clock
from peers.clock import now
from runtime_own import latency
from spikeloom.compile.compiler import Compilation
from spikeloom.hwmodels.fixed_point import ALIGN, DECAY_ONE, NEVER_DECAYS, STATE_LIMIT
from spikeloom.network import reference
from spikeloom.network.model import Convolution, IntegerLIF, Network, Population, Projection
from spikeloom.runtime.backends import native
from spikeloom.runtime.backends.api import BackendOptions
from torch import Tensor
from torch.nn import functional

WIDTH, DENSITY, STEPS = 256, 0.01, 8
DENSE_SAMPLES = (1, 2, 4)  # side by side in torch; the fastest counts
CHECKED = 2
MILLI = 1e3


def report(samples: int, rounds: int) -> dict[str, Any]:
    """Measure, print and return: ms a sample on one core, natively and in torch, and single samples."""
    source = random_network(WIDTH, DENSITY, STEPS)
    network = Compilation(source, chip="loihi2", calibration=random_images(source, 2)).run_passes().network
    images = np.random.default_rng(2).integers(0, 256, (samples, network.populations[0].size), np.uint8)
    events = reference.encode(network, images)
    spikes = native.simulate(network, events, BackendOptions(threads=1)).spikes
    expected = reference.simulate(network, events[:CHECKED])
    equal = all((spikes[name][:CHECKED] == raster).all() for name, raster in expected.items())
    fired = [spikes[p.name][0].sum(axis=0) for p in network.spiking]
    sops = sum(
        float((f * network.fan_out(q)).sum()) for p, f in zip(network.spiking, fired, strict=True) for q in network.outputs_of(p.name)
    )
    print(
        f"6Conv2FC, width {WIDTH}, {DENSITY:.0%} of the weights: {network.neurons:,} neurons, {network.synapses:,} synapses, "
        f"{sops / 1e6:.1f} M SOPs between neurons in the first sample; {CHECKED} samples against the reference: "
        f"{'every spike equal' if equal else 'SPIKES DIFFER'}\n"
    )
    rows: list[dict[str, Any]] = [
        {"engine": f"native, {n} thread{'s' * (n > 1)}", **_native(network, events, rounds, n)}
        for n in (1, 2)[: 1 + (clock.kind() == "wall")]
    ]
    rows += [_dense(network, events, spikes, count, rounds) for count in DENSE_SAMPLES if count <= samples]
    print("| engine | ms a sample | time / native on one thread | output spikes that differ |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['engine']} | {row['ms']:.2f} | {row['ms'] / rows[0]['ms']:.1f} | {row['differ']:+d} |")
    single = latency(network, events[: min(samples, 100)], 3)
    if single is None:
        raise RuntimeError("The kernels for single samples do not take this network; they should.")
    median, slowest = single
    print(f"\none sample at a time, prepared once: median {median * MILLI:.2f} ms, slowest {slowest * MILLI:.2f} ms")
    return {"rows": rows, "latency": median, "slowest": slowest, "sops": sops, "equal": equal}


def _milliseconds(work: Callable[[], object], rounds: int, samples: int) -> float:
    work()
    times: list[float] = []
    for _ in range(rounds):
        begun = now()
        work()
        times.append(now() - begun)
    return statistics.median(times) * MILLI / samples


def _native(network: Network, events: NDArray[np.uint8], rounds: int, threads: int) -> dict[str, Any]:
    options = BackendOptions(threads=threads, rasters=False)
    return {"ms": _milliseconds(lambda: native.simulate(network, events, options), rounds, len(events)), "differ": 0}


def _dense(network: Network, events: NDArray[np.uint8], spikes: dict[str, NDArray[np.bool_]], count: int, rounds: int) -> dict[str, Any]:
    """Run `count` samples in torch on one thread, all steps at once."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        layers = [_Layer(network, p) for p in network.spiking]
        x = torch.from_numpy(events[:count]).transpose(0, 1).to(torch.float32)
        seen = _forward(layers, x)
        due = int(spikes[network.populations[-1].name][:count].sum())
        took = _milliseconds(lambda: _forward(layers, x), rounds, count)
    return {"engine": f"torch, dense float32, {count} at once", "ms": took, "differ": int(seen.sum()) - due}


def _forward(layers: Sequence[_Layer], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


class _Layer:
    """A population with its one projection, exact in float32: the integers stay below 2^24."""

    def __init__(self, network: Network, population: Population) -> None:
        projections = network.inputs_of(population.name)
        if len(projections) != 1 or not isinstance(population.neuron, IntegerLIF):
            raise TypeError(f"{population.name}: this comparison runs plain chains of integer layers.")
        self.projection, self.neuron, self.shape = projections[0], population.neuron, population.shape
        self.weights = _weights(self.projection)
        first = population.biases.reshape(population.shape)
        self.bias = None if population.bias is None else torch.from_numpy(first.astype(np.float32))
        alive = None if population.alive is None else population.alive.reshape(population.shape)
        self.alive = None if alive is None else torch.from_numpy(alive.astype(np.float32))
        self.held = self.neuron.du == NEVER_DECAYS

    def __call__(self, x: Tensor) -> Tensor:
        """Return the spikes (steps, samples, ...) of what comes in."""
        steps, samples = x.shape[:2]
        x = x[:1] if self.held else x  # what enters once and never decays
        sums = self._sums(x.flatten(0, 1)).unflatten(0, (len(x), samples))
        u = sums.mul_(2.0**self.projection.exponent).floor_().mul_(float(1 << ALIGN))
        return self._neurons(u.expand(steps, *u.shape[1:]) if self.held else u)

    def _sums(self, x: Tensor) -> Tensor:
        c = self.projection.synapses
        if not isinstance(c, Convolution):
            return functional.linear(x.flatten(1), self.weights)
        maps = x.reshape(len(x), *c.source_shape)
        if c.pool > 1:
            maps = functional.avg_pool2d(maps, c.pool, divisor_override=1)
        if c.kernel == (1, 1) and _is_identity(self.projection):
            return maps.mul_(float(c.data[0]))
        return functional.conv2d(maps, self.weights, stride=c.stride, padding=c.padding)

    def _neurons(self, u: Tensor) -> Tensor:
        v, keep = torch.zeros_like(u[0]), (DECAY_ONE - self.neuron.dv) / DECAY_ONE
        spikes = torch.empty(u.shape)
        for a, s in zip(u, spikes, strict=True):
            v.mul_(keep).trunc_().add_(a)
            if self.bias is not None:
                v.add_(self.bias)
            v.clamp_(-(STATE_LIMIT - 1), STATE_LIMIT - 1)
            torch.gt(v, float(self.neuron.vth << ALIGN), out=s)
            v.addcmul_(v, s, value=-1.0)
            if self.alive is not None:
                s.mul_(self.alive)
        return spikes


def _weights(projection: Projection) -> Tensor:
    return torch.from_numpy(projection.synapses.to_dense().astype(np.float32))  # pyright: ignore[reportAttributeAccessIssue]


def _is_identity(projection: Projection) -> bool:
    """Return whether a pooling layer does nothing but sum its windows: then nobody would write a convolution."""
    dense = np.asarray(_weights(projection)).squeeze((2, 3))
    return bool(dense.shape[0] == dense.shape[1] and (dense == dense[0, 0] * np.eye(len(dense))).all() and math.isfinite(dense[0, 0]))
