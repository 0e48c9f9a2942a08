"""Networks on Xylo: the quantiser for its 16-bit neurons, and the chip's own form of a network."""
