"""Networks as all packages share them: populations, projections, neurons, synapses, convolutions, the integer reference, the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from . import reference
    from .model import (
        LIF,
        Convolution,
        CrossbarLIF,
        InputSpec,
        IntegerLIF,
        Network,
        Payload,
        Population,
        Projection,
        Stage,
        Synapses,
        Threshold,
        Trained,
        XyloLIF,
    )

__all__ = [
    "Convolution",
    "CrossbarLIF",
    "InputSpec",
    "IntegerLIF",
    "LIF",
    "Network",
    "Payload",
    "Population",
    "Projection",
    "Stage",
    "Synapses",
    "Threshold",
    "Trained",
    "XyloLIF",
    "reference",
]

if not TYPE_CHECKING:  # type checkers assume that a module with __getattr__ has every name
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "Convolution": ".model",
            "CrossbarLIF": ".model",
            "InputSpec": ".model",
            "IntegerLIF": ".model",
            "LIF": ".model",
            "Network": ".model",
            "Payload": ".model",
            "Population": ".model",
            "Projection": ".model",
            "Stage": ".model",
            "Synapses": ".model",
            "Threshold": ".model",
            "Trained": ".model",
            "XyloLIF": ".model",
            "reference": ".reference:",
        },
    )
