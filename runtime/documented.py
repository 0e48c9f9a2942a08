"""The sections of results.json that follow from a run's counts."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..compile import summary
from ..compile.deployed import DeployedNetwork
from ..network.model import Stage
from ..report.document import Check, Provenance, Raster, RasterOfPopulation, StageResult
from ..report.sizes import ChipInUse, Core, Layer, MappingFound, NetworkSize
from ..subset import Subset
from .counts import Counts, traffic_table

__all__ = ["check_row", "fewer", "figures", "provenance", "raster", "stages"]

RASTER_NEURONS = 2000


def figures(deployed: DeployedNetwork, counts: Counts) -> dict[str, Any]:
    """Return the sizes, and the counts per sample: in total, by layer, by core and between cores."""
    network = deployed.network
    sent = np.asarray(counts.between.sum(axis=1)).ravel()
    updates = {p.name: float(p.count * network.timesteps) for p in network.on_chip}
    layers = [
        Layer(
            **row,
            spikes_per_sample=counts.spikes[row["name"]],
            spike_rate=counts.spikes[row["name"]] / (row["neurons"] * network.timesteps),
            sops_per_sample=counts.sops[row["name"]],
            messages_per_sample=counts.messages_of.get(row["name"], 0.0),
            hops_per_sample=counts.hops_of.get(row["name"], 0.0),
            neuron_updates_per_sample=updates.get(row["name"], 0.0),
        )
        for row in summary.layers(deployed)
    ]
    cores = [
        Core(
            **row,
            spikes_per_sample=float(counts.core_spikes[row["core"]]),
            sops_per_sample=float(counts.core_sops[row["core"]]),
            neuron_updates_per_sample=float(counts.core_updates[row["core"]]),
            messages_per_sample=float(sent[row["core"]]),
            hops_per_sample=float(counts.core_hops[row["core"]]),
        )
        for row in summary.cores(deployed)
    ]
    return {
        "network": NetworkSize(**summary.network_summary(deployed)),
        "mapping": MappingFound(**summary.mapping_summary(deployed)),
        "chip": ChipInUse(**summary.chip_summary(deployed)),
        "layers": layers,
        "cores": cores,
        "traffic": traffic_table(deployed, counts),
        "sops_per_sample": sum(counts.sops.values()),
        "crossbar_events_per_sample": None if deployed.crossbars is None else float(counts.core_sops.sum()),
        "spikes_per_sample": sum(counts.spikes[p.name] for p in network.spiking),
        "neuron_updates_per_sample": float(counts.core_updates.sum()),
        "messages_per_sample": counts.messages,
        "hops_per_sample": sum(counts.hops),
        "host_macs_per_sample": counts.host_macs,
    }


def stages(deployed: DeployedNetwork, backend: str, accuracy: float | None, taken: Subset) -> list[StageResult]:
    """Return the accuracy at every stage so far, and that of this run if it has one."""
    here = [] if accuracy is None else [Stage.on(f"deployed ({backend})", accuracy, taken)]
    return [StageResult(**asdict(stage)) for stage in (*deployed.network.stages, *here)]


def fewer(wanted: int | None, found: int) -> list[str]:
    """Warn if fewer samples were run than requested."""
    return [] if wanted is None or wanted <= found else [f"--samples asks for {wanted:,}; the data holds {found:,}, which were all run."]


def check_row(deployed: DeployedNetwork, backend: str, samples: int, compared: int) -> Check:
    """Return the entry of a comparison that found no difference."""
    populations = [p.name for p in deployed.network.spiking]
    return Check(
        reference="integer reference",
        backend=backend,
        samples=samples,
        populations=populations,
        spikes_compared=compared,
        equal=True,
    )


def raster(
    deployed: DeployedNetwork, first: dict[str, NDArray[np.bool_]], prediction: int, labels: NDArray[np.int64] | None, taken: Subset
) -> Raster:
    """Return the spikes of the first sample that was run; `first`: by population (timesteps, neurons)."""
    populations: list[RasterOfPopulation] = []
    for population in deployed.network.spiking:
        every = -(-population.size // RASTER_NEURONS)  # of many neurons, only every n-th, over the whole layer
        times, ids = np.nonzero(first[population.name][:, ::every])
        shown: dict[str, Any] = {"every": every, "times": times.tolist(), "ids": (ids * every).tolist()}
        populations.append(RasterOfPopulation(name=population.name, neurons=population.size, **shown))
    return Raster(
        sample=int(taken.indices()[0]),
        label=None if labels is None else int(labels[0]),
        prediction=prediction,
        timesteps=deployed.network.timesteps,
        populations=populations,
    )


def provenance(deployed: DeployedNetwork, command: str, seed: int, form: dict[str, Any]) -> Provenance:
    """Return where a run's figures come from."""
    versions = {d.name: d.version for d in map(_distribution, ("numpy", "scipy", "numba", "onnx", "onnxruntime")) if d is not None}
    return Provenance(
        command=command,
        spikeloom=__version__,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        python=platform.python_version(),
        seed=seed,
        versions=versions,
        artefact_sha256=deployed.digest,
        chip_sha256=deployed.chip.digest,
        compiling={"target": deployed.target} | {r.name: ", ".join(r.options) for r in deployed.passes if r.options},
        training=dict(deployed.network.provenance),
        **form,
    )


def _distribution(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
