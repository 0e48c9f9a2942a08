"""The colours of pages and figures: one for each pruning method, the same everywhere, and one for each kind of component.

The methods of Spikeloom have the colours of Okabe and Ito (2008), which people with any colour vision can tell apart; dense is grey.
Other methods get one of five further colours, chosen by their names alone, so that a method looks the same beside any others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["COMPONENTS", "METHODS", "OTHERS", "WITHOUT", "Colour", "css", "of_methods"]


class Colour(NamedTuple):
    """A colour: its name in style sheets, and as #rrggbb on paper and light pages, and on dark pages."""

    name: str
    light: str
    dark: str


METHODS = {
    "dense": Colour("m1", "#5f6b76", "#a3adb7"),
    "grad-r": Colour("m2", "#0072b2", "#4da3dc"),
    "stds": Colour("m3", "#e69f00", "#f0b840"),
    "esl": Colour("m4", "#009e73", "#35c49a"),
    "deep-r": Colour("m5", "#cc79a7", "#e39bc6"),
    "soft-deep-r": Colour("m6", "#56b4e9", "#8fd0f5"),
    "upr": Colour("m7", "#d55e00", "#ff8c42"),
    "fixed": Colour("m14", "#6b4f2a", "#c9ab7c"),
}
OTHERS = (
    Colour("m8", "#8c4b00", "#d99a5b"),
    Colour("m9", "#5e3c99", "#a98be0"),
    Colour("m10", "#7a7a00", "#c4c44a"),
    Colour("m11", "#006d77", "#4fb8c0"),
    Colour("m12", "#a50f4c", "#ec6b9e"),
)
WITHOUT = Colour("m13", "#08519c", "#8cc2f0")
"""Runs that name no method, such as those of a module trained elsewhere."""
COMPONENTS = {
    "c1": Colour("c1", "#0072b2", "#4da3dc"),
    "c2": Colour("c2", "#e69f00", "#f0b840"),
    "c3": Colour("c3", "#009e73", "#35c49a"),
    "c4": Colour("c4", "#cc79a7", "#e39bc6"),
    "c5": Colour("c5", "#8a949e", "#86919c"),
    "c6": Colour("c6", "#5597c6", "#6aa9da"),
}
"""Components of energy and time, by the classes that `models.STYLES` gives them."""


def of_methods(names: Iterable[str | None]) -> dict[str | None, Colour]:
    """Return the colour of each method, None being no method.

    Where two methods of the user's own would share a colour, the later one by name gets the next free one.
    """
    wanted = set(names)
    found: dict[str | None, Colour] = {
        name: WITHOUT if name is None else METHODS[name] for name in wanted if name is None or name in METHODS
    }
    taken: set[int] = set()
    for name in sorted(name for name in wanted if name is not None and name not in METHODS):
        first = zlib.crc32(name.encode()) % len(OTHERS)
        places = [(first + step) % len(OTHERS) for step in range(len(OTHERS))]
        place = next((p for p in places if p not in taken), first)
        taken.add(place)
        found[name] = OTHERS[place]
    return found


def css() -> str:
    """Return the style sheet of all colours, for light and dark pages and for paper."""
    every = (*METHODS.values(), *OTHERS, WITHOUT, *COMPONENTS.values())
    light, dark = (";".join(f"--{c.name}:{value}" for c, value in _values(every, shade)) for shade in ("light", "dark"))
    rules = "".join(
        f".{c.name}{{fill:var(--{c.name})}}.l-{c.name}{{stroke:var(--{c.name})}}.k-{c.name}{{background:var(--{c.name})}}" for c in every
    )
    return f":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n@media print{{:root{{{light}}}}}\n{rules}"


def _values(every: Iterable[Colour], shade: str) -> list[tuple[Colour, str]]:
    return [(colour, getattr(colour, shade)) for colour in every]
