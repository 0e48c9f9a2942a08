"""Spikeloom: train sparse spiking networks, compile the surviving synapses onto neuromorphic cores, run what was compiled."""

from . import _version

__version__ = _version.VERSION
__all__ = ["__version__"]
