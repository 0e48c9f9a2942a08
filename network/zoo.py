"""The zoo: trained networks that the package contains, each a file NAME.onnx and its record NAME.toml in the folder `zoo`.

A record says how the network was trained and deployed, and what came out. Wherever a network is named, `zoo:NAME` names one of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DAMAGE, FormatError, unknown_name
from ..files import parse_toml, read_bytes, sha256

__all__ = ["PREFIX", "Deployment", "Entry", "Subset", "Training", "entry", "name_of", "names"]

PREFIX = "zoo:"
FOLDER = Path(__file__).resolve().parent.parent / "zoo"

Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=1)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Training(_Record):
    """How the network was trained.

    `command`: what trains it again, after the commands `before`, if it started from their weights; `accuracy`: of the float network on the
    test set, in %, as training measured it once; `weights`: of the dense network; `connectivity`: weights that are not 0, in % of
    `weights`; `version`: of Spikeloom.
    """

    before: list[str] = Field(default_factory=list[str])
    command: str
    method: str
    data: str
    network: str
    seed: int
    accuracy: Percent
    weights: Count
    connectivity: Percent
    version: str


class Subset(_Record):
    """How many of some test samples, spread evenly over the test set, the deployed network predicts right."""

    samples: Count
    right: Count


class Deployment(_Record):
    """How the network was deployed, and what came out.

    `accuracy`: of the deployed network on all `samples` test samples, in %. `clips`: by layer, the share of the largest weight at which
    calibration clipped the weights, so that compiling needs no calibration samples; none for a network trained in integers. `rates`: by
    population, mean spikes (for the samples: mean value of a payload) per neuron and time step on the calibration samples.
    """

    target: str
    chip: str
    weight_bits: str
    accuracy: Percent
    samples: Count
    subset: Subset
    clips: dict[str, float]
    rates: dict[str, float]

    @property
    def right(self) -> int:
        """The number of test samples that are predicted right."""
        return round(self.accuracy * self.samples / 100)


class Entry(_Record):
    """A network of the zoo: its name and file, the SHA-256 of the file, the weights in it that are not 0, its record."""

    name: str
    path: Path
    sha256: str
    weights_left: Count
    training: Training
    deployed: Deployment

    def check(self) -> None:
        """Compare the file with its SHA-256.

        Raises:
            FormatError: it is missing or another one.
        """
        if sha256(read_bytes(self.path, f"{PREFIX}{self.name}", "Install spikeloom again.")) != self.sha256:
            raise FormatError(f"{self.path} is not the file that its record describes (its SHA-256 differs). Install spikeloom again.")


def names() -> list[str]:
    """List the networks of the zoo."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def name_of(source: object) -> str | None:
    """Return NAME of a source `zoo:NAME`; None for any other source."""
    text = str(source) if isinstance(source, str | Path) else ""
    return text.removeprefix(PREFIX) if text.startswith(PREFIX) else None


def entry(name: str) -> Entry:
    """Return a network of the zoo.

    Raises:
        UsageError: an unknown name; the message lists all of them, and the nearest ones first.
        FormatError: a record that is damaged.
    """
    if name not in names():
        raise unknown_name("network of the zoo", name, names())
    path = FOLDER / f"{name}.toml"
    try:
        document = parse_toml(read_bytes(path, "the record", "Install spikeloom again."))
        return Entry.model_validate(document | {"name": name, "path": path.with_suffix(".onnx")})
    except (ValidationError, *DAMAGE) as error:
        raise FormatError(f"{path} is not the record of a network of the zoo: {error}") from error
