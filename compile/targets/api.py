"""Definition of a target: what executes a network, on which chips, through which passes, by which rules, and how it is mapped to cores.

A target is one file in this folder with an object `TARGET` that implements the protocol, such as an instance of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ... import registry
from ...errors import UsageError
from ...hwmodels.chip import Chip
from ...network.model import Network
from .. import targets
from ..api import CompileOptions, Pass, Rates
from ..crossbar.artefact import Crossbars
from ..mapping.api import Effort
from ..mapping.build import Mapping
from ..mapping.progress import Progress

__all__ = ["Mapped", "Target", "find", "refuse_mode"]


@dataclass(frozen=True)
class Mapped:
    """Cores with their neurons, placed on the chip; `crossbars`: the contents of each, if the cores are crossbars."""

    mapping: Mapping
    crossbars: Crossbars | None = None


@runtime_checkable
class Target(Protocol):
    """What executes a network."""

    @property
    def chips(self) -> Sequence[str]:
        """The chips that it runs on, by name; the first is the default, and their energy models price its runs."""
        ...

    def passes(self, options: CompileOptions) -> Sequence[Pass]:
        """Return the passes that turn a network into what the chip holds; plug-ins are inserted between them afterwards.

        Raises:
            UsageError: an option that does not apply to this target.
        """
        ...

    def check(self, network: Network, chip: Chip) -> None:
        """Refuse what the target cannot hold exactly, after the passes.

        Raises:
            DoesNotFitError: layer or projection, limit, need and a way out.
            NetworkError: something that it cannot represent at all.
        """
        ...

    def map(self, network: Network, rates: Rates, options: CompileOptions, effort: Effort, progress: Progress) -> Mapped:
        """Partition and place a network that passed `check`.

        Args:
            rates: per population, spikes (or payloads) per neuron and time step.
            options: with the chip, the seed, what the user says of the mapping (`given`), and what the mapping is to make small
                (`objective`); the compiler checks afterwards that it was heeded.
            effort: how much work goes into it.
            progress: called now and then with the current stage and the share of it that is complete.

        Raises:
            DoesNotFitError: layer, limit, need and a way out.
        """
        ...


def find(name: str) -> Target:
    """Return the target called `name`.

    Raises:
        UsageError: there is no such target (the message lists the nearest names), or its file defines none.
    """
    module = registry.load(targets, "target", name)
    found = getattr(module, "TARGET", None)
    if not isinstance(found, Target):
        raise UsageError(f"The target {name} ({module.__file__}) has no TARGET with chips, passes, check and map.")
    return found


def of_chip(chip: str) -> tuple[str, ...]:
    """Return the names of the targets that run on a chip of ours, in alphabetical order; none for a chip file of a user's."""
    return tuple(name for name in registry.names(targets) if chip in find(name).chips)


def refuse_mode(options: CompileOptions, target: str) -> None:
    """Refuse crossbar modes for a target without crossbars.

    Raises:
        UsageError: a mode was asked for.
    """
    if options.mode is not None:
        raise UsageError(
            f"--mode {options.mode} is for crossbars; the target {target} has no modes. Leave it out, or use --target truenorth."
        )
