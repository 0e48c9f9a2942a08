"""The training loop: epochs, validation, checkpoints. What it keeps is decided on the validation split alone."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter

from ..errors import FormatError
from ..files import write_text
from ..hwmodels.quantise import LayerRegisters
from . import checkpoint as checkpoints
from .data import Dataset, split_validation
from .evaluate import accuracy, inputs_of
from .layers import SpikingNetwork
from .methods._base import Method
from .quantise import IntegerArithmetic, choose_arithmetic, fits
from .settings import TrainSettings

__all__ = ["Best", "ProgressCallback", "Trainer"]

# epoch, epochs, batch, batches, metrics so far, seconds left
ProgressCallback = Callable[[int, int, int, int, dict[str, float], float], None]
CHECKPOINT, METRICS, TENSORBOARD = "checkpoint.safetensors", "metrics.jsonl", "tensorboard"
REPORT_EVERY = 0.1  # seconds between two calls of the progress callback


@dataclass
class Best:
    """The best-validated weights of a stage; those at the sparsity asked for come before all others."""

    eligible: bool
    accuracy: float
    epoch: int
    sparsity: float
    weights: dict[str, Tensor] = field(repr=False)


class Trainer:
    """One run's state. `run` goes on from wherever that state is.

    Args:
        settings: the recipe.
        dataset: its data.
        model: the network, trained in place.
        method: owns the network's weights.
        folder: the run folder; exists.
        progress: called during epochs.
    """

    def __init__(
        self,
        settings: TrainSettings,
        dataset: Dataset,
        model: SpikingNetwork,
        method: Method,
        folder: Path,
        progress: ProgressCallback | None,
    ) -> None:
        self.settings, self.dataset, self.model, self.method = settings, dataset, model, method
        self.folder, self.progress = folder, progress
        training, self.validation = split_validation(dataset.train, settings.validation_fraction, settings.seed)
        self.values = torch.from_numpy(training.values.reshape(len(training), -1).copy())
        self.labels = torch.from_numpy(training.labels.copy())
        self.batch_size = settings.resolved(len(dataset.train.labels)).batch_size or 1
        self.epoch = 0
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Best] = {}
        self.arithmetic: dict[str, IntegerArithmetic] | None = None

    @property
    def batches(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.labels) // self.batch_size)

    def run(self) -> None:
        """Train the epochs that are left, with a checkpoint after each.

        Raises:
            OutputError: the folder became full or read-only.
            UsageError: pruning left a layer without a live synapse.
        """
        self._write_metrics()
        if self.epoch >= self.settings.epochs:
            return
        writer = SummaryWriter(str(self.folder / TENSORBOARD), purge_step=self.epoch if self.epoch else None)
        try:
            while self.epoch < self.settings.epochs:
                row = self._run_epoch()
                self._save()
                self._write_metrics()
                _log(writer, row)
        finally:
            writer.close()

    def _run_epoch(self) -> dict[str, Any]:
        began = time.perf_counter()
        if self.epoch == self.settings.float_epochs:
            self._enter_integers()
        loss, rate = self._train_epoch()
        progress = self._progress(self.epoch + 1)
        numbers = self.method.end_epoch(progress)
        validated = accuracy(self.model, self.validation, self.dataset.levels)
        stage = "integer" if self.arithmetic else "float"
        self._keep_best(stage, validated, progress)
        row: dict[str, Any] = {"epoch": self.epoch + 1, "stage": stage, "loss": loss, "validation_accuracy": validated}
        row |= {"sparsity": self.method.sparsity(), "lr": rate, **numbers, "seconds": time.perf_counter() - began}
        self.rows.append(row)
        self.epoch += 1
        return row

    def _train_epoch(self) -> tuple[float, float]:
        """Take the epoch's steps; return the mean loss and the last learning rate. The order follows from (seed, epoch)."""
        settings = self.settings
        order = torch.from_numpy(np.random.default_rng([settings.seed, 2, self.epoch]).permutation(len(self.labels)))
        total, rate, clock = torch.zeros(()), 0.0, _Clock(self)
        for batch, chosen in enumerate(order.split(self.batch_size)):
            rate = self._rate(self.epoch + batch / self.batches)
            x = inputs_of(self.values[chosen], self.dataset.levels, integer=self.model.is_integer)
            self.method.zero_grad()
            loss = self._loss(x, self.labels[chosen])
            loss.backward()
            self.method.step(rate, self._progress(self.epoch + (batch + 1) / self.batches))
            total += loss.detach() * len(chosen)
            clock.tick(batch + 1, loss)
        return float(total) / len(self.labels), rate

    def _loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """The mean squared distance between firing rates (spikes a step) and the one-hot label."""
        rates = self.model(x).mean(0)
        return torch.nn.functional.mse_loss(rates, torch.nn.functional.one_hot(labels, self.dataset.classes).to(rates.dtype))

    def _progress(self, epoch: float) -> float:
        return min(epoch / self.settings.float_epochs, 1.0)

    def _rate(self, epoch: float) -> float:
        """Cosine decay to 0 over the float epochs, and again, from a lower start, over the integer ones."""
        settings = self.settings
        if epoch < settings.float_epochs:
            return settings.lr * 0.5 * (1.0 + math.cos(math.pi * epoch / settings.float_epochs))
        done = (epoch - settings.float_epochs) / (settings.epochs - settings.float_epochs)
        return settings.lr * settings.qat_lr * 0.5 * (1.0 + math.cos(math.pi * done))

    def _enter_integers(self) -> None:
        """Choose the chip's registers for the weights that the float epochs ended with; rewiring ends."""
        bits = cast(int, self.settings.weight_bits)
        chosen: dict[str, IntegerArithmetic] = {}
        for name, layer in self.model.named_layers():
            levels = self.dataset.levels if layer.is_first else 1
            chosen[name] = choose_arithmetic(layer.linear.weight.detach().numpy(), layer.neuron, bits, levels, 1.0 / levels)
        self._use(chosen)

    def _use(self, arithmetic: dict[str, IntegerArithmetic]) -> None:
        self.arithmetic = arithmetic
        self.method.freeze()
        for name, layer in self.model.named_layers():
            layer.integer = arithmetic[name]

    def _keep_best(self, stage: str, validated: float, progress: float) -> None:
        eligible = self.method.is_final(progress) and all(
            layer.integer is None or fits(layer.linear.weight, layer.integer) for _, layer in self.model.named_layers()
        )
        best = self.best.get(stage)
        if best is None or (eligible, validated) > (best.eligible, best.accuracy):
            weights = {name: w.detach().clone() for name, w in self.model.weights().items()}
            self.best[stage] = Best(eligible, validated, self.epoch + 1, self.method.sparsity(), weights)

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        tensors = {f"method/{name}": t for name, t in self.method.state_tensors().items()}
        tensors["rng"] = torch.get_rng_state()
        for stage, best in self.best.items():
            tensors |= {f"best.{stage}/{name}": t for name, t in best.weights.items()}
        document = {
            "settings": self.settings.document(),
            "epoch": self.epoch,
            "rows": self.rows,
            "best": {
                s: {"eligible": b.eligible, "accuracy": b.accuracy, "epoch": b.epoch, "sparsity": b.sparsity} for s, b in self.best.items()
            },
            "arithmetic": {name: asdict(a) for name, a in self.arithmetic.items()} if self.arithmetic else None,
        }
        checkpoints.write(self.folder / CHECKPOINT, checkpoints.Checkpoint(tensors, document))

    def restore(self, saved: checkpoints.Checkpoint) -> None:
        """Take over the state of a checkpoint.

        Raises:
            FormatError: it lacks something or does not fit the network.
        """
        try:
            self._restore(saved)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise FormatError(f"{self.folder / CHECKPOINT} is damaged: {error}. Train again, with another --out.") from error

    def _restore(self, saved: checkpoints.Checkpoint) -> None:
        document = saved.document
        arithmetic = cast("Mapping[str, Any] | None", document["arithmetic"])
        if arithmetic is not None:
            self._use({name: _arithmetic(a) for name, a in arithmetic.items()})
        self.method.load_state_tensors(saved.part("method"))
        torch.set_rng_state(saved.tensors["rng"])
        self.epoch, self.rows = int(document["epoch"]), list(document["rows"])
        for stage, b in cast("Mapping[str, Any]", document["best"]).items():
            weights = saved.part(f"best.{stage}")
            if {n: w.shape for n, w in weights.items()} != {n: w.shape for n, w in self.model.weights().items()}:
                raise ValueError(f"the best {stage} weights are of another network")
            self.best[stage] = Best(bool(b["eligible"]), float(b["accuracy"]), int(b["epoch"]), float(b["sparsity"]), weights)

    def _write_metrics(self) -> None:
        """Write all lines anew: a kill leaves no partial line, and a resumed run no line of an epoch it runs again."""
        write_text(self.folder / METRICS, _lines(self.rows))


class _Clock:
    """Calls the progress callback now and then, with the time left as estimated from this process's pace."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.began, self.reported = trainer, time.perf_counter(), 0.0

    def tick(self, batch: int, loss: Tensor) -> None:
        trainer, now = self.trainer, time.perf_counter()
        if trainer.progress is None or (now - self.reported < REPORT_EVERY and batch < trainer.batches):
            return
        self.reported = now
        pace = trainer.rows[-1]["seconds"] / trainer.batches if trainer.rows else (now - self.began) / batch
        left = (trainer.settings.epochs - trainer.epoch) * trainer.batches - batch
        metrics = {"loss": float(loss.detach()), "sparsity": trainer.method.sparsity()}
        if trainer.rows:
            metrics["validation_accuracy"] = trainer.rows[-1]["validation_accuracy"]
        trainer.progress(trainer.epoch + 1, trainer.settings.epochs, batch, trainer.batches, metrics, left * pace)


def _arithmetic(document: Mapping[str, Any]) -> IntegerArithmetic:
    return IntegerArithmetic(LayerRegisters(**document["registers"]), int(document["levels"]), float(document["input_scale"]))


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _log(writer: SummaryWriter, row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        if name not in ("epoch", "stage"):
            writer.add_scalar(name, float(value), int(row["epoch"]))
    writer.flush()
