"""What a step waits for, as stored in results.json: the work of each core, what binds, and the change of the mapping that helps most."""

from __future__ import annotations

from typing import Literal

from .section import Amount, Fraction, Section, Whole

__all__ = ["Binds", "StepBound", "StepChange", "StepOfCore"]

Binds = Literal["memory", "compute", "traffic", "barrier"]
"""What takes most of a step: synaptic operations; updates and spikes; messages, their ways and waiting for them; the barrier."""


class StepOfCore(Section):
    """Mean seconds a step that a core is busy; `slowest`: the share of the steps in which no other core takes longer.

    `synapses`, `messages_in`: receiving; `updates` (with the spikes that they cause), `messages_out`: sending.
    """

    core: Whole
    synapses: Amount
    updates: Amount
    messages_in: Amount
    messages_out: Amount
    slowest: Fraction


class StepChange(Section):
    """A change of the mapping, and the modelled seconds of a step without and with it, both at mean loads."""

    what: str
    before: Amount
    after: Amount


class StepBound(Section):
    """A step under a named chip model: seconds of each kind, which add up to it, and what binds.

    `overlap`: "sum", "max" or "queue", how the model adds up: with "queue" a core receives and sends at the same time. `cores`: those that
    take longest, the slowest first; `of_cores`: how many there are. `change`: None where no change that was tried helps.
    """

    model: str
    overlap: str
    seconds: Amount
    memory: Amount
    compute: Amount
    traffic: Amount
    barrier: Amount
    binds: Binds
    cores: list[StepOfCore]
    of_cores: Whole
    change: StepChange | None = None
