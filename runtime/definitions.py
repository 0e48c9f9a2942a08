"""SOPs and energy as papers count them, each definition by its name, of the deployed network and of the dense ones, from one run's counts.

    upr           SOPs = spikes * synapses left, over trained layers but the first; none of pools, ANDs, shortcuts and relays;
                         a synapse from an average over n neurons counts 1 / n
                  energy = SOPs * E_AC
    neurobench    SOPs = effective MACs + effective ACs (`neurobench`)
                  energy = MACs * E_MAC + ACs * E_AC
    spikeloom     SOPs = those of the chip, first layer, pools and relays included
                  energy = the dynamic energy of the chip model

    dense SNN     the same sum with every weight present: spikes * possible synapses / sources as trained; neurobench: evaluations *
                  possible synapses
    dense ANN     MACs = possible synapses of the layers counted, one pass;  energy = MACs * E_MAC

A synapse onto a removed neuron does nothing and is in none of the first sums. The spikes of the dense networks are those of the deployed
one. A chip's energy of the dense SNN has the synaptic operations of the dense one at their mean price and everything else unchanged: it
is a lower bound, since dense layers take more cores and so more messages.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..compile.analysis import kinds
from ..compile.deployed import DeployedNetwork
from ..hwmodels.operations_model import OperationsModel, load
from ..network.model import Convolution, Network, Projection
from ..report.prices import Counted, Definition, Energy, Price
from .baselines import MODEL, PICO, split
from .counts import Counts
from .neurobench import evaluations

__all__ = ["definitions"]

_UPR = "Shi et al., Towards energy efficient spiking neural networks: an unstructured pruning framework, ICLR 2024, and its authors' code"
_NEUROBENCH = "Yik et al., NeuroBench, Nature Communications 16, 1545 (2025)"
_OURS = "docs/energy.md"
_PRICED = "NeuroBench states no energy; the prices are those that papers on spiking networks use."
_UNROLLED = "{}: the kernel is unrolled for this target, so each synapse from an average pool before it, if there is one, counts as one."
_BOUND = "The dense SNN's energy is a lower bound: its synaptic operations at their mean price, all else as deployed."


def definitions(deployed: DeployedNetwork, counts: Counts, energy: Energy) -> dict[str, Definition]:
    """Return the definitions by name; the module's text has the equations.

    Args:
        counts: measured by the run.
        energy: of the run, under the chip model chosen.
    """
    prices = load(MODEL)
    return {
        "upr": _upr(deployed.network, counts, prices),
        "neurobench": _neurobench(deployed.network, counts, prices),
        "spikeloom": _ours(deployed.network, counts, energy),
    }


def _upr(network: Network, counts: Counts, prices: OperationsModel) -> Definition:
    sample = kinds.carriers(network)
    counted = [p for p in network.projections if p.source not in sample and not kinds.is_structural(network, p)]
    sops = sum((counts.sops_of[p.name] / kinds.window(p) for p in counted), 0.0)
    dense = sum((_dense(counts, p) / kinds.window(p) for p in counted), 0.0)
    possible = sum((p.trained.possible_synapses / kinds.window(p) for p in counted), 0.0)
    return Definition(
        what="Spikes times the synapses left, without the first layer; pools, shortcuts and synapses onto pruned neurons are free.",
        source=_UPR,
        deployed=_priced(sops, 0.0, prices),
        dense_snn=_priced(dense, 0.0, prices),
        dense_ann=_priced(possible, possible, prices),
        prices=_prices(prices),
        note=_UNROLLED.format(", ".join(unrolled)) if (unrolled := _unrolled(counted)) else "",
    )


def _neurobench(network: Network, counts: Counts, prices: OperationsModel) -> Definition:
    graded, spiking = split(network)
    macs, acs = (sum((counts.sops_of[p.name] for p in part), 0.0) for part in (graded, spiking))
    dense_macs, dense_acs = (float(sum(evaluations(network, p) * p.trained.possible_synapses for p in part)) for part in (graded, spiking))
    possible = float(sum(p.trained.possible_synapses for p in network.projections))
    return Definition(
        what="Effective MACs (what arrives carries a payload) and effective ACs (it is a spike), of all layers, pools included.",
        source=_NEUROBENCH,
        deployed=_priced(macs + acs, macs, prices),
        dense_snn=_priced(dense_macs + dense_acs, dense_macs, prices),
        dense_ann=_priced(possible, possible, prices),
        prices=_prices(prices),
        note=_PRICED,
    )


def _ours(network: Network, counts: Counts, energy: Energy) -> Definition:
    chip = {p.name for p in network.on_chip}
    counted = [p for p in network.projections if p.target in chip]
    graded = [p for p in split(network)[0] if p.target in chip]
    macs, dense_macs = sum((counts.sops_of[p.name] for p in graded), 0.0), sum((_dense(counts, p) for p in graded), 0.0)
    sops, dense = sum(counts.sops.values()), sum((_dense(counts, p) for p in counted), 0.0)
    possible = float(sum(p.trained.possible_synapses for p in counted))
    synaptic = [part for part in energy.components if part.name.startswith("synaptic operations")]
    joules, dynamic = sum(part.joules_per_sample for part in synaptic), energy.dynamic_joules_per_sample
    power = dynamic - joules + joules / sops * dense if sops else None
    return Definition(
        what="Every synapse on the chip that a spike or payload crosses; the energy has updates, spikes, messages and hops as well.",
        source=_OURS,
        deployed=Counted(sops_per_sample=sops, macs_per_sample=macs, joules_per_sample=dynamic),
        dense_snn=Counted(sops_per_sample=dense, macs_per_sample=dense_macs, joules_per_sample=power),
        dense_ann=Counted(sops_per_sample=possible, macs_per_sample=possible, joules_per_sample=None),
        prices=[
            Price(operation=part.name, joules=part.joules_per_unit, status=part.status, source=f"{energy.model}: {part.source}")
            for part in energy.components
            if part.joules_per_unit is not None and part.count_per_sample
        ],
        note=_BOUND,
    )


def _dense(counts: Counts, projection: Projection) -> float:
    """Return the SOPs of a projection with every weight present, under the measured spikes of its source."""
    trained = projection.trained
    return counts.spikes[projection.source] * trained.possible_synapses / (trained.sources or projection.synapses.shape[1])


def _priced(sops: float, macs: float, prices: OperationsModel) -> Counted:
    ac, mac = prices.energy.ac.value, prices.energy.mac
    joules = None if macs and mac is None else (macs * (mac.value if mac else 0.0) + (sops - macs) * ac) * PICO
    return Counted(sops_per_sample=sops, macs_per_sample=macs, joules_per_sample=joules)


def _prices(model: OperationsModel) -> list[Price]:
    named = (("AC", model.energy.ac), ("MAC", model.energy.mac))
    return [Price(operation=name, joules=q.value * PICO, status=q.status, source=q.source) for name, q in named if q is not None]


def _unrolled(counted: Iterable[Projection]) -> list[str]:
    """Return the layers with kernels that a target had unrolled, which no longer tell the windows of an average pool."""
    shared = (p for p in counted if not isinstance(p.synapses, Convolution) and p.trained.possible_weights != p.trained.possible_synapses)
    return list(dict.fromkeys(p.target for p in shared))
