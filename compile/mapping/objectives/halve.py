"""Cutting the slowest cores of a partition in two, so that their work is shared; see `balance` for what follows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..loads.load import Wiring
from .step_model import StepModel, both_ways

__all__ = ["halved", "without_slowest"]

Int = NDArray[np.int64]
Float = NDArray[np.float64]


def halved(model: StepModel, core_of: Int, cores: int, synaptic: Float) -> Int:
    """Return a partition on `cores` cores: the slowest core is cut in two again and again. Its limits are to be checked.

    A core is cut where half of its work is done, along the order of its neurons' numbers, or along its maps, whichever leaves the shorter
    times. `synaptic`: (synapses,) nanoseconds a step of each.
    """
    wiring, sent, core_of = model.wiring, _sent(model, core_of), core_of.copy()
    work = _work(model, sent, synaptic)
    members = [np.flatnonzero(core_of == core) for core in range(cores)]
    time = np.array([_time(model, part, sent, synaptic) if part.size > 1 else -1.0 for part in members])
    for new in range(int(core_of.max()) + 1, cores):
        worst = int(time.argmax())
        if members[worst].size < 2:
            break
        cuts = [_cut(order, work) for order in _orders(wiring, members[worst])]
        both = [[_time(model, part, sent, synaptic) for part in cut] for cut in cuts]
        chosen = min(range(len(cuts)), key=lambda k: max(both[k]))
        for core, part, taken in zip((worst, new), cuts[chosen], both[chosen], strict=True):
            members[core] = np.sort(part)
            time[core] = taken if part.size > 1 else -1.0
        core_of[members[new]] = new
    return core_of


def without_slowest(model: StepModel, core_of: Int, synaptic: Float) -> tuple[int, float]:
    """Return the slowest core, and the nanoseconds of the slowest core once that one is cut in two, the better of the ways of `halved`.

    The sources that both halves receive then send a message more. If the core holds one neuron, nothing changes.
    """
    wiring, found = model.wiring, model.core_times(core_of)
    time = both_ways(model.chip.time, found.sending, found.receiving)
    worst = int(time.argmax())
    members = np.flatnonzero(core_of == worst)
    if members.size < 2:
        return worst, float(time[worst])
    sent = _sent(model, core_of)
    work = _work(model, sent, synaptic)
    least = float("inf")
    for cut in (_cut(order, work) for order in _orders(wiring, members)):
        first, second = (wiring.sources[_synapses(wiring, part)] for part in cut)
        both = np.intersect1d(first, second).astype(np.int64)
        more = both[both >= wiring.outside]
        extra = np.bincount(core_of[more - wiring.outside], weights=wiring.rates[more], minlength=len(time))
        others = both_ways(model.chip.time, found.sending + extra * model.chip.time.message_out.value, found.receiving)
        more_sent = sent.copy()
        np.add.at(more_sent, more - wiring.outside, wiring.rates[more] * model.chip.time.message_out.value)
        others[worst] = max(_time(model, part, more_sent, synaptic) for part in cut)
        least = min(least, float(others.max()))
    return worst, least


def _sent(model: StepModel, core_of: Int) -> Float:
    """Return the nanoseconds a step in which each neuron's messages are sent, (neurons,)."""
    wiring = model.wiring
    return wiring.rates[wiring.outside :] * model.reach(core_of)[wiring.outside :] * model.chip.time.message_out.value


def _work(model: StepModel, sent: Float, synaptic: Float) -> Float:
    """Return the nanoseconds a step of each neuron on its core, (neurons,)."""
    return model.update + sent + np.bincount(model.wiring.rows, weights=synaptic, minlength=model.wiring.neurons)


def _orders(wiring: Wiring, members: Int) -> list[Int]:
    """Return the orders in which a core is cut: by number, and layer by layer by the place on its map."""
    layer_of = np.searchsorted([layer.stop for layer in wiring.layers], members, side="right")
    across, down = np.zeros(members.size, np.int64), np.zeros(members.size, np.int64)
    for number in np.unique(layer_of).tolist():
        layer = wiring.layers[number]
        if layer.is_map:
            here = layer_of == number
            _, down[here], across[here] = np.unravel_index(wiring.places[members[here]], layer.shape)
    if not down.any() and not across.any():
        return [members]
    return [members, members[np.lexsort((across, down, layer_of))], members[np.lexsort((down, across, layer_of))]]


def _cut(order: Int, work: Float) -> tuple[Int, Int]:
    """Cut an order of neurons where half of their work is done, at least one on each side."""
    done = np.cumsum(work[order])
    at = int(np.clip(np.searchsorted(done, done[-1] / 2) + 1, 1, order.size - 1))
    return order[:at], order[at:]


def _time(model: StepModel, members: Int, sent: Float, synaptic: Float) -> float:
    """Return the nanoseconds of a core that holds `members`, `sent` of each in messages, `synaptic` of each synapse."""
    wiring = model.wiring
    places = _synapses(wiring, members)
    sources = np.unique(wiring.sources[places])
    receiving = float(wiring.rates[sources].sum()) * (model.message_in + model.port) + float(synaptic[places].sum())
    sending = float((model.update[members] + sent[members]).sum())
    return float(both_ways(model.chip.time, sending, receiving))


def _synapses(wiring: Wiring, members: Int) -> Int:
    """Return where the synapses of some neurons are in the wiring."""
    starts, lengths = wiring.indptr[members], np.diff(wiring.indptr)[members]
    return np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) + np.arange(lengths.sum())
