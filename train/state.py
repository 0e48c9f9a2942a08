"""Converts a trainer's state to a checkpoint and back: everything needed to continue a run bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from ..errors import DAMAGE, FormatError
from ..hwmodels.quantise import LayerRegisters
from . import platform
from .averages import Averages
from .checkpoint import Checkpoint
from .distributed import World
from .methods.api import Method
from .metrics import row_of
from .model import Model
from .optimizers import Outer
from .quantise import IntegerArithmetic
from .rest import Rest
from .settings import TrainSettings

__all__ = ["Best", "capture", "load_state", "restore"]


@dataclass
class Best:
    """The state of a stage with the best validation accuracy; those at the requested sparsity take precedence over all others.

    `state` is the network's whole `state_dict`: weights, biases, normalisation with its running statistics.
    """

    eligible: bool
    accuracy: float
    epoch: int
    sparsity: float
    state: dict[str, Tensor] = field(repr=False)


class Trained(Protocol):
    """The state of a trainer that a checkpoint holds; see `loop.Trainer`."""

    settings: TrainSettings
    world: World
    model: Model
    method: Method
    rest: Rest
    outer: Outer | None
    epoch: int
    rows: list[dict[str, Any]]
    best: dict[str, Best]
    arithmetic: dict[str, IntegerArithmetic] | None
    averages: Averages

    def enter_tuning(self) -> None:
        """Keep the synapses that there are from now on."""
        ...

    def use(self, arithmetic: dict[str, IntegerArithmetic]) -> None:
        """Enter the integer stage with these registers, by layer."""
        ...


def capture(trainer: Trained) -> Checkpoint:
    """Return the trainer's state. It holds no random generator: each epoch's random numbers follow from the seed and its number."""
    tensors = {f"method/{name}": t for name, t in trainer.method.state_tensors().items()}
    tensors |= {f"model/{name}": t for name, t in _unowned(trainer).items()}
    tensors |= {f"rest/{name}": t for name, t in trainer.rest.state_tensors().items()}
    if trainer.outer is not None:
        tensors |= {f"optimizer/{name}": t for name, t in trainer.outer.state_tensors().items()}
    tensors |= {f"average/{name}": t for name, t in trainer.averages.state_tensors().items()}
    for stage, best in trainer.best.items():
        tensors |= {f"best.{stage}/{name}": t for name, t in best.state.items()}
    bests = {s: {"eligible": b.eligible, "accuracy": b.accuracy, "epoch": b.epoch, "sparsity": b.sparsity} for s, b in trainer.best.items()}
    document = {
        "settings": trainer.settings.document(),
        "platform": platform.record(trainer.world.size, trainer.world.device.type),
        "epoch": trainer.epoch,
        "rows": trainer.rows,
        "best": bests,
        "arithmetic": {name: asdict(a) for name, a in trainer.arithmetic.items()} if trainer.arithmetic else None,
    }
    if trainer.outer is not None:
        document["optimizer"] = trainer.outer.numbers()
    return Checkpoint(tensors, document)


def _unowned(trainer: Trained) -> dict[str, Tensor]:
    """The part of the model's state that the method's state does not include."""
    owned = {w.data_ptr() for w in trainer.model.weights().values()}
    return {name: t for name, t in trainer.model.state_dict().items() if t.data_ptr() not in owned}


def restore(trainer: Trained, saved: Checkpoint, path: Path) -> None:
    """Give a new trainer the state of a checkpoint.

    Raises:
        FormatError: it lacks something or does not fit the network; the message names `path`.
    """
    try:
        _restore(trainer, saved)
    except (RuntimeError, *DAMAGE) as error:
        raise FormatError(f"{path} is damaged: {error}. Train again, with another --out.") from error


def _restore(trainer: Trained, saved: Checkpoint) -> None:
    document = saved.document
    if trainer.settings.tune_fraction and int(document["epoch"]) > trainer.settings.pruning_epochs:
        trainer.enter_tuning()
    arithmetic = cast("Mapping[str, Any] | None", document["arithmetic"])
    if arithmetic is not None:
        trainer.use({name: _arithmetic(a) for name, a in arithmetic.items()})
    _copy_into(_unowned(trainer), saved.part("model"), "the network")
    trainer.method.load_state_tensors(saved.part("method"))
    trainer.rest.load_state_tensors(saved.part("rest"))
    if trainer.outer is not None:
        trainer.outer.load(saved.part("optimizer"), document["optimizer"])
    trainer.averages.load_state_tensors(saved.part("average"))
    trainer.epoch, trainer.rows = int(document["epoch"]), [row_of(row) for row in document["rows"]]
    if trainer.epoch != len(trainer.rows):
        raise ValueError(f"it has metrics of {len(trainer.rows)} epochs, not of {trainer.epoch}")
    expected = {name: t.shape for name, t in trainer.model.state_dict().items()}
    for stage, b in cast("Mapping[str, Any]", document["best"]).items():
        state = saved.part(f"best.{stage}")
        if {name: t.shape for name, t in state.items()} != expected:
            raise ValueError(f"the best {stage} weights are of another network")
        trainer.best[stage] = Best(bool(b["eligible"]), float(b["accuracy"]), int(b["epoch"]), float(b["sparsity"]), state)


def _arithmetic(document: Mapping[str, Any]) -> IntegerArithmetic:
    return IntegerArithmetic(LayerRegisters(**document["registers"]), int(document["levels"]), float(document["input_scale"]))


def load_state(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors` into the state of a model.

    Raises:
        ValueError: a name is missing or unexpected, or a shape differs; the message names it.
    """
    _copy_into(model.state_dict(), tensors, "the network")


def _copy_into(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str) -> None:
    for name in [*state, *tensors]:
        if name not in tensors or name not in state:
            raise ValueError(f"{name} is {'not among its tensors' if name not in tensors else f'no part of {what}'}")
        if tensors[name].shape != state[name].shape:
            raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}, not {tuple(state[name].shape)}")
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(tensors[name])
