"""TrueNorth-style crossbars: 256 axons and 256 neurons per core, four axon types, one target per neuron."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...errors import DoesNotFitError, NetworkError, UsageError
from ...hwmodels.chip import Chip
from ...network.model import CrossbarLIF, Network
from ..api import CompileOptions, Pass, Rates
from ..chain import balance, front
from ..crossbar.allocate import Room, allocate
from ..crossbar.artefact import Crossbars
from ..crossbar.quantise import QuantiseCrossbars
from ..crossbar.route import routed
from ..crossbar.weights import check_mode
from ..mapping.api import Effort, Partition
from ..mapping.build import placed_mapping
from ..mapping.loads.load import Wiring
from ..mapping.progress import Progress
from .api import Mapped


@dataclass(frozen=True)
class TrueNorth:
    """Crossbars."""

    chips: tuple[str, ...] = ("truenorth", "truenorth-separable")

    def passes(self, options: CompileOptions) -> tuple[Pass, ...]:
        """Return the passes before quantisation, then the one that chooses levels, thresholds and leaks in place of Loihi's registers.

        Nothing is dropped after that, since the levels would change with it; whether thresholds can be reached is checked with the levels.

        Raises:
            UsageError: an unknown mode, or options of Loihi's synapses.
        """
        if options.given is not None:
            raise UsageError("Cores of crossbars are allocated by the types of their axons: --mapping and --pin are for --target lava.")
        mode = _mode(options)
        if str(options.weight_bits) != "8" or options.granularity != "layer":
            given = f"--granularity {options.granularity}" if str(options.weight_bits) == "8" else f"--weight-bits {options.weight_bits}"
            raise UsageError(
                f"{given} is for synapses that hold integers; what a crossbar's weights can be is chosen by --mode. Leave it out."
            )
        return (*front(options), QuantiseCrossbars(mode, options.calibration, options.seed), balance(options))

    def check(self, network: Network, chip: Chip) -> None:
        """Refuse what crossbars cannot hold.

        Raises:
            NetworkError: lags, several projections between the same two layers, or neurons that are not crossbar neurons.
        """
        del chip
        for population in network.on_chip:
            if not isinstance(population.neuron, CrossbarLIF):
                raise NetworkError(f"Layer {population.name} has neurons that a crossbar does not have.")
        ends = [(p.source, p.target) for p in network.projections]
        for p in network.projections:
            if p.lag:
                raise NetworkError(f"Projection {p.name} has a lag; recurrent networks cannot be compiled for crossbars yet.")
            if ends.count((p.source, p.target)) > 1:
                raise NetworkError(f"Projection {p.name} runs beside another from {p.source} to {p.target}; crossbars take one.")

    def map(self, network: Network, rates: Rates, options: CompileOptions, effort: Effort, progress: Progress) -> Mapped:
        """Allocate and place the cores.

        Raises:
            DoesNotFitError: too many axons or copies for a neuron, or too many cores; layer, limit, need and a way out are named.
        """
        del progress  # this takes only a moment
        mode, chip = _mode(options), options.chip
        crossbars, core_of = allocate(network.flat.network, mode, Room.of(chip))
        outside = [p for p in network.senders if p.name not in {q.name for q in network.on_chip}]
        number = np.flatnonzero(np.concatenate([p.living for p in outside])) if outside else np.zeros(0, np.int64)
        entering = crossbars.inputs.copy()
        entering[:, 0] = number[entering[:, 0]]  # inputs are numbered with removed neurons included
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
        placed = placed_mapping(routed(wiring, crossbars), parts, load, least, chip, effort=effort, seed=options.seed)
        return Mapped(placed, crossbars)


TARGET = TrueNorth()


def _mode(options: CompileOptions) -> str:
    mode = options.mode or "codebook"
    check_mode(mode)
    return mode


def _bounds(crossbars: Crossbars, wiring: Wiring, chip: Chip) -> tuple[int, float]:
    """Return lower bounds of cores and messages: the axons that each source needs on some core, and one copy of the neuron for each."""
    axons = crossbars.least_axons(len(wiring.rates))
    slots = int(np.maximum(axons[len(axons) - wiring.neurons :], 1).sum())
    cores = max(-(-slots // chip.limit("neurons")), -(-int(axons.sum()) // chip.limit("input_axons")))
    return cores, float((wiring.rates * axons).sum())
