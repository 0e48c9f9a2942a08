"""Spikeloom: train sparse spiking networks, compile the surviving synapses onto neuromorphic cores, run what was compiled."""

from . import _version, reproducible

reproducible.ask()  # before anything of ours, or after us, computes a product

__version__ = _version.VERSION
__all__ = ["__version__"]
