"""Spikeloom: train sparse spiking networks, compile the surviving synapses onto neuromorphic cores, run what was compiled."""

__version__ = "0.1.0"
