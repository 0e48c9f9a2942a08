"""Advice for a layer that cannot spike; it depends on where the network comes from."""

from __future__ import annotations

from ...network.model import Network

__all__ = ["if_silent"]


def if_silent(network: Network) -> str:
    """Return a sentence that says what to do when a layer of `network` cannot spike.

    A network from `spikeloom train` is retrained, an ANN is converted again; a file from another tool is read with other options, which
    its reader knows.
    """
    if network.reading is not None and network.reading.if_silent:
        return network.reading.if_silent
    if "conversion" in network.provenance:
        return "Convert the ANN again with a lower --percentile, or more --timesteps."
    if "sparsity_asked" in network.provenance:
        return "Train with a lower --sparsity, more time steps or a lower threshold."
    return "Use more time steps, larger weights or a lower threshold."
