"""The weight bits of each layer: `8`, `ternary`, or `8,hidden1=4,output=ternary`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import UsageError, unknown_name
from ..network.model import Network

TERNARY = 2  # bits that hold -1, 0 and 1


@dataclass(frozen=True)
class Bits:
    """Bits of a signed weight, 2..8: `default`, and per layer."""

    default: int = 8
    layers: Mapping[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def parse(cls, text: str | int) -> Bits:
        """Parse the value of --weight-bits.

        Raises:
            UsageError: a number outside 2..8, or something that is neither a number nor `ternary`.
        """
        parts = [part.strip() for part in str(text).split(",") if part.strip()]
        plain = [part for part in parts if "=" not in part]
        if len(plain) > 1 or not parts:
            raise UsageError(f"--weight-bits is {text!r}; it must be a number 2..8 or ternary, and LAYER=BITS for others: 8,hidden1=4.")
        layers = {name.strip(): _bits(value) for name, value in (part.split("=", 1) for part in parts if "=" in part)}
        return cls(_bits(plain[0]) if plain else 8, layers)

    def of(self, layer: str) -> int:
        """Return the bits of a layer's incoming weights."""
        return self.layers.get(layer, self.default)

    def check(self, network: Network) -> None:
        """Refuse layers that the network does not have."""
        known = [p.name for p in network.spiking]
        for name in self.layers:
            if name not in known:
                raise unknown_name("layer", name, known)

    def __str__(self) -> str:
        return ",".join([str(self.default), *(f"{name}={bits}" for name, bits in self.layers.items())])


def _bits(text: str) -> int:
    value = TERNARY if text.strip() == "ternary" else int(text) if text.strip() in tuple("2345678") else 0
    if not 2 <= value <= 8:
        raise UsageError(f"--weight-bits is {text.strip()!r}; the compiler quantises to 2..8 bits, or ternary, which is 2: -1, 0 and 1.")
    return value
