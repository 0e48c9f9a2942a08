"""Splits off what a host computes for the chip: with the `host` encoding, the first layer, in the chip's integers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..network import reference
from ..network.model import InputSpec, Network, Population
from .backends.api import empty_registers, population_of


@dataclass(frozen=True)
class ChipPart:
    """The rest of the network, for the chip, its input, and the spikes that the host computed."""

    network: Network
    events: NDArray[np.uint8]
    host_spikes: dict[str, NDArray[np.bool_]]
    host_registers: dict[str, NDArray[np.int32]]


def split(network: Network, events: NDArray[np.uint8], registers: tuple[str, ...] = ()) -> ChipPart:
    """Run the host's layer on `events` and return the rest of the network, fed by its spikes.

    `registers`: those to record, of all populations.

    Raises:
        BackendError: several host layers feed the chip.
    """
    hosts = [p for p in network.spiking if p.place == "host"]
    if not hosts:
        return ChipPart(network, events, {}, {})
    if len(hosts) > 1:
        raise BackendError(
            f"{len(hosts)} layers run on the host ({', '.join(p.name for p in hosts)}); one is supported. Use --encoding current."
        )
    host = hosts[0]
    streams: dict[str, NDArray[Any]] = {network.populations[0].name: events}
    kept = empty_registers([name for name in registers if population_of(name) == host.name], network, len(events))
    spikes = reference.layer(network, host, streams, kept)
    gone = {network.populations[0].name, host.name}
    entry = Population(host.name, host.shape, None)
    rest = replace(
        network,
        populations=(entry, *(p for p in network.populations if p.name not in gone)),
        projections=tuple(p for p in network.projections if p.target != host.name),
        input=InputSpec(1, 1.0, "rate"),
    )
    return ChipPart(rest, spikes.astype(np.uint8), {host.name: spikes}, kept)
