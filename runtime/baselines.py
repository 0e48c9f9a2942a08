"""The same network, dense and as an ANN, beside the deployed one: operations, and their energy in digital arithmetic.

    dense ANN       MACs = sum over projections of possible synapses                    (one pass, every weight present)
    dense SNN       ACs  = sum over projections of  spikes of the source * possible synapses / sources as trained
    deployed SNN    ACs  = its measured SOPs

    energy = MACs * E_MAC + ACs * E_AC

Where samples enter as payloads instead of spikes, the first layer's operations are MACs. The ACs of the dense network use the
measured spikes and the mean fan-out of a projection with every weight present. Horowitz (ISSCC 2014) prices the operations alone,
without memory.
"""

from __future__ import annotations

from ..compile.deployed import DeployedNetwork
from ..hwmodels.operations_model import OperationsModel, load
from ..network.model import Network, Projection
from ..report.prices import Baseline, Baselines
from .counts import Counts

MODEL = "digital-45nm"
PICO = 1e-12


def baselines(deployed: DeployedNetwork, counts: Counts, model: OperationsModel | None = None) -> Baselines:
    """Return the three networks side by side, per sample.

    Args:
        counts: measured by the run.
        model: prices; digital-45nm if None.
    """
    prices, network = model or load(MODEL), deployed.network
    graded, spiking = split(network)
    ann = sum(p.trained.possible_synapses for p in network.projections)
    dense = {True: 0.0, False: 0.0}
    sparse = {True: 0.0, False: 0.0}
    for projection in (*graded, *spiking):
        multiplies = projection in graded
        spikes = counts.spikes[projection.source]
        dense[multiplies] += spikes * projection.trained.possible_synapses / (projection.trained.sources or projection.synapses.shape[1])
        sparse[multiplies] += counts.sops_of[projection.name]
    rows = [
        _row("dense ANN", "every weight, one pass", float(ann), 0.0, prices),
        _row("dense SNN", f"every weight, the spikes of {network.timesteps} steps", dense[True], dense[False], prices),
        _row("deployed SNN", "the synapses that are left", sparse[True], sparse[False], prices),
    ]
    return Baselines(model=prices.name, title=prices.title, note=prices.note, rows=rows)


def split(network: Network) -> tuple[list[Projection], list[Projection]]:
    """Return the projections that carry payloads, and those that carry spikes."""
    graded = [network.payload_of(p).is_graded for p in network.projections]
    carry = list(zip(network.projections, graded, strict=True))
    return [p for p, multiplies in carry if multiplies], [p for p, multiplies in carry if not multiplies]


def _row(name: str, what: str, macs: float, acs: float, prices: OperationsModel) -> Baseline:
    """Return one network's row; joules are None if the model has no price for an operation it needs."""
    ac, mac = prices.energy.ac.value, prices.energy.mac
    joules = None if macs and mac is None else (macs * (mac.value if mac else 0.0) + acs * ac) * PICO
    return Baseline(name=name, what=what, macs_per_sample=macs, acs_per_sample=acs, joules_per_sample=joules)
