"""Spikeloom: train sparse spiking networks, compile the surviving synapses onto neuromorphic cores, run what was compiled."""

from ._version import VERSION as __version__

__all__ = ["__version__"]
