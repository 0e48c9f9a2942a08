"""Rows of metrics, one per epoch, as stored in metrics.jsonl and in checkpoints. Does not import torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from ..errors import DAMAGE, FormatError
from ..files import read_bytes

__all__ = ["METRICS", "read_metrics", "row_of"]

METRICS = "metrics.jsonl"
Row = dict[str, Any]


def row_of(value: object) -> Row:
    """Return a row read from a file: numbers by name, including `epoch` and `seconds`, and the name of its stage.

    Raises:
        ValueError: it is anything else.
    """
    if not isinstance(value, dict):
        raise ValueError("a row of metrics is not a table")
    row = cast(Row, value)
    for name in ("epoch", "seconds", *row):
        if name != "stage" and (isinstance(row.get(name), bool) or not isinstance(row.get(name), int | float)):
            raise ValueError(f"{name} of a row of metrics is not a number")
    return row


def read_metrics(folder: Path) -> list[Row]:
    """Return the rows of a run folder's metrics.jsonl, one per epoch.

    Raises:
        FormatError: missing, empty or damaged; the message says in which line.
    """
    path = folder / METRICS
    rows: list[Row] = []
    for number, line in enumerate(read_bytes(path, "the metrics").splitlines(), 1):
        try:
            rows.append(row_of(json.loads(line)))
        except DAMAGE as error:
            raise FormatError(f"{path} is damaged in line {number}: {error}. Remove {folder} and train again.") from error
    if not rows:
        raise FormatError(f"{path} is empty. Remove {folder} and train again.")
    return rows
