"""Runs a deployed network over samples on a backend: predictions, counts, energy, and the check against the reference."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import registry
from ..checked import checked
from ..compile.deployed import DeployedNetwork
from ..compile.loading import load
from ..compile.targets import api as targets
from ..errors import MismatchError, SpikeloomWarning, UsageError
from ..fed import OwnSamples
from ..hwmodels import chip as chips
from ..network import reference, zoo
from ..network.model import Network
from ..subset import Subset, asked_for
from . import backends, cautions, documented, energy, host, neurobench, pricing, shards, weights
from . import probes as probing
from .arrays import ProbeArrays
from .backends import native
from .backends.api import BackendOptions, empty_registers
from .baselines import baselines
from .bound import step_bound
from .by_step import StepTally, table
from .clock import Clock
from .counts import Tally, count
from .definitions import definitions
from .encoding import encode
from .rates import StepRates
from .results import Results
from .selection import order_of, range_warning, take
from .shards import ALONE, Peers
from .step_loads import StepLoads
from .step_times import step_times
from .streaming import batches

SPIKES_AT_ONCE = 1 << 27  # bytes of spikes of a batch, one each
LEAST_BATCH = 64  # the lanes of the native simulator
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Run:
    """The batches' results; `counts` in the order of the samples."""

    tally: Tally
    counts: NDArray[np.int64]  # (samples, classes), the output spikes of each class
    first: dict[str, NDArray[np.bool_]]
    seconds: float
    compared: int
    arithmetic: dict[str, Any] | None
    steps: StepTally | None
    rates: StepRates
    loads: StepLoads
    seen: tuple[int, int]  # the smallest and the largest value of the samples
    compiling: float  # seconds spent compiling kernels, not part of `seconds`
    plain: bool  # whether the native backend ran without kernels
    record: probing.Record | None


@checked(
    network="Pass what spikeloom.compile_network returned, or name a model.loom.",
    data="Give an array (N, ...), a pair (samples, labels), a split such as spikeloom.load_dataset('digits').test, or a torch Dataset.",
    options="Make them with spikeloom.runtime.BackendOptions(...).",
)
def run(
    network: DeployedNetwork | Path | str,
    data: OwnSamples | Path | str,
    *,
    backend: str = "native",
    samples: int | str | None = None,
    check: bool = False,
    energy_model: str | None = None,
    seed: int = 0,
    data_name: str = "samples",
    options: BackendOptions | None = None,
    command: str = "",
    progress: Progress | None = None,
    peers: Peers = ALONE,
    folder: Path | str | None = None,
    value_range: tuple[float, float] | None = None,
    probes: str | Sequence[str] = (),
    probe_samples: int | str | None = None,
    probe_megabytes: int = probing.LIMIT,
) -> Results:
    """Run a compiled network.

    Args:
        network: the result of `compile_network`, or the path of a `.loom`.
        data: an array of samples (N, ...), a pair (samples, labels), a split such as `spikeloom.load_dataset("digits").test`, a torch
            Dataset or DataLoader, the name of a data set or file, or anything else that `spikeloom.data.as_dataset` takes.
            Without labels there is no accuracy.
        backend: native, torch, onnx, lava, truenorth, xylosim or reference.
        samples: how many, evenly spread over the set, or "first:N" for the first N; all if None. If there are fewer, all are run, with
            a warning. `subset.choose` has the rule.
        check: compare every spike of every population with the integer reference.
        energy_model: chip whose energies and times are used; the network's own if None.
        seed: of the rate code.
        data_name: name of the data for the report.
        options: options of the backend; see `BackendOptions`.
        command: the command that repeats this run, for the report.
        progress: called with (samples done, total samples) of this process.
        peers: the process group that shares the samples; each process calls this function with the same arguments.
        value_range: the range of float samples, (0, 1), or (0, levels) for whole numbers.
        folder: folder of the float weights, which reports show too; that of the `.loom` if None.
        probes: what to record at every step, as layer.state: "hidden1.v", "hidden1.u", "output.spikes". `results.probes["hidden1.v"]` has
            it: (samples, timesteps, neurons), spikes as bool, registers as int32 in the chip's units. With `check`, registers are compared.
        probe_samples: how many samples are recorded, of those that are run, by the rule of `samples`; all if None.
        probe_megabytes: MiB that the probes may fill.

    Returns:
        The results, the same in all processes except for the raster, which only the first has; `.save(path)` and
        `.write_report(path)` write them.

    Warns:
        SpikeloomWarning: results that look wrong: a layer or a class that never spikes, samples far below the network's range, fewer
            samples than requested. `results.warnings` has them as well.

    Raises:
        UsageError: unknown backend, chip or probe, samples that do not fit the network, or probes that exceed their limit.
        MismatchError: with `check`, the first spike that differs.
        BackendError: a backend that is missing, hangs or dies, or does not record what is probed.
    """
    module, deployed, model = shards.together(peers, partial(_load, network, backend, energy_model, check))
    values, labels, taken = shards.together(peers, partial(take, data, samples, deployed.network.takes, value_range))
    size = taken.samples
    record = shards.together(peers, partial(probing.wanted, probes, deployed.network, backend, size, probe_samples, probe_megabytes))
    start, stop = shards.together(peers, partial(shards.part, size, peers))
    work = partial(
        _run_batches,
        deployed,
        values,
        taken,
        start,
        stop,
        module,
        backend,
        check,
        seed,
        options or BackendOptions(),
        progress,
        peers,
        record,
    )
    done = _of_all(shards.together(peers, work), start, size, peers)
    predictions, levels = done.counts.argmax(axis=1), deployed.network.input.levels
    accuracy = None if labels is None else float((predictions == labels).mean())
    counts = count(deployed, done.tally)
    loads = done.loads.loads(counts)
    times = step_times(deployed, counts, model, loads)
    latency = energy.latency(deployed, counts, model, loads, times)
    power = energy.energy(deployed, counts, model, latency.seconds_per_step)
    if folder is None and not isinstance(network, DeployedNetwork) and zoo.name_of(network) is None:
        folder = Path(network).parent
    folder = None if folder is None else Path(folder)
    found = [
        *cautions.of_run(deployed, accuracy, done.counts),
        *documented.fewer(asked_for(samples), size),
        *range_warning(levels, *done.seen),
    ]
    document = documented.figures(deployed, counts) | {
        "data": data_name,
        "backend": backend,
        "samples": size,
        "subset": taken.document(),
        "accuracy": accuracy,
        "predictions": predictions,
        "output_counts": done.counts,
        "sample_ids": taken.indices(),
        "labels": labels,
        "wall_seconds": done.seconds,
        "samples_per_second": size / done.seconds,
        "compiling_seconds": done.compiling,
        "energy": power,
        "latency": latency,
        "step_bound": step_bound(deployed, counts, model, times),
        "baselines": baselines(deployed, counts),
        "definitions": definitions(deployed, counts, power),
        "models": pricing.side_by_side(deployed, counts, model, loads),
        "neurobench": neurobench.metrics(deployed, counts),
        "weights": weights.tables(deployed, folder),
        "rates": done.rates.document(deployed.network),
        "by_step": None if done.steps is None else table(deployed, done.steps),
        "stages": documented.stages(deployed, backend, accuracy, taken),
        "check": documented.check_row(deployed, backend, size, done.compared) if check else None,
        "raster": documented.raster(deployed, done.first, int(predictions[0]), labels, taken) if peers.rank == 0 else None,
        "arithmetic": done.arithmetic,
        "probed": None if record is None else record.document(taken.indices()),
        "warnings": [*deployed.warnings, *found],
        "provenance": documented.provenance(deployed, command, seed, _form(backend, done.plain, peers)),
    }
    for text in found if peers.rank == 0 else ():
        warnings.warn(text, SpikeloomWarning, stacklevel=3)  # the caller's line, outside the type check
    results = Results.model_validate(document)
    return results if done.record is None else results.with_probes(ProbeArrays(done.record.arrays))


def _load(
    network: DeployedNetwork | Path | str, backend: str, energy_model: str | None, check: bool
) -> tuple[Any, DeployedNetwork, chips.Chip]:
    """Return the backend's module, the network, and the chip of the energy model."""
    module = registry.load(backends, "backend", backend)
    if check and backend == "reference":
        raise UsageError("--check compares a backend with the reference, and the backend is the reference. Leave out one of the two.")
    deployed = network if isinstance(network, DeployedNetwork) else load(network)
    return module, deployed, deployed.chip if energy_model is None else _model(deployed, energy_model)


def _model(deployed: DeployedNetwork, name: str) -> chips.Chip:
    """Load the chip of an energy model; refuse a built-in one for another machine, whose events are not those counted."""
    target = targets.find(deployed.target)
    if name in chips.names() and name not in target.chips:
        raise UsageError(
            f"The model {name} prices another machine than the one that this network was compiled for (target {deployed.target}). "
            f"Its models: {', '.join(target.chips)}, or a chip file of your own."
        )
    return chips.load(name)


def _run_batches(
    deployed: DeployedNetwork,
    values: Any,
    taken: Subset,
    begin: int,
    end: int,
    module: Any,
    backend: str,
    check: bool,
    seed: int,
    options: BackendOptions,
    progress: Progress | None,
    peers: Peers,
    probes: probing.Probes | None,
) -> _Run:
    """Run the selected samples, from the `begin`-th to the `end`-th."""
    network = deployed.network
    entry, output = network.populations[0].name, network.populations[-1].name
    tally, output_counts, compared, clock = Tally(deployed), [], 0, Clock()
    recorded = probes is not None and probes.kept.all() and bool(probes.registers)
    options = native.ready(network, end - begin, options, named=backend == "native", recorded=bool(recorded))
    steps = StepTally(deployed) if options.by_step else None
    first: dict[str, NDArray[np.bool_]] = {}
    rates, loads = StepRates(network), StepLoads(deployed, taken.samples)
    arithmetic: dict[str, Any] | None = None
    seen: list[int] = []
    size = _batch_size(network, module.BATCH)
    record = None if probes is None else probing.Record(probes, begin, end)
    places, found = _in_order(values, taken, begin, end, size, not check and size is not None, probes)
    done = 0
    for chosen, batch, watched, here in found:
        shards.go_on(peers)
        seen += [int(batch.min()), int(batch.max())]
        named = () if probes is None or here is None else probes.registers
        rasters = check or bool(watched.any()) or here is not None
        with clock:
            events = encode(network, batch, seed=seed, numbers=chosen, threads=options.threads, plain=options.plain)
            part = host.split(network, events, named)
            own = tuple(name for name in named if name not in part.host_registers)
            recording = module.simulate(
                part.network, part.events, replace(options, rasters=rasters, registers=own, crossbars=deployed.crossbars)
            )
            spikes, registers = part.host_spikes | recording.spikes, part.host_registers | (recording.registers or {})
            active = recording.active or native.simulate(part.network, part.events, options).active or {}
        if check:
            expected = empty_registers(named, network, len(batch))
            compared += compare(reference.simulate(network, events, registers=expected), spikes, backend, numbers=chosen)
            probing.compare(expected, registers, backend, chosen)
        if record is not None and here is not None:
            record.add(here, spikes, registers)
        fired = {name: np.count_nonzero(raster, axis=(0, 1)) for name, raster in spikes.items()} | (recording.fired or {})
        tally.add(events[:, :1] if network.input.is_once else events, fired, active, entry)
        if steps is not None:
            steps.add(events, spikes, recording.by_step or {}, entry)
        output_counts.append(reference.class_counts(spikes[output], network.votes))
        if watched.any():
            recorded = {name: raster[watched] for name, raster in spikes.items()}
            rates.add(recorded)
            loads.add(places[done : done + len(batch)][watched], events[watched], recorded)
        first = first or {name: raster[0].copy() for name, raster in spikes.items()}
        arithmetic = recording.arithmetic
        done += len(batch)
        if progress:
            progress(done, end - begin)
    counts = np.concatenate(output_counts)[np.argsort(places)]
    return _Run(
        tally,
        counts,
        first,
        clock.working,
        compared,
        arithmetic,
        steps,
        rates,
        loads,
        (min(seen), max(seen)),
        clock.compiling,
        options.plain,
        record,
    )


def _in_order(
    values: Any, taken: Subset, begin: int, end: int, size: int | None, ahead: bool, probes: probing.Probes | None
) -> tuple[NDArray[np.int64], Iterator[tuple[NDArray[np.int64], NDArray[Any], NDArray[np.bool_], NDArray[np.int64] | None]]]:
    """Return the positions of a run's samples in the order in which they are run, and the batches.

    A batch: the samples' indices in the data set, their values, which have their rates by step recorded, and their positions in the run if
    probes record them, else None. Those that probes record are in batches of their own, which fit the memory.
    """
    places, rated = order_of(taken.samples, begin, end, ahead=ahead, probed=None if probes is None else probes.kept)
    numbers, whole = taken.indices()[places], size or max(end - begin, 1)
    recorded = 0 if probes is None else int(probes.kept[begin:end].sum())
    most = whole if probes is None or size is None else min(size, probes.at_once)
    few = int(rated[recorded:].sum()) if ahead else None
    parts = chain(batches(values, numbers[:recorded], most), batches(values, numbers[recorded:], whole, few))

    def found() -> Iterator[tuple[NDArray[np.int64], NDArray[Any], NDArray[np.bool_], NDArray[np.int64] | None]]:
        done = 0
        for chosen, batch in parts:
            now = slice(done, done + len(batch))
            yield chosen, batch, rated[now], places[now] if done < recorded else None
            done = now.stop

    return places, found()


def _form(backend: str, plain: bool, peers: Peers) -> dict[str, Any]:
    """Describe the form in which the native backend ran, and the number of processes if several."""
    form = {"native_form": "NumPy and SciPy" if plain else "kernels"} if backend == "native" else {}
    return form | ({"processes": peers.size} if peers.size > 1 else {})


def _of_all(done: _Run, start: int, samples: int, peers: Peers) -> _Run:
    """Return the combined results of all processes; the time is that of the slowest."""
    if peers.size == 1:
        return done
    shards.add_up(done.tally, peers)
    if done.steps is not None:
        shards.add_up(done.steps, peers)
    shards.add_up(done.rates, peers)
    done.loads.gather(peers)
    if done.record is not None:
        done.record.gather(peers)
    counts = shards.gather_rows(done.counts, start, samples, peers)
    own = np.zeros((peers.size, 3), np.int64)
    own[peers.rank] = round(done.seconds * 1e9), *done.seen
    found = peers.add(own)
    compared = int(peers.add(np.array([done.compared], np.int64))[0])
    seen = int(found[:, 1].min()), int(found[:, 2].max())
    return replace(done, counts=counts, seconds=float(found[:, 0].max()) / 1e9, compared=compared, seen=seen)


def _batch_size(network: Network, wish: int | None) -> int | None:
    """Return the number of samples per call: the backend's own (None: all), or fewer if their spikes would fill the memory."""
    each = network.timesteps * sum(p.size for p in network.populations)
    room = max(LEAST_BATCH, SPIKES_AT_ONCE // each // LEAST_BATCH * LEAST_BATCH)
    return None if wish is None else min(wish, room)


def compare(
    expected: reference.Spikes,
    found: reference.Spikes,
    backend: str,
    first: int = 0,
    numbers: NDArray[np.int64] | None = None,
) -> int:
    """Compare every spike of every population, in the network's order; return how many neuron-steps were compared.

    `numbers`: each sample's index in its data set, for the message; consecutive from `first` if None.

    Raises:
        MismatchError: the first difference: population, sample, step and neuron.
    """
    for name, reference_raster in expected.items():
        raster = found.get(name)
        if raster is None or raster.shape != reference_raster.shape:
            raise MismatchError(f"{backend} returned no spikes of layer {name} in the shape {reference_raster.shape}.")
        differing = np.argwhere(raster != reference_raster)
        if len(differing):
            sample, step, neuron = (int(i) for i in differing[0])
            number = first + sample if numbers is None else int(numbers[sample])
            count = int(reference_raster[sample, step, neuron])
            wanted = ("no spike", "a spike")[count] if count < 2 else f"{count} spikes"
            raise MismatchError(
                f"{backend} differs from the integer reference, first at layer {name}, sample {number}, step {step}, "
                f"neuron {neuron}: the reference has {wanted} there. {len(differing):,} of {raster.size:,} values of this layer differ."
            )
    return sum(r.size for r in expected.values())
