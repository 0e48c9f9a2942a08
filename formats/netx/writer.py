"""Writes a deployed integer network as `.net`, the HDF5 file that netx of Intel's lava-dl loads. docs/netx.md says what it can hold.

netx has layers one after another, each with integer weights, one set of registers, and a bias that is shifted left by 6. It derives
exponents itself and has none per projection, so a weight is written as  W << exponent,  and a sum that the chip shifts right
cannot be expressed. `spikeloom compile --target netx` quantises so that every layer fits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError, OutputError
from ...files import write_atomically
from ...hwmodels.fixed_point import ALIGN, BIAS_BITS
from ...network.model import Convolution, IntegerLIF, Network, Population, Projection

SUFFIXES = (".net",)
LOWEST, HIGHEST = -256, 254  # range that netx keeps for weights of mixed signs; without negative ones it takes 255
MAX_WEIGHTS = 1 << 27  # of a fully connected layer, which is written dense
MAX_DELAY = 62
BIAS_LIMIT = (1 << (BIAS_BITS - 1)) - 1
WAY_OUT = "Compile it with --target netx."


@dataclass(frozen=True)
class Layer:
    """A population as netx's layer: its type and its arrays by name."""

    kind: str
    arrays: dict[str, Any]


def write_integers(network: Network, path: Path) -> Path:
    """Write the network, atomically.

    Raises:
        NetworkError: netx has no such layer; the message names population or projection, reason and way out.
        OutputError: h5py is not installed, or the folder cannot be written to.
    """
    try:
        import h5py
    except ImportError as error:
        raise OutputError("A .net file is HDF5, and the library h5py that writes it is not installed. Run: pip install h5py") from error
    made = layers(network)

    def fill(temporary: Path) -> None:
        with h5py.File(temporary, "w") as file:
            for index, layer in enumerate(made):
                group: Any = file.create_group(f"layer/{index}")
                group.create_dataset("type", (1,), "S10", [layer.kind.encode()])
                for name, value in layer.arrays.items():
                    group.create_dataset(name, data=value)
            file.create_dataset("simulation/Ts", data=1)
            file.create_dataset("simulation/tSample", data=network.timesteps)
            file.create_dataset("spikeloom/document", data=json.dumps(_document(network)))

    return write_atomically(path, fill)


def layers(network: Network) -> list[Layer]:
    """Return the layers of a file; see `write` for the errors."""
    entry = network.populations[0]
    made = [Layer("input", {"shape": entry.shape if _is_map(entry) else (entry.size,)})]
    for before, population in zip(network.populations, network.spiking, strict=False):
        _check_ends(network, before, population)
        forward = [p for p in network.inputs_of(population.name) if p.source == before.name]
        back = [p for p in network.inputs_of(population.name) if p.source == population.name]
        if _is_map(population):
            made.append(_conv(network, before, population, forward, back))
            continue
        if _is_map(before):
            made.append(Layer("flatten", {"shape": (before.size, 1, 1)}))
        made.append(_dense(network, before, population, forward, back))
    return made


def _document(network: Network) -> dict[str, Any]:
    """Return what netx cannot store, for our own reader."""
    return {
        "names": [p.name for p in network.populations],
        "input_shape": list(network.populations[0].shape),
        "input": asdict(network.input),
        "votes": network.votes,
        "provenance": dict(network.provenance),
    }


def _is_map(population: Population) -> bool:
    return len(population.shape) == 3


def _check_ends(network: Network, before: Population, population: Population) -> None:
    """Check that a layer receives input only from the one before it and, possibly, from itself."""
    if not isinstance(population.neuron, IntegerLIF):
        raise NetworkError(f"Layer {population.name} has no integer neurons of Loihi, all that a .net file holds. {WAY_OUT}")
    sources = {p.source for p in network.inputs_of(population.name)}
    if not sources and population is not network.populations[-1]:
        fed = ", ".join(p.target for p in network.outputs_of(population.name)) or "nothing"
        raise NetworkError(
            f"A neuron that spikes at every step gives a constant input to {fed} (a bias in front of a synaptic current that decays), and "
            f"netx has layers one after another, no others. Train without that bias, or put it behind the current (v_leak in NIR)."
        )
    others = sorted(sources - {before.name, population.name})
    if others or before.name not in sources:
        raise NetworkError(
            f"Layer {population.name} receives input from {', '.join(others) or f'elsewhere than {before.name}'}"
            + ": netx runs layers one after another, without branches. Export a network without residual branches."
        )


def _weights(projection: Projection, integers: NDArray[Any]) -> NDArray[np.int64]:
    """Return  W << exponent.

    Raises:
        NetworkError: the sum is shifted right, and its weights are not multiples of that power of two.
    """
    shifted = integers.astype(np.int64)
    if projection.exponent >= 0:
        return shifted << projection.exponent
    if (shifted & ((1 << -projection.exponent) - 1)).any():
        raise NetworkError(
            f"Projection {projection.name} has the exponent {projection.exponent}: its sums are shifted right, which netx does not do. "
            f"{WAY_OUT}"
        )
    return shifted >> -projection.exponent


def _check_range(where: str, weights: NDArray[np.int64], *, scaled: bool) -> None:
    """Refuse weights that netx would clip or fail on. `scaled`: whether netx scales them to fill 8 bits."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    if low < LOWEST or high > (HIGHEST if low < 0 else HIGHEST + 1):
        raise NetworkError(f"{where} has weights of {low}..{high} with their exponents; netx clips them to {LOWEST}..{HIGHEST}. {WAY_OUT}")
    if scaled and high <= 0:
        raise NetworkError(
            f"{where} has no positive weight, and netx divides by the largest. Export a network in which each layer has one."
        )


def _registers(population: Population) -> dict[str, Any]:
    neuron = population.neuron
    if not isinstance(neuron, IntegerLIF):
        raise NetworkError(f"Layer {population.name} has no integer neurons of Loihi. {WAY_OUT}")
    if neuron.soft_reset:
        raise NetworkError(
            f"Layer {population.name} has a soft reset, which Lava's neurons do not have. Export a network that resets to 0."
        )
    values = {"type": b"CUBA", "iDecay": neuron.du + 1, "vDecay": neuron.dv, "vThMant": neuron.vth, "refDelay": 1, "gradedSpike": False}
    made: dict[str, Any] = {f"neuron/{name}": value for name, value in values.items()}
    if population.bias is not None:
        bias = population.bias.astype(np.int64)
        wrong = bias[(bias % (1 << ALIGN) != 0) | (np.abs(bias) > BIAS_LIMIT << ALIGN)]
        if wrong.size:
            raise NetworkError(
                f"Layer {population.name} has a bias of {int(wrong[0]):,}; netx holds multiples of {1 << ALIGN} up to "
                f"{BIAS_LIMIT << ALIGN:,}. {WAY_OUT}"
            )
        made["bias"] = bias >> ALIGN
    return made


def _dense(
    network: Network, before: Population, population: Population, forward: Sequence[Projection], back: Sequence[Projection]
) -> Layer:
    name, size = population.name, population.size
    if size * max(before.size, size if back else 0) > MAX_WEIGHTS:
        raise NetworkError(
            f"Layer {name} has {size:,} x {before.size:,} weights, which a .net file holds dense; {MAX_WEIGHTS:,} are written."
        )
    weights, lags = _merged(network, forward, population, before)
    _check_range(f"Layer {name}", weights, scaled=not back)
    arrays: dict[str, Any] = {"shape": (size, 1, 1), "inFeatures": before.size, "outFeatures": size, "weight": weights.astype(np.float32)}
    arrays |= _registers(population)
    if "bias" in arrays:
        arrays["bias"] = np.where(population.living, population.biases.astype(np.int64) >> ALIGN, 0)
    if lags.max(initial=0) > MAX_DELAY:
        raise NetworkError(f"Layer {name} receives spikes {lags.max()} steps late; a .net file delays by up to {MAX_DELAY}.")
    if lags.any():
        arrays["delay"] = lags
    if not back:
        return Layer("dense", arrays)
    own, late = _merged(network, back, population, population)
    if lags.any() or (late[own != 0] != 1).any():
        raise NetworkError(
            f"Layer {name} is recurrent with lags other than 1, or with delays beside; a recurrent layer of netx has neither."
        )
    _check_range(f"Layer {name}", np.hstack([weights, own]), scaled=True)
    return Layer("dense_rec", arrays | {"weight_rec": own.astype(np.float32)})


def _merged(
    network: Network, arriving: Sequence[Projection], population: Population, before: Population
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the dense weights (targets, sources) of projections with the same ends, and the lag of each; removed neurons have none."""
    weights = np.zeros((population.size, before.size), np.int64)
    lags = np.zeros_like(weights)
    both = population.living[:, None] & before.living[None, :]
    for projection in arriving:
        matrix = projection.synapses.unrolled()
        dense = np.where(both, _weights(projection, matrix.with_data(matrix.data.astype(np.int32)).to_dense()), 0)
        if ((weights != 0) & (dense != 0) & (lags != projection.lag)).any():
            raise NetworkError(
                f"Projection {projection.name} joins neurons a second time with another lag; a .net file has one delay per synapse."
            )
        lags[dense != 0] = projection.lag
        weights += dense
    return weights, lags


def _conv(network: Network, before: Population, population: Population, forward: Sequence[Projection], back: Sequence[Projection]) -> Layer:
    name = population.name
    if back or any(p.lag for p in forward):
        raise NetworkError(
            f"Layer {name} is a map that is recurrent or receives input late; netx has recurrence and delays in flat layers only."
        )
    kernels = [p.synapses for p in forward if isinstance(p.synapses, Convolution)]
    first = kernels[0] if kernels else None
    if first is None or len(kernels) < len(forward) or not _is_map(before) or any(not _alike(first, c) for c in kernels):
        raise NetworkError(f"Layer {name} is a map, but its input from {before.name} is not one convolution. A .net file has no other map.")
    rows, columns = before.shape[1] % first.pool, before.shape[2] % first.pool
    if first.padding and (rows or columns):
        raise NetworkError(
            f"Layer {name} pads maps of which pooling leaves {rows} rows and {columns} columns out; no kernel does both. "
            f"Use pooling windows that divide the map."
        )
    _check_removed(network, before, _used(network, before, population))
    if population is network.populations[-1]:
        _check_removed(network, population, np.ones(population.size, np.bool_))
    weights = sum((_weights(p, c.to_dense()) for p, c in zip(forward, kernels, strict=True)), np.zeros((), np.int64))
    weights = weights.repeat(first.pool, axis=2).repeat(first.pool, axis=3)  # a sum over windows is a kernel of equal weights
    _check_range(f"Layer {name}", weights, scaled=False)
    arrays: dict[str, Any] = {
        "shape": population.shape,
        "inChannels": before.shape[0],
        "outChannels": population.shape[0],
        "kernelSize": weights.shape[2:],
        "stride": (first.stride * first.pool,) * 2,
        "padding": (first.padding * first.pool,) * 2,
        "dilation": (1, 1),
        "groups": 1,
        "weight": weights.astype(np.float32),
    }
    return Layer("conv", arrays | _registers(population))


def _alike(a: Convolution, b: Convolution) -> bool:
    return (a.source_shape, a.kernel, a.stride, a.padding, a.pool) == (b.source_shape, b.kernel, b.stride, b.padding, b.pool)


def _check_removed(network: Network, part: Population, used: NDArray[np.bool_]) -> None:
    """A map cannot flag removed neurons: removed ones must never spike anyway, or have no targets."""
    if part.alive is None or part.neuron is None:
        return
    driven = part.biases > 0
    for projection in network.inputs_of(part.name):
        synapses = projection.synapses
        driven = driven | (synapses.forward(np.ones(synapses.weights), np.ones(synapses.shape[1])) > 0)
    wrong = int((~part.living & used & driven).sum())
    if wrong:
        raise NetworkError(
            f"Layer {part.name} has {wrong:,} removed neurons that would spike and matter in netx, whose maps cannot leave neurons out. "
            f"Export a network without channels that were removed by a gate."
        )


def _used(network: Network, before: Population, population: Population) -> NDArray[np.bool_]:
    """Return which neurons of `before` have a live target in `population`."""
    used, live = np.zeros(before.size, np.bool_), population.living.astype(np.float64)
    for projection in network.inputs_of(population.name):
        if projection.source == before.name:
            used |= projection.synapses.backward(np.ones(projection.synapses.weights), live) > 0
    return used
