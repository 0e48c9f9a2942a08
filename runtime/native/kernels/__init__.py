"""Kernels of the native simulator, in numba.

A stream holds the spikes (or payloads) of a population for a block of samples: uint8, (channels, steps, plane). A flat population has a
plane of one position; of a map, positions lie row by row, `pitch` apart, with margins of zeros around them, so that a tap is one
contiguous addition of a shifted plane. The samples lie innermost, `lanes` of them: bytes, or the bits of one. All steps of all samples are
computed side by side: feed-forward sums do not depend on the order of spikes.
"""
