"""How long a step takes under a model of a chip: the slowest core, the busiest link, the longest route, and the barrier.

    step = barrier + F(slowest core, busiest link, longest route),   F: their sum, or the largest of them, as the model says

With loads of single steps (`step_loads`) this is worked out for each step and averaged; with mean loads it is a lower estimate, since no
core is more loaded than the slowest of its step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compile.deployed import DeployedNetwork
from ..compile.mapping.system import chip_positions, entries, hop_parts
from ..errors import UsageError
from ..hwmodels.chip import Chip, System
from ..hwmodels.quantity import Quantity
from ..report.prices import LatencyComponent
from .counts import Counts
from .queues import received_at
from .step_loads import Loads

Float = NDArray[np.float64]

NANO = 1e-9
ROUNDING = 1e-9  # share of the time that a core receives: less than this is no wait, but the order in which floats were added


class Part(NamedTuple):
    """A part of a core's step: its times (..., cores) in nanoseconds, and where they come from."""

    name: str
    times: NDArray[Any]
    price: Quantity
    receives: bool


@dataclass(frozen=True)
class StepTimes:
    """The time of a step: its components, which add up to it; `samples` timed and the standard error of the mean, in seconds.

    `slowest`: seconds of the longest step; None, like `error` and `samples` 0, where only mean loads are known. `slowest_cores`: (cores,)
    the share of the steps in which each is the slowest.
    """

    components: list[LatencyComponent]
    samples: int = 0
    error: float | None = None
    slowest: float | None = None
    slowest_cores: tuple[float, ...] = ()

    @property
    def seconds(self) -> float:
        """Seconds of a step."""
        return sum(c.seconds_per_step for c in self.components)


def step_times(deployed: DeployedNetwork, counts: Counts, model: Chip, loads: Loads | None = None) -> StepTimes:
    """Return the time of a step under a model, of each step of `loads` where they are given, else of the mean loads of `counts`.

    Raises:
        UsageError: several chips, and a model that describes no system of them.
    """
    parts = core_parts(deployed, counts, model, loads)
    core, of_core, waiting, which = _work(deployed, counts, model, loads, parts)
    shares = tuple((np.bincount(which.ravel(), minlength=deployed.mapping.cores) / max(which.size, 1)).tolist())
    busy, name, price = _busiest(deployed, counts, model, loads)
    route = _longest(deployed, counts, model)
    core_share, link_share, route_share = _shares(model, core, busy, route)
    where = "slowest core"
    barriers = _barriers(deployed, model)
    rows = [*barriers, *(_row(f"{p.name} ({where})", float((t * core_share).mean()), p.price) for p, t in zip(parts, of_core, strict=True))]
    if model.time.overlap == "queue":
        rows.append(_row(f"waiting for messages ({where})", float((waiting * core_share).mean()), model.time.message_out))
    if model.time.links == "shared":
        rows.append(_row(f"busiest link ({name})", float((busy * link_share).mean()), price))
    rows.append(_row("longest route", float((route * route_share).mean()), model.time.hop_horizontal))
    if loads is None:
        return StepTimes(rows, slowest_cores=shares)
    each = (core * core_share + busy * link_share + route * route_share) * NANO
    fixed = sum(row.seconds_per_step for row in barriers)
    return StepTimes(rows, len(each), _standard_error(each.mean(axis=1), loads.samples), fixed + float(each.max()), shares)


def core_parts(deployed: DeployedNetwork, counts: Counts, model: Chip, loads: Loads | None = None) -> list[Part]:
    """Return what each core is busy with, nanoseconds a step: (samples, timesteps, cores) of `loads`, or (cores,) of the mean loads.

    Active updates enter with each core's mean: which neurons are active at a step is not recorded.
    """
    times, steps = model.time, deployed.network.timesteps
    updates, active = counts.core_updates / steps, counts.core_active / steps
    if loads is None:
        sops, spikes = counts.core_sops / steps, counts.core_spikes / steps
        dense, shared = counts.core_dense / steps, counts.core_shared / steps
        sent: NDArray[Any] = np.asarray(counts.between.sum(axis=1)).ravel() / steps
        received: NDArray[Any] = (np.asarray(counts.between.sum(axis=0)).ravel() + counts.entering) / steps
    else:
        sops, spikes, sent, received = loads.sops, loads.spikes, loads.sent, loads.received
        dense, shared = loads.dense, loads.shared
    apart = [(dense, times.synaptic_op_dense), (shared, times.synaptic_op_shared)]
    rest = sops - sum(load for load, price in apart if price is not None)
    busy = active * times.neuron_update_active.value + (updates - active) * times.neuron_update_inactive.value
    found = [
        Part("synaptic operations", rest * times.synaptic_op.value, times.synaptic_op, True),
        Part("neuron updates", np.broadcast_to(busy, sops.shape), times.neuron_update_active, False),
        Part("messages out", sent * times.message_out.value, times.message_out, False),
    ]
    others = (
        ("synaptic operations, dense", dense, times.synaptic_op_dense, True),
        ("synaptic operations, shared lists", shared, times.synaptic_op_shared, True),
        ("spikes out", spikes, times.spike_out, False),
        ("messages in", received, times.message_in, True),
    )
    return found + [Part(name, load * price.value, price, receives) for name, load, price, receives in others if price is not None]


def _work(
    deployed: DeployedNetwork, counts: Counts, model: Chip, loads: Loads | None, parts: list[Part]
) -> tuple[NDArray[Any], list[NDArray[Any]], NDArray[Any], NDArray[Any]]:
    """Return, of the slowest core of each step, its time, that of each part in it, the time that it waits for messages, and its number.

    Where cores send and receive at the same time, the parts of the way that ends earlier count nothing.
    """
    if model.time.overlap != "queue":
        totals: NDArray[Any] = np.sum([part.times for part in parts], axis=0)
        slowest = totals.argmax(axis=-1)
        return totals.max(axis=-1), [_of(part.times, slowest) for part in parts], np.zeros(slowest.shape), slowest
    sending, receiving = (np.sum([p.times for p in parts if p.receives == kind], axis=0) for kind in (False, True))
    done = receiving
    if loads is not None:
        held = np.maximum(np.bincount(deployed.mapping.core_of, minlength=deployed.mapping.cores), 1)
        update = next(p.times for p in parts if p.name == "neuron updates")[0, 0] / held
        done = np.maximum(received_at(deployed, loads, model, update, _crossing_time(deployed, model).value), receiving)
    totals = np.maximum(sending, done)
    slowest = totals.argmax(axis=-1)
    late = _of(done, slowest) > _of(sending, slowest)
    return (
        totals.max(axis=-1),
        [_of(p.times, slowest) * (late == p.receives) for p in parts],
        _of(np.where(done - receiving > ROUNDING * done, done - receiving, 0.0), slowest) * late,
        slowest,
    )


def _of(times: NDArray[Any], core: NDArray[Any]) -> NDArray[Any]:
    return np.take_along_axis(times, core[..., None], axis=-1)[..., 0]


def _shares(model: Chip, core: NDArray[Any], link: Float, route: float) -> list[Float]:
    """Return the weights, 0 or 1, with which the slowest core, the busiest link and the longest route enter each step."""
    ways = np.stack([core, link, np.full(core.shape, route)])
    if model.time.links == "free":
        ways[1] = 0.0
    if model.time.overlap != "sum":
        return list((np.arange(3).reshape(3, *[1] * core.ndim) == ways.argmax(axis=0)).astype(np.float64))
    return [np.ones(core.shape), np.full(core.shape, float(model.time.links == "shared")), np.ones(core.shape)]


def _busiest(deployed: DeployedNetwork, counts: Counts, model: Chip, loads: Loads | None) -> tuple[Float, str, Quantity]:
    """Return the nanoseconds of the busiest link (samples, timesteps), or () of the mean loads, its name, and where its time comes from."""
    times = model.time
    prices = (times.hop_horizontal, times.hop_vertical, _crossing_time(deployed, model), times.message_out)
    values = np.array([price.value for price in prices])
    if loads is None or loads.over_links is None or not loads.links:
        horizontal, vertical, crossing, port = values.tolist()
        found = counts.links.busiest(deployed.chip, (horizontal, vertical, crossing, port))
        shape = () if loads is None else loads.sops.shape[:2]
        return np.full(shape, found.time / deployed.network.timesteps), found.name, prices[found.kind]
    busy = loads.over_links * values[[link.kind for link in loads.links]]
    first = busy.argmax(axis=-1)
    most = loads.links[int(np.bincount(first.ravel()).argmax())]
    often = float((first == loads.links.index(most)).mean())
    name = most.name if often == 1 else f"{most.name} in {often:.0%} of the steps"
    return busy.max(axis=-1), name, prices[most.kind]


def _standard_error(means: Float, of: int) -> float | None:
    """Return the standard error of the mean over samples drawn from `of`; 0 where all of them were timed, None of one alone.

    With the correction for a finite population:  s / sqrt(n) * sqrt((N - n) / (N - 1)).
    """
    n = len(means)
    if n >= of:
        return 0.0
    if n == 1:
        return None
    return float(means.std(ddof=1) / np.sqrt(n) * np.sqrt((of - n) / (of - 1)))


def _barriers(deployed: DeployedNetwork, model: Chip) -> list[LatencyComponent]:
    """Return the barrier of the chip with the most tiles in use and, with several chips, the barrier across them.

    The second is our own model: a signal is gathered along the chips from the farthest one to chip 0, and the release travels back.
    """
    mapping, times = deployed.mapping, model.time
    tiles = np.unique(np.column_stack([mapping.chip_of, mapping.tile_of]), axis=0)
    most = int(np.bincount(tiles[:, 0]).max())
    within = times.barrier(most, model.tiles)
    rows = [_row(f"barrier ({most} {'tile' if most == 1 else 'tiles'} of a chip)", within.value, within)]
    if mapping.chips > 1:
        crossing = _crossing_time(deployed, model)
        far = int(chip_positions(deployed.chip)[: mapping.chips].sum(axis=1).max())
        rows.append(_row(f"barrier ({mapping.chips} chips)", 2 * far * crossing.value, crossing))
    return rows


def _crossing_time(deployed: DeployedNetwork, model: Chip) -> Quantity:
    return system_of(model).hop_time if deployed.mapping.chips > 1 else model.time.hop_horizontal


def system_of(model: Chip) -> System:
    """Return the system of several chips that a model describes.

    Raises:
        UsageError: it describes none.
    """
    if model.system is None:
        raise UsageError(
            f"The network is on several chips; {model.name} describes no system of several, so their links have no price. "
            f"Name another --energy-model, or add a [system] table to its file."
        )
    return model.system


def _longest(deployed: DeployedNetwork, counts: Counts, model: Chip) -> float:
    """Return the nanoseconds of the slowest route of any message."""
    times = model.time.hop_horizontal.value, model.time.hop_vertical.value, _crossing_time(deployed, model).value
    places, fed = deployed.places, np.flatnonzero(counts.entering)
    senders, receivers, _ = entries(counts.between)
    entry = np.asarray(deployed.chip.mesh.entry)
    routes = [hop_parts(places[senders], places[receivers], deployed.chip), hop_parts(entry, places[fed], deployed.chip)]
    return float((np.concatenate(routes) @ np.asarray(times)).max(initial=0.0))


def _row(name: str, nanoseconds: float, quantity: Quantity) -> LatencyComponent:
    return LatencyComponent(name=name, seconds_per_step=nanoseconds * NANO, status=quantity.status, source=quantity.source)
