"""Runs as the series of a drawing: the colour says the method, the shape of the marks what else differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .colours import Colour, of_methods
from .compared import Run
from .format import MISSING, shorten

__all__ = ["SHAPES", "Series", "of_names", "of_runs"]

SHAPES = 7
"""Shapes to tell series apart; see `scatter` for the page's and `figures.api` for the figures'."""
_KEYS = ("data", "net", "method", "chip", "encoding", "weight_bits")


@dataclass(frozen=True)
class Series:
    """A series: its name, its colour, and its shape, a number below `SHAPES`."""

    name: str
    colour: Colour
    shape: int


def of_names(methods: Iterable[str]) -> dict[str, Series]:
    """Return one series per method."""
    names = list(dict.fromkeys(methods))
    colours = of_methods(names)
    return {name: Series(name, colours[name], _shape(colours[name])) for name in names}


def of_runs(made: Sequence[Run]) -> list[Series]:
    """Return the series of each run: what differs among data, network, method, chip, encoding and bits."""
    keys = [key for key in _KEYS if len({str(getattr(run, key)) for run in made}) > 1] or ["method"]
    others = [key for key in keys if key != "method"]
    colours = of_methods(run.method for run in made)
    variants = list(dict.fromkeys(tuple(str(getattr(run, key)) for key in others) for run in made))
    found: list[Series] = []
    for run in made:
        name = " · ".join(_named(run, key) for key in keys)
        variant = tuple(str(getattr(run, key)) for key in others)
        shape = variants.index(variant) % SHAPES if len(variants) > 1 else _shape(colours[run.method])
        found.append(Series(name, colours[run.method], shape))
    return found


def _shape(colour: Colour) -> int:
    return (int(colour.name[1:]) - 1) % SHAPES


def _named(run: Run, key: str) -> str:
    value = getattr(run, key)
    text = shorten(MISSING if value is None else value, 24)
    return f"{text} bits" if key == "weight_bits" else text
