"""Crossbars of the kind of TrueNorth: 256 axons and 256 neurons a core, four axon types, one target a neuron."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...errors import DoesNotFitError, NetworkError, UsageError
from ...hwmodels.chip import Chip
from ...network.model import CrossbarLIF, Network
from ..crossbar.allocate import Room, allocate
from ..crossbar.artefact import Crossbars
from ..crossbar.quantise import Pass as Quantise
from ..crossbar.route import routed
from ..crossbar.weights import MODES, check_mode
from ..mapping.api import Effort, Partition
from ..mapping.build import Mapping, placed_mapping
from ..mapping.load import Wiring
from ..pipeline import CompileOptions, Pass

CHIPS = ("truenorth", "truenorth-separable")
REPLACED = ("quantise", "lower", "drop-dead.2", "check")  # passes for Loihi's neurons, or after which levels would have other numbers

__all__ = ["CHIPS", "MODES", "build", "chain", "check"]


def chain(default: list[tuple[str, Pass]], options: CompileOptions) -> list[tuple[str, Pass]]:
    """Return the passes of this target: weights of levels, thresholds and leaks in place of Loihi's registers."""
    mode = options.mode or "codebook"
    check_mode(mode)
    if str(options.weight_bits) != "8" or options.granularity != "layer":
        given = f"--granularity {options.granularity}" if str(options.weight_bits) == "8" else f"--weight-bits {options.weight_bits}"
        raise UsageError(f"{given} is for synapses that hold integers; what a crossbar's weights can be is chosen by --mode. Leave it out.")
    made: list[tuple[str, Pass]] = []
    for name, instance in default:
        if name == "quantise":
            made.append(("crossbars", Quantise(mode, options.calibration, options.seed)))
        elif name not in REPLACED:
            made.append((name, instance))
    return made


def check(network: Network, chip: Chip) -> None:
    """Refuse what crossbars cannot hold.

    Raises:
        NetworkError: lags, several projections between the same two layers, or neurons that are not a crossbar's.
    """
    del chip
    for population in network.on_chip:
        if not isinstance(population.neuron, CrossbarLIF):
            raise NetworkError(f"Layer {population.name} has neurons that a crossbar does not have.")
    ends = [(p.source, p.target) for p in network.projections]
    for p in network.projections:
        if p.lag:
            raise NetworkError(f"Projection {p.name} has a lag; networks that hear themselves are not compiled for crossbars yet.")
        if ends.count((p.source, p.target)) > 1:
            raise NetworkError(f"Projection {p.name} runs beside another from {p.source} to {p.target}; crossbars take one.")


def build(
    network: Network, rates: dict[str, NDArray[np.float64]], chip: Chip, *, mode: str | None, effort: Effort, seed: int
) -> tuple[Mapping, Crossbars]:
    """Allocate and place the cores.

    Raises:
        DoesNotFitError: a neuron's axons or copies, or the cores in all; layer, limit, need and a way out are named.
    """
    mode = mode or "codebook"
    crossbars, core_of = allocate(network.flat.network, mode, Room.of(chip))
    outside = [p for p in network.senders if p.name not in {q.name for q in network.on_chip}]
    number = np.flatnonzero(np.concatenate([p.living for p in outside])) if outside else np.zeros(0, np.int64)
    entering = crossbars.inputs.copy()
    entering[:, 0] = number[entering[:, 0]]  # what enters is numbered with the neurons that were removed
    crossbars = replace(crossbars, inputs=entering)
    if crossbars.cores > chip.cores_available:
        raise DoesNotFitError(
            f"The network needs {crossbars.cores:,} cores; {chip.name} has {chip.cores_available:,}. "
            f"Try --mode ternary, or a higher sparsity."
        )
    wiring = Wiring.of(network, np.concatenate([rates[p.name][p.living] for p in network.senders]))
    axons = (crossbars.axon_type >= 0).sum(axis=1)
    slots, sends = (crossbars.logical >= 0).sum(axis=1), (crossbars.target[..., 0] >= 0).sum(axis=1)
    load = np.stack([slots, axons, axons, sends], axis=1).astype(np.int64)
    least = _bounds(crossbars, wiring, chip)
    parts = Partition(core_of, f"crossbars, {mode}")
    return placed_mapping(routed(wiring, crossbars), parts, load, least, chip, effort=effort, seed=seed), crossbars


def _bounds(crossbars: Crossbars, wiring: Wiring, chip: Chip) -> tuple[int, float]:
    """Return lower bounds of cores and messages: the axons that each source needs somewhere, and a copy of the neuron for each."""
    axons = crossbars.least_axons(len(wiring.rates))
    slots = int(np.maximum(axons[len(axons) - wiring.neurons :], 1).sum())
    cores = max(-(-slots // chip.limit("neurons")), -(-int(axons.sum()) // chip.limit("input_axons")))
    return cores, float((wiring.rates * axons).sum())
