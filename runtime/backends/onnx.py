"""The deployed integers stepped by onnxruntime: a third implementation of the arithmetic, for cross-checks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ...errors import BackendError, SpikeloomError
from ...formats import onnx as model_onnx
from ...network.model import Network, Synapses
from .api import BackendOptions, Recording, empty_registers, population_of

BATCH = 1024
RECORDS = ("u", "v")
MOST_WEIGHTS = 100_000_000  # of all projections, zeros included: onnxruntime makes them dense, 12 bytes each with the cast to 64 bits


def session(model: bytes, threads: int | None = None) -> ort.InferenceSession:
    """Open an exported model for stepping on the CPU."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def step_through(
    model: ort.InferenceSession, inputs: NDArray[Any], timesteps: int, states_kept: dict[str, NDArray[Any]] | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Step an exported model over time, feeding its state back.

    Args:
        inputs: (samples, timesteps, inputs), float32 or castable: the input at each step.
        states_kept: arrays (samples, timesteps, neurons), by the names of the model's states, v_<population> and u_<population>, to be
            filled with them after each step.

    Returns:
        By population, its spikes (samples, timesteps, neurons).
    """
    dtypes = {"tensor(double)": np.float64, "tensor(int64)": np.int64}
    states = {i.name: np.zeros((len(inputs), i.shape[1]), dtypes[i.type]) for i in model.get_inputs() if i.name != "input"}
    names = [o.name for o in model.get_outputs()]
    rasters: dict[str, list[NDArray[np.bool_]]] = {n.removeprefix("s_"): [] for n in names if n.startswith("s_")}
    for t in range(timesteps):
        outputs: dict[str, Any] = dict(zip(names, model.run(None, {"input": inputs[:, t].astype(np.float32), **states}), strict=True))
        states = {name: outputs[f"{name}_out"] for name in states}
        for name, kept in (states_kept or {}).items():
            kept[:, t] = states[name]
        for name, raster in rasters.items():
            raster.append(outputs[f"s_{name}"])
    return {name: np.stack(raster, axis=1) for name, raster in rasters.items()}


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends.api` for the interface.

    Raises:
        BackendError: matrices too large to be filled with zeros, projections with a lag, or onnxruntime fails.
    """
    lagging = next((p for p in network.projections if p.lag), None)
    if lagging is not None:
        raise BackendError(
            f"Projection {lagging.name} has a lag of {lagging.lag}; the exported model has a single time step, so it has no lags. "
            f"Use --backend native, or lava on a few samples."
        )
    weights = sum(p.synapses.shape[0] * p.synapses.shape[1] for p in network.projections if isinstance(p.synapses, Synapses))
    if weights > MOST_WEIGHTS:
        raise BackendError(
            f"onnxruntime holds sparse weights as full matrices, {weights:,} numbers for this network; the limit is {MOST_WEIGHTS:,}. "
            f"Use --backend native, or lava on a few samples."
        )
    model_onnx.check(network)
    names = {p.name: f"p{i}" for i, p in enumerate(network.populations)}  # unique value names in the file, whatever the layers are called
    try:
        model = session(model_onnx.to_bytes(_renamed(network, names)), options.threads)
        registers = empty_registers(options.registers, network, len(events))
        kept = {f"{name[-1]}_{names[population_of(name)]}": array for name, array in registers.items()}
        found = step_through(model, events, network.timesteps, kept)
    except SpikeloomError:
        raise
    except Exception as error:  # onnxruntime's own exception classes share no base that it exports
        raise BackendError(
            f"onnxruntime does not run the network of the layers {', '.join(p.name for p in network.spiking)} ({type(error).__name__}). "
            f"Use --backend native."
        ) from error
    for name in registers:
        registers[name] *= network.population(population_of(name)).living
    return Recording({name: found[names[name]] for name in (p.name for p in network.spiking)}, registers=registers or None)


def _renamed(network: Network, names: dict[str, str]) -> Network:
    populations = tuple(replace(p, name=names[p.name]) for p in network.populations)
    projections = (replace(p, name=f"w{i}", source=names[p.source], target=names[p.target]) for i, p in enumerate(network.projections))
    return replace(network, populations=populations, projections=tuple(projections))
