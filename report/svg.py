"""The few SVG pieces that the charts are drawn with. Colours come from the style sheet: one drawing serves light, dark and print."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

LEVELS = 7
"""Steps of the sequential colour scale; classes f1..f7 of the style sheet. f0 is "nothing"."""


def num(value: float) -> str:
    """Write a coordinate with at most two decimals and no trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def figure(width: float, height: float, label: str, parts: Iterable[Markup]) -> Markup:
    """Wrap `parts` into one drawing of `width` x `height` CSS pixels that may shrink a little with the page.

    `label` is the text for screen readers.
    """
    shell = Markup(
        '<svg class="chart" viewBox="0 0 {w} {h}" width="{w}" height="{h}" style="min-width:{least}px" '
        'role="img" aria-label="{label}">{body}</svg>'
    )
    return shell.format(w=num(width), h=num(height), least=num(0.7 * width), label=label, body=Markup("").join(parts))


def text(x: float, y: float, content: object, anchor: str = "start", style: str = "") -> Markup:
    """Write `content` at (x, y); `anchor` is start, middle or end; `style` names classes of the style sheet."""
    return Markup('<text x="{}" y="{}" text-anchor="{}"{}>{}</text>').format(num(x), num(y), anchor, _class(style), content)


def rect(box: tuple[float, float, float, float], style: str, title: str = "", radius: float = 0) -> Markup:
    """Draw the rectangle `box` (x, y, width, height); `title` is shown when the pointer rests on it."""
    x, y, width, height = box
    tip = Markup("<title>{}</title>").format(title) if title else Markup("")
    corner = Markup(' rx="{}"').format(num(radius)) if radius else Markup("")
    return Markup('<rect x="{}" y="{}" width="{}" height="{}"{}{}>{}</rect>').format(
        num(x), num(y), num(width), num(height), corner, _class(style), tip
    )


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    """Draw a straight line."""
    return Markup('<path d="M{} {}L{} {}"{}/>').format(num(x1), num(y1), num(x2), num(y2), _class(style))


def boxes(shapes: Iterable[tuple[float, float, float, float]], style: str) -> Markup:
    """Draw many rectangles (x, y, width, height) of one colour as a single path, which keeps large pages small."""
    drawn = "".join(f"M{num(x)} {num(y)}h{num(w)}v{num(h)}h{num(-w)}z" for x, y, w, h in shapes)
    return Markup('<path d="{}"{}/>').format(drawn, _class(style)) if drawn else Markup("")


def level(value: float, peak: float) -> int:
    """Return the step of the colour scale for `value` out of 0..`peak`: 0 for nothing, else 1..LEVELS."""
    if not (value > 0 and peak > 0):
        return 0
    return min(LEVELS, 1 + int(LEVELS * value / peak * (1 - 1e-9)))


def legend(x: float, y: float, steps: Iterable[int], first: str, last: str) -> Markup:
    """Draw the colour scale as a row of boxes between the words `first` and `last`; needs about 90 + 20 a step in width."""
    parts = [text(x, y + 9, first, style="small")]
    start = x + 6.2 * len(first) + 6
    chosen = list(steps)
    parts += [rect((start + 20 * i, y, 20, 11), f"f{step}") for i, step in enumerate(chosen)]
    parts.append(text(start + 20 * len(chosen) + 6, y + 9, last, style="small"))
    return Markup("").join(parts)


def _class(style: str) -> Markup:
    return Markup(' class="{}"').format(style) if style else Markup("")
