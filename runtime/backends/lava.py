"""The Lava backend: Loihi's bit-accurate LIF and synapse models of lava-nc 0.10.0, run in a child process.

It runs in a child because Lava forks processes of its own, waits forever when one of them dies, and must be stopped to clean up.
Events and weights go in as files, spikes come out as files (`lava_worker/`). B samples form one block-diagonal
network, and the batches follow one another in a single stream, with the neurons reset between them. Each projection has the delay that
the compiler gave it.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError, NetworkError, UsageError
from ...formats.lava.installed import INSTALL, missing
from ...formats.lava.limits import obstacle
from ...hwmodels.fixed_point import bias_registers
from ...network.model import IntegerLIF, Network, Population, Projection
from ._lava_child import run_worker
from .api import BackendOptions, Recording, empty_registers, population_of

__all__ = ["available", "simulate"]

RECORDS = ("u", "v")
BATCH = None  # all in one call: starting Lava takes longer than most runs

# The layout of the samples. Measured on 784-800-10 at 5 % (31,760 synapses), T 8: images/s grow from 460 at B = 8 to 2,000 at 100 (3,000
# samples), and fall to 970 at 400, where the block-diagonal weights no longer fit the cache; dense, 155 at B = 8 and 110 at 16.
SIDE_BY_SIDE = 100  # samples at most
SYNAPSES_AT_ONCE = 4_000_000
NEURONS_AT_ONCE = 1_000_000  # some 50 MB of messages in /dev/shm


def available() -> str | None:
    """Return None if this interpreter has Lava, else what is missing and the way out. Lava itself is not imported."""
    lacking = missing()
    if not lacking:
        return None
    return f"The Lava backend needs {', '.join(lacking)}, which {sys.executable} does not have. Install with: {INSTALL}"


def simulate(network: Network, events: NDArray[Any], options: BackendOptions) -> Recording:
    """Run `network` in Lava.

    Args:
        network: an integer network with all of its neurons on the chip.
        events: the encoded input, (samples, timesteps, inputs), integers 0..255.
        options: `time_limit` covers the whole call; `batch_size` samples run side by side.

    Returns:
        Every spike of every population, and the registers of `options.registers`, which probes in the child read from Lava's own variables.

    Raises:
        BackendError: Lava is missing, dies or exceeds the time limit, or cannot compute the network exactly.
        UsageError: an option that Lava cannot honour.
    """
    deadline = time.monotonic() + options.time_limit
    _check_options(options)
    flat = network.flat
    network = flat.network
    _check(network, events)
    if not len(events):
        return Recording({p.name: np.zeros((0, network.timesteps, p.size), np.bool_) for p in network.spiking}).spread(flat)
    registers = empty_registers(options.registers, network, len(events))
    plan = _make_plan(network, len(events), options.batch_size, {population_of(name) for name in registers})
    try:
        with tempfile.TemporaryDirectory(prefix="loom-lava-") as name:
            _write_job(network, events, plan, Path(name), [*registers])
            if len(plan.depth) > 1:
                run_worker(options.lava_python or sys.executable, Path(name), deadline, options.time_limit)
            _read_registers(plan, Path(name), registers)
            return Recording(_read_spikes(network, plan, len(events), Path(name)), registers=registers).spread(flat)
    except OSError as error:
        raise BackendError(f"Lava's files cannot be kept in {tempfile.gettempdir()}: {error}. Free space or set TMPDIR.") from error


# --- the limits of Lava ----------------------------------------------------------------------------------------------


def _check_options(options: BackendOptions) -> None:
    reason = available() if options.lava_python is None else None
    if reason:
        raise BackendError(reason)
    if options.threads is not None:
        raise UsageError("Lava runs every layer in a process of its own; the number of threads cannot be set. Leave it out.")


def _check(network: Network, events: NDArray[Any]) -> None:
    """Refuse what Lava would not compute exactly; the message names the population or projection, the limit and the way out."""
    inputs = network.populations[0]
    want = (network.timesteps, inputs.size)
    if events.ndim != 3 or events.shape[1:] != want or not np.issubdtype(events.dtype, np.integer):
        raise BackendError(f"Lava needs events as integers, (samples, {want[0]}, {want[1]}); these are {events.dtype}, {events.shape}.")
    if events.size and (events.min() < 0 or events.max() > 255):
        raise BackendError(f"The events span {events.min()}..{events.max()}; a graded spike carries 0..255.")
    reason = obstacle(network, int(events.max(initial=1)))
    if reason:
        raise BackendError(f"{reason} Or use --backend native.")
    soft = next((p for p in network.spiking if isinstance(p.neuron, IntegerLIF) and p.neuron.soft_reset), None)
    if soft:
        raise BackendError(f"Population {soft.name!r} has a soft reset, which Lava's neurons do not have. Use --backend native.")


# --- the layout ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """`copies` samples side by side, `batches` one after another; `depth`: steps by which a population lags the input, by its delays;
    `live`: the projections that can carry a spike. A population without depth can never spike: it has no live input and no positive
    bias. It is left out unless its registers are recorded."""

    copies: int
    batches: int
    depth: dict[str, int]
    live: tuple[Projection, ...]


def _make_plan(network: Network, samples: int, batch_size: int | None, probed: set[str]) -> _Plan:
    able = {network.populations[0].name, *(p.name for p in network.spiking if (p.biases > 0).any())}
    found: set[str] = set()
    while found != able:
        found = set(able)
        able |= {q.target for q in network.projections if q.source in found and q.synapses.weights}
    live = [q for q in network.projections if q.source in able and q.synapses.weights]
    depth = {name: steps for name, steps in _arrivals(network).items() if name in able | probed}  # silent ones have potentials too
    synapses = max(1, sum(q.synapses.count for q in live))
    neurons = sum(p.size for p in network.populations)
    room = batch_size or max(1, min(SIDE_BY_SIDE, SYNAPSES_AT_ONCE // synapses, NEURONS_AT_ONCE // neurons))
    batches = math.ceil(samples / room)
    return _Plan(math.ceil(samples / batches), batches, depth, tuple(live))


def _arrivals(network: Network) -> dict[str, int]:
    try:
        return network.arrivals()
    except NetworkError as error:
        raise BackendError(f"Lava runs a network as the chip does, where every connection takes time. {error}") from error


# --- files -----------------------------------------------------------------------------------------------------------


def _write_job(network: Network, events: NDArray[Any], plan: _Plan, folder: Path, registers: list[str]) -> None:
    """Write what `lava_worker/lava_stream.py` reads: spec.json, events.bin and the weights."""
    for index, projection in enumerate(plan.live):
        s = projection.synapses.unrolled()
        np.savez(folder / f"weights_{index}.npz", indptr=s.indptr, indices=s.indices, data=s.data, shape=np.array(s.shape))
    for index, population in enumerate(network.spiking):
        if population.bias is not None:
            mantissa, exponent = bias_registers(population.biases)
            np.savez(folder / f"bias_{index}.npz", mantissa=mantissa, exponent=exponent)
    _write_events(events, plan, folder / "events.bin")
    rows = plan.batches * network.timesteps
    spec = {
        "input": network.populations[0].name,
        "inputs": network.populations[0].size,
        "copies": plan.copies,
        "timesteps": network.timesteps,
        "rows": rows,
        "total_steps": rows + max(plan.depth.values()),
        "populations": [_describe(p, i, plan) for i, p in enumerate(network.spiking) if p.name in plan.depth],
        "probes": [
            {"population": population_of(name), "variable": name[-1], "values": f"values_{i}.bin"} for i, name in enumerate(registers)
        ],
    }
    (folder / "spec.json").write_text(json.dumps(spec, default=int))


def _write_events(events: NDArray[Any], plan: _Plan, path: Path) -> None:
    """Write (batches * timesteps, copies * inputs) bytes: row b T + t is step t of the samples of batch b, side by side."""
    _, timesteps, inputs = events.shape
    with path.open("wb") as file:
        for batch in range(plan.batches):
            block = events[batch * plan.copies : (batch + 1) * plan.copies]
            rows = np.zeros((timesteps, plan.copies, inputs), np.uint8)
            rows[:, : len(block)] = block.transpose(1, 0, 2)
            file.write(rows.tobytes())


def _describe(population: Population, index: int, plan: _Plan) -> dict[str, Any]:
    neuron = population.neuron
    registers: dict[str, Any] = {"du": neuron.du, "dv": neuron.dv, "vth": neuron.vth} if isinstance(neuron, IntegerLIF) else {}
    if population.bias is not None:
        registers["bias"] = f"bias_{index}.npz"
    inputs = [_describe_projection(q, i, plan) for i, q in enumerate(plan.live) if q.target == population.name]
    place = {"name": population.name, "size": population.size, "depth": plan.depth[population.name], "spikes": f"spikes_{index}.bin"}
    return {**place, **registers, "inputs": inputs}


def _describe_projection(projection: Projection, index: int, plan: _Plan) -> dict[str, Any]:
    """Describe a projection so that Lava's arithmetic on it is exact.

    Lava cuts the 9 - num_weight_bits low bits of a mixed-sign weight. So weights of 8 bits are stored doubled, with one less in the
    exponent, (2 W s) << (e - 1) = (W s) << e, the floor of a right shift included; weights of 9 bits as they are, with num_weight_bits = 9.
    num_message_bits > 0 makes Lava multiply by the spikes, which is exact for 0/1 as well, and 1.5 to 2.5 times as fast as its binary mode.
    """
    data = projection.synapses.data
    doubled = bool(data.min() >= -128 and data.max() <= 127)
    return {
        "source": projection.source,
        "delay": projection.delay,
        "lag": projection.lag,
        "weights": f"weights_{index}.npz",
        "factor": 2 if doubled else 1,
        "weight_exp": projection.exponent - 1 if doubled else projection.exponent,
        "num_weight_bits": 8 if doubled else 9,
        "num_message_bits": 8,
    }


def _read_spikes(network: Network, plan: _Plan, samples: int, folder: Path) -> dict[str, NDArray[np.bool_]]:
    """Return population -> (samples, timesteps, neurons), false where no spike can come."""
    spikes = {p.name: np.zeros((samples, network.timesteps, p.size), np.bool_) for p in network.spiking}
    for index, p in enumerate(network.spiking):
        if p.name in plan.depth:
            _read_rows(folder / f"spikes_{index}.bin", plan, spikes[p.name])
    return spikes


def _read_registers(plan: _Plan, folder: Path, registers: dict[str, NDArray[np.int32]]) -> None:
    """Undo the layout of the probes' files: one row of 32-bit integers for each step of the stream."""
    for index, out in enumerate(registers.values()):
        samples, timesteps, size = out.shape
        values, due = np.fromfile(folder / f"values_{index}.bin", np.int32), plan.batches * timesteps * plan.copies * size
        if values.size != due:
            raise BackendError(f"Lava wrote {values.size} values of a register where {due} were due. Run it again.")
        rows = values.reshape(plan.batches, timesteps, plan.copies, size).transpose(0, 2, 1, 3)
        out[:] = rows.reshape(-1, timesteps, size)[:samples]


def _read_rows(path: Path, plan: _Plan, out: NDArray[np.bool_]) -> None:
    """Undo the layout of a sink's file: one row of packed bits for each step of the stream."""
    samples, timesteps, size = out.shape
    width = plan.copies * size
    packed = np.fromfile(path, np.uint8)
    due = plan.batches * timesteps * math.ceil(width / 8)
    if packed.size != due:
        raise BackendError(f"Lava wrote {packed.size} bytes of spikes where {due} were due. Run it again.")
    rows = packed.reshape(plan.batches, timesteps, -1)
    for batch in range(plan.batches):
        first = batch * plan.copies
        count = min(plan.copies, samples - first)
        bits = np.unpackbits(rows[batch], axis=1, count=width).reshape(timesteps, plan.copies, size)
        out[first : first + count] = bits[:, :count].transpose(1, 0, 2)
