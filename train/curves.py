"""The metrics as TensorBoard's curves, one record per epoch.

Written here, on the training's own thread: torch's SummaryWriter hands records to a thread through a queue, and a Ctrl-C that arrives
while one is put into it makes closing the writer wait for ever.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Generator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tensorboard.summary.writer.record_writer import RecordWriter

from ..errors import OutputError

__all__ = ["Curves"]

_event: Any = import_module("tensorboard.compat.proto.event_pb2")  # generated at import: without types
_summary: Any = import_module("tensorboard.compat.proto.summary_pb2")

VERSION = "brain.Event:2"  # the format that TensorBoard asks for in the first record
NOT_CURVES = ("epoch", "stage")


class Curves:
    """An event file in `folder`, readable by TensorBoard.

    Args:
        folder: created if it is missing; each Curves writes a file of its own in it.
        done: finished epochs of a run that continues; TensorBoard drops what older files say of later ones.

    Raises:
        OutputError: the folder cannot be written to, or is full.
    """

    def __init__(self, folder: Path, done: int = 0) -> None:
        name = f"events.out.tfevents.{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}.{time.time_ns()}"
        self._path = folder / name
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            self._records = RecordWriter(self._path.open("xb"))
        self._write(file_version=VERSION)
        if done:
            self._write(step=done + 1, session_log=_event.SessionLog(status=_event.SessionLog.START))

    def add(self, row: Mapping[str, Any]) -> None:
        """Append an epoch's metrics: numbers by name, with `epoch`, and `stage`, which has no curve."""
        values = [_summary.Summary.Value(tag=name, simple_value=float(value)) for name, value in row.items() if name not in NOT_CURVES]
        self._write(step=int(row["epoch"]), summary=_summary.Summary(value=values))

    def close(self) -> None:
        """Close the file."""
        with self._writing():
            self._records.close()

    def _write(self, *, step: int = 0, file_version: str | None = None, session_log: Any = None, summary: Any = None) -> None:
        event = _event.Event(wall_time=time.time(), step=step, file_version=file_version, session_log=session_log, summary=summary)
        with self._writing():
            self._records.write(event.SerializeToString())
            self._records.flush()

    @contextlib.contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"Cannot write {self._path}: {error.strerror}. Free space and continue with --resume.") from error
