"""Networks and mappings in the files of SANA-FE, an architecture simulator with a model of Loihi that was fitted to silicon.

SANA-FE (Boyle et al., IEEE TCAD 2025) computes in floating point and has no rounding of decays: its spikes are those of the chip where no
potential needs rounding, and may differ elsewhere. Input that comes from off the chip is a group of input neurons on the first core of the
tile where it enters, which costs nothing there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...checked import checked
from ...errors import DoesNotFitError, UsageError
from ...files import write_text
from ...network.model import IntegerLIF, Network, Population
from ..deployed import DeployedNetwork

__all__ = ["save_sanafe"]

SCALE = 4096  # decays are in 1 / 4096
SHIFT = 6  # a threshold is its mantissa << 6, as are weights
MOST_EDGES = 5_000_000
TILES_HIGH, CORES = 4, 4  # of the Loihi that SANA-FE comes with: tiles are numbered down the columns of a mesh 8 wide and 4 high


@checked(network="Pass what spikeloom.compile_network or spikeloom.load returned.")
def save_sanafe(network: DeployedNetwork, path: Path | str, events: NDArray[np.uint8] | None = None) -> Path:
    """Write the network and its mapping as a YAML file that `sanafe.load_net` reads, for the Loihi that SANA-FE comes with.

    Neurons that the compiler removed are left out, and the others of their layer numbered anew.

    Args:
        network: a network on one chip of Loihi.
        path: the file to write, atomically.
        events: (timesteps, inputs) spikes of one sample, which the input neurons are given; none without it.

    Returns:
        The path.

    Raises:
        UsageError: crossbars, several chips, another mesh than Loihi's, or events of another shape.
        DoesNotFitError: neurons, delays, payloads or a number of synapses that the files do not hold.
        OutputError: the folder cannot be written to.
    """
    _check(network)
    flat, given = network.network.flat.network, _chosen(network.network, events)
    lines = ["network:", f"  name: {flat.populations[0].name}", "  groups:", *_groups(flat, given), "  edges:", *_edges(flat)]
    return write_text(Path(path), "\n".join([*lines, "mappings:", *_mappings(network, flat)]) + "\n")


def _check(deployed: DeployedNetwork) -> None:
    network, mesh = deployed.network, deployed.chip.mesh
    if deployed.crossbars is not None or deployed.mapping.chips > 1 or (mesh.rows, mesh.cores_per_tile) != (TILES_HIGH, CORES):
        raise UsageError(
            f"SANA-FE's Loihi is one chip of 8 x 4 tiles with 4 cores each; this network is on {deployed.mapping.chips} of "
            f"{deployed.chip.name}. Compile it with --chip loihi-silicon and at most 128 cores."
        )
    for p in network.on_chip:
        if not isinstance(p.neuron, IntegerLIF) or p.neuron.soft_reset:
            raise DoesNotFitError(
                f"{p.name}: SANA-FE's Loihi has LIF neurons that reset to 0. Compile with a hard reset and without pools."
            )
    if any(p.delay for p in network.projections) or network.input.encoding not in ("rate", "events"):
        raise DoesNotFitError("The files hold binary spikes without delays. Compile with --encoding rate, and without delays.")
    synapses = sum(p.synapses.count for p in network.flat.network.projections)
    if synapses > MOST_EDGES:
        raise DoesNotFitError(f"The network has {synapses:,} synapses, each a line of the file; {MOST_EDGES:,} are written at most.")


def _chosen(network: Network, events: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    """Return the spikes of the inputs that are left."""
    entry = network.populations[0]
    if events is not None and events.shape != (network.timesteps, entry.size):
        raise UsageError(f"events have the shape {events.shape}; the network takes ({network.timesteps}, {entry.size}).")
    return None if events is None else events[:, entry.living]


def _groups(network: Network, events: NDArray[np.uint8] | None) -> Iterator[str]:
    entry = network.populations[0]
    yield from (f"    - name: {entry.name}", "      neurons:")
    for i in range(entry.size):
        spikes = "" if events is None else ", ".join(str(int(value != 0)) for value in events[:, i])
        yield f"        - {i}: {{spikes: [{spikes}]}}"
    for p in network.on_chip:
        yield from _group(p)


def _group(p: Population) -> Iterator[str]:
    neuron = p.neuron
    assert isinstance(neuron, IntegerLIF)  # as `_check` found
    yield from (f"    - name: {p.name}", "      attributes:")
    yield f"        threshold: {neuron.vth << SHIFT}"
    yield f"        leak_decay: {(SCALE - neuron.dv) / SCALE!r}"
    yield f"        input_decay: {(SCALE - 1 - neuron.du) / SCALE!r}"
    yield from ("        reset: 0", "        reset_mode: hard", "      neurons:")
    yield from (f"        - {i}: {{bias: {int(bias)}}}" for i, bias in enumerate(p.biases.ravel().tolist()))


def _edges(network: Network) -> Iterator[str]:
    chip = {p.name for p in network.on_chip}
    for p in network.projections:
        if p.target not in chip:
            continue
        synapses = p.synapses.unrolled()
        weights = synapses.data.astype(np.float64) * 2.0 ** (SHIFT + p.exponent)
        for source, target, weight in zip(synapses.indices.tolist(), synapses.rows.tolist(), weights.tolist(), strict=True):
            yield f"    - {p.source}.{source} -> {p.target}.{target}: {{weight: {weight!r}}}"


def _mappings(deployed: DeployedNetwork, flat: Network) -> Iterator[str]:
    mapping, entry, (x, y) = deployed.mapping, flat.populations[0], deployed.chip.mesh.entry
    slots = [
        f"{x * TILES_HIGH + y}.{slot % CORES}" for (x, y), slot in zip(mapping.tile_of.tolist(), mapping.slot_of.tolist(), strict=True)
    ]
    for i in range(entry.size):
        yield from _mapped(f"{entry.name}.{i}", f"{x * TILES_HIGH + y}.0", f"loihi_inputs[{i}]")
    cores = iter(mapping.core_of.tolist())
    for p in flat.on_chip:
        for i in range(p.size):
            yield from _mapped(f"{p.name}.{i}", slots[next(cores)], "loihi_lif")


def _mapped(neuron: str, core: str, soma: str) -> Iterator[str]:
    yield from (f"  - {neuron}:", f"      core: {core}", "      synapse: loihi_sparse_synapse", "      dendrite: loihi_dendrites")
    yield f"      soma: {soma}"
