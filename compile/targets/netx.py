"""Loihi through netx of Intel's lava-dl: what the target lava takes, in integers that a .net file has room for (`formats.netx.writer`)."""

from __future__ import annotations

from dataclasses import replace

from ...errors import UsageError
from ...formats.netx.writer import layers
from ...hwmodels.chip import Chip
from ...network.model import Network
from ..passes.quantise import Pass as Quantise
from ..pipeline import CompileOptions, Pass
from . import lava

CHIPS = lava.CHIPS


def chain(default: list[tuple[str, Pass]], options: CompileOptions) -> list[tuple[str, Pass]]:
    """Return the passes of this target: the quantiser chooses no exponents.

    Raises:
        UsageError: exponents a channel, or the modes of crossbars, were asked for.
    """
    if options.granularity != "layer":
        raise UsageError(f"A .net file has no exponents, so --granularity {options.granularity} is not for --target netx. Leave it out.")
    if options.mode is not None:
        raise UsageError(f"--mode {options.mode} is for crossbars; the target netx has no modes. Leave it out.")
    return [(name, replace(instance, plain=True) if isinstance(instance, Quantise) else instance) for name, instance in default]


def check(network: Network, chip: Chip) -> None:
    """Refuse what the chip, Lava's processes or a .net file cannot hold exactly.

    Raises:
        DoesNotFitError: what the target lava refuses.
        NetworkError: what a .net file has no layer for; population or projection, reason and way out are named.
    """
    lava.check(network, chip)
    layers(network)
