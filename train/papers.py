"""What a recipe says of the paper it is taken from: the tables [paper] and [here] of its file."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from ..errors import UsageError, unknown_name
from ..registry import build
from .settings import check_real

__all__ = ["COUNTED", "STATUS", "Here", "Paper", "here_of", "paper_of"]

Counted = Literal["weights", "synapses"]
Status = Literal["code", "log", "cited", "memory"]
Table = TypeVar("Table")

COUNTED: dict[Counted, str] = {
    "weights": "weights that are not 0, as a share of all weights",
    "synapses": "synapses of the unrolled network that a spike from the input can cross, as a share of all (connectivity_reachable)",
}
STATUS: dict[Status, str] = {
    "code": "read in the authors' code",
    "log": "the authors' logs",
    "cited": "as another paper quotes it",
    "memory": "not verified",
}


@dataclass(frozen=True)
class Paper:
    """A row of a paper's table.

    Args:
        title, venue: of the paper that proposed the method; source: its identifier, such as arXiv:2105.04916.
        status: where the figure is from, see `STATUS`.
        counted: what `connectivity` counts, see `COUNTED`.
        accuracy: of the sparse network on the test set, in %; None: only `points` is known, or with `dense` what follows from both.
        points: the difference from the dense network, in percentage points.
        dense: accuracy of the dense network in the same table, in %.
        connectivity: in %; None: unknown.
        weights: of the paper's dense network; None: unknown.
        note: what else the row says, such as synaptic operations.
        differs: what the paper does and these settings cannot express, or what is not known of the paper's settings.

    Raises:
        UsageError: a value outside its range, or neither accuracy nor points.
    """

    title: str
    venue: str
    source: str
    status: Status
    counted: Counted
    accuracy: float | None = None
    points: float | None = None
    dense: float | None = None
    connectivity: float | None = None
    weights: int | None = None
    note: str = ""
    differs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("accuracy", "dense", "connectivity"):
            if getattr(self, name) is not None:
                check_real(name, getattr(self, name), 0.0, 100.0, "a percentage, 0..100")
        if self.accuracy is None and self.points is None:
            raise UsageError("The table [paper] needs accuracy (in %) or points (percentage points from the dense network).")

    @property
    def published_accuracy(self) -> float | None:
        """The accuracy in %: as printed, or what follows from the dense network's; None: the latter is unknown."""
        if self.accuracy is not None or self.dense is None or self.points is None:
            return self.accuracy
        return round(self.dense + self.points, 2)

    def describe_accuracy(self) -> str:
        """Return the accuracy, as text."""
        found = self.published_accuracy
        return f"{self.points:+.2f} points" if found is None else f"{found:.2f} %"

    def describe_connectivity(self) -> str:
        """Return the connectivity, as text."""
        return "unknown" if self.connectivity is None else f"{self.connectivity:g} % of {self.counted}"


@dataclass(frozen=True)
class Here:
    """What came out when this recipe was run with Spikeloom.

    Args:
        ran: whether it was run, whole and unchanged.
        accuracy, connectivity: what came out, in %.
        note: the nearest that was run, and where its figures are.

    Raises:
        UsageError: figures of a recipe that was not run, or none of one that was.
    """

    ran: bool = False
    accuracy: float | None = None
    connectivity: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        for value in (self.accuracy, self.connectivity):
            if (value is not None) != self.ran:
                raise UsageError("The table [here] has accuracy and connectivity (in %) if ran = true, and otherwise neither.")

    def describe(self) -> str:
        """Return what came out, as text."""
        return f"{self.accuracy:.2f} % at {self.connectivity:g} %" if self.ran else "no"


def paper_of(table: object, path: Path) -> Paper:
    """Read the table [paper] of a recipe.

    Raises:
        UsageError: it is not one; the message names the file.
    """
    return _read(Paper, table, f"table [paper] of {path}")


def here_of(table: object, path: Path) -> Here:
    """Read the table [here] of a recipe.

    Raises:
        UsageError: it is not one; the message names the file.
    """
    return _read(Here, table, f"table [here] of {path}")


def _read(kind: type[Table], table: object, what: str) -> Table:
    if not isinstance(table, dict):
        raise UsageError(f'The {what} must be a table, with lines such as  note = "..."  under it.')
    found = cast("dict[str, Any]", table)
    known = fields(cast(Any, kind))
    for name in found:
        if name not in [f.name for f in known]:
            raise unknown_name(f"entry of the {what}", name, [f.name for f in known])
    for missing in [f.name for f in known if f.default is MISSING and f.name not in found]:
        raise UsageError(f"The {what} lacks {missing}.")
    return build(kind, found, f"the {what}")
