"""SANA-FE with its own Loihi: LIF neurons in steps of 1/64 as the chip's, its simplest timing model, one sample after another.

A spike takes a step to arrive; between samples the chip is reset, untimed.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from .case import HIDDEN, INPUTS, OUTPUTS, STEPS, Case, Outcome, Run
from .clock import now

sanafe = importlib.import_module("sanafe")
SAMPLES = (100, 20)
STEPS_OF_SAMPLE = STEPS + 2


def prepare(case: Case) -> Run:
    """Build the network on three cores."""
    arch, network = sanafe.load_loihi(), sanafe.Network()
    cores = [core for tile in arch.tiles for core in tile.cores]
    source = network.create_neuron_group("input", INPUTS)
    hidden, output = _layer(network, "hidden", HIDDEN, case.vth1), _layer(network, "output", OUTPUTS, case.vth2)
    for i, neuron in enumerate(source):
        neuron.set_attributes(soma_hw_name=f"loihi_inputs[{i}]", log_spikes=False)
    for neuron in output:
        neuron.set_attributes(log_spikes=True)
    _connect(source, hidden, case.w1)
    _connect(hidden, output, case.w2)
    for group, core in zip((source, hidden, output), cores, strict=False):
        for neuron in group:
            neuron.map_to_core(core)
    chip = sanafe.SpikingChip(arch)
    chip.load(network)
    trains = np.zeros((case.samples, STEPS_OF_SAMPLE, INPUTS), np.bool_)
    trains[:, :STEPS] = case.events
    by_input = [train.tolist() for train in trains.reshape(-1, INPUTS).T]

    def run() -> Outcome:
        seconds, spikes = 0.0, 0
        for neuron, train in zip(chip.mapped_neuron_groups["input"], by_input, strict=True):
            neuron.set_attributes(model_attributes={"spikes": train})
        for _ in range(case.samples):
            chip.reset()
            begun = now()
            done = chip.sim(STEPS_OF_SAMPLE, timing_model="simple", processing_threads=1, spike_trace=True)
            seconds += now() - begun
            spikes += sum(len(step) for step in done["spike_trace"])
        return Outcome(spikes, seconds)

    return run


def _layer(network: Any, name: str, size: int, vth: int) -> Any:
    attributes = {"threshold": float(vth), "reset": 0.0, "reset_mode": "hard", "leak_decay": 0.5, "input_decay": 0.0}
    hardware = {"soma_hw_name": "loihi_lif", "default_synapse_hw_name": "loihi_sparse_synapse"}
    return network.create_neuron_group(name, size, model_attributes=attributes, default_dendrite_hw_name="loihi_dendrites", **hardware)


def _connect(source: Any, target: Any, weights: np.ndarray) -> None:
    to, sender = np.nonzero(weights)
    pairs = list(zip(sender.tolist(), to.tolist(), strict=True))
    source.connect_neurons_sparse(target, {"weight": weights[to, sender].astype(float).tolist()}, pairs)
