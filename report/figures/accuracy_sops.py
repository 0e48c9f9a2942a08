"""Accuracy against synaptic operations; with `at`, the accuracies at equally many, interpolated between the measured ones."""

from __future__ import annotations

from dataclasses import dataclass

from ...checked import check_fields
from ...errors import UsageError
from ..format import compact, percent
from . import _against
from .api import Drawn, Named, Page, brief

__all__ = ["Options", "draw", "said"]

COST = _against.Cost("sops", "SOPs per sample", brief)


@dataclass(frozen=True)
class Options:
    """Options of the figure.

    Args:
        at: SOPs per sample at which the methods are compared; None: none.
    """

    at: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.at is not None and not self.at > 0:
            raise UsageError(f"at is {self.at}; it must be above 0, such as 20000.")


def draw(runs: Named, page: Page, options: Options) -> Drawn:
    """Draw the figure."""
    return _against.draw(runs, page, COST, options.at)


def said(runs: Named, options: Options) -> list[str]:
    """Return the accuracies at `at`."""
    if options.at is None:
        return []
    found = _against.interpolated(_against.measured(runs, COST), options.at, COST)
    lines = (f"{name}: {'not measured around it' if accuracy is None else percent(accuracy)}" for name, accuracy in found.items())
    return [f"Accuracy at {compact(options.at)} SOPs per sample, interpolated in their logarithm between means: {'; '.join(lines)}."]
