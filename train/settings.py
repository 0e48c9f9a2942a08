"""What a training run was asked for: checked when made, saved beside the results, compared at resume."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from ..errors import UsageError, unknown_name

Control = Literal["closed", "open"]
CONTROLS = ("closed", "open")
LARGEST_BATCH, STEPS_AN_EPOCH = 128, 40
# Where the files are may change between a run and its resumption; all else decides the weights.
FREE_AT_RESUME = ("data_dir",)


@dataclass(frozen=True)
class TrainSettings:
    """A recipe.

    Args:
        data, net, method: names of files in train/datasets, train/networks and train/methods.
        sparsity: the share of weights that shall be zero, 0 <= sparsity < 1.
        epochs: passes over the training split, the quantisation-aware ones included.
        batch_size: samples a step; None: 128, or fewer so that an epoch has at least 40 steps (`resolved`).
        lr: Adam's learning rate, at the start of its cosine decay.
        timesteps: T, how often a sample is presented.
        hidden: neurons of each hidden layer.
        seed: of the weights, the order of the samples and the validation split.
        control: "closed" reaches the sparsity asked for; "open" is the paper's prior with a fixed `alpha` (grad-r).
        alpha: the prior's strength under open control.
        ramp: the share of the float epochs after which closed control holds the final sparsity.
        weight_bits: None: float weights. 2..8: the last epochs run the chip's integer arithmetic.
        qat_fraction: the share of the epochs that do, at least one epoch.
        qat_lr: their learning rate at the start, as a share of `lr`.
        validation_fraction: of the training samples, held out.
        data_dir: where data files are; None: SPIKELOOM_DATA, else ./data.

    Raises:
        UsageError: a value that makes no sense; the message names it, its limits and a way out.
    """

    data: str
    net: str = "fc"
    method: str = "dense"
    sparsity: float = 0.0
    epochs: int = 20
    batch_size: int | None = None
    lr: float = 1e-2
    timesteps: int = 8
    hidden: tuple[int, ...] = (800,)
    seed: int = 0
    control: Control = "closed"
    alpha: float = 1e-3
    ramp: float = 0.5
    weight_bits: int | None = None
    qat_fraction: float = 0.25
    qat_lr: float = 0.3
    validation_fraction: float = 0.1
    data_dir: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if self.data_dir is not None:
            object.__setattr__(self, "data_dir", str(Path(self.data_dir)))
        _real("sparsity", self.sparsity, 0.0, 1.0, "0 <= sparsity < 1, such as 0.95 for 95 % zeros", include_high=False)
        for name, most in (("epochs", 1_000_000), ("batch_size", 1_000_000), ("timesteps", 4096)):
            if name != "batch_size" or self.batch_size is not None:
                _whole(name, getattr(self, name), 1, most)
        _whole("seed", self.seed, 0, (1 << 63) - 1)
        _real("lr", self.lr, 0.0, 1.0, "0 < lr <= 1, such as 0.001", include_low=False)
        _real("alpha", self.alpha, 0.0, 1e6, "0 < alpha, such as 0.001", include_low=False)
        for name in ("ramp", "qat_lr"):
            _real(name, getattr(self, name), 0.0, 1.0, f"0 < {name} <= 1", include_low=False)
        for name in ("qat_fraction", "validation_fraction"):
            _real(name, getattr(self, name), 0.0, 1.0, f"0 < {name} < 1", include_low=False, include_high=False)
        self._check_structure()

    def _check_structure(self) -> None:
        if not self.hidden:
            raise UsageError("hidden is empty; name at least one hidden layer's neurons, such as (800,).")
        for size in self.hidden:
            _whole("hidden", size, 1, 1 << 20)
        if self.control not in CONTROLS:
            raise unknown_name("control", str(self.control), CONTROLS)
        if self.weight_bits is None:
            return
        _whole("weight_bits", self.weight_bits, 2, 8)
        if self.epochs < 2:
            raise UsageError("epochs is 1, but weight_bits needs at least one float epoch and one integer epoch; ask for epochs >= 2.")

    def resolved(self, samples: int) -> TrainSettings:
        """Return the settings with a batch size that suits so many training samples, where none was asked for."""
        if self.batch_size is not None:
            return self
        return replace(self, batch_size=max(1, min(LARGEST_BATCH, samples // STEPS_AN_EPOCH)))

    @property
    def float_epochs(self) -> int:
        """The epochs before the quantisation-aware ones."""
        if self.weight_bits is None:
            return self.epochs
        return self.epochs - min(max(round(self.epochs * self.qat_fraction), 1), self.epochs - 1)

    def document(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        return asdict(self) | {"hidden": list(self.hidden)}

    def check_same(self, saved: dict[str, Any], where: Path) -> None:
        """Compare with the settings of a run to be resumed.

        Raises:
            UsageError: one differs; the message names it with both values.
        """
        for name, value in self.document().items():
            chosen_for_us = name == "batch_size" and value is None
            if name not in FREE_AT_RESUME and not chosen_for_us and saved.get(name) != value:
                raise UsageError(
                    f"{where} was trained with {name} = {saved.get(name)!r}, not {value!r}. "
                    "Resume it with the same settings, or name another --out."
                )


def _whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{name} is {value!r}; it must be a whole number in {low}..{high}.")


def _real(name: str, value: object, low: float, high: float, need: str, *, include_low: bool = True, include_high: bool = True) -> None:
    number = float(cast(float, value)) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    inside = low <= number <= high and (include_low or number > low) and (include_high or number < high)
    if not inside:
        raise UsageError(f"{name} is {value!r}; it must be  {need}.")
