"""Dumps of the network after a pass: a text to read and compare, and a file that can be loaded again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...errors import DAMAGE, FormatError, NetworkError
from ...files import require_readable, sha256, write_bytes, write_text
from ...network.archive import Arrays, arrays_of, document_of, rebuild
from ...network.model import Convolution, Network, Population, Projection

FORMAT = "spikeloom.pass"


def write(network: Network, folder: Path, number: int, name: str) -> tuple[Path, Path]:
    """Write `NN-name.txt` and `NN-name.safetensors` into `folder`, atomically; return their paths.

    Raises:
        OutputError: the folder cannot be written to.
    """
    stem = f"{number:02d}-{name}"
    arrays = {k: np.ascontiguousarray(v) for k, v in arrays_of(network).items()}
    header = {"format": FORMAT, "document": json.dumps(document_of(network), sort_keys=True)}
    text = write_text(folder / f"{stem}.txt", describe(network))
    return text, write_bytes(folder / f"{stem}.safetensors", save(arrays, metadata=header))


def load(path: Path | str) -> Network:
    """Read the network of a dump.

    Raises:
        FormatError: the file is missing, truncated, damaged or of another format.
    """
    path = Path(path)
    require_readable(path, "the dump of a pass", "Write one with spikeloom compile --dump-dir.")
    try:
        with safe_open(str(path), framework="numpy") as handle:
            header: dict[str, str] = handle.metadata() or {}
            arrays: Arrays = {k: handle.get_tensor(k) for k in handle.keys()}  # noqa: SIM118
        if header.get("format") != FORMAT:
            raise FormatError("it is a safetensors file of another kind")
        return rebuild(json.loads(header["document"]), arrays)
    except (SafetensorError, OSError, FormatError, NetworkError, *DAMAGE) as error:
        raise FormatError(f"{path} is not a dump of a pass, or is damaged ({error}). Write it again with --dump-dir.") from error


def describe(network: Network) -> str:
    """Return a network as lines that change only if it does: populations, then projections with a digest of their weights."""
    entry = network.input
    lines = [f"network: {network.timesteps} steps, input {entry.encoding} 0..{entry.levels} times {entry.scale:.9g}, votes {network.votes}"]
    lines += [_population(p) for p in network.populations]
    lines += [_projection(p, network) for p in network.projections]
    return "\n".join(lines) + "\n"


def _neuron(population: Population) -> str:
    """Describe a neuron; a reset to 0 is the default and not mentioned."""
    return str(population.neuron or "input").replace(", soft_reset=False", "")


def _population(population: Population) -> str:
    shape = "x".join(map(str, population.shape))
    parts = [f"population {population.name}: {shape}, {_neuron(population)}"]
    if population.place != "chip":
        parts.append(f"on the {population.place}")
    if population.bias is not None:
        parts.append(f"bias {population.bias.min():.6g}..{population.bias.max():.6g} #{_digest(population.bias)}")
    if population.alive is not None:
        parts.append(f"{population.count:,} alive #{_digest(population.alive)}")
    return ", ".join(parts)


def _projection(projection: Projection, network: Network) -> str:
    synapses, weights = projection.synapses, f"{projection.synapses.weights:,}"
    if isinstance(synapses, Convolution):
        kernel = "x".join(map(str, synapses.kernel))
        kind = f"{weights} taps of {kernel}, stride {synapses.stride}, padding {synapses.padding}, pool {synapses.pool}"
        parts = [f"{kind}, {network.synapses_of(projection):,} synapses"]
        matrix = synapses.taps
    else:
        parts, matrix = [f"{weights} synapses"], synapses
    if projection.weight_bits is not None:
        parts.append(f"{projection.weight_bits} bits, exponent {projection.exponent}, scale {projection.scale:.9g}")
    if projection.lag or projection.delay:
        parts.append(f"lag {projection.lag}, delay {projection.delay}")
    parts.append(f"#{_digest(matrix.indptr, matrix.indices, matrix.data)}")
    return f"projection {projection.name}: {projection.source} -> {projection.target}, " + ", ".join(parts)


def _digest(*arrays: np.ndarray) -> str:
    return sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays))[:12]
