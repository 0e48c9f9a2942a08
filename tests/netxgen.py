"""Random files of netx, an independent reading of them, and random chains that such a file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st
from netgen import sparse_integers
from numpy.typing import NDArray
from spikeloom.network import reference
from spikeloom.network.model import Convolution, InputSpec, IntegerLIF, Network, Population, Projection, Synapses

seeds = st.integers(0, 2**32 - 1)
Int = NDArray[np.int64]
CUBA = {"type": b"CUBA", "iDecay": 4096, "vDecay": 1024, "vThMant": 80, "refDelay": 1}


# An independent reading of a file, straight from netx's and Lava's equations: plain loops over the file's own arrays.


def toward_zero(value: Int, keep: int) -> Int:
    return np.where(value >= 0, value * keep // 4096, -(-value * keep // 4096))


class PlainNeurons:
    """Lava's bit-accurate LIF with the registers of a layer's `neuron` group."""

    def __init__(self, group: Any, size: int) -> None:
        self.du, self.dv, self.vth = (int(group[k][()]) for k in ("iDecay", "vDecay", "vThMant"))
        self.u = self.v = np.zeros(size, np.int64)

    def step(self, a: Int, bias: Int) -> Int:
        self.u = toward_zero(self.u, 4096 - self.du) + a * 64
        self.u = np.where(self.u > 1 << 23, self.u - (1 << 24), np.where(self.u <= -(1 << 23), self.u + (1 << 24), self.u))
        self.v = np.clip(toward_zero(self.v, 4096 - self.dv) + self.u + bias * 64, 1 - (1 << 23), (1 << 23) - 1)
        fired = self.v > self.vth * 64
        self.v = np.where(fired, 0, self.v)
        return fired.astype(np.int64)


def plain_dense(weights: Int, delays: Any, spikes: Int, t: int) -> Int:
    late = np.zeros_like(weights) if delays is None else np.floor(np.broadcast_to(delays, weights.shape)).astype(np.int64)
    total = np.zeros(len(weights), np.int64)
    for j, i in np.ndindex(weights.shape):
        if t >= late[j, i]:
            total[j] += weights[j, i] * spikes[t - late[j, i], i]
    return total


def plain_conv(layer: Any, frame: Int) -> Int:
    """Cross-correlate one frame (channels, rows, columns) as torch's conv2d does."""
    weights = layer["weight"][()].astype(np.int64)
    weights = weights.reshape(weights.shape[:4])
    stride, padding, dilation = (np.broadcast_to(layer[k][()], 2) for k in ("stride", "padding", "dilation"))
    out, inside, height, width = weights.shape
    padded = np.pad(frame, ((0, 0), (padding[0], padding[0]), (padding[1], padding[1])))
    _, rows, columns = (int(n) for n in layer["shape"][()])
    total = np.zeros((out, rows, columns), np.int64)
    share = out // int(layer["groups"][()])
    for o, c, ky, kx in np.ndindex(out, inside, height, width):
        plane = padded[o // share * inside + c, ky * dilation[0] :, kx * dilation[1] :]
        total[o] += weights[o, c, ky, kx] * plane[:: stride[0], :: stride[1]][:rows, :columns]
    return total.ravel()


def plain_netx(path: Path, events: Int) -> Int:
    """Run a file on events (steps, inputs); return the last layer's spikes (steps, neurons), without the step a connection takes."""
    with h5py.File(path) as file:
        spikes, shape = events, (events.shape[1],)
        layers: Any = file["layer"]
        for index in range(len(layers)):
            layer: Any = layers[str(index)]
            kind = layer["type"][0].decode()
            if "neuron" not in layer:
                shape = tuple(layer["shape"][()].tolist())
                continue
            size = int(np.prod(layer["shape"][()]))
            neurons, bias = PlainNeurons(layer["neuron"], size), np.zeros(size, np.int64)
            if "bias" in layer:
                bias = np.repeat(layer["bias"][()].astype(np.int64).ravel(), size // layer["bias"].size)
            out = np.zeros((len(spikes), size), np.int64)
            for t in range(len(spikes)):
                if kind == "conv":
                    a = plain_conv(layer, spikes[t].reshape(shape))
                else:
                    delays = layer["delay"][()] if "delay" in layer else None
                    delays = delays[:, None] if delays is not None and delays.ndim == 1 else delays
                    a = plain_dense(layer["weight"][()].astype(np.int64).reshape(size, -1), delays, spikes, t)
                if kind == "dense_rec" and t:
                    a += layer["weight_rec"][()].astype(np.int64) @ out[t - 1]
                out[t] = neurons.step(a, bias)
            spikes, shape = out, tuple(layer["shape"][()].tolist())
        return spikes


def put(file: Any, index: int, kind: str, neuron: dict[str, Any] | None = None, **values: Any) -> None:
    """Write a layer as SLAYER does."""
    group = file.create_group(f"layer/{index}")
    group.create_dataset("type", (1,), "S10", [kind.encode()])
    for name, value in values.items():
        group.create_dataset(name, data=value)
    for name, value in (neuron or {}).items():
        group.create_dataset(f"neuron/{name}", data=value)


def random_neuron(rng: np.random.Generator) -> dict[str, Any]:
    registers = {"iDecay": int(rng.choice([4096, 4096, 0, 1024, 3000])), "vDecay": int(rng.integers(0, 4096))}
    return CUBA | registers | {"type": rng.choice([b"CUBA", b"LOIHI"]), "vThMant": int(rng.integers(60, 200))}


def slayer_weights(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Even integers of 9 bits, as SLAYER's quantisation leaves them; sometimes odd ones."""
    step = int(rng.choice([1, 2, 2]))
    return (rng.integers(-256 // step, 255 // step, shape) * step * (rng.random(shape) < 0.7)).astype(np.float32)


def random_file(seed: int, path: Path) -> int:
    """Write what SLAYER could have exported; return the number of inputs."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        index, size = 0, int(rng.integers(2, 9))
        inputs = size
        if rng.random() < 0.6:
            groups = int(rng.choice([1, 2]))
            shape = (2 * groups, int(rng.integers(4, 8)), int(rng.integers(4, 8)))
            put(file, 0, "input", shape=shape)
            window: dict[str, Any] = {k: rng.integers(low, 3, 2) for k, low in (("stride", 1), ("padding", 0), ("dilation", 1))}
            weights = slayer_weights(rng, 2 * groups, 2, int(rng.integers(1, 3)), int(rng.integers(1, 3)))
            places = (np.array(shape[1:]) + 2 * window["padding"] - window["dilation"] * (np.array(weights.shape[2:]) - 1) - 1) // window[
                "stride"
            ] + 1
            bias = rng.integers(-40, 60, len(weights)).astype(np.float32)
            made = (len(weights), *places.tolist())
            put(file, 1, "conv", random_neuron(rng), shape=made, weight=weights[..., None], bias=bias, groups=groups, **window)
            put(file, 2, "flatten", shape=(int(np.prod(made)), 1, 1))
            index, size, inputs = 3, int(np.prod(made)), int(np.prod(shape))
        for _ in range(int(rng.integers(1, 3))):
            out, kind = int(rng.integers(2, 9)), str(rng.choice(["dense", "dense", "dense_rec"]))
            values: dict[str, Any] = {"weight": slayer_weights(rng, out, size), "shape": rng.permuted([[out, 1, 1]], axis=0)[0]}
            if kind == "dense_rec":
                values["weight_rec"] = slayer_weights(rng, out, out)
            elif rng.random() < 0.5:
                values["delay"] = rng.integers(0, 5, out) + 0.5  # SLAYER's are floored
            put(file, index, kind, random_neuron(rng), **values)
            index, size = index + 1, out
        file.create_dataset("simulation/tSample", data=12)
    return inputs


# Chains of ours


def random_chain(seed: int, *, biases: bool | None = None) -> Network:
    """Maps, pooled or not, then flat layers, perhaps recurrent or late, within what a .net file holds.

    `biases`: in all layers, which then have no lags; or in none. None: some.
    """
    rng = np.random.default_rng(seed)
    populations, projections = [Population("pixels", (2, 6, 6), None)], list[Projection]()

    def add(name: str, shape: tuple[int, ...], *arriving: Projection) -> None:
        neuron = IntegerLIF(int(rng.choice([4095, -1, 1000])), int(rng.integers(0, 4096)), int(rng.integers(1, 200)))
        some = rng.random() < 0.5 if biases is None else biases
        bias = None if not some else (rng.integers(1, 60, shape[0]) * 64).astype(np.int32)
        populations.append(Population(name, shape, neuron, bias=bias))
        projections.extend(arriving)

    for number in range(int(rng.integers(0, 3))):
        before = populations[-1]
        pool, size = (int(rng.choice([1, 2])), 2) if before.shape[1] >= 4 else (1, 1)
        weights = rng.integers(-127, 127, (3, before.shape[0], size, size)).astype(np.int32)
        padding = int(rng.integers(0, 2)) if before.shape[1] % pool == 0 else 0
        c = Convolution.from_dense(weights, (before.shape[0], before.shape[1], before.shape[2]), padding=padding, pool=pool)
        add(f"map{number}", c.target_shape, Projection(f"c{number}", before.name, f"map{number}", c, 0, 8))
    for number in range(2):
        before, name = populations[-1], f"flat{number}"
        weights = sparse_integers(rng, (7, before.size), 0.6).to_dense()
        weights[0, 0] = 5
        lag = 0 if biases else int(rng.choice([0, 0, 3]))
        made = [Projection(f"d{number}", before.name, name, Synapses.from_dense(weights), 0, 8, lag=lag)]
        if not lag and not biases and rng.random() < 0.5:
            made.append(Projection(f"r{number}", name, name, sparse_integers(rng, (7, 7), 0.8), 0, 8, lag=1))
        add(name, (7,), *made)
    spec = InputSpec(1, 1.0, "events")
    return Network(tuple(populations), tuple(projections), 9, spec, provenance={"data": "noise"}, votes=7)


def spikes_of(network: Network, seed: int) -> reference.Spikes:
    events = (np.random.default_rng(seed).random((2, network.timesteps, network.populations[0].size)) < 0.4).astype(np.int64)
    return reference.simulate(network, events)
