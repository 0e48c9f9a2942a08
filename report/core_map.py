"""The chips seen from above: the mesh of tiles of each, the cores in each tile, coloured by how much they use of a limit.

One map shows the limit that each core is closest to; `by_limit` draws a small one for every limit. Above `_DRAWN_CHIPS` chips each is
one box, coloured by its fullest core.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from markupsafe import Markup

from . import svg
from .format import count, percent, shorten

_GAP, _LEFT, _TOP = 5.0, 24.0, 18.0
_DRAWN_CHIPS = 12
_WHOLE = 256
"""Up to so many tiles the whole mesh is drawn."""
_OUTLINED = 6.5
"""Places smaller than this many pixels have no outlines of their own."""
_NAMED_CORES = 300
"""Above this many used cores the map carries no words, so that the page stays small."""


def tightest(core: dict[str, Any]) -> tuple[str, float]:
    """Return the limit that a core is closest to and how much of it is used (0..1); ("", 0.0) where nothing is known."""
    used = {k: v for k, v in (core.get("utilisation") or {}).items() if v is not None}
    if not used:
        return "", 0.0
    name = max(used, key=lambda k: used[k])
    return name, float(used[name])


def limits(cores: list[dict[str, Any]], chip: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row per limit of the core: the fullest core, what it uses, the limit, and the mean over the used cores.

    The limits that the cores report come first, in their order; fullest core: the one with the highest utilisation.
    """
    names = _names(cores)
    bounds = chip.get("limits") or {}
    made: list[dict[str, Any]] = []
    for name in names:
        shares = [(float((c.get("utilisation") or {}).get(name) or 0.0), c) for c in cores]
        peak, core = max(shares, key=lambda s: s[0])
        mean = sum(s for s, _ in shares) / len(shares)
        made.append(
            {"name": label(name), "limit": bounds.get(name), "peak": peak, "core": core["core"], "used": core.get(name), "mean": mean}
        )
    return made


def in_use(cores: list[dict[str, Any]], chip: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the chip with the corner of its mesh that is in use, where the mesh is large and the rest empty, and a sentence on that."""
    columns, rows = _mesh(cores, chip)
    if len(_places(cores, chip)) > 1 or columns * rows <= _WHOLE:
        return chip, ""
    wide, high = (min(whole, 2 + max((_tile(core)[axis] for core in cores), default=0)) for axis, whole in enumerate((columns, rows)))
    if 4 * wide * high > columns * rows:
        return chip, ""
    said = f"Drawn: {wide} by {high} of the {columns} by {rows} tiles; the others are unused."
    return {**chip, "mesh": [wide, high]}, said


def by_limit(cores: list[dict[str, Any]], chip: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a small map for every limit that the cores report: its `name`, its `chart`, and a `note` on the fullest core and the mean."""
    made: list[dict[str, Any]] = []
    for row, name in zip(limits(cores, chip), _names(cores), strict=True):
        note = f"at most {percent(row['peak'], 0)}, mean {percent(row['mean'], 0)}"
        made.append({"name": row["name"], "chart": _small(cores, chip, name, f"{row['name']}: {note}"), "note": note})
    return made


def _names(cores: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for core in cores for name in core.get("utilisation") or {}))


def _small(cores: list[dict[str, Any]], chip: dict[str, Any], name: str, spoken: str) -> Markup:
    """Draw the map of one limit: no words but what a screen reader says, one path a colour."""

    def share(core: dict[str, Any]) -> float:
        return float((core.get("utilisation") or {}).get(name) or 0.0)

    if len(_places(cores, chip)) > _DRAWN_CHIPS:
        cores, chip = _one_box_a_chip(cores, chip, share)
    grid = _grid(cores, chip, 230.0)
    shapes: dict[str, list[tuple[float, float, float, float]]] = {}
    for at, tile, slot, core in _slots(cores, grid.per_tile):
        shapes.setdefault(_style(share(core)), []).append(grid.box(at, tile, slot))
    right, bottom = grid.extent
    parts = [_unused(grid), *(svg.boxes(boxes, style) for style, boxes in sorted(shapes.items()))]
    shift = Markup('<g transform="translate({} {})">{}</g>').format(svg.num(2 - _LEFT), svg.num(2 - _TOP), Markup("").join(parts))
    return svg.figure(right - _LEFT + 4, bottom - _TOP + 4, spoken, [shift])


def label(name: str) -> str:
    """Return the name of a limit as words: "synapse_words" is "synapse words"."""
    return name.replace("_", " ")


def chart(cores: list[dict[str, Any]], chip: dict[str, Any]) -> Markup:
    """Draw the mesh of every chip in use (x to the right, y down), every core of every tile; unused cores are outlines."""
    if len(_places(cores, chip)) > _DRAWN_CHIPS:
        cores, chip = _one_box_a_chip(cores, chip, lambda core: tightest(core)[1])
    grid = _grid(cores, chip)
    parts = [_unused(grid), *_used(cores, grid), *_rulers(grid)]
    right, bottom = grid.extent
    bottom += 8
    over = any(tightest(core)[1] > 1 for core in cores)
    parts.append(svg.legend(_LEFT, bottom, [1, 2, 3, 5, 7], "0 %", "100 % of the tightest limit"))
    if over:
        parts += [svg.rect((_LEFT, bottom + 18, 20, 11), "over"), svg.text(_LEFT + 26, bottom + 27, "over a limit", style="small")]
    on = f"{grid.columns} by {grid.rows} tiles" if len(grid.chips) == 1 else f"{len(grid.chips)} chips"
    spoken = chip.get("spoken") or f"Core map: {len(cores)} of {chip.get('cores') or 'unknown'} cores used on {on}"
    width = max(right + 6, 330.0)
    return svg.figure(width, bottom + (36 if over else 18), spoken, parts)


@dataclass(frozen=True)
class _Grid:
    """Tiles of a chip across and down; cores per tile, drawn `side` abreast, each `size` pixels wide; where the chips lie."""

    columns: int
    rows: int
    per_tile: int
    side: int
    size: float
    chips: list[tuple[int, int]]

    @property
    def pitch(self) -> tuple[float, float]:
        """Pixels from one tile to the next."""
        gap = _GAP if self.size > 8 else 2.0 if self.size > 3 else 1.0
        return self.side * self.size + gap, math.ceil(self.per_tile / self.side) * self.size + gap

    def corner(self, chip: int) -> tuple[float, float]:
        """Where the first tile of a chip is drawn; several chips have their number above."""
        across, down = self.chips[chip] if chip < len(self.chips) else (0, 0)
        apart = (8.0, 22.0) if len(self.chips) > 1 else (0.0, 0.0)
        x = _LEFT + across * (self.columns * self.pitch[0] + apart[0])
        return x, _TOP + apart[1] / 2 + down * (self.rows * self.pitch[1] + apart[1])

    @property
    def extent(self) -> tuple[float, float]:
        """Where the drawing of the tiles ends, right and below."""
        corners = [self.corner(chip) for chip in range(len(self.chips))]
        wide, high = self.columns * self.pitch[0], self.rows * self.pitch[1]
        return max(x for x, _ in corners) + wide, max(y for _, y in corners) + high

    def box(self, chip: int, tile: tuple[int, int], slot: int) -> tuple[float, float, float, float]:
        """Where a core is drawn."""
        left, top = self.corner(chip)
        x = left + tile[0] * self.pitch[0] + slot % self.side * self.size
        y = top + tile[1] * self.pitch[1] + slot // self.side * self.size
        thin = 1.5 if self.size > 6 else 0.75
        return x + thin / 3, y + thin / 3, self.size - thin, self.size - thin


def _grid(cores: list[dict[str, Any]], chip: dict[str, Any], room: float = 640.0) -> _Grid:
    """Lay out the chips, as large as about `room` pixels of width allow, a core 4 to 27 of them (1.5 where the room is small)."""
    columns, rows = _mesh(cores, chip)
    places = _places(cores, chip)
    per_tile = max(1, int(chip.get("cores_per_tile") or 1))
    side = math.ceil(math.sqrt(per_tile))
    abreast = 1 + max(x for x, _ in places)
    least = 1.5 if room < 640 else 5.0 if len(places) == 1 else 4.0
    return _Grid(columns, rows, per_tile, side, min(27.0, max(least, (room / abreast / columns - _GAP) / side)), places)


def _places(cores: list[dict[str, Any]], chip: dict[str, Any]) -> list[tuple[int, int]]:
    """Return where the chips in use lie in the grid of the system; side by side where it is not known."""
    used = 1 + max((int(core.get("chip") or 0) for core in cores), default=0)
    given = [(int(x), int(y)) for x, y in chip.get("places") or [(0, 0)]]
    return [given[k] if k < len(given) else (k, 0) for k in range(max(used, len(given)))]


def _one_box_a_chip(
    cores: list[dict[str, Any]], chip: dict[str, Any], share: Callable[[dict[str, Any]], float]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a mesh in which every tile is a chip, with the utilisation of the core whose `share` is the largest."""
    places = _places(cores, chip)
    fullest: dict[int, dict[str, Any]] = {}
    for core in cores:
        number = int(core.get("chip") or 0)
        if number not in fullest or share(core) > share(fullest[number]):
            fullest[number] = core
    boxes = [{**core, "chip": 0, "tile": list(places[number]), "core": core["core"]} for number, core in sorted(fullest.items())]
    mesh = [1 + max(x for x, _ in places), 1 + max(y for _, y in places)]
    return boxes, {"mesh": mesh, "cores_per_tile": 1, "spoken": f"Chip map: {len(boxes)} chips, each by its fullest core"}


def _mesh(cores: list[dict[str, Any]], chip: dict[str, Any]) -> tuple[int, int]:
    """The tiles across and down, grown where a core lies outside the mesh that the chip names."""
    named = [int(v) for v in chip.get("mesh") or [1, 1]][:2]
    columns, rows = (*named, 1, 1)[:2]
    for core in cores:
        x, y = _tile(core)
        columns, rows = max(columns, x + 1), max(rows, y + 1)
    return columns, rows


def _tile(core: dict[str, Any]) -> tuple[int, int]:
    tile = [int(v) for v in core.get("tile") or [0, 0]]
    return (tile[0], tile[1]) if len(tile) > 1 else (tile[0] if tile else 0, 0)


def _slots(cores: list[dict[str, Any]], per_tile: int) -> list[tuple[int, tuple[int, int], int, dict[str, Any]]]:
    """Give every used core its chip, its tile, and a place there: its number modulo the cores of a tile, or the next that is free."""
    taken: set[tuple[int, tuple[int, int], int]] = set()
    made: list[tuple[int, tuple[int, int], int, dict[str, Any]]] = []
    for core in cores:
        chip, tile, wanted = int(core.get("chip") or 0), _tile(core), int(core["core"]) % per_tile
        slot = next((s for s in (wanted, *range(per_tile)) if (chip, tile, s) not in taken), wanted)
        taken.add((chip, tile, slot))
        made.append((chip, tile, slot, core))
    return made


def _unused(grid: _Grid) -> Markup:
    """Outline every place of every tile, or the whole chip where places are small; the used ones are drawn over it."""
    if grid.size < _OUTLINED:
        wide, high = grid.pitch
        corners = (grid.corner(chip) for chip in range(len(grid.chips)))
        return svg.boxes(((x - 1, y - 1, grid.columns * wide, grid.rows * high) for x, y in corners), "unused")
    places = product(range(len(grid.chips)), range(grid.rows), range(grid.columns), range(grid.per_tile))
    return svg.boxes((grid.box(chip, (x, y), slot) for chip, y, x, slot in places), "unused")


def _used(cores: list[dict[str, Any]], grid: _Grid) -> list[Markup]:
    parts: list[Markup] = []
    named = len(cores) <= _NAMED_CORES
    for chip, tile, slot, core in _slots(cores, grid.per_tile):
        box = grid.box(chip, tile, slot)
        share = tightest(core)[1]
        style = _style(share)
        parts.append(svg.rect(box, style, _tip(core) if named else "", 2 if grid.size > 12 else 0))
        if named and grid.size >= 20:
            parts.append(svg.text(box[0] + box[2] / 2, box[1] + box[3] / 2 + 4, f"{100 * share:.0f}", "middle", f"in-{style}"))
    return parts


def _style(share: float) -> str:
    if share > 1:
        return "over"
    steps = (1, 2, 3, 5, 7)
    return f"f{steps[min(4, int(5 * share * (1 - 1e-9)))]}"


def _tip(core: dict[str, Any]) -> str:
    tile = _tile(core)
    inside = ", ".join(f"{shorten(name, 30)} {count(neurons)}" for name, neurons in list((core.get("populations") or {}).items())[:6])
    used = ", ".join(f"{label(name)} {percent(share, 0)}" for name, share in (core.get("utilisation") or {}).items())
    chip = f"chip {core['chip']}, " if core.get("chip") else ""
    return f"core {core['core']}, {chip}tile {tile[0]},{tile[1]}: {inside} ({used})"


def _rulers(grid: _Grid) -> list[Markup]:
    if len(grid.chips) > 1:
        corners = [grid.corner(chip) for chip in range(len(grid.chips))]
        return [svg.text(x, y - 5, f"chip {chip}", "start", "small") for chip, (x, y) in enumerate(corners)]
    wide, high = grid.pitch
    every = max(1, math.ceil(16 / min(wide, high)))
    across = [svg.text(_LEFT + (x + 0.5) * wide - _GAP / 2, 12, x, "middle", "small") for x in range(0, grid.columns, every)]
    down = [svg.text(_LEFT - 7, _TOP + (y + 0.5) * high, y, "end", "small") for y in range(0, grid.rows, every)]
    return across + down
