"""Messages of crossbars: a spike goes to every axon that it drives, so a source sends a core one message per axon it has there."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..mapping.loads.load import Wiring
from .artefact import Crossbars

Int = NDArray[np.int64]


@dataclass(frozen=True)
class RoutedWiring(Wiring):
    """A wiring whose messages are those of `routes`: (source, core) of every axon."""

    route_sources: Int
    route_cores: Int

    def core_pairs(self, core_of: Int) -> tuple[Int, Int]:
        """Return the (source, core) of every axon that is driven."""
        del core_of
        return self.route_sources, self.route_cores


def routed(wiring: Wiring, crossbars: Crossbars) -> RoutedWiring:
    """Return the wiring with the messages of crossbars."""
    sources, cores = crossbars.routes()
    kept: dict[str, Any] = {f.name: getattr(wiring, f.name) for f in fields(Wiring)}
    return RoutedWiring(**kept, route_sources=sources, route_cores=cores)
