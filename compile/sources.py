"""The reader options and the data of a network, resolved in one place for every source, for the command line and for Python.

A file from another tool leaves things open: how many time steps a sample has, what its integers mean, how long a step is. The data set
settles some of them, the user others, the file itself the rest. Order of precedence, highest first:

    options given by name (dt, timesteps, reset, readout, ...)  >  an option of the data set  >  the file  >  the data set's default

Readers declare the options they accept (the fields of their `Options`) and why they refuse others (`REFUSED`); no given option is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import registry
from ..errors import UsageError
from ..fed import CALIBRATION_SAMPLES, Data, Fed, Known, Samples
from ..network import reference, zoo
from ..network.model import Network, Stage
from ..subset import choose
from .api import Calibrated, Calibration

__all__ = ["Source", "feed", "of_zoo", "on_record", "read", "stages"]

STAGE_WORK = 4e9  # synapse updates allowed for measuring the accuracy of one stage, a few seconds
LEAST_SAMPLES = 32  # the fewest for a meaningful accuracy


@dataclass(frozen=True)
class Source:
    """A network as read, its calibration samples or what earlier ones gave, and its data."""

    network: Network
    calibration: Calibration | None
    fed: Fed[Samples] | None = None
    calibrated: Calibrated | None = None


def read(reader: Any, path: Path, given: Mapping[str, Any], data: Data | None = None) -> Source:
    """Read a file with the given options and those of its data.

    Args:
        reader: module of `formats`.
        given: options of the reader by name.

    Raises:
        UsageError: an option that does not apply to the file, by name and with the reason; or data that does not fit the network.
        SpikeloomError: a file that is damaged or of another format.
    """
    _check_options(reader, path, given)
    if data is None:
        return Source(_network(reader, path, given), None)
    takes = _takes(reader)
    if "timesteps" not in takes:
        network = _network(reader, path, given)
        fed = data.load(network.takes)
    else:
        known: Known = reader.known(path, _options(reader, path, given)) if hasattr(reader, "known") else Known()
        fed = data.load(replace(known, timesteps=_first(registry.whole(given.get("timesteps")), data.timesteps, known.timesteps)))
        _check_time(fed, known.temporal, f"in {path}")
        kind = "events" if fed.temporal else "static"
        said = {"levels": fed.levels, "input": kind, "timesteps": fed.timesteps or data.timesteps}
        network = _network(reader, path, {n: v for n, v in said.items() if n in takes and v is not None} | dict(given))
    return _fed(network, fed, f"in {path}", foreign="timesteps" in takes)


def of_zoo(name: str) -> tuple[Path, Calibrated]:
    """Return the file of a network of the zoo, and what its calibration gave.

    Raises:
        UsageError: an unknown name; the message lists the known ones.
        FormatError: a file that is missing, or is not the one that its record describes.
    """
    entry = zoo.entry(name)
    entry.check()
    deployed = entry.deployed
    return entry.path, Calibrated(deployed.weight_bits, deployed.clips, deployed.rates)


def feed(network: Network, data: Data) -> Source:
    """Return a network with the samples of `data`, which must fit it."""
    return _fed(network, data.load(network.takes), "given", foreign=False)


def stages(source: Network, integers: Network, fed: Fed[Samples], seed: int) -> tuple[Stage, ...]:
    """Measure the cost of quantisation: the accuracy of a float network as read, and of its integers on the same test samples.

    Uses the evenly spread samples that run within a few seconds. None for a network that was read in integers, or whose accuracy
    was already measured in training.
    """
    if source.stages or source.is_integer or fed.test.labels is None:
        return ()
    step = source.synapses + 20 * source.neurons
    count = min(len(fed.test.labels), max(LEAST_SAMPLES, int(STAGE_WORK / (step * source.timesteps))))
    tested = choose(count, len(fed.test.labels))
    chosen = tested.indices()
    values, labels = np.asarray(fed.test.values[chosen]), np.asarray(fed.test.labels)[chosen]
    floats = reference.simulate_float(source, values)[source.populations[-1].name]
    spikes = reference.simulate(integers, reference.encode(integers, values, seed=seed, numbers=chosen))[integers.populations[-1].name]
    found = (("float, as read", floats, source.votes), ("integers", spikes, integers.votes))
    return tuple(Stage.on(name, float((reference.decide(raster, votes) == labels).mean()), tested) for name, raster, votes in found)


def _fed(network: Network, fed: Fed[Samples], where: str, *, foreign: bool) -> Source:
    _check(network, fed, where)
    return Source(_named(network, fed, foreign=foreign), _calibration(network, fed), fed)


def _network(reader: Any, path: Path, given: Mapping[str, Any]) -> Network:
    options = _options(reader, path, given)
    network: Network = reader.read(path) if options is None else reader.read(path, options)
    return network


def _options(reader: Any, path: Path, given: Mapping[str, Any]) -> Any:
    return registry.options_of(reader, given, f"the reader of {path.suffix} files")


def _takes(reader: Any) -> set[str]:
    kind = getattr(reader, "Options", None)
    return set() if kind is None else {f.name for f in fields(kind)}


def _check_options(reader: Any, path: Path, given: Mapping[str, Any]) -> None:
    refused: Mapping[str, str] = getattr(reader, "REFUSED", {})
    for name in given:
        if name not in _takes(reader) and name in refused:
            raise UsageError(f"{path} takes no {name}: {refused[name]}. Leave it out.")


def _first(*values: int | None) -> int | None:
    return next((v for v in values if v is not None), None)


def _check(network: Network, fed: Fed[Samples], where: str) -> None:
    _check_time(fed, network.input.is_temporal, where)
    if fed.levels is not None and fed.levels != network.input.levels:
        raise UsageError(
            f"The samples of {fed.name} are integers 0..{fed.levels}; the network {where} takes 0..{network.input.levels}. Say which with "
            f"--set levels= or, of recordings, --set data.clip=."
        )
    labels = np.asarray([] if fed.train.labels is None else fed.train.labels)
    if len(labels) and not 0 <= labels.min() <= labels.max() < network.classes:
        raise UsageError(
            f"{fed.name} has labels {labels.min()}..{labels.max()}; the network {where} tells {network.classes} classes apart. "
            f"Name other data."
        )


def _check_time(fed: Fed[Samples], temporal: bool | None, where: str) -> None:
    if temporal is None or fed.temporal == temporal:
        return
    has, needs = ("a value for each time step", "one for all of them") if fed.temporal else ("one value for all time steps", "one for each")
    raise UsageError(f"The samples of {fed.name} have {has}; the network {where} takes {needs}. Name other data.")


def _calibration(network: Network, fed: Fed[Samples]) -> Calibration:
    chosen = choose(CALIBRATION_SAMPLES, len(fed.train.values)).indices()
    values = np.asarray(fed.train.values[chosen])
    reference.check_values(network, values)
    flat = np.ascontiguousarray(values.reshape(len(values), -1)).astype(np.uint8, copy=False)
    labels = np.zeros(len(values), np.int64) if fed.train.labels is None else np.asarray(fed.train.labels)[chosen]  # calibration needs none
    return Calibration(flat, labels.astype(np.int64))


def _named(network: Network, fed: Fed[Samples], *, foreign: bool) -> Network:
    """Return the network with its data recorded, so that a run uses the same data; records from training are kept."""
    if not fed.again or ("data" in network.provenance and not foreign):
        return network
    kept = {k: v for k, v in network.provenance.items() if k != "data" and not k.startswith("data.")}
    return replace(network, provenance=kept | on_record(fed))


def on_record(fed: Fed[Samples]) -> dict[str, str]:
    """Return the record of a network's data, so that a run uses the same data; empty if the data cannot be named."""
    options = {f"data.{name}": json.dumps(value) for name, value in fed.options.items()}
    return {"data": fed.name} | options if fed.again else {}
