"""Progress reports of training, rare enough that reading from the device costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from .methods.api import Method
from .settings import TrainSettings

__all__ = ["Clock", "ProgressCallback"]

# epoch, epochs, batch, batches, metrics so far, seconds left
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
        """Report after the step `batch` (counted from 1) of an epoch; reads the loss from the device only if it does."""
        trainer, now = self.trainer, time.perf_counter()
        if trainer.progress is None or (now - self.reported < REPORT_EVERY and batch < trainer.batches):
            return
        self.reported = now
        if now - self.counted >= COUNT_EVERY or batch == trainer.batches:
            self.counted, self.sparsity = now, trainer.method.sparsity()
        pace = trainer.rows[-1]["seconds"] / trainer.batches if trainer.rows else (now - self.began) / batch
        left = (trainer.settings.epochs - trainer.epoch) * trainer.batches - batch
        metrics = {"loss": float(loss.detach()), "sparsity": self.sparsity}
        if trainer.rows:
            metrics["validation_accuracy"] = trainer.rows[-1]["validation_accuracy"]
        trainer.progress(trainer.epoch + 1, trainer.settings.epochs, batch, trainer.batches, metrics, left * pace)
