"""Energy and time of a chip's events, as its file states them. A part that a model lacks is left out of the file, and named in results."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from .quantity import Milliwatts, Nanoseconds, Picojoules, Quantity, Strict, measured_in

__all__ = ["BarrierStep", "EnergyModel", "Load", "TimeModel"]


class Load(Strict):
    """The load at which an all-in price of a synaptic event was measured; far from it the price does not hold.

    `events_per_second`: synaptic events of one chip; `factor`: how many times more or fewer may be priced without a warning.
    """

    events_per_second: Annotated[Quantity, measured_in("events/s")]
    factor: float = Field(gt=1)


class EnergyModel(Strict):
    """Energy per event (in pJ), and static power (in mW).

    `synaptic_op`: of the formats sparse and runlength, and of all where `synaptic_op_dense` is left out; `synaptic_op_shared`: of lists
    that several sources share, in place of the price of their format; `static_power_low`: the lower end, where sources differ and
    `static_power` is the upper one; `load`: where the prices hold, if they depend on it; `dynamic_power`: drawn on top of it while steps
    are run, where power was measured and no price of an event is known.
    """

    later: ClassVar[frozenset[str]] = frozenset({"dynamic_power", "synaptic_op_shared"})

    synaptic_op: Picojoules
    synaptic_op_dense: Picojoules | None = None
    synaptic_op_shared: Picojoules | None = None
    neuron_update_active: Picojoules
    neuron_update_inactive: Picojoules
    spike_out: Picojoules
    message_out: Picojoules
    hop_horizontal: Picojoules
    hop_vertical: Picojoules
    static_power: Milliwatts
    static_power_low: Milliwatts | None = None
    dynamic_power: Milliwatts | None = None
    load: Load | None = None
    note: str = ""

    @model_validator(mode="after")
    def _range_of_static_power(self) -> Self:
        low = self.static_power_low
        if low is not None and low.value > self.static_power.value:
            raise ValueError(f"static_power_low, {low.value:g} mW, is more than static_power, {self.static_power.value:g} mW")
        return self


class BarrierStep(Quantity):
    """The barrier from this number of tiles in use on."""

    tiles: int = Field(ge=1)


class TimeModel(Strict):
    """Nanoseconds per event on a core, how the parts of a step add up, and the barrier that ends every step.

        step = barrier + F(slowest core, busiest link, longest route)

    F is the sum or the largest of the three, as `overlap` says. A core's time is the sum of its parts, but with "queue" a core sends and
    receives at the same time, and messages wait for those before them (`runtime/queues.py`). `links`: "shared": a message occupies a
    link for the time of the hop, so the busiest one can hold up the step; "free": the model has no such term. The barrier is a line from
    `barrier_min`, one tile, to `barrier_max`, all tiles, or the table `barrier_steps`, of which the last step at or below the number of
    tiles in use counts.
    """

    later: ClassVar[frozenset[str]] = frozenset({"synaptic_op_shared"})

    overlap: Literal["sum", "max", "queue"] = "sum"
    links: Literal["shared", "free"] = "shared"
    synaptic_op: Nanoseconds
    synaptic_op_dense: Nanoseconds | None = None
    synaptic_op_shared: Nanoseconds | None = None
    neuron_update_active: Nanoseconds
    neuron_update_inactive: Nanoseconds
    spike_out: Nanoseconds | None = None
    message_out: Nanoseconds
    message_in: Nanoseconds | None = None
    hop_horizontal: Nanoseconds
    hop_vertical: Nanoseconds
    barrier_min: Nanoseconds | None = None
    barrier_max: Nanoseconds | None = None
    barrier_steps: tuple[BarrierStep, ...] = ()
    note: str = ""

    @field_validator("barrier_max")
    @classmethod
    def _barrier_grows(cls, barrier_max: Quantity | None, info: ValidationInfo) -> Quantity | None:
        least: Quantity | None = info.data.get("barrier_min")
        if least is not None and barrier_max is not None and barrier_max.value < least.value:
            raise ValueError(f"{barrier_max.value:g} ns for all tiles is less than barrier_min, {least.value:g} ns for one")
        return barrier_max

    @model_validator(mode="after")
    def _one_barrier(self) -> Self:
        line = (self.barrier_min, self.barrier_max)
        if bool(self.barrier_steps) == any(line) or (not self.barrier_steps and not all(line)):
            raise ValueError("give the barrier as barrier_min and barrier_max, or as barrier_steps")
        tiles = [step.tiles for step in self.barrier_steps]
        if any(step.unit != "ns" for step in self.barrier_steps):
            raise ValueError("barrier_steps are in ns")
        if tiles and (tiles[0] != 1 or sorted(set(tiles)) != tiles):
            raise ValueError(f"barrier_steps must begin with 1 tile and rise; their tiles are {tiles}")
        return self

    def barrier(self, tiles: int, of: int) -> Quantity:
        """Return the barrier with `tiles` tiles in use on a chip of `of`."""
        if self.barrier_min is None or self.barrier_max is None:
            return [step for step in self.barrier_steps if step.tiles <= tiles][-1]
        share = (tiles - 1) / max(of - 1, 1)
        value = self.barrier_min.value + share * (self.barrier_max.value - self.barrier_min.value)
        return self.barrier_max.model_copy(update={"value": value})

    def missing(self) -> list[str]:
        """Return the parts of a step that the model has no time for."""
        parts = {"spikes out": self.spike_out, "messages in": self.message_in}
        return [name for name, time in parts.items() if time is None] + (["busy links"] if self.links == "free" else [])
