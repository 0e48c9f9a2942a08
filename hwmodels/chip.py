"""Chips as data: limits, synapse formats, energy and time, read from a TOML file in which every number has a source.

A quantity is  { value, unit, source, status };  status is `published` (printed in the source), `derived` (computed from
printed numbers, the source says how) or `assumed` (no public source; the source says why this value).
"""

from __future__ import annotations

from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from ..checked import checked
from ..errors import DAMAGE, FormatError, UsageError, unknown_name
from ..files import parse_toml, sha256
from .chip_file import faults
from .prices import EnergyModel, TimeModel
from .quantity import Count, CountOrNone, Nanoseconds, Picojoules, Quantity, Status, Strict, whole

NO_DELAYS = Quantity(value=0, unit="steps", source="Not stated in the chip file: taken as a chip without synaptic delays", status="assumed")
NO_SOFT_RESET = Quantity(value=0, unit="0 or 1", source="Not stated in the chip file: taken as a chip that resets to 0", status="assumed")


class Limits(Strict):
    """How much one core and one chip can hold.

    Limits on kinds of neurons, for chips whose one core has them: `inputs`, `hidden`, `outputs`; `fan_in`, `fan_out`: of a hidden neuron
    among hidden ones; `recurrent_synapses`: of all of these together.
    """

    later: ClassVar[frozenset[str]] = frozenset({"inputs", "hidden", "outputs", "fan_in", "fan_out", "recurrent_synapses"})

    cores: Count
    neurons: Count
    synapse_words: Count
    input_axons: Count
    output_axons: Count
    words_per_axon: Count
    weight_bits: Annotated[Quantity, whole(2)]
    payload_bits: CountOrNone  # of a graded spike; 0: binary spikes only
    max_delay: CountOrNone = NO_DELAYS  # steps that a synapse can add to the one that every connection takes
    soft_reset: CountOrNone = NO_SOFT_RESET  # whether a neuron can subtract the threshold from its potential instead of resetting it to 0
    inputs: Count | None = None
    hidden: Count | None = None
    outputs: Count | None = None
    fan_in: Count | None = None
    fan_out: Count | None = None
    recurrent_synapses: Count | None = None


class WeightWidths(Strict):
    """The widths in which a chip's memory holds weights, in bits with the sign; a chip file without them has every width."""

    bits: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    source: str = Field(min_length=3)
    status: Status


class SynapseFormat(Strict):
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


class SharedLists(Strict):
    """That a core stores a list of synapses once for all sources whose lists are equal up to a shift of their targets.

    The axon entry of each source has, beside the place of its list, a base that is added to the local numbers of the targets. That takes no
    words, and every source still takes an input axon of its own.
    """

    source: str = Field(min_length=3)
    status: Status


class Mesh(Strict):
    """Tiles in a grid, each a router with its cores. Spikes from off chip enter at `entry`."""

    columns: int = Field(gt=0)
    rows: int = Field(gt=0)
    cores_per_tile: int = Field(gt=0)
    entry: tuple[int, int]
    source: str = Field(min_length=3)
    status: Status

    @field_validator("entry")
    @classmethod
    def _entry_within(cls, entry: tuple[int, int], info: ValidationInfo) -> tuple[int, int]:
        columns, rows = info.data.get("columns", entry[0] + 1), info.data.get("rows", entry[1] + 1)
        if not (0 <= entry[0] < columns and 0 <= entry[1] < rows):
            raise ValueError(f"not a tile of {columns} columns and {rows} rows, counted from 0")
        return entry


class System(Strict):
    """Chips of one kind in a grid of `columns` x `rows`; their meshes continue one another.

    `chips`: how many there are; `cores_per_chip`: cores that each offers where several are in use (one alone offers its limit);
    `hop_energy` (pJ), `hop_time` (ns): of a message that crosses from one chip to the next.
    """

    name: str
    chips: Count
    cores_per_chip: Count
    columns: int = Field(gt=0)
    rows: int = Field(gt=0)
    hop_energy: Picojoules
    hop_time: Nanoseconds
    source: str = Field(min_length=3)
    status: Status

    @model_validator(mode="after")
    def _room_for_the_chips(self) -> Self:
        if not 1 <= self.chips.value <= self.columns * self.rows:
            raise ValueError(f"{self.chips.value:g} chips do not fit a grid of {self.columns} x {self.rows}")
        return self


class Chip(Strict):
    """One chip file. `word_bits`: size of a synapse-memory word. `system`: the largest machine made of such chips, if any."""

    later: ClassVar[frozenset[str]] = frozenset({"shared_lists"})

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
    weight_widths: WeightWidths | None = None
    system: System | None = None
    shared_lists: SharedLists | None = None
    digest: str = ""

    @field_validator("mesh")
    @classmethod
    def _room_for_the_cores(cls, mesh: Mesh, info: ValidationInfo) -> Mesh:
        limits: Limits | None = info.data.get("limits")
        places = mesh.columns * mesh.rows * mesh.cores_per_tile
        if limits is not None and places < limits.cores.value:
            raise ValueError(
                f"{mesh.columns} x {mesh.rows} tiles of {mesh.cores_per_tile} cores make {places:,}; the chip has {limits.cores.value:,g}"
            )
        return mesh

    @field_validator("system")
    @classmethod
    def _system_offers_cores(cls, system: System | None, info: ValidationInfo) -> System | None:
        limits: Limits | None = info.data.get("limits")
        if system is not None and limits is not None and system.cores_per_chip.value > limits.cores.value:
            raise ValueError(f"cores_per_chip is {system.cores_per_chip.value:g}, but a chip has {limits.cores.value:g} cores")
        return system

    def limit(self, name: str) -> int:
        """Return a limit by name, e.g. `neurons` or `input_axons`.

        Raises:
            UsageError: the chip's file does not state it.
        """
        found = getattr(self.limits, name)
        if found is None:
            raise UsageError(f"The chip {self.name} states no limits.{name}, which this target needs. Add it to the chip's file.")
        return int(found.value)

    def stored_bits(self, bits: int) -> int:
        """Return the bits that a weight of `bits` bits takes in memory: the narrowest width of the chip that holds it."""
        widths = (bits,) if self.weight_widths is None else self.weight_widths.bits
        return min((width for width in widths if width >= bits), default=bits)

    @cached_property
    def tiles(self) -> int:
        """The number of tiles that hold cores."""
        return -(-self.limit("cores") // self.mesh.cores_per_tile)

    @property
    def chips(self) -> int:
        """How many chips a network may use: those of the system, or one."""
        return 1 if self.system is None else int(self.system.chips.value)

    def cores_offered(self, chips: int) -> int:
        """Return the cores that each of `chips` chips offers: all cores of a single chip, otherwise the system's `cores_per_chip`."""
        return self.limit("cores") if self.system is None or chips == 1 else int(self.system.cores_per_chip.value)

    @property
    def cores_available(self) -> int:
        """The cores that a network may use on all chips together."""
        return max(self.limit("cores"), self.chips * self.cores_offered(self.chips))

    def chips_for(self, cores: int) -> int:
        """Return the fewest chips that offer `cores` cores; more than `chips` if the system is too small."""
        return 1 if cores <= self.limit("cores") else -(-cores // self.cores_offered(2))

    def limited_to(self, chips: int) -> Chip:
        """Return this chip in a system of no more than `chips`.

        Raises:
            UsageError: fewer than 1, or more than the system has.
        """
        if not 1 <= chips <= self.chips:
            held = f"{self.system.name} has {self.chips:,} of them" if self.system else "its file describes no system of several chips"
            raise UsageError(f"{chips} chips of {self.name} were asked for; {held}. Ask for 1 to {self.chips:,}.")
        if self.system is None:
            return self
        fewer = self.system.chips.model_copy(update={"value": float(chips)})
        return self.model_copy(update={"system": self.system.model_copy(update={"chips": fewer})})


def names() -> list[str]:
    """List the chip files that come with Spikeloom."""
    return sorted(f.name.removesuffix(".toml") for f in resources.files(f"{__package__}.chips").iterdir() if f.name.endswith(".toml"))


@checked(name="Name a chip that spikeloom.hwmodels.names() lists, or the path of a chip file.")
def load(name: str | Path) -> Chip:
    """Load a chip by name, or a chip file by its path (a name that ends in .toml).

    Raises:
        UsageError: no chip of that name; the nearest ones are listed.
        FormatError: the file is missing or breaks the schema; the message names the field.
    """
    name = str(name)
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
        document = parse_toml(content)
        return Chip.model_validate(document | {"digest": sha256(content)})
    except ValidationError as error:
        raise FormatError(f"{where} is not a valid chip file. {faults(error, content.decode(), where, Chip)}") from error
    except DAMAGE as error:
        raise FormatError(f"{where} is not a TOML file: {error}.") from error
