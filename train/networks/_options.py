"""Checks of the networks' options."""

from __future__ import annotations

from ...errors import UsageError

__all__ = ["check_real", "check_whole"]


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Check an option of a network.

    Raises:
        UsageError: it is no whole number, or outside low..high; the message names it.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"net.{name} is {value!r}; it must be a whole number from {low} to {high}.")


def check_real(name: str, value: object, low: float, high: float) -> None:
    """Check an option of a network: low <= value < high.

    Raises:
        UsageError: it is no number, or outside; the message names it.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value < high:
        raise UsageError(f"net.{name} is {value!r}; it must be a number with {low:g} <= {name} < {high:g}.")
