"""TensorBoard's records: read back by its own reader, and whole wherever a Ctrl-C strikes."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from spikeloom.errors import OutputError
from spikeloom.train.curves import Curves
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROWS = [{"epoch": n, "stage": "float", "loss": 1.0 / n, "sparsity": 0.25 * n} for n in (1, 2, 3)]


def points(folder: Path, name: str) -> list[tuple[int, float]]:
    """Return (step, value) as TensorBoard's reader sees them."""
    return [(point.step, point.value) for point in EventAccumulator(str(folder)).Reload().Scalars(name)]


def test_a_run_that_continues_replaces_what_was_said_of_later_epochs(tmp_path: Path) -> None:
    first = Curves(tmp_path)
    for row in ROWS:
        first.add(row)
    first.close()
    again = Curves(tmp_path, done=1)
    again.add(ROWS[1] | {"loss": 7.0})
    again.close()
    assert points(tmp_path, "loss") == [(1, 1.0), (2, 7.0)]
    assert set(EventAccumulator(str(tmp_path)).Reload().scalars.Keys()) == {"loss", "sparsity"}


def interrupted(folder: Path, at: int) -> bool:
    """Write ROWS with a KeyboardInterrupt at the `at`-th line of Python run; return whether it struck."""
    lines = 0

    def trace(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        if lines == at:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    curves = Curves(folder)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for row in ROWS:
            curves.add(row)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
        curves.close()
    return False


def test_ctrl_c_at_any_line_leaves_whole_records_and_closes(tmp_path: Path) -> None:
    """A writer with a thread of its own waits in close() for ever if Ctrl-C strikes while a record enters its queue."""
    threads, at = threading.active_count(), 1
    while interrupted(tmp_path / str(at), at):
        left = EventAccumulator(str(tmp_path / str(at))).Reload()
        kept = [point.step for point in left.Scalars("loss")] if "loss" in left.scalars.Keys() else []
        assert kept == [1, 2, 3][: len(kept)], at
        at += 1
    assert at > 10 and threading.active_count() == threads


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(OutputError, match=r"events\.out\.tfevents"):
        Curves(tmp_path / "tensorboard")
