"""Checks of the networks' options."""

from __future__ import annotations

from ...errors import UsageError

__all__ = ["check_sizes", "check_whole"]


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Check an option of a network.

    Raises:
        UsageError: it is no whole number, or outside low..high; the message names it.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"net.{name} is {value!r}; it must be a whole number from {low} to {high}.")


def check_sizes(width: object, votes: object, dropout: object) -> None:
    """Check the options that all convolutional networks have.

    Raises:
        UsageError: one makes no sense; the message names it.
    """
    check_whole("width", width, 1, 1 << 12)
    check_whole("votes", votes, 1, 1 << 10)
    if not isinstance(dropout, int | float) or isinstance(dropout, bool) or not 0.0 <= dropout < 1.0:
        raise UsageError(f"net.dropout is {dropout!r}; it must be a number with 0 <= dropout < 1.")
