"""Chips as data: limits, synapse formats, energy and time, read from a TOML file in which every number has a source.

A quantity is  { value, unit, source, status };  status is `published` (printed in the source), `derived` (computed from
printed numbers, the source says how) or `assumed` (no public source; the source says why this value).
"""

from __future__ import annotations

import tomllib
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import FormatError, unknown_name
from ..files import sha256

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


class Chip(_Strict):
    """One chip file. `word_bits`: size of a synapse-memory word."""

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
    digest: str = ""

    def limit(self, name: str) -> int:
        """Return a limit by name, e.g. `neurons` or `input_axons`."""
        return int(getattr(self.limits, name).value)

    @cached_property
    def tiles(self) -> int:
        """The number of tiles that hold cores."""
        return -(-self.limit("cores") // self.mesh.cores_per_tile)


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
        faults = "; ".join(f"{'.'.join(str(k) for k in e['loc'])}: {e['msg']}" for e in error.errors()[:5])
        raise FormatError(f"{where} breaks the chip schema: {faults}.") from error
