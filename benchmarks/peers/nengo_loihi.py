"""nengo-loihi's emulator of Loihi, with the network's integers in its registers, one sample after another.

It computes what hwmodels.fixed_point does. A spike takes a step to arrive; between samples the emulator's state is set to 0, untimed.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from .case import ALIGN, DV, INPUTS, LIMIT, STEPS, Case, Outcome, Run
from .clock import now

block, builder, discretize, emulators, inputs = (
    importlib.import_module(f"nengo_loihi.{name}") for name in ("block", "builder", "builder.discretize", "emulator", "inputs")
)
SAMPLES = (100, 50)
STEPS_OF_SAMPLE = STEPS + 2  # the input reaches the output two steps late


def prepare(case: Case) -> Run:
    """Build the network and put the integers where it would have rounded its own."""
    model = builder.Model()
    source = inputs.SpikeInput(INPUTS)
    model.add_input(source)
    (hidden, first), (output, second) = _block(model, case.w1), _block(model, case.w2)
    _join(source, first)
    _join(hidden, second)
    discretize.discretize_model(model)
    _set(hidden, first, case.w1, case.vth1)
    _set(output, second, case.w2, case.vth2)
    emulator = emulators.EmulatorInterface(model, seed=0)
    state = emulator.compartment

    def run() -> Outcome:
        seconds, spikes = 0.0, 0
        for events in case.events:
            for array in (state.voltage, state.current, state.input, state.spiked, state.spike_count):
                array[:] = 0
            for step, active in enumerate(events):
                source.add_spikes(emulator.t + step + 1, np.flatnonzero(active))
            begun = now()
            emulator.run_steps(STEPS_OF_SAMPLE)
            seconds += now() - begun
            spikes += int(state.spike_count[emulator.block_info.slices[output]].sum())
        return Outcome(spikes, seconds)

    return run


def _block(model: Any, weights: np.ndarray) -> tuple[Any, Any]:
    """Add a layer with what arrives at it."""
    layer, synapse = block.LoihiBlock(len(weights)), block.Synapse(weights.shape[1])
    layer.compartment.configure_relu()
    synapse.set_weights(csr_matrix(weights.T.astype(np.float32)))
    layer.add_synapse(synapse)
    model.add_block(layer)
    return layer, synapse


def _join(source: Any, target: Any) -> None:
    axon = block.Axon(target.n_axons)
    axon.target = target
    axon.set_compartment_axon_map(np.arange(target.n_axons))
    source.add_axon(axon)


def _set(layer: Any, synapse: Any, weights: np.ndarray, vth: int) -> None:
    """Write the registers: weights and thresholds are shifted by 6 against the state."""
    cells = layer.compartment
    cells.decay_u[:], cells.decay_v[:], cells.vth[:], cells.bias[:] = 4095, DV, vth << ALIGN, 0
    cells.refract_delay[:] = 0
    cells.vmin, cells.vmax = -LIMIT, LIMIT
    matrix = csr_matrix(weights.T.astype(np.int32) << ALIGN)
    for i, row in enumerate(synapse.weights):
        row[:] = matrix.data[matrix.indptr[i] : matrix.indptr[i + 1]]
