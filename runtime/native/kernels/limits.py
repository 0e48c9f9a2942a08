"""Limits shared by the kernels: the range of sums, and the size of scratch memory."""

from __future__ import annotations

from .lanes import CHUNK

PAYLOAD = 127
"""Largest payload of which two products with 8-bit weights fit 16 bits."""
POINT = 15
"""Bits behind the point of a potential of `run_fused`, in units of the sums."""
MOST = (1 << 14) - 2
"""Largest sum with which no potential of `run_fused`, nor one more than it, leaves 16 bits: it stays within twice the sums."""
COUNTS = 6 * CHUNK
"""Where in the scratch memory of `run_fused` two counts of 64 bits begin, behind potentials of 32 bits and sums of 16 bits by lane."""
STATE = COUNTS + 16
"""Bytes of that memory."""
STATE_ROWS = 5
"""Rows of 32 bits of a neuron's scratch memory: its biases, then a current and a potential of 64 bits."""
EIGHT = 8
"""Steps of one sample side by side, and neurons that are turned at once."""
INPUTS = 64
"""Inputs whose rate code is drawn at once: eight blocks of the generator, with bits for eight inputs each."""


def most_synapses(payload: int, weight: int = 127) -> int:
    """Return how many products of payloads with weights one 16-bit sum can hold, of each sign; even where there are two."""
    most = 32767 // max(payload * weight, 1)
    return most // 2 * 2 or most
