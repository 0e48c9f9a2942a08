"""Runs the passes in order, times each, and validates every network that a pass makes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .. import registry
from ..errors import UsageError, unknown_name
from ..hwmodels.chip import Chip
from ..network.model import Network
from ..network.validate import validate
from . import passes as own
from .api import Calibration, CompileOptions, Pass, PassResult, Rates, differing
from .files import dump
from .mapping.progress import Progress, quiet

__all__ = [
    "Calibration",
    "CompileOptions",
    "Pass",
    "PassRecord",
    "PassResult",
    "PipelineResult",
    "Rates",
    "Size",
    "differing",
    "named",
    "run",
]


@dataclass(frozen=True)
class Size:
    """The size of a network: live neurons, synapses between them, and weights (a tap is one), zeros excluded."""

    neurons: int
    synapses: int
    weights: int

    @classmethod
    def of(cls, network: Network) -> Size:
        """Measure a network."""
        live = network.without_zeros()
        return cls(live.neurons, live.synapses, sum(p.synapses.weights for p in live.projections))


@dataclass(frozen=True)
class PassRecord:
    """What one pass did, for the report.

    `seconds`: its wall time; `summary`: its purpose; `options`: its fields; `before`, `after`: the network's size.
    """

    name: str
    seconds: float
    changes: tuple[str, ...]
    summary: str = ""
    options: tuple[str, ...] = ()
    before: Size = Size(0, 0, 0)
    after: Size = Size(0, 0, 0)


@dataclass(frozen=True)
class PipelineResult:
    """The integer network and the record of its passes; `rates` are None if there were no samples to measure them."""

    network: Network
    records: tuple[PassRecord, ...]
    warnings: tuple[str, ...]
    drift: dict[str, float]
    rates: Rates | None


def _no_pass(name: str, chain: list[str]) -> UsageError:
    """Build the error for a pass that is not in the chain: a wrong name, or a pass of other targets."""
    if name not in registry.names(own):
        return unknown_name("pass", name, chain)
    others = [one for one in chain if one.partition(".")[0] not in registry.names(own)]
    instead = f" Passes of its own are: {', '.join(others)}." if others else ""
    return UsageError(f"The chosen target has no pass {name!r}.{instead} Its passes: {', '.join(chain)}.")


def named(chain: Sequence[Pass]) -> list[tuple[str, Pass]]:
    """Return the passes with their names in records, dumps and --stop-after: a pass that runs again is numbered."""
    made: list[tuple[str, Pass]] = []
    for instance in chain:
        times = 1 + sum(one.name == instance.name for _, one in made)
        made.append((instance.name if times == 1 else f"{instance.name}.{times}", instance))
    return made


def run(
    network: Network,
    passes: Sequence[Pass],
    *,
    stop_after: str | None = None,
    dump_dir: Path | None = None,
    progress: Progress = quiet,
) -> PipelineResult:
    """Run the passes on `network`; it is validated after each.

    Args:
        passes: in their order, such as `chain.loihi` or a target returns them.
        stop_after: name of the last pass to run; all if None.
        dump_dir: folder for the network as it stands after each pass, see `dump`.
        progress: called before each pass with its name and the share of passes completed.

    Raises:
        UsageError: no pass of that name.
        SpikeloomError: an error found by a pass; the message names the layer.
    """
    chain = named(passes)
    if stop_after is not None and stop_after not in [name for name, _ in chain]:
        raise _no_pass(stop_after, [name for name, _ in chain])
    records: list[PassRecord] = []
    warnings = [] if network.reading is None else list(network.reading.warnings)
    drift: dict[str, float] = {}
    rates: Rates | None = None
    for number, (name, instance) in enumerate(chain, 1):
        progress(name, (number - 1) / len(chain))
        start = time.perf_counter()
        result = instance.run(network)
        seconds = time.perf_counter() - start
        validate(result.network, name)
        records.append(
            PassRecord(name, seconds, result.changes, _summary(instance), _options(instance), Size.of(network), Size.of(result.network))
        )
        if dump_dir is not None:
            dump.write(result.network, dump_dir, number, name)
        warnings += [w for w in result.warnings if w not in warnings]
        drift |= result.drift or {}
        rates = result.rates or rates
        network = result.network
        if name == stop_after:
            break
    return PipelineResult(network, tuple(records), tuple(warnings), drift, rates)


def _summary(instance: Pass) -> str:
    return (type(instance).__doc__ or "").strip().split("\n")[0]


def _options(instance: Any) -> tuple[str, ...]:
    """Return a pass's fields that have a repr, in readable form: `name value`, a chip by its name, samples by their number."""
    listed: list[str] = []
    for one in (f for f in fields(instance) if f.repr):
        value = getattr(instance, one.name)
        shown = value.name if isinstance(value, Chip) else f"of {len(value.values):,} samples" if isinstance(value, Calibration) else value
        listed.append(f"{one.name} {shown}")
    return tuple(listed)
