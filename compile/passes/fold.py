"""Fold parameters for which the chip's neuron has no register into those that it has, exactly.

A hard reset to v_reset instead of 0 is a shift of the voltage axis: with v' = v - v_reset the dynamics are those of
v_reset = 0 and v_threshold' = v_threshold - v_reset.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ...network.model import LIF, Network
from ..api import PassResult


@dataclass(frozen=True)
class Fold:
    """Make every float LIF reset to 0."""

    name: ClassVar[str] = "fold"

    def run(self, network: Network) -> PassResult:
        """Apply the pass; see the module docstring."""
        changes: list[str] = []
        for population in network.spiking:
            neuron = population.neuron
            if isinstance(neuron, LIF) and neuron.v_reset != 0.0:
                shifted = replace(neuron, v_reset=0.0, v_threshold=neuron.v_threshold - neuron.v_reset)
                network = network.with_population(replace(population, neuron=shifted))
                changes.append(f"{population.name}: v_reset {neuron.v_reset:g} folded into a threshold of {shifted.v_threshold:g}")
        return PassResult(network, tuple(changes))
