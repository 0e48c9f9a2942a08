"""The same counts under every chip model of the target, side by side: energy and time by component, nothing added across models.

The counts belong to the mapping on the chip compiled for; another model applies its own prices and times to them. Models of another
target's machine are listed as left out: a spike on a crossbar reads rows and bits, one on Loihi synapse words, so neither has a price
for what the other counts.
"""

from __future__ import annotations

from ..compile.deployed import DeployedNetwork
from ..compile.targets import api as targets
from ..errors import UsageError
from ..hwmodels import chip as chips
from ..hwmodels.chip import Chip
from ..report.prices import LeftOut, ModelPrices, Models, Part
from . import energy
from .counts import Counts
from .step_loads import Loads

__all__ = ["ENERGY_PARTS", "LATENCY_PARTS", "ONLY_SOME", "side_by_side"]

ENERGY_PARTS = {
    "synaptic operations": ("synaptic operations",),
    "neuron updates": ("neuron updates",),
    "spikes and messages": ("spikes out", "messages"),
    "hops": ("hops",),
    "dynamic power": ("dynamic power",),
    "static power": ("static power",),
}
LATENCY_PARTS = {
    "synaptic operations": ("synaptic operations",),
    "neuron updates": ("neuron updates",),
    "spikes and messages": ("spikes out", "messages"),
    "links and routes": ("busiest link", "longest route"),
    "barrier": ("barrier",),
}
"""The parts by which models are compared, and the name prefixes of their components."""
ONLY_SOME = ("dynamic power",)
"""Parts that only some models have: they are left out of the others' rows."""
SURENESS = ("published", "derived", "assumed")


def side_by_side(deployed: DeployedNetwork, counts: Counts, chosen: Chip, loads: Loads | None = None) -> Models:
    """Return every model's energy and time, the `chosen` one first.

    Returns:
        `rows`: model, title, joules and seconds per sample with `energy` and `latency` by part; `left_out`: model and why;
        `mapped_for`: the chip that the counts belong to.
    """
    target = targets.find(deployed.target)
    others = [chips.load(name) for name in target.chips if name != chosen.name]
    apart = {m.name for m in others if m.shared_lists is not None and deployed.chip.shared_lists is None}
    models = [chosen, *(m for m in others if m.name not in apart)]
    if deployed.chip.name not in {m.name for m in models}:
        models.insert(1, deployed.chip)
    rows: list[ModelPrices] = []
    left_out = [
        LeftOut(model=name, why=f"its cores share equal lists of synapses, {deployed.chip.name}'s do not") for name in sorted(apart)
    ]
    left_out += [
        LeftOut(model=name, why=f"models of other machines than the target {deployed.target}'s")
        for name in chips.names()
        if name not in {m.name for m in models} | apart
    ]
    for model in models:
        try:
            rows.append(_row(deployed, counts, model, loads))
        except UsageError as error:
            left_out.append(LeftOut(model=model.name, why=str(error)))
    return Models(mapped_for=deployed.chip.name, rows=rows, left_out=left_out)


def _row(deployed: DeployedNetwork, counts: Counts, model: Chip, loads: Loads | None) -> ModelPrices:
    time = energy.latency(deployed, counts, model, loads)
    power = energy.energy(deployed, counts, model, time.seconds_per_step)
    joules = [(c.name, c.joules_per_sample, c.status) for c in power.components]
    seconds = [(c.name, c.seconds_per_step, c.status) for c in time.components]
    return ModelPrices(
        model=model.name,
        title=model.title,
        joules_per_sample=power.joules_per_sample,
        dynamic_joules_per_sample=power.dynamic_joules_per_sample,
        energy=_parts(joules, ENERGY_PARTS, 1),
        seconds_per_sample=time.seconds_per_sample,
        latency=_parts(seconds, LATENCY_PARTS, time.steps),
        note=" ".join(n for n in (power.note, time.note) if n),
    )


def _parts(components: list[tuple[str, float, str]], parts: dict[str, tuple[str, ...]], times: int) -> list[Part]:
    """Sum components (name, value, status) into `parts`, `times` over; a part is only as certain as its least certain non-zero number."""
    made: list[Part] = []
    for name, starts in parts.items():
        mine = [c for c in components if c[0].startswith(starts)]
        if name in ONLY_SOME and not mine:
            continue
        sure = [SURENESS.index(status) for _, value, status in mine if value > 0]
        made.append(Part(name=name, value=times * sum(value for _, value, _ in mine), status=SURENESS[max(sure)] if sure else ""))
    return made
