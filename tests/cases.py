"""Some twenty small networks and how each is compiled: of the golden dumps, and of benchmarks/digests.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from netgen import conv_network, float_network, graph_network, integer_conv_network, integer_network


@dataclass(frozen=True)
class Case:
    """A network and how it is compiled."""

    name: str
    network: Any
    options: dict[str, Any] = field(default_factory=dict[str, Any])


def cases() -> Iterator[Case]:
    """Yield the networks: every input, target and chip at least once."""
    for seed, encoding in enumerate(("current", "graded", "rate", "host")):
        yield Case(f"float {encoding}", float_network(seed), {"encoding": encoding})
        yield Case(f"conv {encoding}", conv_network(10 + seed), {"encoding": encoding})
    yield Case("float channel", float_network(4, sizes=(30, 40, 8)), {"granularity": "channel"})
    yield Case("float ternary", float_network(5), {"weight_bits": "ternary"})
    yield Case("float mixed bits", float_network(6), {"weight_bits": "8,layer1=4"})
    yield Case("conv events", conv_network(7, temporal=True))
    yield Case("conv integers", integer_conv_network(9))
    yield Case("graph", graph_network(8, hidden=6))
    yield Case("graph with lags", graph_network(12, hidden=4, lags=True, backward=2, slack=True))
    yield Case("integers", integer_network(11, layers=3))
    for chip in ("loihi", "loihi-silicon"):
        yield Case(f"float {chip}", float_network(13, sizes=(40, 60, 10)), {"chip": chip})
    yield Case("large", float_network(7, sizes=(300, 1500, 900, 10), density=0.05))
    yield Case("netx", float_network(15), {"target": "netx"})
    for mode in ("ternary", "codebook", "exact"):
        yield Case(f"truenorth {mode}", float_network(16), {"target": "truenorth", "mode": mode, "encoding": "rate"})
    yield Case("truenorth-separable", float_network(17), {"target": "truenorth", "chip": "truenorth-separable", "encoding": "rate"})
