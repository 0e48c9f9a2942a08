"""Chips as data: limits, synapse formats, energy and time, read from a TOML file in which every number has a source.

A quantity is  { value, unit, source, status };  status is `published` (printed in the source), `derived` (computed from
printed numbers, the source says how) or `assumed` (no public source; the source says why this value).
"""

from __future__ import annotations

import tomllib
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import FormatError, UsageError, unknown_name
from ..files import sha256
from .chip_file import faults

Status = Literal["published", "derived", "assumed"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Quantity(_Strict):
    """A number with its unit, where it comes from and how sure it is."""

    value: float = Field(ge=0, allow_inf_nan=False)
    unit: str
    source: str = Field(min_length=3)
    status: Status


NO_DELAYS = Quantity(value=0, unit="steps", source="Not stated in the chip file: taken as a chip without synaptic delays", status="assumed")
NO_SOFT_RESET = Quantity(value=0, unit="0 or 1", source="Not stated in the chip file: taken as a chip that resets to 0", status="assumed")


class Limits(_Strict):
    """What one core and one chip hold."""

    cores: Quantity
    neurons: Quantity
    synapse_words: Quantity
    input_axons: Quantity
    output_axons: Quantity
    words_per_axon: Quantity
    weight_bits: Quantity
    payload_bits: Quantity  # of a graded spike; 0: binary spikes only
    max_delay: Quantity = NO_DELAYS  # steps that a synapse can add to the one that every connection takes
    soft_reset: Quantity = NO_SOFT_RESET  # whether a neuron can take the threshold off its potential instead of setting it to 0


class SynapseFormat(_Strict):
    """How a list of synapses of one (source, core) is encoded in memory words.

    An entry holds up to `synapses_per_entry` synapses: a prefix, an optional index field, then per synapse weight and index bits.
    """

    name: Literal["sparse", "runlength", "dense"]
    prefix_bits: int = Field(ge=0)
    index_field_bits: int = Field(ge=0)
    index_bits: int = Field(ge=0)  # per synapse; runlength: bits of the skip
    synapses_per_entry: int = Field(gt=0)
    source: str = Field(min_length=3)
    status: Status


class Mesh(_Strict):
    """Tiles in a grid, each a router with its cores. Spikes from off chip enter at `entry`."""

    columns: int = Field(gt=0)
    rows: int = Field(gt=0)
    cores_per_tile: int = Field(gt=0)
    entry: tuple[int, int]
    source: str = Field(min_length=3)
    status: Status


class EnergyModel(_Strict):
    """Joules per event (`unit` pJ), and watts that flow whatever happens (`unit` mW)."""

    synaptic_op: Quantity
    neuron_update_active: Quantity
    neuron_update_inactive: Quantity
    spike_out: Quantity
    message_out: Quantity
    hop_horizontal: Quantity
    hop_vertical: Quantity
    static_power: Quantity
    note: str = ""


class TimeModel(_Strict):
    """Nanoseconds per event on the most loaded core, and the barrier that ends every step."""

    synaptic_op: Quantity
    neuron_update_active: Quantity
    neuron_update_inactive: Quantity
    message_out: Quantity
    hop_horizontal: Quantity
    hop_vertical: Quantity
    barrier_min: Quantity  # one tile
    barrier_max: Quantity  # all tiles
    note: str = ""


class System(_Strict):
    """Chips of one kind in a grid of `columns` x `rows`, the mesh of each going on in the next.

    `chips`: how many there are; `cores_per_chip`: cores that each offers where several are in use (one alone offers its limit);
    `hop_energy` (pJ), `hop_time` (ns): of a message that crosses from one chip to the next.
    """

    name: str
    chips: Quantity
    cores_per_chip: Quantity
    columns: int = Field(gt=0)
    rows: int = Field(gt=0)
    hop_energy: Quantity
    hop_time: Quantity
    source: str = Field(min_length=3)
    status: Status

    @model_validator(mode="after")
    def _room_for_the_chips(self) -> Self:
        if not 1 <= self.chips.value <= self.columns * self.rows:
            raise ValueError(f"{self.chips.value:g} chips do not fit a grid of {self.columns} x {self.rows}")
        return self


class Chip(_Strict):
    """One chip file. `word_bits`: size of a synapse-memory word. `system`: the largest machine made of such chips, if any."""

    name: str
    title: str
    description: str
    word_bits: int = Field(gt=0)
    encodings: tuple[Literal["current", "graded", "rate", "host", "events"], ...] = Field(min_length=1)
    limits: Limits
    mesh: Mesh
    formats: tuple[SynapseFormat, ...] = Field(min_length=1)
    energy: EnergyModel
    time: TimeModel
    system: System | None = None
    digest: str = ""

    @model_validator(mode="after")
    def _system_offers_cores(self) -> Self:
        if self.system is not None and not 1 <= self.system.cores_per_chip.value <= self.limits.cores.value:
            raise ValueError(
                f"system.cores_per_chip: {self.system.cores_per_chip.value:g}, of a chip with {self.limits.cores.value:g} cores"
            )
        return self

    def limit(self, name: str) -> int:
        """Return a limit by name, e.g. `neurons` or `input_axons`."""
        return int(getattr(self.limits, name).value)

    @cached_property
    def tiles(self) -> int:
        """The number of tiles that hold cores."""
        return -(-self.limit("cores") // self.mesh.cores_per_tile)

    @property
    def chips(self) -> int:
        """How many chips a network may use: those of the system, or one."""
        return 1 if self.system is None else int(self.system.chips.value)

    def cores_offered(self, chips: int) -> int:
        """Return the cores that each of `chips` chips offers: all where it is one, else what the system leaves."""
        return self.limit("cores") if self.system is None or chips == 1 else int(self.system.cores_per_chip.value)

    @property
    def cores_available(self) -> int:
        """The cores that a network may use on all chips together."""
        return max(self.limit("cores"), self.chips * self.cores_offered(self.chips))

    def chips_for(self, cores: int) -> int:
        """Return the fewest chips that offer so many cores; more than `chips` where the system is too small."""
        return 1 if cores <= self.limit("cores") else -(-cores // self.cores_offered(2))

    def limited_to(self, chips: int) -> Chip:
        """Return this chip in a system of no more than `chips`.

        Raises:
            UsageError: fewer than 1, or more than the system has.
        """
        if not 1 <= chips <= self.chips:
            held = f"{self.system.name} has {self.chips:,} of them" if self.system else "its file describes no system of several"
            raise UsageError(f"{chips} chips of {self.name} were asked for; {held}. Ask for 1 to {self.chips:,}.")
        if self.system is None:
            return self
        fewer = self.system.chips.model_copy(update={"value": float(chips)})
        return self.model_copy(update={"system": self.system.model_copy(update={"chips": fewer})})


def names() -> list[str]:
    """List the chip files that come with Spikeloom."""
    return sorted(f.name.removesuffix(".toml") for f in resources.files(f"{__package__}.chips").iterdir() if f.name.endswith(".toml"))


def load(name: str) -> Chip:
    """Load a chip by name, or a chip file by its path (a name that ends in .toml).

    Raises:
        UsageError: no chip of that name; the nearest ones are listed.
        FormatError: the file is missing or breaks the schema; the message names the field.
    """
    if name.endswith(".toml"):
        path = Path(name)
        try:
            return parse(path.read_bytes(), name)
        except OSError as error:
            raise FormatError(f"Cannot read the chip file {name}: {error.strerror}.") from error
    if name not in names():
        raise unknown_name("chip", name, names())
    return parse(resources.files(f"{__package__}.chips").joinpath(f"{name}.toml").read_bytes(), f"{name}.toml")


def parse(content: bytes, where: str) -> Chip:
    """Parse a chip file; see `load` for the errors."""
    try:
        document = tomllib.loads(content.decode())
        return Chip.model_validate(document | {"digest": sha256(content)})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{where} is not a TOML file: {error}.") from error
    except ValidationError as error:
        raise FormatError(f"{where} breaks the chip schema. {faults(error, content.decode(), where, Chip)}") from error
