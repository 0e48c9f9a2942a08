"""Brian2, C++ standalone in float32: one sample after another; its own clock counts the network's loop alone, not the compiler.

A step of Brian compares, resets, halves and then lets spikes arrive, so a layer receives from its source one step late. Where a sample's
last step has been compared, its potentials are set to 0.
"""

from __future__ import annotations

import atexit
import importlib
import shutil
import tempfile
from typing import Any

import numpy as np

from .case import INPUTS, STEPS, Case, Outcome, Run

b2 = importlib.import_module("brian2")
SAMPLES = (2000, 200)
STEP = 1.0  # ms


def prepare(case: Case) -> Run:
    """Generate the program; the first run compiles it."""
    folder = tempfile.mkdtemp(prefix="loom-brian2-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    b2.set_device("cpp_standalone", build_on_run=False)
    b2.prefs.core.default_float_dtype = np.float32
    b2.defaultclock.dt = STEP * b2.ms
    steps, indices = np.nonzero(case.events.reshape(-1, INPUTS))
    source = b2.SpikeGeneratorGroup(INPUTS, indices, steps * STEP * b2.ms)
    hidden, output = _layer(len(case.w1), case.vth1, 0), _layer(len(case.w2), case.vth2, 1)
    synapses = [_connect(source, hidden, case.w1), _connect(hidden, output, case.w2)]
    monitor = b2.SpikeMonitor(output, record=False)
    network = b2.Network(source, hidden, output, *synapses, monitor)
    network.schedule = ["start", "groups", "thresholds", "resets", "synapses", "end"]
    network.run((case.samples * STEPS + 2) * STEP * b2.ms)
    device: Any = b2.get_device()
    device.build(directory=folder, compile=True, run=False, with_output=False)

    def run() -> Outcome:
        device.run(directory=folder, with_output=False, run_args=[])
        return Outcome(int(monitor.num_spikes), float(device._last_run_time))

    return run


def _layer(size: int, vth: int, late: int) -> Any:
    """Return neurons whose potentials end with each sample, `late` steps after the first layer's."""
    group = b2.NeuronGroup(size, "v : 1", threshold=f"v > {vth}", reset="v = 0")
    group.run_regularly(f"v *= 0.5 * int(t_in_timesteps % {STEPS} != {late})", when="before_synapses")
    return group


def _connect(source: Any, target: Any, weights: np.ndarray) -> Any:
    synapses = b2.Synapses(source, target, "w : 1 (constant)", on_pre="v_post += w")
    to, sender = np.nonzero(weights)
    synapses.connect(i=sender, j=to)
    synapses.w = weights[to, sender].astype(np.float32)
    return synapses
