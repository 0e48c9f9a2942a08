"""Numbers as people read them: SI prefixes, thousands separators, percentages. Shared by the page and the terminal.

Every function takes None, NaN and infinities, so that a missing figure appears as a dash and never breaks a report.
"""

from __future__ import annotations

import math
import unicodedata
from typing import Any, TypeVar

from pydantic import BaseModel

from ..subset import describe
from .document import Document, StageResult

MISSING = "–"
_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}


def si(value: float | None, unit: str, digits: int = 3) -> str:
    """Write `value` with `digits` significant digits and an SI prefix: 1.2e-7 and "J" give "120 nJ".

    Zero is "0 J"; what lies beyond the prefixes (below 1 f, from 1000 P) is written with an exponent.
    """
    special = _special(value)
    if value is None or special:
        return special if special == MISSING else f"{special} {unit}".rstrip()
    if value == 0:
        return f"0 {unit}".rstrip()
    power = _exponent(value, digits)
    thousand = 3 * (power // 3)
    if thousand not in _PREFIXES:
        return f"{value:.{digits - 1}e} {unit}".rstrip()
    decimals = max(0, digits - 1 - (power - thousand))
    return f"{_minus(f'{_scaled(value, thousand):.{decimals}f}')} {_PREFIXES[thousand]}{unit}".rstrip()


def count(value: float | None, digits: int = 3) -> str:
    """Write a count: 31760 is "31,760", 0.01234 is "0.0123"; fractions keep `digits` significant digits."""
    special = _special(value)
    if value is None or special:
        return special
    if value == 0:
        return "0"
    power = _exponent(value, digits)
    if power >= 15 or power < -4:
        return _minus(f"{value:.{digits - 1}e}")
    if float(value).is_integer():
        return _minus(f"{int(value):,}")
    return _minus(f"{value:,.{max(0, digits - 1 - power)}f}")


def compact(value: float | None, digits: int = 3) -> str:
    """Write a count compactly: in full below a million, then "12.3 M"; beyond the prefixes with an exponent."""
    if value is None or _special(value) or abs(value) < 1e6:
        return count(value, digits)
    return si(value, "", digits)


def samples_said(found: Document | StageResult) -> str:
    """Say how many samples a run or a stage was of, and which."""
    held = found if isinstance(found, StageResult) else found.subset
    if held is None or held.of is None:
        return f"{count(found.samples)} samples"
    return describe(found.samples, held.of, held.chosen)


def size(octets: float | None) -> str:
    """Write a number of bytes: whole below a thousand, "638 kB" above."""
    return f"{count(octets)} B" if octets is not None and 0 <= octets < 1000 else si(octets, "B")


def percent(fraction: float | None, decimals: int = 2) -> str:
    """Write a fraction as a percentage: 0.9751 is "97.51 %".

    Only a true 0 and a true 1 are written as 0 and 100: anything else that would round to them is "<0.01 %" or ">99.99 %".
    """
    special = _special(fraction)
    if fraction is None or special:
        return special if special == MISSING else f"{special} %"
    step = 10.0**-decimals
    written = f"{100 * fraction:,.{decimals}f}"
    if 0 < fraction < 1:
        if float(written.replace(",", "")) == 0:
            return f"<{step:.{decimals}f} %"
        if float(written.replace(",", "")) == 100:
            return f">{100 - step:.{decimals}f} %"
    return f"{_minus(written)} %"


def points(difference: float | None, decimals: int = 2) -> str:
    """Write the difference of two fractions in percentage points, signed: -0.0005 is "−0.05"; no change is "±0"."""
    special = _special(difference)
    if difference is None or special:
        return special
    if abs(difference) < 1e-12:
        return "±0"
    written = f"{100 * difference:+,.{decimals}f}"
    if float(written.replace(",", "")) == 0:
        return f"{'+' if difference > 0 else '−'}<{10.0**-decimals:.{decimals}f}"
    return _minus(written)


def ratio(value: float | None, bound: float | None) -> str:
    """Write how far `value` lies above its lower `bound`: "1.50×"; a dash if there is nothing to divide by."""
    if value is None or bound is None or _special(value) or _special(bound):
        return MISSING
    if bound == 0:
        return "1.00×" if value == 0 else MISSING
    quotient = value / bound
    return f"{quotient:.2f}×" if abs(quotient) < 1000 else f"{count(quotient)}×"


def duration(seconds: float | None) -> str:
    """Write a span of wall-clock time: "850 ms", "12.5 s", "3 min 20 s", "2 h 05 min"."""
    if seconds is None or _special(seconds) or abs(seconds) < 59.95:
        return si(seconds, "s")
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def plain(text: object) -> str:
    """Return `text` on one line without control or direction-changing characters, which a name from a file may carry."""
    kept = (" " if c in "\t\n\r" else c for c in str(text))
    return "".join(c for c in kept if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"})


Held = TypeVar("Held")
NUMBERS = frozenset({int, float, bool, type(None)})


def clean(document: Held) -> Held:
    """Return a section of results, or JSON values, with every text in it, keys too, made plain."""
    return _clean(document)


def _clean(document: Any) -> Any:
    if isinstance(document, BaseModel):
        named = {name: _clean(getattr(document, name)) for name in document.model_fields_set}
        return document.model_copy(update=named)
    if isinstance(document, dict):
        return {plain(key): _clean(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        numbers = NUMBERS.issuperset(map(type, document))  # a row of a matrix, a raster: no text to look for
        return type(document)(document if numbers else map(_clean, document))
    return plain(document) if isinstance(document, str) else document


def shorten(text: object, limit: int) -> str:
    """Return `text` (made plain) cut to `limit` characters, the cut marked with an ellipsis."""
    line = plain(text)
    return line if len(line) <= limit else f"{line[: max(1, limit - 1)]}…"


def _special(value: float | None) -> str:
    """How None, NaN and the infinities are written; empty for an ordinary number."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return ""


def _exponent(value: float, digits: int) -> int:
    """The decimal exponent of `value` once rounded to `digits` significant digits (999.9 has 3, not 2, at 3 digits)."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def _scaled(value: float, thousand: int) -> float:
    # dividing by an exact power of ten rounds once; multiplying by 1e-3 would round twice
    return value / 10**thousand if thousand >= 0 else value * 10**-thousand


def _minus(written: str) -> str:
    return f"−{written[1:]}" if written.startswith("-") else written


def compiled_once(results: Document) -> str:
    """Say how long compiling kernels took, which is not part of a run's time; empty if none were compiled."""
    seconds = results.compiling_seconds
    return f" Compiled kernels once: {duration(seconds)}." if seconds >= 0.05 else ""
