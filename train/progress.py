"""Progress reports of training, rare enough that reading from the device costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from .methods.api import Method
from .settings import TrainSettings

__all__ = ["Clock", "ProgressCallback", "epoch_done"]

# epoch, epochs, batch, batches, metrics, seconds left. The metrics are a batch's; with the last one, after validation, the epoch's.
ProgressCallback = Callable[[int, int, int, int, dict[str, float], float], None]
REPORT_EVERY = 0.1  # seconds between two calls of the progress callback
COUNT_EVERY = 1.0  # seconds between two counts of the zeros, which touch every weight


class Training(Protocol):
    """What is reported: `epoch`, the number of finished epochs; `batches`, steps per epoch; `rows`, the metrics of the finished epochs."""

    settings: TrainSettings
    method: Method
    progress: ProgressCallback | None
    epoch: int
    rows: list[dict[str, Any]]

    @property
    def batches(self) -> int:
        """Steps per epoch."""
        ...


class Clock:
    """Calls the progress callback periodically, with the time left as estimated from this process's pace."""

    def __init__(self, trainer: Training) -> None:
        self.trainer, self.began, self.reported = trainer, time.perf_counter(), 0.0
        self.counted, self.sparsity = 0.0, 0.0

    def tick(self, batch: int, loss: Tensor) -> None:
        """Report after the step `batch` (counted from 1), unless it is the last; reads the loss from the device only if it does."""
        trainer, now = self.trainer, time.perf_counter()
        if trainer.progress is None or now - self.reported < REPORT_EVERY or batch >= trainer.batches:
            return
        self.reported = now
        if now - self.counted >= COUNT_EVERY:
            self.counted, self.sparsity = now, trainer.method.sparsity()
        pace = trainer.rows[-1]["seconds"] / trainer.batches if trainer.rows else (now - self.began) / batch
        left = (trainer.settings.epochs - trainer.epoch) * trainer.batches - batch
        metrics = {"loss": float(loss.detach()), "sparsity": self.sparsity}
        trainer.progress(trainer.epoch + 1, trainer.settings.epochs, batch, trainer.batches, metrics, left * pace)


def epoch_done(trainer: Training) -> None:
    """Report the epoch that was validated last: its mean loss, sparsity and validation accuracy."""
    if trainer.progress is None:
        return
    row, epochs = trainer.rows[-1], trainer.settings.epochs
    metrics = {name: float(row[name]) for name in ("loss", "sparsity", "validation_accuracy")}
    trainer.progress(trainer.epoch, epochs, trainer.batches, trainer.batches, metrics, (epochs - trainer.epoch) * row["seconds"])
