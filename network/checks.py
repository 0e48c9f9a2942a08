"""Consistency conditions between the parts of a network."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import NetworkError
from .axes import fits
from .convolution import Convolution
from .elements import LARGEST_PAYLOAD, InputSpec, Population, Projection

__all__ = ["check"]


def check(populations: Sequence[Population], projections: Sequence[Projection], timesteps: int, entry: InputSpec, votes: int) -> None:
    """Check the parts of a network, as `Network` has them, against one another.

    Raises:
        NetworkError: names the population or projection, what is wrong with it, and what it needs.
    """
    order = {p.name: i for i, p in enumerate(populations)}
    if len(populations) < 2 or len(order) != len(populations):
        raise NetworkError("A network needs an input and at least one population, with distinct names.")
    if populations[0].neuron is not None or any(p.neuron is None for p in populations[1:]):
        raise NetworkError("The first population is the input and has no neuron model; all others need one.")
    if not 1 <= timesteps <= 4096:
        raise NetworkError(f"The number of time steps is {timesteps}; it must lie in 1..4096.")
    if votes < 1 or populations[-1].size % votes:
        raise NetworkError(f"The output's {populations[-1].size} neurons cannot be shared out as {votes} output neurons per class.")
    if entry.encoding != "direct" and entry.payload.largest > LARGEST_PAYLOAD:
        raise NetworkError(
            f"The samples have values up to {entry.levels:,}, and the encoding {entry.encoding} sends them as bytes, up to "
            f"{LARGEST_PAYLOAD}. Use samples of fewer levels, or --encoding rate."
        )
    if len({p.name for p in projections}) != len(projections):
        raise NetworkError("Two projections have the same name.")
    for projection in projections:
        _check_ends(projection, order)
        _check_shapes(projection, populations[order[projection.source]], populations[order[projection.target]])


def _check_ends(projection: Projection, order: dict[str, int]) -> None:
    for end in (projection.source, projection.target):
        if end not in order:
            raise NetworkError(f"Projection {projection.name}: there is no population called {end!r}.")
    if order[projection.target] == 0:
        raise NetworkError(f"Projection {projection.name} leads into the input {projection.target}, which receives nothing.")
    if order[projection.source] >= order[projection.target] and projection.lag < 1:
        raise NetworkError(
            f"Projection {projection.name} runs back from {projection.source} to {projection.target} with a lag of 0, so the target would "
            f"need the source's spikes of a step before it has run. It needs a lag of at least 1."
        )


def _check_shapes(projection: Projection, source: Population, target: Population) -> None:
    need = (target.size, source.size)
    if projection.synapses.shape != need:
        raise NetworkError(f"Projection {projection.name}: its synapses have shape {projection.synapses.shape}, its ends need {need}.")
    if not isinstance(projection.synapses, Convolution):
        return
    maps = projection.synapses.source_shape, projection.synapses.target_shape
    for end, shape in zip((source, target), maps, strict=True):
        if not fits(end.shape, shape):
            raise NetworkError(
                f"Projection {projection.name}: its maps at {end.name} have the shape {shape}, the population has {end.shape}."
            )
