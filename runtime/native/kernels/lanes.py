"""How the samples of a block lie side by side in the native simulator's streams."""

from __future__ import annotations

BYTES, SAMPLES, STEPS = 0, 1, 2
"""How spikes lie in a stream: a byte each; eight samples of a step in a byte; eight steps of a sample in a byte."""
CHUNK = 64
"""Lanes that are summed side by side."""
LINE = 64
"""Bytes of a cache line: a vector across two takes twice as long."""
