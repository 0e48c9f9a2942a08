"""Balance delays: spikes of one time step must arrive together, whichever path they took.

Every connection takes a step on the chip, so a branch of two layers arrives a step after a shortcut past them. With the depths that
`timing.depths` finds (the longest paths) each projection gets the synaptic delay that it lacks,

    delay = depth(target) - depth(source) - 1 + lag  >= 0.

If that exceeds the M steps of the chip's longest delay, relays are inserted: memoryless threshold units of level 1, one for each neuron
with late synapses, which spike in the same local step as that neuron. A chain of them, M + 1 steps from one to the next, serves all
projections of a source: one that lacks `delay` steps leaves relay number  delay // (M + 1)  with a delay of  delay mod (M + 1),  so none
uses more relays than necessary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import DoesNotFitError, NetworkError
from ...network.model import Network, Population, Projection, Synapses, Threshold, Trained
from ..api import PassResult
from . import lower


@dataclass(frozen=True)
class Balance:
    """Set every delay; `max_delay`: steps that a synapse can add to the one of its connection; `relays`: whether relays may be put in."""

    name: ClassVar[str] = "balance"

    max_delay: int
    relays: bool = True
    chip: str = "the chip"

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            NetworkError: a loop takes longer on the chip than its lags allow.
            DoesNotFitError: a delay beyond the chip's, for payloads (relays cannot pass them on), or where relays are not allowed.
        """
        depth = network.depth()
        delayed = (replace(p, delay=_missing(p, depth)) for p in network.projections)
        network = replace(network, projections=tuple(p for p in delayed if p.delay <= self.max_delay or _sending(network, p).count))
        before = len(network.projections), len(network.populations)
        for source in network.populations:
            late = [p for p in network.outputs_of(source.name) if p.delay > self.max_delay]
            if late:
                self._check_relays(network, late)
                network = _relayed(network, source, late, self.max_delay + 1)
        check_balance(network, self.max_delay)
        return PassResult(network, tuple(_changes(network, *before)))

    def _check_relays(self, network: Network, late: list[Projection]) -> None:
        carried = network.payload_of(late[0])
        if self.relays and not carried.is_graded and not carried.once:
            return
        worst = max(late, key=lambda p: p.delay)
        why, way_out = f"its payloads of up to {carried.largest} cannot pass through a relay", "Use --encoding rate"
        if not carried.is_graded:
            why, way_out = "relays are switched off", "Allow relays"
        if carried.once:
            why, way_out = "a relay would not pass on samples that are sent once and held", "Use --encoding rate"
        raise DoesNotFitError(
            f"Projection {worst.name} ({worst.source} -> {worst.target}) has to wait {worst.delay} steps for the other paths; a synapse of "
            f"{self.chip} delays up to {self.max_delay}, and {why}. {way_out}, or make the paths more similar in length."
        )


def check_balance(network: Network, max_delay: int) -> None:
    """Prove from the delays alone that all paths between two populations take the same time, and that the chip has those delays.

    Raises:
        NetworkError: two paths differ in length; the projection and the delay it needs are named.
        DoesNotFitError: a delay beyond `max_delay`.
    """
    network.arrivals()
    for projection in network.projections:
        if projection.delay > max_delay:
            raise DoesNotFitError(f"Projection {projection.name} has a delay of {projection.delay} steps; the chip allows {max_delay}.")


def balanced(network: Network) -> bool:
    """Whether all paths between two populations take the same time on the chip."""
    try:
        network.arrivals()
    except NetworkError:
        return False
    return True


def _missing(projection: Projection, depth: dict[str, int]) -> int:
    return depth[projection.target] - depth[projection.source] - 1 + projection.lag


def _changes(network: Network, projections: int, populations: int) -> Iterable[str]:
    delayed = [p for p in network.projections if p.delay]
    if delayed:
        yield f"{len(delayed)} of {len(network.projections)} projections delayed by up to {max(p.delay for p in delayed)} steps"
    if len(network.populations) > populations:
        relays = len(network.populations) - populations
        synapses = len(network.projections) - projections
        yield f"{relays} populations of relays put in, with {synapses} projections into them"


# --- relays ----------------------------------------------------------------------------------------------------------


def _relayed(network: Network, source: Population, late: list[Projection], stride: int) -> Network:
    """Return the network with the late projections of `source` leaving a chain of relays, `stride` chip steps from one to the next.

    The output stays last: its relays come right after the input and receive it a local step late, and the projections lag a step less.
    """
    is_output = source.name == network.populations[-1].name
    order, projections = list(network.populations), {p.name: p for p in network.projections}
    at = 1 if is_output else [p.name for p in order].index(source.name) + 1
    level = network.payload_of(late[0]).scale  # the value of one spike
    feeding, numbers = source, np.arange(source.size)
    for hop in range(1, max(p.delay for p in late) // stride + 1):
        beyond = [p for p in late if p.delay // stride >= hop]
        used = np.unique(np.concatenate([_sending(network, p).indices for p in beyond]))
        name = _free(f"{source.name}_relay{hop}", {p.name for p in order} | set(projections))
        relay = Population(name, (used.size,), Threshold(level if hop == 1 else 1.0))
        lag = int(is_output and hop == 1)
        projections[name] = _wire(feeding, relay, np.searchsorted(numbers, used), lag, stride - 1)
        for p in (p for p in beyond if p.delay // stride == hop):
            projections[p.name] = _leaving(p, _sending(network, p), relay, used, p.delay % stride, int(is_output))
        order.insert(at, relay)
        at, feeding, numbers = at + 1, relay, used
    network = replace(network, populations=tuple(order), projections=tuple(projections.values()))
    return lower.Lower().run(network).network


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _wire(source: Population, relay: Population, columns: NDArray[np.int64], lag: int, delay: int) -> Projection:
    """Return the projection into a relay, whose neuron j receives spikes of source neuron columns[j]; none of its weights was trained."""
    weights = np.ones(relay.size, np.float32)
    synapses = Synapses(np.arange(relay.size + 1), columns.astype(np.int32), weights, (relay.size, source.size))
    return Projection(relay.name, source.name, relay.name, synapses, origin=Trained(0, 0, relay.size), lag=lag, delay=delay)


def _sending(network: Network, projection: Projection) -> Synapses:
    """Return the synapses whose sources were not removed."""
    synapses, alive = projection.synapses.unrolled(), network.population(projection.source).alive
    return synapses if alive is None else synapses.select(alive[synapses.indices])


def _leaving(projection: Projection, sending: Synapses, relay: Population, used: NDArray[np.int32], delay: int, earlier: int) -> Projection:
    """Return the projection as it leaves the relay that represents the neurons `used` of its source."""
    indices = np.searchsorted(used, sending.indices).astype(np.int32)
    synapses = Synapses(sending.indptr, indices, sending.data, (sending.shape[0], relay.size))
    lag = projection.lag - earlier
    return replace(projection, source=relay.name, synapses=synapses, origin=projection.trained, lag=lag, delay=delay)
