"""The report of `spikeloom compile` on a deployed network, as one dictionary that is printed or written as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..network.model import CrossbarLIF, IntegerLIF, Network, Neuron, Projection, XyloLIF
from .analysis.kinds import kind
from .deployed import DeployedNetwork
from .mapping.build import RESOURCES
from .mapping.system import chip_positions
from .pipeline import PassRecord, PipelineResult


def network_summary(deployed: DeployedNetwork) -> dict[str, Any]:
    """Return sizes, encoding and chip of the network."""
    network = deployed.network
    return {
        "timesteps": network.timesteps,
        "classes": network.classes,
        "votes": network.votes,
        "encoding": network.input.encoding,
        "chip": deployed.chip.name,
        "neurons": network.neurons,
        **_connectivity(network, network.projections),
        "connectivity_reachable": _reachable(network.reachable.values()),
        "weight_bits": max(p.weight_bits or 0 for p in network.projections),
    }


def _connectivity(network: Network, projections: Sequence[Projection]) -> dict[str, Any]:
    """Return the share of synapses that remain, and of weights left by training (None if none was trained, as in a pooling layer)."""
    trained = [p.trained for p in projections]
    synapses, possible = sum(network.synapses_of(p) for p in projections), sum(t.possible_synapses for t in trained)
    weights, possible_weights = sum(t.weights for t in trained), sum(t.possible_weights for t in trained)
    return {
        "synapses": synapses,
        "possible_synapses": possible,
        "connectivity": synapses / possible if possible else 0.0,
        "weights": weights,
        "possible_weights": possible_weights,
        "weight_connectivity": weights / possible_weights if possible_weights else None,
    }


def _reachable(counts: Iterable[tuple[float, float]]) -> float | None:
    """Return the share of the synapses that a spike could cross in the network as trained; None if none was counted."""
    crossed, possible = np.array([(0.0, 0.0), *counts]).sum(0).tolist()
    return crossed / possible if possible else None


def layers(deployed: DeployedNetwork) -> list[dict[str, Any]]:
    """Return one row per spiking population."""
    network = deployed.network
    rows: list[dict[str, Any]] = []
    for population in network.spiking:
        arriving = network.inputs_of(population.name)
        neuron = population.neuron
        rows.append(
            {
                "name": population.name,
                "kind": kind(network, population),
                "place": population.place,
                "sources": [p.source for p in arriving],
                "neurons": population.count,
                "shape": list(population.shape),
                **_connectivity(network, arriving),
                "connectivity_reachable": _reachable(counts for name, counts in network.reachable.items() if name == population.name),
                "weight_bits": max((p.weight_bits or 0 for p in arriving), default=0),
                "exponent": max((p.exponent for p in arriving), default=0),
                "v_threshold": _threshold(neuron),
                "drift": deployed.drift.get(population.name),
            }
        )
    return rows


def _threshold(neuron: Neuron | None) -> int:
    if isinstance(neuron, CrossbarLIF | XyloLIF):
        return neuron.threshold
    return neuron.vth if isinstance(neuron, IntegerLIF) else 0


def cores(deployed: DeployedNetwork) -> list[dict[str, Any]]:
    """Return one row per core: its tile, its contents, and how full each resource is."""
    rows: list[dict[str, Any]] = []
    for core in range(deployed.mapping.cores):
        load = {name: int(value) for name, value in zip(RESOURCES, deployed.mapping.load[core], strict=True)}
        held = {p.name: int((deployed.cores_of(p.name) == core).sum()) for p in deployed.network.on_chip}
        rows.append(
            {
                "core": core,
                "chip": int(deployed.mapping.chip_of[core]),
                "tile": deployed.mapping.tile_of[core].tolist(),
                **load,
                "utilisation": {name: value / deployed.chip.limit(name) for name, value in load.items()},
                "populations": {name: count for name, count in held.items() if count},
            }
        )
    return rows


def chip_summary(deployed: DeployedNetwork) -> dict[str, Any]:
    """Return the chip's mesh and limits, how many chips are in use, and where these lie in the grid of the system."""
    chip = deployed.chip
    return {
        "name": chip.name,
        "title": chip.title,
        "mesh": [chip.mesh.columns, chip.mesh.rows],
        "cores_per_tile": chip.mesh.cores_per_tile,
        "cores": chip.limit("cores"),
        "chips_in_use": deployed.mapping.chips,
        "cores_offered": chip.cores_offered(deployed.mapping.chips),
        "system": chip.system.name if chip.system else None,
        "chips": chip.chips,
        "places": chip_positions(chip)[: deployed.mapping.chips].tolist(),
        "limits": {name: chip.limit(name) for name in (*RESOURCES, "words_per_axon", "weight_bits")},
    }


def mapping_summary(deployed: DeployedNetwork) -> dict[str, Any]:
    """Return cores, messages and hops, each beside its lower bound."""
    mapping = deployed.mapping
    return {
        "cores": mapping.cores,
        "cores_bound": mapping.cores_bound,
        "chips": mapping.chips,
        "messages_per_step": mapping.messages_per_step,
        "messages_bound": mapping.messages_bound,
        "hops_per_message": mapping.hops_per_message,
        "strategy": mapping.strategy,
        "objective": mapping.objective,
        "changes": list(mapping.changes),
    }


ROUNDING = ("quantise", "crossbars", "xylo")  # the passes that may round a weight to zero
DRIFT = 0.05  # spike mismatch above which a layer is reported


def dead_code(passes: Sequence[PassRecord]) -> dict[str, int]:
    """Return what dropping dead synapses removed for free, what there was before, and what rounding set to zero, which is not free."""
    dropped = [r for r in passes if r.name.split(".")[0] == "drop-dead"]
    return {
        "synapses": sum(r.before.synapses - r.after.synapses for r in dropped),
        "neurons": sum(r.before.neurons - r.after.neurons for r in dropped),
        "of_synapses": dropped[0].before.synapses if dropped else 0,
        "of_neurons": dropped[0].before.neurons if dropped else 0,
        "rounded_synapses": sum(r.before.synapses - r.after.synapses for r in passes if r.name in ROUNDING),
    }


def passes_document(result: PipelineResult) -> dict[str, Any]:
    """Return what `spikeloom compile --stop-after` prints: the passes so far and their warnings."""
    return {
        "passes": [asdict(record) for record in result.records],
        "dead_code": dead_code(result.records),
        "warnings": list(result.warnings),
        "drift": dict(result.drift),
    }


def first_drift(deployed: DeployedNetwork) -> dict[str, Any] | None:
    """Return the first layer, in network order, whose spike mismatch to the float network exceeds DRIFT, and that mismatch."""
    drifting = (p.name for p in deployed.network.spiking if deployed.drift.get(p.name, 0.0) > DRIFT)
    name = next(drifting, None)
    return None if name is None else {"layer": name, "share": deployed.drift[name]}


def summary(deployed: DeployedNetwork) -> dict[str, Any]:
    """Return everything that `spikeloom compile --json` prints; sizes and mapping figures appear at the top level as well."""
    network = network_summary(deployed)
    mapping = mapping_summary(deployed)
    return {
        "target": deployed.target,
        **{k: network[k] for k in ("neurons", "synapses")},
        **mapping,
        "network": network,
        "mapping": mapping,
        "layers": layers(deployed),
        "cores_table": cores(deployed),
        "chip": chip_summary(deployed),
        "warnings": list(deployed.warnings),
        "passes": [asdict(record) for record in deployed.passes],
        "dead_code": dead_code(deployed.passes),
        "first_drift": first_drift(deployed),
    }
