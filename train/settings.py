"""The settings of a training run: checked when made, saved beside the results, compared on resume."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from .. import registry
from ..checked import check_fields
from ..errors import UsageError, unknown_name
from ..registry import build
from .cuda_options import CudaOptions

__all__ = ["Device", "Precision", "TrainSettings", "check_real", "check_whole"]

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bf16"]
CHOICES: dict[str, tuple[str, ...]] = {
    "device": get_args(Device),
    "precision": get_args(Precision),
}
OPTIONS = (
    "method_options", "net_options", "data_options", "loss_options", "schedule_options", "augment_options", "optimizer_options",
    "cuda_options",
)  # fmt: skip
ADAM = "adam"  # the methods' own
OPTIMIZERS = (ADAM, "adadelta", "adafactor", "adagrad", "adamax", "adamw", "asgd", "nadam", "radam", "rmsprop", "rprop", "sgd")
LARGEST_BATCH, STEPS_AN_EPOCH = 128, 40
LR, CONVOLUTIONAL_LR = 1e-2, 1e-3
TIMESTEPS = 8
# The location of files may change between a run and its resumption; everything else affects the weights.
# So do threads and the ways of CUDA, in the last bits: a resumed run keeps its number of threads unless another is requested, and warns of
# other bits.
FREE_AT_RESUME = ("data_dir", "threads", "cuda_options")


@dataclass(frozen=True)
class TrainSettings:
    """A recipe.

    Args:
        data, net, method: names of files in data/sets, train/networks and train/methods; of samples and modules of the caller's own
            (`fit`), `own:NAME:DIGEST`.
        data_options, net_options, method_options: their options by name, e.g. {"hidden": (800,)} for the network fc; loss_options,
            schedule_options and augment_options likewise.
        sparsity: the share of weights that is to be zero, 0 <= sparsity < 1.
        epochs: passes over the training split, the quantisation-aware ones included.
        batch_size: samples per step, over all processes; None: 128, or fewer so that an epoch has at least 40 steps.
        lr: Adam's peak learning rate; None: 0.01, or 0.001 for a network with convolutions.
        schedule: how the learning rate changes over the float stage: a file in train/schedules. This, `loss` and `augment` may also be the
            caller's own functions (`fit`), which are named MODULE.NAME here.
        warmup: the share of the float stage spent warming up, in schedules that do, 0 < warmup < 1.
        timesteps: T, how often a static sample is presented; None: 8, or the frames of a sample whose data have their own.
        loss: a file in train/losses.
        tet_lambda: the weight of the second term of the loss tet, 0..1; 1e-3 is what published scripts that use it start from.
        augment: a file in train/augments: "published": what papers use on the data set; "gentle": small rotations, shifts and scalings, for
            any images; "none".
        seed: for the weights, the order of the samples, augmentation, dropout and the validation split.
        weight_bits: None: float weights. 2..8: the last epochs run the chip's integer arithmetic.
        qat_fraction: the share of the epochs that do so, at least one epoch.
        tune_fraction: the share of the float epochs, at their end, in which the synapses stay as they are and only their weights are
            trained, by the method fixed; 0: none. Shares in the method's options (`ramp`) are then of the float epochs before these.
        qat_lr: learning rate at the start of these epochs' own cosine, as a share of `lr`.
        ema: decay per step of exponential moving averages of the weights, 0 <= ema < 1, such as 0.9995; 0: none (`averages`). They begin
            once the synapses stay as they are (dense, fixed, tune_fraction, weight_bits), and are validated, kept and exported in place
            of the weights.
        validation_fraction: the share of the training samples held out.
        init: a trained run, its model.safetensors, or zoo:NAME, whose weights training starts from; None: random ones.
        device: "auto": CUDA if available, else the CPU; with weight_bits always the CPU, the only device with the integer arithmetic.
        precision: "bf16": torch's autocast to bfloat16; weights and optimiser stay float32.
        compile: whether torch.compile builds the training step.
        threads: number of torch's threads on the CPU, per process; None: as many as the work is worth, at most torch's own setting.
            Sums are split among them, so the last bits of the weights depend on their number.
        data_dir: where data files are; None: SPIKELOOM_DATA, else ./data.
        optimizer: adam, within the method; or another of torch.optim, by name, or the caller's own (`fit`), named MODULE.NAME here.
        optimizer_options: its options by name, such as {"momentum": 0.9} of sgd; with those, adam is torch's.
        cuda_options: how CUDA is used, by name: graph, tf32, cudnn, see `cuda_options.CudaOptions`; without effect on a CPU.

    Raises:
        UsageError: an invalid value; the message names it, its limits and a way out.
    """

    data: str
    net: str = "fc"
    method: str = "dense"
    sparsity: float = 0.0
    epochs: int = 20
    batch_size: int | None = None
    lr: float | None = None
    schedule: str = "cosine"
    warmup: float = 0.1
    timesteps: int | None = None
    loss: str = "mse"
    tet_lambda: float = 1e-3
    augment: str = "none"
    seed: int = 0
    weight_bits: int | None = None
    qat_fraction: float = 0.25
    qat_lr: float = 0.3
    tune_fraction: float = 0.0
    ema: float = 0.0
    validation_fraction: float = 0.1
    init: str | None = None
    device: Device = "auto"
    precision: Precision = "float32"
    compile: bool = False
    threads: int | None = None
    data_dir: str | None = None
    method_options: Mapping[str, Any] = field(default_factory=dict)
    net_options: Mapping[str, Any] = field(default_factory=dict)
    data_options: Mapping[str, Any] = field(default_factory=dict)
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    augment_options: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str = ADAM
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    cuda_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("data_dir", "init"):
            if isinstance(getattr(self, name), str | Path):
                object.__setattr__(self, name, str(Path(getattr(self, name))))
        check_fields(self)
        for name in OPTIONS:
            given = cast("Mapping[str, Any]", getattr(self, name))
            object.__setattr__(self, name, {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()})
        check_real("sparsity", self.sparsity, 0.0, 1.0, "0 <= sparsity < 1, such as 0.95 for 95 % zeros", include_high=False)
        for name, most in (("epochs", 1_000_000), ("batch_size", 1_000_000), ("timesteps", 4096), ("threads", 4096)):
            if name == "epochs" or getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1, most)
        check_whole("seed", self.seed, 0, (1 << 63) - 1)
        if self.lr is not None:
            check_real("lr", self.lr, 0.0, 1.0, "0 < lr <= 1, such as 0.001", include_low=False)
        check_real("qat_lr", self.qat_lr, 0.0, 1.0, "0 < qat_lr <= 1", include_low=False)
        check_real("tune_fraction", self.tune_fraction, 0.0, 1.0, "0 <= tune_fraction < 1", include_high=False)
        check_real("ema", self.ema, 0.0, 1.0, "0 <= ema < 1, such as 0.9995", include_high=False)
        if self.tune_fraction and self.method == "upr":
            raise UsageError("tune_fraction is for methods that prune to the end; upr fine-tunes by itself (method.search).")
        check_real("tet_lambda", self.tet_lambda, 0.0, 1.0, "0 <= tet_lambda <= 1")
        for name in ("qat_fraction", "validation_fraction", "warmup"):
            check_real(name, getattr(self, name), 0.0, 1.0, f"0 < {name} < 1", include_low=False, include_high=False)
        object.__setattr__(self, "cuda_options", asdict(self.cuda) if self.cuda_options else {})
        self._check_choices()

    @property
    def cuda(self) -> CudaOptions:
        """How CUDA is used."""
        return build(CudaOptions, self.cuda_options, "the use of CUDA")

    def _check_choices(self) -> None:
        self._check_files()
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, str(getattr(self, name)), known)
        if not isinstance(cast(object, self.compile), bool):
            raise UsageError(f"compile is {self.compile!r}; it must be true or false.")
        if self.weight_bits is None:
            return
        check_whole("weight_bits", self.weight_bits, 2, 8)
        if self.device == "cuda":
            raise UsageError("weight_bits trains in the chip's integers, which only the CPU computes here. Leave out --device cuda.")
        if self.epochs < 2:
            raise UsageError("epochs is 1, but weight_bits needs at least one float epoch and one integer epoch; ask for epochs >= 2.")

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> TrainSettings:
        """Build settings from values by name, as recipes, command lines and settings.json have them; text is read as the type.

        Raises:
            UsageError: a name that is not a setting, a value of the wrong type, an invalid value, or no data set.
        """
        if "data" not in document:
            raise UsageError("No data set is named. Ask for one, such as --data digits, or name it in the recipe.")
        return build(cls, document, "training")

    def check_names(self, *, data: bool = True, net: bool = True) -> None:
        """Look up the data set, the network and the method, without importing them or torch.

        Args:
            data, net: whether they are names of files, rather than the caller's own samples and module.

        Raises:
            UsageError: an unknown name.
        """
        from ..data import sets as datasets
        from ..data.dataset import OWN
        from . import methods, networks

        if data and self.data.startswith(OWN):
            raise UsageError(f"{self.data} are samples of your own, which only spikeloom.train.fit(data=...) in Python can be given.")
        if net and self.net.startswith(OWN):
            raise UsageError(f"{self.net} is a module of your own. Name what makes it, --net FILE.py:NAME, or give it to spikeloom.fit.")
        files = ((data, datasets, "data set", self.data), (net, networks, "network", self.net), (True, methods, "method", self.method))
        for asked, package, kind, name in files:
            if asked:
                registry.check(package, kind, name)

    def _check_files(self) -> None:
        """Look up the loss, the schedule and the augmentation; a name with a dot is the caller's own function (`chosen.name_of`)."""
        from . import augments, losses, schedules

        files = ((losses, "loss", self.loss), (schedules, "schedule", self.schedule), (augments, "augment", self.augment))
        for package, kind, name in files:
            if "." not in name:
                registry.check(package, kind, name)
        if "." not in self.optimizer and self.optimizer not in OPTIMIZERS:
            raise unknown_name("optimizer", self.optimizer, OPTIMIZERS)

    def resolved(self, samples: int, *, convolutional: bool = False, frames: int | None = None, device: Device = "cpu") -> TrainSettings:
        """Return the settings with open values filled in: a suitable batch size and learning rate, the time steps, the device.

        Args:
            samples: the size of the training split, including validation.
            convolutional: whether the network has convolutions.
            frames: the number per sample, if the data are temporal.
            device: what "auto" resolved to.

        Raises:
            UsageError: timesteps that differ from the frames of temporal data.
        """
        if frames is not None and self.timesteps not in (None, frames):
            raise UsageError(
                f"timesteps is {self.timesteps}, but a sample of {self.data} has {frames} frames. Leave out --timesteps, or cut the "
                "data into that many frames with --set data.timesteps=VALUE."
            )
        batch = max(1, min(LARGEST_BATCH, samples // STEPS_AN_EPOCH)) if self.batch_size is None else self.batch_size
        rate = (CONVOLUTIONAL_LR if convolutional else LR) if self.lr is None else self.lr
        chosen = device if self.device == "auto" else self.device
        return replace(self, batch_size=batch, lr=rate, timesteps=self.timesteps or frames or TIMESTEPS, device=chosen)

    @property
    def wanted_device(self) -> Device:
        """The requested device, or the CPU if training ends in integers."""
        return "cpu" if self.weight_bits is not None else self.device

    @property
    def float_epochs(self) -> int:
        """The number of epochs before the quantisation-aware ones."""
        if self.weight_bits is None:
            return self.epochs
        return self.epochs - min(max(round(self.epochs * self.qat_fraction), 1), self.epochs - 1)

    @property
    def pruning_epochs(self) -> int:
        """The number of float epochs before those in which the synapses stay as they are; at least 1."""
        return max(self.float_epochs - round(self.float_epochs * self.tune_fraction), 1)

    def document(self) -> dict[str, Any]:
        """Return the settings as JSON; `read` gives them back."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return values | {name: _json(values[name]) for name in OPTIONS}

    def check_same(self, saved: Mapping[str, Any], where: Path) -> None:
        """Compare with the settings of a run to be resumed.

        Raises:
            UsageError: one differs; the message names it with both values.
        """
        defaults = {"optimizer": ADAM, "tune_fraction": 0.0, "ema": 0.0}  # of runs that are older than the setting
        for name, value in self.document().items():
            left_open = (name in ("batch_size", "lr", "timesteps") and value is None) or (name == "device" and value == "auto")
            if name in FREE_AT_RESUME or left_open or saved.get(name, {} if name in OPTIONS else defaults.get(name)) == value:
                continue
            which, before, now = _difference(name, saved.get(name), value)
            raise UsageError(
                f"{where} was trained with {which} = {before!r}, not {now!r}. Resume it with the same settings, or name another --out."
            )


def _json(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(cast("tuple[Any, ...]", v)) if isinstance(v, tuple) else v for name, v in options.items()}


def _difference(name: str, saved: Any, value: Any) -> tuple[str, Any, Any]:
    """Name the option that differs, if the setting is a table of options."""
    if name not in OPTIONS or not isinstance(saved, Mapping):
        return name, saved, value
    before = cast("Mapping[str, Any]", saved)
    key = next(k for k in [*value, *before] if before.get(k) != value.get(k))
    return f"{name}.{key}", before.get(key), value.get(key)


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Check a setting.

    Raises:
        UsageError: it is not a whole number in low..high; the message names it.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{name} is {value!r}; it must be a whole number in {low}..{high}.")


def check_real(
    name: str, value: object, low: float, high: float, need: str, *, include_low: bool = True, include_high: bool = True
) -> None:
    """Check a setting.

    Raises:
        UsageError: it is not a number, or outside low..high; the message names it and says what it must be, `need`.
    """
    number = float(cast(float, value)) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    inside = low <= number <= high and (include_low or number > low) and (include_high or number < high)
    if not inside:
        raise UsageError(f"{name} is {value!r}; it must be {need}.")
