"""The chips seen from above: the mesh of tiles of each, the cores in each tile, coloured by how much they use of a limit.

One map shows the limit that each core is closest to; `by_limit` draws a small one for every limit. Above `_DRAWN_CHIPS` chips each is
one box, coloured by its fullest core.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from markupsafe import Markup

from . import svg
from .format import count, percent, shorten
from .sizes import ChipInUse, CoreLoad

_GAP, LEFT, TOP = 5.0, 24.0, 18.0
_DRAWN_CHIPS = 12
_WHOLE = 256
"""Up to this many tiles the whole mesh is drawn."""
_OUTLINED = 6.5
"""Places smaller than this many pixels have no outlines of their own."""
_NAMED_CORES = 300
"""Above this many used cores the map has no tooltips or numbers, to keep the page small."""


@dataclass(frozen=True)
class LimitRow:
    """A limit of the core: the fullest `core`, how much it has `used` of the `limit`, its share (`peak`) and the mean over the cores."""

    name: str
    core: int
    used: float | None
    limit: float | None
    peak: float
    mean: float

    @property
    def label(self) -> str:
        """The name as words."""
        return label(self.name)


def limits(cores: Sequence[CoreLoad], chip: ChipInUse) -> list[LimitRow]:
    """Return one row per limit that the cores report, in their order; fullest core: the one with the highest utilisation."""
    made: list[LimitRow] = []
    for name in names(cores):
        fullest = max(cores, key=lambda core: core.share(name))
        mean = sum(core.share(name) for core in cores) / len(cores)
        made.append(LimitRow(name, fullest.core, fullest.used(name), chip.limits.get(name), fullest.share(name), mean))
    return made


def names(cores: Sequence[CoreLoad]) -> list[str]:
    """Return the limits that the cores report."""
    return list(dict.fromkeys(name for core in cores for name in core.utilisation))


def in_use(cores: Sequence[CoreLoad], chip: ChipInUse) -> tuple[ChipInUse, str]:
    """Return the chip with the corner of its mesh that is in use, where the mesh is large and the rest empty, and a sentence on that."""
    columns, rows = _mesh(cores, chip)
    if len(_places(cores, chip)) > 1 or columns * rows <= _WHOLE:
        return chip, ""
    wide, high = (min(whole, 2 + max((core.tile[axis] for core in cores), default=0)) for axis, whole in enumerate((columns, rows)))
    if 4 * wide * high > columns * rows:
        return chip, ""
    said = f"Drawn: {wide} by {high} of the {columns} by {rows} tiles; the others are unused."
    return chip.model_copy(update={"mesh": (wide, high)}), said


@dataclass(frozen=True)
class SmallMap:
    """The map of one limit: its name, its drawing, and a note on the fullest core and the mean."""

    name: str
    chart: Markup
    note: str


def by_limit(cores: Sequence[CoreLoad], chip: ChipInUse) -> list[SmallMap]:
    """Return a small map for every limit that the cores report."""
    made: list[SmallMap] = []
    for one in limits(cores, chip):
        note = f"at most {percent(one.peak, 0)}, mean {percent(one.mean, 0)}".replace(" %", "\u00a0%")
        made.append(SmallMap(one.label, _small(cores, chip, one.name, f"{one.label}: {note}"), note))
    return made


def _small(cores: Sequence[CoreLoad], chip: ChipInUse, name: str, spoken: str) -> Markup:
    """Draw the map of one limit: no text except for screen readers, one path per colour."""

    if len(_places(cores, chip)) > _DRAWN_CHIPS:
        cores, chip = _one_box_a_chip(cores, chip, lambda core: core.share(name))
    grid = layout(cores, chip, 230.0)
    shapes: dict[str, list[tuple[float, float, float, float]]] = {}
    for at, tile, slot, core in slots(cores, grid.per_tile):
        shapes.setdefault(_style(core.share(name)), []).append(grid.box(at, tile, slot))
    right, bottom = grid.extent
    parts = [_unused(grid), *(svg.boxes(boxes, style) for style, boxes in sorted(shapes.items()))]
    shift = Markup('<g transform="translate({} {})">{}</g>').format(svg.num(2 - LEFT), svg.num(2 - TOP), Markup("").join(parts))
    return svg.figure(right - LEFT + 4, bottom - TOP + 4, spoken, [shift])


def label(name: str) -> str:
    """Return the name of a limit as words: "synapse_words" is "synapse words"."""
    return name.replace("_", " ")


def chart(cores: Sequence[CoreLoad], chip: ChipInUse) -> Markup:
    """Draw the mesh of every chip in use (x to the right, y down), every core of every tile; unused cores are outlines."""
    boxed = ""
    if len(_places(cores, chip)) > _DRAWN_CHIPS:
        cores, chip = _one_box_a_chip(cores, chip, lambda core: core.tightest[1])
        boxed = f"Chip map: {len(cores)} chips, each by its fullest core"
    grid = layout(cores, chip)
    parts = [_unused(grid), *_used(cores, grid), *_rulers(grid)]
    right, bottom = grid.extent
    bottom += 8
    over = any(core.tightest[1] > 1 for core in cores)
    parts.append(svg.legend(LEFT, bottom, [1, 2, 3, 5, 7], "0 %", "100 % of the tightest limit"))
    if over:
        parts += [svg.rect((LEFT, bottom + 18, 20, 11), "over"), svg.text(LEFT + 26, bottom + 27, "over a limit", style="small")]
    on = f"{grid.columns} by {grid.rows} tiles" if len(grid.chips) == 1 else f"{len(grid.chips)} chips"
    spoken = boxed or f"Core map: {len(cores)} of {count(chip.cores)} cores used on {on}"
    width = max(right + 6, 330.0)
    return svg.figure(width, bottom + (36 if over else 18), spoken, parts)


def drawn(cores: Sequence[CoreLoad], chip: ChipInUse) -> tuple[Sequence[CoreLoad], ChipInUse, bool]:
    """Return what a map shows: the part of the mesh in use; of many chips each as one box (True), by its fullest core."""
    if len(_places(cores, chip)) > _DRAWN_CHIPS:
        return *_one_box_a_chip(cores, chip, lambda core: core.tightest[1]), True
    return cores, in_use(cores, chip)[0], False


@dataclass(frozen=True)
class Grid:
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
        x = LEFT + across * (self.columns * self.pitch[0] + apart[0])
        return x, TOP + apart[1] / 2 + down * (self.rows * self.pitch[1] + apart[1])

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


def layout(cores: Sequence[CoreLoad], chip: ChipInUse, room: float = 640.0) -> Grid:
    """Lay out the chips, as large as about `room` pixels of width allow, a core 4 to 27 of them (1.5 where the room is small)."""
    columns, rows = _mesh(cores, chip)
    places = _places(cores, chip)
    per_tile = chip.cores_per_tile
    side = math.ceil(math.sqrt(per_tile))
    abreast = 1 + max(x for x, _ in places)
    least = 1.5 if room < 640 else 5.0 if len(places) == 1 else 4.0
    return Grid(columns, rows, per_tile, side, min(27.0, max(least, (room / abreast / columns - _GAP) / side)), places)


def _places(cores: Sequence[CoreLoad], chip: ChipInUse) -> list[tuple[int, int]]:
    """Return where the chips in use lie in the grid of the system; side by side where it is not known."""
    used = 1 + max((core.chip for core in cores), default=0)
    given = chip.places or [(0, 0)]
    return [given[k] if k < len(given) else (k, 0) for k in range(max(used, len(given)))]


def _one_box_a_chip(cores: Sequence[CoreLoad], chip: ChipInUse, share: Callable[[CoreLoad], float]) -> tuple[list[CoreLoad], ChipInUse]:
    """Return a mesh in which every tile is a chip, with the utilisation of the core whose `share` is the largest."""
    places = _places(cores, chip)
    fullest: dict[int, CoreLoad] = {}
    for core in cores:
        number = core.chip
        if number not in fullest or share(core) > share(fullest[number]):
            fullest[number] = core
    boxes = [core.model_copy(update={"chip": 0, "tile": places[number]}) for number, core in sorted(fullest.items())]
    mesh = 1 + max(x for x, _ in places), 1 + max(y for _, y in places)
    return boxes, chip.model_copy(update={"mesh": mesh, "cores_per_tile": 1, "places": [(0, 0)]})


def _mesh(cores: Sequence[CoreLoad], chip: ChipInUse) -> tuple[int, int]:
    """The tiles across and down, grown where a core lies outside the mesh that the chip names."""
    columns, rows = chip.mesh
    for core in cores:
        x, y = core.tile
        columns, rows = max(columns, x + 1), max(rows, y + 1)
    return columns, rows


def slots(cores: Sequence[CoreLoad], per_tile: int) -> list[tuple[int, tuple[int, int], int, CoreLoad]]:
    """Give every used core its chip, its tile, and a place there: its number modulo the cores per tile, or the next free one."""
    taken: set[tuple[int, tuple[int, int], int]] = set()
    made: list[tuple[int, tuple[int, int], int, CoreLoad]] = []
    for core in cores:
        chip, tile, wanted = core.chip, core.tile, core.core % per_tile
        slot = next((s for s in (wanted, *range(per_tile)) if (chip, tile, s) not in taken), wanted)
        taken.add((chip, tile, slot))
        made.append((chip, tile, slot, core))
    return made


def _unused(grid: Grid) -> Markup:
    """Outline every place of every tile, or the whole chip where places are small; the used ones are drawn over it."""
    if grid.size < _OUTLINED:
        wide, high = grid.pitch
        corners = (grid.corner(chip) for chip in range(len(grid.chips)))
        return svg.boxes(((x - 1, y - 1, grid.columns * wide, grid.rows * high) for x, y in corners), "unused")
    places = product(range(len(grid.chips)), range(grid.rows), range(grid.columns), range(grid.per_tile))
    return svg.boxes((grid.box(chip, (x, y), slot) for chip, y, x, slot in places), "unused")


def _used(cores: Sequence[CoreLoad], grid: Grid) -> list[Markup]:
    parts: list[Markup] = []
    named = len(cores) <= _NAMED_CORES
    for chip, tile, slot, core in slots(cores, grid.per_tile):
        box = grid.box(chip, tile, slot)
        share = core.tightest[1]
        style = _style(share)
        parts.append(svg.rect(box, style, _tip(core) if named else "", 2 if grid.size > 12 else 0))
        if named and grid.size >= 20:
            parts.append(svg.text(box[0] + box[2] / 2, box[1] + box[3] / 2 + 4, per_cent(share), "middle", f"in-{style}"))
    return parts


def per_cent(share: float) -> str:
    """Return a share for the middle of a core: only what is full is 100."""
    return "99" if 0.99 < share < 1 else f"{100 * share:.0f}"


def _style(share: float) -> str:
    if share > 1:
        return "over"
    steps = (1, 2, 3, 5, 7)
    return f"f{steps[min(4, int(5 * share * (1 - 1e-9)))]}"


def _tip(core: CoreLoad) -> str:
    tile = core.tile
    inside = ", ".join(f"{shorten(name, 30)} {count(neurons)}" for name, neurons in list(core.populations.items())[:6])
    used = ", ".join(f"{label(name)} {percent(share, 0)}" for name, share in core.utilisation.items())
    chip = f"chip {core.chip}, " if core.chip else ""
    return f"core {core.core}, {chip}tile {tile[0]},{tile[1]}: {inside} ({used})"


def _rulers(grid: Grid) -> list[Markup]:
    if len(grid.chips) > 1:
        corners = [grid.corner(chip) for chip in range(len(grid.chips))]
        return [svg.text(x, y - 5, f"chip {chip}", "start", "small") for chip, (x, y) in enumerate(corners)]
    wide, high = grid.pitch
    every = max(1, math.ceil(16 / min(wide, high)))
    across = [svg.text(LEFT + (x + 0.5) * wide - _GAP / 2, 12, x, "middle", "small") for x in range(0, grid.columns, every)]
    down = [svg.text(LEFT - 7, TOP + (y + 0.5) * high, y, "end", "small") for y in range(0, grid.rows, every)]
    return across + down
