"""Loihi through netx of Intel's lava-dl: what the target lava accepts, in integers that fit a .net file (`formats.netx.writer`)."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UsageError
from ...formats.netx.writer import layers
from ...hwmodels.chip import Chip
from ...network.model import Network
from ..api import CompileOptions, Pass
from ..chain import loihi
from .api import refuse_mode
from .lava import Lava


@dataclass(frozen=True)
class Netx(Lava):
    """Lava, with networks that fit .net files."""

    def passes(self, options: CompileOptions) -> tuple[Pass, ...]:
        """Return all passes; the quantiser chooses no exponents.

        Raises:
            UsageError: exponents per channel, or a crossbar mode, were requested.
        """
        if options.granularity != "layer":
            raise UsageError(f"A .net file has no exponents: --granularity {options.granularity} is not for --target netx. Leave it out.")
        refuse_mode(options, "netx")
        return loihi(options, plain=True)

    def check(self, network: Network, chip: Chip) -> None:
        """Refuse what the chip, Lava's processes or a .net file cannot hold exactly.

        Raises:
            DoesNotFitError: anything that the target lava refuses.
            NetworkError: something for which .net files have no layer; population or projection, reason and way out are named.
        """
        super().check(network, chip)
        layers(network)


TARGET = Netx()
