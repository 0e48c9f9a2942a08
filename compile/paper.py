"""`estimate`: lower bounds of what a network needs on a chip, from any source that the compiler takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checked import checked
from ..data.dataset import Dataset
from ..errors import UsageError
from ..fed import Data, OwnSamples
from ..hwmodels import chip as chips
from ..hwmodels.chip import Chip
from ..network.model import Encoding, Network
from .api import Calibration
from .compiler import Compilation, RunFolder
from .estimate import Estimate
from .estimate import estimate as on_paper
from .mapping.bounds.least import SYNAPSES
from .modules import Batch, Graph, Module
from .targets import api as targets

__all__ = ["estimate", "estimated"]

LOOSE = f"The bounds are those of fan-ins and fan-outs alone: tighter ones are computed up to {SYNAPSES:,} synapses."


@dataclass(frozen=True)
class Estimated:
    """What `estimated` returns: the bounds, the warnings of the passes, and remarks on the bounds."""

    bounds: Estimate
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]


def estimated(asked: Compilation, chip: Chip, rate: float | None, ways: str) -> Estimated:
    """Run the passes and bound what comes out, at the rates that they measured or at one `rate` for all.

    Raises:
        UsageError: neither is there; `ways`: what to give.
        SpikeloomError: see `compile_network`.
    """
    others = targets.of_chip(chip.name)
    if others and asked.target not in others:
        raise UsageError(
            f"There are no bounds for {chip.name}, whose cores are of another kind: spikeloom compile --target {others[0]} says what fits. "
            f"An estimate is for: {', '.join(targets.find(asked.target).chips)}."
        )
    result = asked.run_passes()
    rates = result.rates if rate is None else rate
    if rates is None:
        raise UsageError(f"There are no calibration samples, so the spike rates are unknown. Give {ways}.")
    found = on_paper(result.network, chip, rates)
    return Estimated(found, result.warnings, () if found.by_expansion else (LOOSE,))


@checked(
    source="Name a run folder, a model.onnx or a model.nir, or pass what spikeloom.fit returned, or your torch.nn.Module.",
    sample="Give an array or a tensor (N, ...), such as x[:1].",
    chip="Name a chip that spikeloom.hwmodels.names() lists, or the path of a chip file.",
    calibration="Give an array (N, ...), a pair (samples, labels), or a torch Dataset.",
    data="Name a data set or a file, or give a pair (samples, labels) or a torch Dataset.",
)
def estimate(
    source: Network | Path | str | RunFolder | Module | Graph,
    *,
    chip: str | Path | Chip = "loihi2",
    rate: float | None = None,
    sample: Batch | None = None,
    timesteps: int | None = None,
    events: bool = False,
    encoding: Encoding | None = None,
    weight_bits: int | str = 8,
    calibration: Calibration | OwnSamples | None = None,
    seed: int = 0,
    reader: Mapping[str, Any] | None = None,
    data: Data | Dataset | OwnSamples | Path | str | None = None,
    value_range: tuple[float, float] | None = None,
) -> Estimate:
    """Return lower bounds of what a network needs on a chip, without mapping it: at any size, up to thousands of chips.

    Args:
        source: whatever `compile_network` takes: a run, a file, a `Network`, a `torch.nn.Module`, a `nir.NIRGraph`.
        chip: chip name, path of a chip TOML, or a `Chip`.
        rate: spikes per neuron and time step, 0..1; None: measured on the calibration samples or `data`.
        sample, timesteps, events, encoding, weight_bits, calibration, seed, reader, data, value_range: see `compile_network`.

    Returns:
        The bounds: `.cores`, `.chips`, `.fits`, `.sops`, `.joules`, `.layers`.

    Raises:
        UsageError: the rate is outside 0..1, or not given where there are no samples to measure it on.
        SpikeloomError: see `compile_network`.

    Example:
        >>> spikeloom.estimate(model.eval(), sample=x[:1], timesteps=8, rate=0.1).cores  # doctest: +SKIP
    """
    given = str(chip) if isinstance(chip, Path) else chip
    model = given if isinstance(given, Chip) else chips.load(given)
    asked = Compilation(
        source,
        chip=model,
        encoding=encoding,
        weight_bits=weight_bits,
        calibration=calibration,
        seed=seed,
        reader=reader,
        data=data,
        value_range=value_range,
        sample=sample,
        timesteps=timesteps,
        events=events,
    )
    return estimated(asked, model, rate, "calibration= or data=, or rate=0.1").bounds
