"""Spikeloom's native simulator."""

from __future__ import annotations

from spikeloom.network.model import InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime.backends import native
from spikeloom.runtime.backends.api import BackendOptions

from .case import DV, HIDDEN, INPUTS, OUTPUTS, STEPS, Case, Outcome, Run

SAMPLES = (4096, 4096)


def network_of(case: Case) -> Network:
    """Return the case as an integer network."""
    populations = (
        Population("input", (INPUTS,), None),
        Population("hidden", (HIDDEN,), IntegerLIF(4095, DV, case.vth1)),
        Population("output", (OUTPUTS,), IntegerLIF(4095, DV, case.vth2)),
    )
    projections = (
        Projection("fc1", "input", "hidden", Synapses.from_dense(case.w1), weight_bits=8),
        Projection("fc2", "hidden", "output", Synapses.from_dense(case.w2), weight_bits=8),
    )
    return Network(populations, projections, STEPS, InputSpec(1, 1.0, "rate"))


def prepare(case: Case, threads: int = 1) -> Run:
    """Return what runs the case; the first run compiles the kernels where they are not cached."""
    network, options = network_of(case), BackendOptions(threads=threads, rasters=False)

    def run() -> Outcome:
        fired = native.simulate(network, case.events, options).fired
        return Outcome(0 if fired is None else int(fired["output"].sum()))

    return run
