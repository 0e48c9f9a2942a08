"""Energies and times that were published of networks on Loihi, beside those of the model, as far as public facts go.

    python benchmarks/anchors.py

Neither paper gives the spikes of its network, so nothing here is a validation: the script says at which rates the model gives what was
measured, and whether such rates are plausible.
"""

from __future__ import annotations

import numpy as np
from spikeloom.compile.estimate import Estimate, estimate
from spikeloom.hwmodels import chip as chips
from spikeloom.network.model import InputSpec, IntegerLIF, Network, Population, Projection, Synapses

MODELS = ("loihi-silicon", "loihi")
COPY = 16.94e-6  # J a copy and inference: the slope over copies of the keyword spotter's network; Blouw et al. 2018, arXiv:1812.01739
STEPS = 10  # of that network
INFERENCE, LATENCY = 2.5e-6, 0.17e-3  # J and s: Renner et al., Nature Communications 15, 9691 (2024), table 1, inference only
SHARES = (0.1, 0.25, 0.4)  # of the neurons that spike once in a sample


def dense(sizes: tuple[int, ...], steps: int) -> Network:
    """Return fully connected layers of integers; sizes[0] are inputs from outside the chip."""
    populations = [Population("input", (sizes[0],), None)]
    projections = list[Projection]()
    for number, size in enumerate(sizes[1:], 1):
        before = populations[-1]
        populations.append(Population(f"layer{number}", (size,), IntegerLIF(4095, 2048, 100)))
        synapses = Synapses.from_dense(np.ones((size, before.size), np.int32))
        projections.append(Projection(f"p{number}", before.name, f"layer{number}", synapses, 0, 8))
    return Network(tuple(populations), tuple(projections), steps, InputSpec(1, 1.0, "rate"))


def priced(sizes: tuple[int, ...], steps: int, rate: float, model: str) -> Estimate:
    """Return what the model says of such a network at one rate."""
    return estimate(dense(sizes, steps), chips.load(model), rate)


def keywords() -> None:
    """Ten layers of 256 are one copy: the rate at which the model's energy of a copy is the measured slope."""
    sizes = (256,) * 11
    print(f"Keyword spotting, ten layers of 256, {STEPS} steps: {COPY * 1e6:.2f} uJ for each further copy, measured")
    print("| model | at no spikes | at rate r | equal at r |\n|---|---|---|---|")
    for model in MODELS:
        silent, full = (priced(sizes, STEPS, rate, model).joules for rate in (0.0, 1.0))
        equal = (COPY - silent) / (full - silent)
        print(f"| {model} | {silent * 1e6:.2f} uJ | + {(full - silent) * 1e6:.1f} r uJ | {equal:.1%} |")


def digits() -> None:
    """400-400-10: the number of time steps at which the model's energy is the measured one, and what that means for a step."""
    print(f"\nMNIST, 400-400-10: {INFERENCE * 1e6:.1f} uJ and {LATENCY * 1e3:.2f} ms an inference, measured")
    print("| model | spike once | SOPs | steps for that energy | us a step, measured | us a step, model |\n|---|---|---|---|---|---|")
    for model in MODELS:
        for share in SHARES:
            once = priced((400, 400, 10), 1, share, model)  # all of a sample's spikes in one step, the others silent
            silent = priced((400, 400, 10), 1, 0.0, model)
            steps = 1 + (INFERENCE - once.joules) / silent.joules
            mean = (once.seconds_per_step + (steps - 1) * silent.seconds_per_step) / steps
            print(f"| {model} | {share:.0%} | {once.sops:,.0f} | {steps:.0f} | {LATENCY / steps * 1e6:.1f} | {mean * 1e6:.1f} |")


if __name__ == "__main__":
    keywords()
    digits()
