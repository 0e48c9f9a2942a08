"""Reads a `torch.nn.Module` of spiking layers as a network, and proves that the two send the same spikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import DoesNotFitError, FormatError, NetworkError, UsageError
from ...network.model import InputSpec, Network
from . import check
from .build import Drawn, build
from .groups import split
from .run import Recorded, record

__all__ = ["input_of", "note_scale", "noted_scale", "proven", "proven_on", "read_module", "shapes_of"]

SCALE = "_spikeloom_scale"

MAX_STEPS = 4096
MAX_LEVELS = 255


def read_module(
    module: torch.nn.Module,
    *,
    sample: Any,
    timesteps: int,
    events: bool = False,
    levels: int | None = None,
    scale: float | None = None,
    provenance: Mapping[str, str] | None = None,
) -> Network:
    """Read a module of spiking layers as a float network, checked spike by spike on a sample.

    The module is copied, and the copy run in float64; the module itself is left as it was. Its forward may be one time step (it is
    called `timesteps` times), take a sequence (T, N, ...) as SpikingJelly's multi-step modules do, or loop over the steps itself.

    Args:
        module: layers of SpikingJelly, snnTorch or Norse and linear layers of torch, in eval mode, on the CPU.
        sample: a batch of samples, an array or tensor: (N, ...), the same at all time steps; with `events` (T, N, ...).
        timesteps: of a sample.
        events: whether samples have a value for each time step.
        levels: samples are integers 0..levels on the chip; 255, of events of 0 and 1 alone 1.
        scale: the module's input for one level; 1/255 where the sample lies in 0..1, 1 where it holds whole numbers above.
        provenance: what the network notes of its origin.

    Returns:
        The network; `reading.warnings` say what rounding to float32 changes, if anything.

    Raises:
        UsageError: a module in train mode, on another device or with hooks; a sample of a wrong shape or beyond its levels.
        NetworkError: an unsupported layer, by its name in the module and with what to use instead; weights that are not finite.
        MismatchError: the network's spikes differ from the module's; the first layer that differs is named, with the reason.
        DoesNotFitError: maps too large to multiply out.
    """
    drawn = proven(module, sample=sample, timesteps=timesteps, events=events, levels=levels, scale=scale)
    return replace(drawn.network, provenance={**drawn.network.provenance, **(provenance or {})})


def proven(
    module: torch.nn.Module, *, sample: Any, timesteps: int, events: bool = False, levels: int | None = None, scale: float | None = None
) -> Drawn:
    """Return the network of `read_module` and its float64 version, on which the proof was made."""
    if not 1 <= timesteps <= MAX_STEPS:
        raise UsageError(f"timesteps is {timesteps}; it must lie in 1..{MAX_STEPS}.")
    values, entry = input_of(sample, timesteps, levels, scale, events=events)
    try:
        found = record(module, (values * entry.scale).astype(np.float64), timesteps, temporal=entry.is_temporal)
        apart, parts = split(found)
        drawn = build(found.shape, apart.neurons, found.output, entry, timesteps, parts)
    except (FormatError, NetworkError, DoesNotFitError, UsageError) as error:
        raise type(error)(_sentence(str(error))) from error
    samples = np.moveaxis(values, 0, 1) if entry.is_temporal else values
    check.same_spikes(drawn.exact, apart, samples)
    check.same_output(drawn, apart.recordings, found.returned)
    said = check.reading(check.rounding(drawn.network, apart.recordings, samples))
    return replace(drawn, network=replace(drawn.network, provenance={"framework": _frameworks(found)}, reading=said), found=found)


def note_scale(module: torch.nn.Module, scale: float) -> None:
    """Note on a module the value of one level that it was trained with, so that it is compiled with the same; copies keep it."""
    setattr(module, SCALE, scale)


def noted_scale(module: torch.nn.Module) -> float | None:
    """Return the value of one level that a module was trained with, if that was noted."""
    found = getattr(module, SCALE, None)
    return found if isinstance(found, float) else None


def shapes_of(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes in which a module may take samples of a data set, likelier first: with an axis for one channel, as is, flat."""
    shapes = [shape, (int(np.prod(shape)),)] if len(shape) != 2 else [(1, *shape), shape, (int(np.prod(shape)),)]
    return list(dict.fromkeys(shapes))


def proven_on(module: torch.nn.Module, values: NDArray[Any], timesteps: int, *, events: bool, levels: int, scale: float) -> Drawn:
    """Return what `proven` returns, on samples of a data set in the first of the shapes of `shapes_of` on which the module runs.

    Args:
        values: integers 0..levels, (N, *shape), or with `events` (N, T, *shape).

    Raises:
        UsageError: there are no samples, or the module runs on none of the shapes.
        SpikeloomError: see `proven`.
    """
    lead = 2 if events else 1
    arranged = np.moveaxis(values, 1, 0) if events else values
    first: UsageError | None = None
    for shape in shapes_of(values.shape[lead:]):
        sample = arranged.reshape(*arranged.shape[:lead], *shape) * scale
        try:
            return proven(module, sample=sample, timesteps=timesteps, events=events, levels=levels, scale=scale)
        except UsageError as error:
            if "cannot be run on a sample" not in str(error):
                raise
            first = first or error
    raise first or UsageError("The data has no samples.")


def _sentence(text: str) -> str:
    """Return a message that begins with a capital, but for the names of the user's modules."""
    return f"{'The' + text[3:] if text.startswith('the ') else text}".removesuffix(".") + "."


def _frameworks(found: Recorded) -> str:
    return ", ".join(sorted(found.frameworks)) or "torch"


def input_of(sample: Any, timesteps: int, levels: int | None, scale: float | None, *, events: bool) -> tuple[NDArray[np.int64], InputSpec]:
    """Return samples as the integers that enter the chip, and what those stand for.

    Raises:
        UsageError: not numbers, no samples, another number of time steps, or values beyond the levels.
    """
    array = sample.detach().cpu().numpy() if isinstance(sample, torch.Tensor) else np.asarray(sample)
    if array.dtype.kind not in "fiub":
        raise UsageError(f"The sample is {array.dtype}; it must hold numbers.")
    axes = "(T, N, ...)" if events else "(N, ...)"
    if array.ndim < (3 if events else 2) or not array.size:
        raise UsageError(f"The sample has the shape {array.shape}; it must be a batch {axes} with at least one sample, such as x[:1].")
    if events and len(array) != timesteps:
        raise UsageError(
            f"The sample has the shape {array.shape} and timesteps is {timesteps}; with events=True its first axis is the time. "
            f"Give it (T, N, ...), x.transpose(1, 0, ...) of (N, T, ...), or leave events out where samples are the same at all steps."
        )
    if not np.isfinite(array).all():
        raise UsageError("The sample holds values that are not finite numbers.")
    real = array.astype(np.float64)
    whole = bool((real == np.rint(real)).all())
    if scale is None:
        counts = (events and whole) or real.max() > 1.0 or array.dtype == np.bool_
        scale = 1.0 if counts else 1.0 / (levels or MAX_LEVELS)
        if array.dtype == np.uint8 and not events:
            scale = 1.0 / MAX_LEVELS
            real = real * scale
    if levels is None:
        levels = 1 if events and scale == 1.0 and real.max() <= 1.0 else MAX_LEVELS
    if not 1 <= levels <= MAX_LEVELS or not 0.0 < scale < np.inf:
        raise UsageError(f"levels is {levels} and scale {scale}; levels must lie in 1..{MAX_LEVELS}, and scale above 0.")
    integers = np.rint(real / scale)
    if integers.min() < 0 or integers.max() > levels:
        raise UsageError(
            f"The sample runs from {real.min():g} to {real.max():g}; the chip takes {levels + 1} values, 0..{levels * scale:g} "
            f"(integers 0..{levels} times a scale of {scale:g}). Put the normalisation into the module, or say scale= and levels=."
        )
    return integers.astype(np.int64), InputSpec(levels, scale, "events" if events else "direct")
