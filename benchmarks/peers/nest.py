"""NEST: iaf_psc_delta neurons that lose half in a step, one sample after another with a pause in which the potentials die away.

Nothing sets NEST's potentials to 0 between samples at less cost: a pause of 24 steps leaves 2^-24 of them, less than the half of the
potentials' last bit by which the thresholds are raised. Each connection takes a step.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from .case import EVEN_HALF, HIDDEN, INPUTS, OUTPUTS, STEPS, Case, Outcome, Run

nest = importlib.import_module("nest")
SAMPLES = (400, 40)
PAUSE = 24
PERIOD = STEPS + PAUSE


def prepare(case: Case) -> Run:
    """Build the network; every run goes on where the last one ended, with the same events."""
    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    nest.SetKernelStatus({"resolution": 1.0, "local_num_threads": 1, "print_time": False})
    source = nest.Create("spike_generator", INPUTS)
    hidden, output = _layer(HIDDEN, case.vth1), _layer(OUTPUTS, case.vth2)
    recorder = nest.Create("spike_recorder", params={"record_to": "memory"})
    _connect(source, hidden, case.w1)
    _connect(hidden, output, case.w2)
    nest.Connect(output, recorder)
    times = (np.arange(case.samples)[:, None] * PERIOD + np.arange(STEPS) + 1.0).ravel()
    events = case.events.reshape(-1, INPUTS)
    source.set([{"spike_times": times[events[:, i] > 0]} for i in range(INPUTS)])
    duration = float(case.samples * PERIOD)

    def run() -> Outcome:
        source.origin = nest.biological_time
        before = recorder.n_events
        nest.Simulate(duration)
        return Outcome(int(recorder.n_events - before))

    return run


def _layer(size: int, vth: int) -> Any:
    """Return neurons with  v <- v / 2 + sum  and a spike at more than `vth`."""
    fixed = {"tau_m": 1.0 / math.log(2.0), "E_L": 0.0, "V_reset": 0.0, "V_m": 0.0, "t_ref": 0.0, "I_e": 0.0}
    return nest.Create("iaf_psc_delta", size, params=fixed | {"V_th": vth + EVEN_HALF})


def _connect(source: Any, target: Any, weights: np.ndarray) -> None:
    to, sender = np.nonzero(weights)
    synapses = {"weight": weights[to, sender].astype(float), "delay": np.ones(len(to))}
    ends = np.asarray(source.tolist())[sender], np.asarray(target.tolist())[to]
    nest.Connect(*ends, "one_to_one", synapses)
