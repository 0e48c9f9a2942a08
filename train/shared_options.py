"""Options that every network of Spikeloom has beside its own, `net.OPTION`: what they change is done to the network that was built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any

from .. import registry
from ..errors import unknown_name
from .layers import SpikingNetwork
from .standardise import Standardise

__all__ = ["Shared", "shared_of"]


@dataclass(frozen=True)
class Shared:
    """What can be set of any network.

    Args:
        mean, std: of the samples (0..1), taken off and divided by, one number or one per channel; empty: the samples as they are.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from the defaults, as settings and files have them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def apply(self, model: SpikingNetwork, samples: tuple[int, ...]) -> None:
        """Give a new network what the options ask for.

        Args:
            samples: the shape of a sample, or of a frame of a temporal one.

        Raises:
            UsageError: an option does not suit the network; the message names it.
        """
        if self.mean or self.std:
            model.standardise = Standardise(self.mean, self.std, samples, model.shape)


def shared_of(network: ModuleType, given: Mapping[str, Any], what: str) -> tuple[Any, Shared]:
    """Return a network's own options and those that all networks have.

    Args:
        network: its module; an option of its own takes precedence over a shared one of that name.
        given: values by name, text read as each option's type.
        what: what messages call it, such as "the network fc".

    Raises:
        UsageError: an unknown option, or an invalid value.
    """
    own = {f.name for f in fields(getattr(network, "Options", _None))}
    known = [f.name for f in fields(Shared) if f.name not in own]
    for name in given:
        if name not in own and name not in known:
            raise unknown_name(f"option of {what}", name, [*own, *known])
    mine = {name: value for name, value in given.items() if name in own}
    others = {name: value for name, value in given.items() if name not in own}
    return registry.options_of(network, mine, what), registry.build(Shared, others, what)


@dataclass(frozen=True)
class _None:
    """No options."""
