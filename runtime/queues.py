"""When a core has received the last message of a step, where cores send and receive at the same time.

A core updates its neurons one after another in their order; each that spikes sends its messages there and then, one by one. A message is
at its target after the time of its route, and waits until the messages before it have been received, with their synapses. A core is done
with those that arrive at A_1 <= A_2 <= ... and take S_1, S_2, ... at

    max over k of  A_k + S_k + S_(k+1) + ...

which lies between the sum of S and that sum after the last message was sent. Input from off chip is there when the step begins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compile.deployed import DeployedNetwork
from ..compile.mapping.loads.one_core import local_numbers
from ..compile.mapping.system import hop_parts
from ..hwmodels.chip import Chip
from .step_loads import Loads, places_of

__all__ = ["received_at"]

Int = NDArray[np.int64]
Float = NDArray[Any]


def received_at(deployed: DeployedNetwork, loads: Loads, model: Chip, update: Float, crossing: float) -> Float:
    """Return the nanoseconds into each step at which each core is done receiving, (samples, timesteps, cores); 0 without messages.

    Args:
        update: (cores,) nanoseconds of the update of a neuron of each core.
        crossing: of a message from one chip to the next.
    """
    times, cores, columns = model.time, deployed.mapping.cores, loads.fired.shape[1]
    sources, receivers = loads.pairs
    first = np.searchsorted(sources, np.arange(loads.fired.shape[0] + 1))
    source, column = loads.fired.indices.astype(np.int64), np.repeat(np.arange(columns), np.diff(loads.fired.indptr))
    messages = np.diff(first)[source]
    ends = _sent_at(deployed, source, column, messages, model, update)
    spike = np.repeat(np.arange(len(source)), messages)
    rank = np.arange(len(spike)) - np.repeat(np.cumsum(messages) - messages, messages)
    pair = first[source[spike]] + rank
    within = source[spike] >= deployed.wiring.outside
    emitted = np.where(within, ends[spike] - times.message_out.value * (messages[spike] - 1 - rank), 0.0)
    arrival = emitted + _routes(deployed, loads, (times.hop_horizontal.value, times.hop_vertical.value, crossing))[pair]
    return _done(arrival, _service(loads, model)[pair], column[spike] * cores + receivers[pair], columns * cores).reshape(loads.sops.shape)


def _sent_at(deployed: DeployedNetwork, source: Int, column: Int, messages: Int, model: Chip, update: Float) -> Float:
    """Return when the last message of each spike leaves its core: after the neurons before it, their spikes and messages."""
    wiring, on_core, times = deployed.wiring, deployed.mapping.core_of, model.time
    place = local_numbers(on_core, deployed.mapping.cores)
    ends, within = np.zeros(len(source)), np.flatnonzero(source >= wiring.outside)
    neuron = source[within] - wiring.outside
    group = column[within] * deployed.mapping.cores + on_core[neuron]
    kept = np.lexsort((place[neuron], group))
    out = 0.0 if times.spike_out is None else times.spike_out.value
    taken = np.cumsum((out + messages[within] * times.message_out.value)[kept])
    begins = np.flatnonzero(np.diff(group[kept], prepend=-1))
    before = np.concatenate([[0.0], taken])[begins]
    taken -= np.repeat(before, np.diff(begins, append=len(kept)))
    ends[within[kept]] = taken + (place[neuron[kept]] + 1) * update[on_core[neuron[kept]]]
    return ends


def _routes(deployed: DeployedNetwork, loads: Loads, times: tuple[float, float, float]) -> Float:
    """Return the nanoseconds of the way of a message of each (source, core)."""
    sources, receivers = loads.pairs
    return hop_parts(places_of(deployed, sources), deployed.places[receivers], deployed.chip) @ np.asarray(times)


def _service(loads: Loads, model: Chip) -> Float:
    """Return the nanoseconds that a message of each (source, core) takes to be received, with its synapses."""
    times = model.time
    taken = loads.sops_of_pairs * times.synaptic_op.value
    for apart, sops in ((times.synaptic_op_dense, loads.dense_of_pairs), (times.synaptic_op_shared, loads.shared_of_pairs)):
        if apart is not None:
            taken = taken + sops * (apart.value - times.synaptic_op.value)
    return taken if times.message_in is None else taken + times.message_in.value


def _done(arrival: Float, service: Float, group: Int, groups: int) -> Float:
    """Return when each group is done with its messages, (groups,)."""
    found = np.zeros(groups)
    if not len(arrival):
        return found
    order = np.lexsort((arrival, group))
    arrival, service, group = arrival[order], service[order], group[order]
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    total = np.add.reduceat(service, begins)
    before = np.cumsum(service) - service
    left = np.repeat(before[begins] + total, np.diff(begins, append=len(group))) - before
    found[group[begins]] = np.maximum.reduceat(arrival + left, begins)
    return found
