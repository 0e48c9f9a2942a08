"""Loihi through netx of Intel's lava-dl: what the target lava takes, in integers that a .net file has room for (`formats.netx.writer`)."""

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
    """Lava, with networks that .net files hold."""

    def passes(self, options: CompileOptions) -> tuple[Pass, ...]:
        """Return all passes; the quantiser chooses no exponents.

        Raises:
            UsageError: exponents a channel, or the modes of crossbars, were asked for.
        """
        if options.granularity != "layer":
            raise UsageError(f"A .net file has no exponents: --granularity {options.granularity} is not for --target netx. Leave it out.")
        refuse_mode(options, "netx")
        return loihi(options, plain=True)

    def check(self, network: Network, chip: Chip) -> None:
        """Refuse what the chip, Lava's processes or a .net file cannot hold exactly.

        Raises:
            DoesNotFitError: what the target lava refuses.
            NetworkError: what a .net file has no layer for; population or projection, reason and way out are named.
        """
        super().check(network, chip)
        layers(network)


TARGET = Netx()
