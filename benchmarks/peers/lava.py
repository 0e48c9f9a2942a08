"""Lava's bit-accurate Loihi processes, through Spikeloom's backend: samples side by side; the time to start Lava is taken off.

By the wall's clock in any case: Lava runs each layer in a process that nobody waits for, so its work cannot be added up."""

from __future__ import annotations

import time

from spikeloom.errors import BackendError
from spikeloom.runtime.backends import lava
from spikeloom.runtime.backends.api import BackendOptions

from .case import Case, Outcome, Run
from .native import network_of

SAMPLES = (4096, 200)  # so that they take longer than what the time to start varies by


def prepare(case: Case) -> Run:
    """Return what runs the case.

    Raises:
        ModuleNotFoundError: Lava is not installed.
    """
    reason = lava.available()
    if reason:
        raise ModuleNotFoundError(reason, name="lava")
    network, options = network_of(case), BackendOptions(time_limit=900)

    def run() -> Outcome:
        """Run all samples and one alone; the rest of the difference is simulation."""
        begun = time.perf_counter()
        try:
            lava.simulate(network, case.events[:1], options)
            started = time.perf_counter()
            spikes = lava.simulate(network, case.events, options).spikes["output"]
        except BackendError as error:
            raise SystemExit(f"lava: {error}") from error
        ended = time.perf_counter()
        return Outcome(int(spikes.sum()), max(ended - started - (started - begun), 1e-9))

    return run
