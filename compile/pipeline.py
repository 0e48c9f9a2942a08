"""Runs the passes in their order, times each, and keeps the network valid: it is checked again whenever one is made."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import registry
from ..errors import UsageError, unknown_name
from ..hwmodels.chip import Chip
from ..network.model import Encoding, Network
from ..network.validate import validate
from ..subset import choose
from . import dump, passes
from .mapping.progress import Progress, quiet

# What one pass over the calibration samples may take, in updates of a synapse: one or two seconds in SciPy and NumPy, in which an update
# of a neuron takes as long as some 20 of a synapse. The quantiser makes up to ten passes over each layer.
CALIBRATION_WORK = 2e9
NEURON_WORK = 20

Rates = dict[str, NDArray[np.float64]]  # by population, spikes (or payloads) per neuron and time step


@dataclass(frozen=True)
class Calibration:
    """Training samples that calibrate the quantiser and measure rates.

    `values`: (samples, ...) uint8 of the input's shape or flat, (samples, timesteps, ...) where samples have a value for every step;
    `labels`: (samples,).
    """

    values: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def affordable(self, network: Network, work: float = CALIBRATION_WORK) -> Calibration:
        """Return as many samples, evenly spread, as run through `network` within `work`; at least 8, and all if they do."""
        step = network.synapses + NEURON_WORK * network.neurons
        count = max(8, int(work / (step * network.timesteps)))
        if count >= len(self.values):
            return self
        chosen = choose(count, len(self.values)).indices()
        return Calibration(self.values[chosen], self.labels[chosen])


def differing(spikes: NDArray[Any], goal: NDArray[Any]) -> float:
    """Return the spikes that are in one raster alone, as a share of those of `goal`; of a silent `goal`, 1 if there is any."""
    wrong, wanted = int(np.count_nonzero(spikes != goal)), int(np.count_nonzero(goal))
    return wrong / wanted if wanted else float(wrong > 0)


@dataclass(frozen=True)
class CompileOptions:
    """What the user asked for.

    `encoding` None: the chip's first; `weight_bits`, `granularity` (layer, channel): of a float network; `mode`: of crossbars.
    """

    chip: Chip
    encoding: Encoding | None = None
    weight_bits: str | int = 8
    calibration: Calibration | None = None
    seed: int = 0
    granularity: str = "layer"
    mode: str | None = None


@dataclass(frozen=True)
class PassResult:
    """The new network, what changed (for people), what looks wrong, and by population the drift and the rates measured."""

    network: Network
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    drift: dict[str, float] | None = None
    rates: Rates | None = None


class Pass(Protocol):
    """A pass: its options are fields; `run` returns a new network and changes nothing in place."""

    def run(self, network: Network) -> PassResult:
        """Apply the pass."""
        ...


@dataclass(frozen=True)
class Size:
    """How large a network is: live neurons, synapses between them, and weights (a tap is one), those of zero left out."""

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

    `seconds`: its wall time; `summary`: what it is for; `options`: its fields; `before`, `after`: the network's size.
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
    """The integer network and the story of how it came about; `rates` are None where nothing was there to measure them."""

    network: Network
    records: tuple[PassRecord, ...]
    warnings: tuple[str, ...]
    drift: dict[str, float]
    rates: Rates | None


def build(options: CompileOptions) -> list[tuple[str, Pass]]:
    """Instantiate every pass found, in the order that each module's ORDERS asks for; one that runs again is numbered."""
    found: list[tuple[int, str, Pass]] = []
    for name in registry.names(passes):
        module: Any = registry.load(passes, "pass", name)
        found += [(order, name, module.create(options)) for order in module.ORDERS]
    ordered: list[tuple[str, Pass]] = []
    for _, name, instance in sorted(found, key=lambda f: f[:2]):
        times = 1 + sum(n.split(".")[0] == name for n, _ in ordered)
        ordered.append((name if times == 1 else f"{name}.{times}", instance))
    return ordered


def _no_pass(name: str, chain: list[str]) -> UsageError:
    """Build the error for a pass that is not in the chain: a wrong name, or a pass that only other targets have."""
    if name not in registry.names(passes):
        return unknown_name("pass", name, chain)
    own = [one for one in chain if one.partition(".")[0] not in registry.names(passes)]
    instead = f" Passes of its own are: {', '.join(own)}." if own else ""
    return UsageError(f"The chosen target has no pass {name!r}.{instead} Its chain: {', '.join(chain)}.")


def run(
    network: Network,
    options: CompileOptions,
    *,
    stop_after: str | None = None,
    dump_dir: Path | None = None,
    chain: list[tuple[str, Pass]] | None = None,
    progress: Progress = quiet,
) -> PipelineResult:
    """Run the passes on `network`; it is validated after each.

    Args:
        stop_after: name of the last pass to run; all if None.
        dump_dir: folder for the network as it stands after each pass, see `dump`.
        chain: the passes by name, where a target has its own; those of `build` if None.
        progress: called before each pass with its name and the share of the passes that are done.

    Raises:
        UsageError: no pass of that name.
        SpikeloomError: what a pass found; the message names the layer.
    """
    chain = build(options) if chain is None else chain
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
    """Return a pass's fields as people read them: `name value`, a chip by its name, samples by their number."""
    listed: list[str] = []
    for one in fields(instance):
        value = getattr(instance, one.name)
        shown = value.name if isinstance(value, Chip) else f"of {len(value.values):,} samples" if isinstance(value, Calibration) else value
        listed.append(f"{one.name} {shown}")
    return tuple(listed)
