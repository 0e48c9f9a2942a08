"""Runs a deployed network over samples on a backend: predictions, counts, energy, and the check against the reference."""

from __future__ import annotations

import importlib.metadata
import platform
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__, registry
from ..checked import checked
from ..compile import summary
from ..compile.deployed import DeployedNetwork, load
from ..compile.targets import api as targets
from ..errors import MismatchError, SpikeloomWarning, UsageError
from ..fed import OwnSamples
from ..hwmodels import chip as chips
from ..network import reference
from ..network.model import Network, Stage
from ..report.document import Check, Provenance, Raster, RasterOfPopulation, StageResult
from ..report.sizes import ChipInUse, Core, Layer, MappingFound, NetworkSize
from ..subset import Subset, asked_for
from . import backends, cautions, energy, host, neurobench, pricing, shards, weights
from .backends import native
from .backends.api import BackendOptions
from .baselines import baselines
from .by_step import StepTally, table
from .clock import Clock
from .counts import Counts, Tally, count, traffic_table
from .encoding import encode
from .rates import StepRates
from .results import Results
from .selection import order_of, range_warning, take
from .shards import ALONE, Peers
from .streaming import batches

RASTER_NEURONS = 2000
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
    seen: tuple[int, int]  # the smallest and the largest value of the samples
    compiling: float  # seconds spent compiling kernels, not part of `seconds`
    plain: bool  # whether the native backend ran without kernels


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
) -> Results:
    """Run a compiled network.

    Args:
        network: the result of `compile_network`, or the path of a `.loom`.
        data: an array of samples (N, ...), a pair (samples, labels), a split such as `spikeloom.load_dataset("digits").test`, a torch
            Dataset or DataLoader, the name of a data set or file, or anything else that `spikeloom.data.as_dataset` takes.
            Without labels there is no accuracy.
        backend: native, torch, onnx, lava or truenorth.
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

    Returns:
        The results, the same in all processes except for the raster, which only the first has; `.save(path)` and
        `.write_report(path)` write them.

    Warns:
        SpikeloomWarning: results that look wrong: a layer or a class that never spikes, samples far below the network's range, fewer
            samples than requested. `results.warnings` has them as well.

    Raises:
        UsageError: unknown backend or chip, or samples that do not fit the network.
        MismatchError: with `check`, the first spike that differs.
        BackendError: a backend that is missing, hangs or dies.
    """
    module, deployed, model = shards.together(peers, partial(_load, network, backend, energy_model))
    values, labels, taken = shards.together(peers, partial(take, data, samples, deployed.network.takes, value_range))
    size = taken.samples
    start, stop = shards.together(peers, partial(shards.part, size, peers))
    work = partial(
        _run_batches, deployed, values, taken, start, stop, module, backend, check, seed, options or BackendOptions(), progress, peers
    )
    done = _of_all(shards.together(peers, work), start, size, peers)
    predictions, levels = done.counts.argmax(axis=1), deployed.network.input.levels
    accuracy = None if labels is None else float((predictions == labels).mean())
    counts = count(deployed, done.tally)
    latency = energy.latency(deployed, counts, model)
    if folder is None and not isinstance(network, DeployedNetwork):
        folder = Path(network).parent
    folder = None if folder is None else Path(folder)
    found = [*cautions.of_run(deployed, accuracy, done.counts), *_fewer(asked_for(samples), size), *range_warning(levels, *done.seen)]
    document = _figures(deployed, counts) | {
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
        "energy": energy.energy(deployed, counts, model, latency.seconds_per_step),
        "latency": latency,
        "baselines": baselines(deployed, counts),
        "models": pricing.side_by_side(deployed, counts, model),
        "neurobench": neurobench.metrics(deployed, counts),
        "weights": weights.tables(deployed, folder),
        "rates": done.rates.document(deployed.network),
        "by_step": None if done.steps is None else table(deployed, done.steps),
        "stages": _stages(deployed, backend, accuracy, taken),
        "check": _check_row(deployed, backend, size, done.compared) if check else None,
        "raster": _raster(deployed, done, labels, taken) if peers.rank == 0 else None,
        "arithmetic": done.arithmetic,
        "warnings": [*deployed.warnings, *found],
        "provenance": _provenance(deployed, command, seed, _form(backend, done.plain, peers)),
    }
    for text in found if peers.rank == 0 else ():
        warnings.warn(text, SpikeloomWarning, stacklevel=3)  # the caller's line, outside the type check
    return Results.model_validate(document)


def _load(network: DeployedNetwork | Path | str, backend: str, energy_model: str | None) -> tuple[Any, DeployedNetwork, chips.Chip]:
    """Return the backend's module, the network, and the chip of the energy model."""
    module = registry.load(backends, "backend", backend)
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
) -> _Run:
    """Run the selected samples, from the `begin`-th to the `end`-th."""
    network = deployed.network
    entry, output = network.populations[0].name, network.populations[-1].name
    tally, output_counts, compared, clock = Tally(deployed), [], 0, Clock()
    options = native.ready(network, end - begin, options, named=backend == "native")
    steps = StepTally(deployed) if options.by_step else None
    first: dict[str, NDArray[np.bool_]] = {}
    rates = StepRates(network)
    arithmetic: dict[str, Any] | None = None
    seen: list[int] = []
    size = _batch_size(network, module.BATCH)
    places, rated = order_of(taken.samples, begin, end, ahead=not check and size is not None)
    few = None if check or size is None else int(rated.sum())
    numbers, done = taken.indices()[places], 0
    for chosen, batch in batches(values, numbers, size or end - begin, few):
        shards.go_on(peers)
        seen += [int(batch.min()), int(batch.max())]
        watched = rated[done : done + len(batch)]
        with clock:
            events = encode(network, batch, seed=seed, numbers=chosen, threads=options.threads, plain=options.plain)
            part = host.split(network, events)
            recording = module.simulate(
                part.network, part.events, replace(options, rasters=check or bool(watched.any()), crossbars=deployed.crossbars)
            )
            spikes = part.host_spikes | recording.spikes
            active = recording.active or native.simulate(part.network, part.events, options).active or {}
        if check:
            compared += compare(reference.simulate(network, events), spikes, backend, numbers=chosen)
        fired = {name: np.count_nonzero(raster, axis=(0, 1)) for name, raster in spikes.items()} | (recording.fired or {})
        tally.add(events[:, :1] if network.input.is_once else events, fired, active, entry)
        if steps is not None:
            steps.add(events, spikes, recording.by_step or {}, entry)
        output_counts.append(reference.class_counts(spikes[output], network.votes))
        if watched.any():
            rates.add({name: raster[watched] for name, raster in spikes.items()})
        first = first or {name: raster[0].copy() for name, raster in spikes.items()}
        arithmetic = recording.arithmetic
        done += len(batch)
        if progress:
            progress(done, end - begin)
    counts = np.concatenate(output_counts)[np.argsort(places)]
    return _Run(
        tally, counts, first, clock.working, compared, arithmetic, steps, rates, (min(seen), max(seen)), clock.compiling, options.plain
    )


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
    expected: dict[str, NDArray[np.bool_]],
    found: dict[str, NDArray[np.bool_]],
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
            wanted = "a spike" if reference_raster[sample, step, neuron] else "no spike"
            raise MismatchError(
                f"{backend} differs from the integer reference, first at layer {name}, sample {number}, step {step}, "
                f"neuron {neuron}: the reference has {wanted} there. {len(differing):,} of {raster.size:,} values of this layer differ."
            )
    return sum(r.size for r in expected.values())


def _figures(deployed: DeployedNetwork, counts: Counts) -> dict[str, Any]:
    network = deployed.network
    sent = np.asarray(counts.between.sum(axis=1)).ravel()
    updates = {p.name: float(p.count * network.timesteps) for p in network.on_chip}
    layers = [
        Layer(
            **row,
            spikes_per_sample=counts.spikes[row["name"]],
            spike_rate=counts.spikes[row["name"]] / (row["neurons"] * network.timesteps),
            sops_per_sample=counts.sops[row["name"]],
            messages_per_sample=counts.messages_of.get(row["name"], 0.0),
            hops_per_sample=counts.hops_of.get(row["name"], 0.0),
            neuron_updates_per_sample=updates.get(row["name"], 0.0),
        )
        for row in summary.layers(deployed)
    ]
    cores = [
        Core(
            **row,
            spikes_per_sample=float(counts.core_spikes[row["core"]]),
            sops_per_sample=float(counts.core_sops[row["core"]]),
            neuron_updates_per_sample=float(counts.core_updates[row["core"]]),
            messages_per_sample=float(sent[row["core"]]),
            hops_per_sample=float(counts.core_hops[row["core"]]),
        )
        for row in summary.cores(deployed)
    ]
    return {
        "network": NetworkSize(**summary.network_summary(deployed)),
        "mapping": MappingFound(**summary.mapping_summary(deployed)),
        "chip": ChipInUse(**summary.chip_summary(deployed)),
        "layers": layers,
        "cores": cores,
        "traffic": traffic_table(deployed, counts),
        "sops_per_sample": sum(counts.sops.values()),
        "crossbar_events_per_sample": None if deployed.crossbars is None else float(counts.core_sops.sum()),
        "spikes_per_sample": sum(counts.spikes[p.name] for p in network.spiking),
        "neuron_updates_per_sample": float(counts.core_updates.sum()),
        "messages_per_sample": counts.messages,
        "hops_per_sample": sum(counts.hops),
        "host_macs_per_sample": counts.host_macs,
    }


def _stages(deployed: DeployedNetwork, backend: str, accuracy: float | None, taken: Subset) -> list[StageResult]:
    here = [] if accuracy is None else [Stage.on(f"deployed ({backend})", accuracy, taken)]
    return [StageResult(**asdict(stage)) for stage in (*deployed.network.stages, *here)]


def _fewer(wanted: int | None, found: int) -> list[str]:
    """Warn if fewer samples were run than requested."""
    return [] if wanted is None or wanted <= found else [f"--samples asks for {wanted:,}; the data holds {found:,}, which were all run."]


def _check_row(deployed: DeployedNetwork, backend: str, samples: int, compared: int) -> Check:
    populations = [p.name for p in deployed.network.spiking]
    return Check(
        reference="integer reference",
        backend=backend,
        samples=samples,
        populations=populations,
        spikes_compared=compared,
        equal=True,
    )


def _raster(deployed: DeployedNetwork, done: _Run, labels: NDArray[np.int64] | None, taken: Subset) -> Raster:
    populations: list[RasterOfPopulation] = []
    for population in deployed.network.spiking:
        every = -(-population.size // RASTER_NEURONS)  # of many neurons, only every n-th, over the whole layer
        times, ids = np.nonzero(done.first[population.name][:, ::every])
        shown: dict[str, Any] = {"every": every, "times": times.tolist(), "ids": (ids * every).tolist()}
        populations.append(RasterOfPopulation(name=population.name, neurons=population.size, **shown))
    return Raster(
        sample=int(taken.indices()[0]),
        label=None if labels is None else int(labels[0]),
        prediction=int(done.counts[0].argmax()),
        timesteps=deployed.network.timesteps,
        populations=populations,
    )


def _provenance(deployed: DeployedNetwork, command: str, seed: int, form: dict[str, Any]) -> Provenance:
    versions = {d.name: d.version for d in map(_distribution, ("numpy", "scipy", "numba", "onnx", "onnxruntime")) if d is not None}
    return Provenance(
        command=command,
        spikeloom=__version__,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        python=platform.python_version(),
        seed=seed,
        versions=versions,
        artefact_sha256=deployed.digest,
        chip_sha256=deployed.chip.digest,
        compiling={"target": deployed.target} | {r.name: ", ".join(r.options) for r in deployed.passes if r.options},
        training=dict(deployed.network.provenance),
        **form,
    )


def _distribution(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
