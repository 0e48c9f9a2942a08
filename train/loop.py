"""The training loop: epochs, validation, checkpoints. Which state is kept is decided on the validation split alone."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import Dataset, split_validation
from ..errors import DataError, PausedError, UsageError
from ..files import write_text
from ..jit import compiling_seconds
from . import checkpoint as checkpoints
from .averages import Averages
from .chosen import Own, augmentation_of, loss_of, schedule_of
from .compiled import compiled
from .connections import has_norms
from .curves import Curves
from .distributed import World
from .evaluate import accuracy, inputs_of
from .feed import Feed
from .methods import fixed
from .methods.api import Method, Pruning
from .metrics import METRICS
from .model import IntegerPart, Model
from .narrow import narrowed
from .optimizers import outer_of
from .progress import Clock, ProgressCallback, epoch_done
from .quantise import IntegerArithmetic, choose_arithmetic, fits
from .rest import Rest
from .schedules.cosine import cosine
from .settings import TrainSettings
from .state import Best, capture, restore
from .step_graph import step_graph
from .subject import SparsityGoal

__all__ = ["Best", "ProgressCallback", "Trainer"]

CHECKPOINT, TENSORBOARD = "checkpoint.safetensors", "tensorboard"
ORDER, NOISE, AUGMENTATION = 2, 3, 4  # streams of random numbers, besides those of the data module


class Trainer:
    """The state of one run. `run` continues from that state.

    Args:
        settings: the recipe.
        dataset: its data.
        model: the network, on the device of `world`; trained in place.
        method: owns the network's weights.
        folder: the run folder; exists.
        progress: called during epochs.
        world: the processes that train together; None: this one, on the CPU.
        own: loss, schedule and augmentation where they are the caller's own functions; None: none is.
    """

    def __init__(
        self,
        settings: TrainSettings,
        dataset: Dataset,
        model: Model,
        method: Method,
        folder: Path,
        progress: ProgressCallback | None,
        world: World | None = None,
        own: Own | None = None,
    ) -> None:
        self.settings = settings.resolved(len(dataset.train.labels))
        self.dataset, self.model, self.method, self.folder, self.progress = dataset, model, method, folder, progress
        self.world = world or World()
        if len(dataset.train) < 2:
            raise DataError(f"{dataset.name} has one training sample, and one more is needed for validation. Give more samples.")
        training, self.validation = split_validation(dataset.train, settings.validation_fraction, settings.seed)
        self.feed = Feed(training, dataset.levels, self.world.device)
        _check_processes(self.world.size, self.batch_size, len(self.feed))
        own = own or Own()
        self.outer = outer_of(self.settings, own.optimizer, model, method)
        self.rest = Rest({} if self.outer else model.others())
        if self.outer is not None and own.optimizer is not None:
            self.settings = replace(self.settings, lr=self.outer.peak)
        self.loss = loss_of(settings, own)
        self.augment = augmentation_of(settings, own, dataset)
        self.schedule = schedule_of(settings, own)
        self.runner: Callable[[Tensor], Tensor] = model if getattr(method, "rewires", True) else narrowed(model)
        if settings.compile:
            self.runner = compiled(model)
        self.epoch = 0
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Best] = {}
        self.warnings: list[str] = []
        self.arithmetic: dict[str, IntegerArithmetic] | None = None
        self.averages = Averages(model, settings.ema)
        self._check_averages()
        self.graph = step_graph(self, settings.cuda, self.world, self.outer, own)

    @property
    def batch_size(self) -> int:
        """Samples per step, over all processes."""
        return cast(int, self.settings.batch_size)

    @property
    def batches(self) -> int:
        """Steps per epoch. If fewer samples than processes remain at its end, they are skipped; the next epoch has another order.

        Batch normalisation has no variance over one sample, so with it they are also skipped if a process would get only one.
        """
        whole, remainder = divmod(len(self.feed), self.batch_size)
        each = 2 if whole and self.batch_size >= 2 * self.world.size and has_norms(self.model) else 1
        return whole + (remainder >= each * self.world.size)

    def run(self, time_limit: float | None = None) -> None:
        """Train the remaining epochs, with a checkpoint after each.

        Args:
            time_limit: seconds after which no further epoch begins.

        Raises:
            PausedError: the time limit has passed with epochs left.
            OutputError: the folder became full or read-only.
            UsageError: pruning left a layer without a live synapse.
            SpikeloomError: torch.compile failed; or processes that train together came to hold different weights.
        """
        self.world.check_same(self.model.state_dict(), "before training")
        self._write_metrics()
        if self.epoch >= self.settings.epochs:
            return
        end = math.inf if time_limit is None else time.monotonic() + time_limit
        curves = Curves(self.folder / TENSORBOARD, self.epoch) if self.world.is_first else None
        try:
            while self.epoch < self.settings.epochs:
                self._check_time(end)
                row = self._run_epoch()
                self._save()
                self._write_metrics()
                if curves is not None:
                    curves.add(row)
        finally:
            if curves is not None:
                curves.close()

    def _check_time(self, end: float) -> None:
        """Stop where the next epoch would begin after `end`; the first process's clock decides for all."""
        late = float(self.world.is_first and time.monotonic() >= end)
        if float(self.world.total(torch.tensor(late))) > 0:
            if not self.epoch:
                self._save()  # the weights that training starts from: a module of the caller's has others the next time
            raise PausedError(
                f"{self.folder} paused at its time limit after epoch {self.epoch} of {self.settings.epochs}. Continue it with --resume."
            )

    def _run_epoch(self) -> dict[str, Any]:
        began, compiled_before = time.perf_counter(), compiling_seconds()
        if self.settings.tune_fraction and self.epoch == self.settings.pruning_epochs:
            self.enter_tuning()
        if self.epoch == self.settings.float_epochs:
            self._enter_integers()
        loss, rate = self._train_epoch()
        progress = self._progress(self.epoch + 1)
        numbers = self.method.end_epoch(progress)
        self.world.average_buffers(self.model)
        self.world.check_same(self.model.state_dict(), f"after epoch {self.epoch + 1}")
        self._follow_weights()
        stage = "integer" if self.arithmetic else "float"
        self.averages.end_epoch()
        with self.averages.in_place():
            validated = accuracy(self.model, self.validation, self.dataset.levels, self.world, self._precision())
            self._keep_best(stage, validated, progress)
        row: dict[str, Any] = {"epoch": self.epoch + 1, "stage": stage, "loss": loss, "validation_accuracy": validated}
        seconds = time.perf_counter() - began - (compiling_seconds() - compiled_before)
        row |= {"sparsity": self.method.sparsity(), "lr": rate, **numbers, "seconds": max(seconds, 1e-9)}
        self.rows.append(row)
        self.epoch += 1
        epoch_done(self)
        return row

    def _train_epoch(self) -> tuple[float, float]:
        """Take the epoch's steps; return the mean loss and the last learning rate. All randomness follows from (seed, epoch)."""
        self.model.train()
        torch.manual_seed(self._seed(NOISE))
        noise = torch.Generator(self.world.device).manual_seed(self._seed(AUGMENTATION))
        order = self.feed.place(np.random.default_rng([self.settings.seed, ORDER, self.epoch]).permutation(len(self.feed)))
        total, samples = torch.zeros((), device=self.world.device), 0
        rate, clock = 0.0, Clock(self)
        for batch, chosen in enumerate(order.split(self.batch_size)[: self.batches]):
            rate = self._rate(self.epoch + batch / self.batches)
            x, labels = self.feed.take(self.world.part(chosen), integer=self.model.is_integer)
            x = self.augment(x, noise)
            x = x.round() if self.model.is_integer else x
            loss = self.step(x, labels, rate, self._progress(self.epoch + (batch + 1) / self.batches), len(labels) / len(chosen))
            if self.averages.decay and self._settled:
                self.averages.update()
            total += loss * len(labels)
            samples += len(chosen)
            clock.tick(batch + 1, loss)
        return float(self.world.total(total)) / samples, rate

    def step(self, x: Tensor, labels: Tensor, rate: float, progress: float, part: float = 1.0) -> Tensor:
        """Take one training step on this process's part of a batch; return the part's mean loss, on the device.

        Args:
            x: samples (n, *shape), real values or, in the integer stage, integers.
            labels: their classes, int64 (n,).
            rate: the learning rate.
            progress: the completed share of the float stage, 0..1.
            part: this part's share of the batch's samples.
        """
        if self.graph is not None:
            return self.graph.step(x, labels, rate, progress)
        return self.whole_step(x, labels, rate, progress, part)

    def whole_step(self, x: Tensor, labels: Tensor, rate: float, progress: float, part: float = 1.0) -> Tensor:
        """Take a step as it is, without a recording of one (`step_graph`); see `step`."""
        loss = self.backward(x, labels, part)
        if self.outer is None:
            self.method.step(rate, progress)
            self.rest.step(rate)
        else:
            outer, share = self.outer, rate / cast(float, self.settings.lr)
            cast(Pruning, self.method).step_by(lambda: outer.step(share), rate, progress)
        return loss

    def backward(self, x: Tensor, labels: Tensor, part: float = 1.0) -> Tensor:
        """Compute the gradients of a batch, summed over the processes; return the loss of this process's part."""
        self.method.zero_grad()
        self.rest.zero_grad()
        if self.outer is not None:
            self.outer.zero_grad()
        loss = self._loss(x, labels)
        (loss if part == 1.0 else loss * part).backward()
        self.world.add_gradients(self.model.parameters())
        return loss.detach()

    def _loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch, mean over its samples."""
        with self._precision():
            output = self.runner(x)
        return self.loss(output, labels, inputs_of(x, self.dataset.levels, integer=False) if self.model.is_integer else x)

    def _precision(self) -> AbstractContextManager[object]:
        """Autocast, if requested; the integer stage is exact and does not use it."""
        if self.settings.precision == "float32" or self.arithmetic is not None:
            return nullcontext()
        return torch.autocast(self.world.device.type, torch.bfloat16)

    @property
    def _settled(self) -> bool:
        return bool(getattr(self.method, "settled", False))

    def _check_averages(self) -> None:
        settings = self.settings
        settles = self._settled or getattr(self.method, "settles", False) or settings.tune_fraction or settings.weight_bits
        if settings.ema and not settles:
            raise UsageError(
                f"ema averages weights whose synapses stay, and {settings.method} rewires in all epochs. Add --tune-fraction, such as 0.5, "
                "or fine-tune the run with --method fixed."
            )

    def _seed(self, stream: int) -> int:
        key = [self.settings.seed, stream, self.epoch, self.world.rank]
        return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))

    def _progress(self, epoch: float) -> float:
        return min(epoch / self.settings.pruning_epochs, 1.0)

    def _rate(self, epoch: float) -> float:
        """The schedule over the float epochs, then a cosine, from a lower start, over the integer ones."""
        settings = self.settings
        peak = cast(float, settings.lr)
        if epoch < settings.float_epochs:
            return peak * self.schedule(epoch / settings.float_epochs)
        done = (epoch - settings.float_epochs) / (settings.epochs - settings.float_epochs)
        return peak * settings.qat_lr * cosine(done)

    def _enter_integers(self) -> None:
        """Choose the chip's registers for the weights, or averages, that the float epochs ended with; rewiring ends."""
        self.averages.put()
        self.averages.forget()
        self.use({name: self._registers(part) for name, part in self.model.integer_parts().items()})

    def _registers(self, part: IntegerPart) -> IntegerArithmetic:
        """Choose a layer's registers for its current weights."""
        levels = self.dataset.levels if part.is_first else 1
        bias = None if part.bias is None else part.bias.numpy()
        return choose_arithmetic(part.weight.numpy(), part.neuron, cast(int, self.settings.weight_bits), levels, 1.0 / levels, bias)

    def _fits(self, name: str, part: IntegerPart) -> bool:
        return fits(part.weight, cast("dict[str, IntegerArithmetic]", self.arithmetic)[name], part.bias)

    def _follow_weights(self) -> None:
        """Choose new registers for layers whose weights have outgrown them, until an epoch's integers can be kept."""
        best = self.best.get("integer")
        if self.arithmetic is None or (best is not None and best.eligible):
            return
        grown = {name: part for name, part in self.model.integer_parts().items() if not self._fits(name, part)}
        if grown:
            self.best.pop("integer", None)  # its integers belong to the old registers
            self.use(self.arithmetic | {name: self._registers(part) for name, part in grown.items()})

    def enter_tuning(self) -> None:
        """Keep the synapses that there are from now on; only their weights are trained."""
        self.method = fixed.build(self.model, SparsityGoal(0.0, self.settings.seed), fixed.Options())
        self.runner = self.runner if self.settings.compile else narrowed(self.model)

    def use(self, arithmetic: dict[str, IntegerArithmetic]) -> None:
        """Enter the integer stage with these registers, by layer."""
        self.arithmetic = arithmetic
        self.method.freeze()
        self.model.use_integers(arithmetic)

    def _keep_best(self, stage: str, validated: float, progress: float) -> None:
        parts = self.model.integer_parts() if self.arithmetic else {}
        eligible = self.method.is_final(progress) and all(self._fits(name, part) for name, part in parts.items())
        best = self.best.get(stage)
        if best is None or (eligible, validated) > (best.eligible, best.accuracy):
            state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
            self.best[stage] = Best(eligible, validated, self.epoch + 1, self.method.sparsity(), state)

    # --- files -------------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        if self.world.is_first:
            checkpoints.write(self.folder / CHECKPOINT, capture(self))

    def restore(self, saved: checkpoints.Checkpoint) -> None:
        """Restore the state of a checkpoint.

        Raises:
            FormatError: it lacks something or does not fit the network.
        """
        restore(self, saved, self.folder / CHECKPOINT)

    def _write_metrics(self) -> None:
        """Rewrite all lines: a killed run leaves no partial line, and a resumed one no line of an epoch that it repeats."""
        if self.world.is_first:
            write_text(self.folder / METRICS, _lines(self.rows))


def _check_processes(processes: int, batch_size: int, samples: int) -> None:
    if min(batch_size, samples) < processes:
        raise UsageError(
            f"{processes} processes train together on {samples} samples in batches of {batch_size}, and each needs at least one sample of "
            f"a batch. Start fewer, or ask for --batch-size {processes} or more."
        )


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
