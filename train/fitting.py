"""`fit`: from a network, a data set and a recipe to a run folder with a network that compiles."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, cast

from torch import nn

from .. import registry
from ..checked import checked
from ..data.dataset import Dataset
from ..data.given import as_dataset, is_stored
from ..errors import UsageError, unknown_name
from ..fed import OwnSamples
from . import networks
from .augment import Augmentation
from .chosen import Own, name_of
from .finished import TrainedRun
from .losses.api import Loss, LossOfSamples
from .optimizers import Make
from .own_module import identity_of
from .progress import ProgressCallback
from .running import train_run
from .schedules.api import Schedule
from .settings import ADAM, Device, Precision, TrainSettings

__all__ = ["TrainedRun", "fit"]


Data = Dataset | OwnSamples | Path | str
P = ParamSpec("P")


def _data_first(function: Callable[P, TrainedRun]) -> Callable[P, TrainedRun]:
    """Let the first argument be the data where the network is given by name, fit("digits", net="fc"), as it was before modules."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> TrainedRun:
        if len(args) == 1 and "net" in kwargs and "data" not in kwargs:
            args, kwargs = (), {"data": args[0], **kwargs}
        return cast(Any, function)(*args, **kwargs)

    return cast("Callable[P, TrainedRun]", call)


@_data_first
@checked(
    net="Give your torch.nn.Module, or name a network, such as fc.",
    data="Name a data set of spikeloom.data.names(), or give your samples, such as a pair (x, y), as spikeloom.data.as_dataset takes them.",
    method="Name a pruning rule, such as grad-r, or dense.",
)
def fit(
    net: nn.Module | Data = "fc",
    data: Data | nn.Module | None = None,
    method: str = "dense",
    sparsity: float = 0.0,
    epochs: int = 20,
    *,
    out: Path | str,
    batch_size: int | None = None,
    lr: float | None = None,
    schedule: str | Schedule = "cosine",
    warmup: float = 0.1,
    timesteps: int | None = None,
    loss: str | Loss | LossOfSamples = "mse",
    tet_lambda: float = 1e-3,
    augment: str | Augmentation = "none",
    hidden: tuple[int, ...] | None = None,
    weight_bits: int | None = None,
    seed: int = 0,
    qat_fraction: float = 0.25,
    qat_lr: float = 0.3,
    tune_fraction: float = 0.0,
    ema: float = 0.0,
    validation_fraction: float = 0.1,
    init: Path | str | None = None,
    device: Device = "auto",
    precision: Precision = "float32",
    compile: bool = False,  # noqa: A002
    threads: int | None = None,
    data_dir: Path | str | None = None,
    method_options: Mapping[str, Any] | None = None,
    net_options: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    loss_options: Mapping[str, Any] | None = None,
    schedule_options: Mapping[str, Any] | None = None,
    augment_options: Mapping[str, Any] | None = None,
    optimizer: str | Make = ADAM,
    optimizer_options: Mapping[str, Any] | None = None,
    cuda_options: Mapping[str, Any] | None = None,
    resume: bool = False,
    download: bool = False,
    time_limit: float | None = None,
    progress: ProgressCallback | None = None,
) -> TrainedRun:
    """Train a sparse spiking network, yours or one of Spikeloom's, and export it for the compiler.

        run = fit(model, (x, y), "grad-r", 0.9, out="runs/mine", data_options={"value_range": (0, 1), "test_fraction": 0.2})
        run = fit("fc", "mnist", "grad-r", 0.9, out="runs/mnist")

    A data set alone, `fit("mnist", ...)`, trains the network fc, and data may also come before the network.

    Args:
        net: a `torch.nn.Module` of spiking layers that `compile_network` takes (docs/modules.md), trained in place: in the end it holds
            the weights that the run saved; or the name of a network: fc, 6conv2fc, vggsnn, resnet19 or sew-resnet18
            (docs/networks.md), or of a file of your own.
        data: name of a data set, one of `spikeloom.data.names()`, such as "digits", which needs no files; or your own samples: whatever
            `spikeloom.data.as_dataset` takes or returns, files included. What it needs to know besides is given as `data_options`.
        method: name of the pruning rule: dense (prunes nothing), grad-r, deep-r, soft-deep-r, stds, esl or upr (docs/methods.md).
        sparsity: share of the weights that are to be zero, 0 <= sparsity < 1; it is reached to within 0.001. dense accepts only 0.
        epochs: passes over the training samples, at least 1; with weight_bits at least 2.
        out: the run folder, which must not hold a run (but see resume). It receives settings.json, checkpoint.safetensors,
            metrics.jsonl and tensorboard/ during training; model.onnx, model.safetensors, calibration.safetensors and train.json
            at the end.
        batch_size: samples per step, over all processes; None: 128, or fewer so that an epoch has at least 40 steps.
        lr: Adam's peak learning rate, 0 < lr <= 1; None: 0.01, or 0.001 for a network with convolutions.
        schedule: how the learning rate changes over the float epochs: cosine, warmup-cosine, one-cycle or constant, or one of your own: the
            name of a file (docs/extending.md), or a function of the completed share (0..1) of these epochs, which returns a share of `lr`.
        warmup: share of the float epochs spent warming up, in schedules that do, 0 < warmup < 1.
        timesteps: T, how often a static sample is presented, 1..4096; None: 8, or the frames of recorded samples.
        loss: mse or ce of the firing rates, or tet (docs/training.md has the equations), or one of your own: the name of a file, or a
            function of the output, (T, N, classes), and the labels, int64 (N,), which returns one number, a mean over samples. One of three
            arguments is also given the samples as the network received them, real values (N, *shape), or (N, T, *shape).
        tet_lambda: weight of the second term of the loss tet, 0..1.
        augment: none, gentle (small rotations, shifts and scalings of images), elastic (the same with elastic distortions) or published
            (what papers use on the data set), or one of your own: the name of a file, or a function of a batch and a torch.Generator,
            which returns a batch of the same shape and type.
            A run with functions of your own is resumed from a program that passes them again.
        hidden: neurons of the hidden layers of the network fc; short for net_options={"hidden": ...}. None: the network's own.
        weight_bits: 2..8: the last epochs train through the chip's integer arithmetic, on the CPU, and the deployed network does not differ
            by a single spike. For the network fc, and for modules as docs/training.md says. None: float weights, which the compiler
            quantises.
        seed: for the weights, the order of the samples, augmentation, dropout and the validation split; 0..2^63 - 1.
        tune_fraction: share of the float epochs, at their end, in which the synapses stay as they are and only weights are trained.
        ema: decay per step of exponential moving averages of the weights, validated and exported in their place; see `TrainSettings`.
        qat_fraction: share of the epochs that train in integers, if weight_bits is given, 0..1; at least one epoch.
        qat_lr: learning rate at the start of these epochs' own cosine, as a share of `lr`, 0 < qat_lr <= 1.
        validation_fraction: share of the training samples held out to choose the best epoch, 0..1. The test samples are used once.
        init: a trained run folder, its model.safetensors, or "zoo:NAME", whose weights training starts from; None: random ones, or those
            of the module.
        device: auto (CUDA if available), cpu or cuda; with weight_bits always the CPU.
        precision: float32, or bf16: torch's autocast to bfloat16; weights and optimiser stay float32.
        compile: whether torch.compile builds the training step.
        threads: number of torch's threads on the CPU, per process; None: as many as the work is worth, at most
            torch's own setting. The last bits depend on it.
        data_dir: folder of the data set's files; None: the environment's SPIKELOOM_DATA, else ./data.
        method_options: options of the pruning rule by name, such as {"ramp": 0.3} of grad-r.
        net_options: options of the network by name, such as {"hidden": (400, 200)} of fc, and those of every network (docs/networks.md),
            such as {"tau": 3.0, "mean": (0.1307,), "std": (0.3081,)}; of a module {"exempt": (names of layers that are not pruned)}.
        data_options: options of the data set by name, such as {"timesteps": 8} of recorded events (docs/data.md); of your own samples
            those of `as_dataset`: {"value_range": (0, 1), "test": (x_test, y_test)}, {"test_fraction": 0.1}, ...
        loss_options: options of the loss by name, such as {"tet_lambda": 0.01} of tet.
        schedule_options: options of the schedule by name, such as {"warmup": 0.2} of one-cycle.
        augment_options: options of the augmentation by name, where it has any.
        optimizer: adam, which is part of the pruning rule; another of torch.optim, such as sgd or adamw; or a function of a list of
            parameters that returns a `torch.optim.Optimizer` of them, whose own learning rates are the peak ones then. With the
            methods dense, grad-r, stds, esl and upr (of its weights); deep-r and soft-deep-r have updates of their own.
        optimizer_options: its options by name, such as {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4} of sgd.
        cuda_options: how CUDA is used, by name: graph ("auto", "on" or "off"), tf32, cudnn ("benchmark", "deterministic" or "plain"), see
            docs/cuda.md; without effect on a CPU.
        resume: continue the run in `out` to exactly the result that it would have had; a finished run is returned as it is.
        download: whether missing files of the data set may be downloaded.
        time_limit: seconds after which no further epoch begins; None: no limit.
        progress: called periodically as progress(epoch, epochs, batch, batches, metrics, seconds left), epochs and batches counted from 1.
            During an epoch the metrics are a batch's loss and the sparsity; at its last batch, after validation, the epoch's mean loss,
            sparsity and validation_accuracy.

    Returns:
        The finished run: `.folder`, `.accuracy` on the test samples (0..1), `.sparsity` that was reached, `.warnings`.
        `compile_network` accepts it directly.

    Warns:
        SpikeloomWarning: the last bits may differ from those of an uninterrupted run, for example on another processor; or model.onnx could
            not be written from a module.

    Raises:
        UsageError: an argument of the wrong type, an unknown name, an invalid value, a folder that holds a run (or none, with resume),
            settings that differ from those of the run to be resumed, or CUDA where it is not available; a module that raises.
        NetworkError, MismatchError, DoesNotFitError: a module that cannot be compiled; the layer is named.
        DataError: files of the data set are missing or damaged; or samples or labels out of range, or none.
        FormatError: a checkpoint, or the run to start from, is damaged.
        OutputError: the folder cannot be written to, or another process is using it.
        PausedError: the time limit has passed; resume=True continues.

    Example:
        >>> run = spikeloom.train.fit("digits", method="grad-r", sparsity=0.9, epochs=10, out="runs/digits")  # doctest: +SKIP
        >>> network = spikeloom.compile_network(run, target="lava")  # doctest: +SKIP
    """
    net, data = _in_order(net, data)
    if not isinstance(data, str) or is_stored(data):
        data, data_options = _dataset(data, data_options or {}), None
    module = net if isinstance(net, nn.Module) else None
    settings = TrainSettings(
        data=data.identity if isinstance(data, Dataset) else data,
        net=identity_of(net) if isinstance(net, nn.Module) else net,
        method=method,
        sparsity=sparsity,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        schedule=schedule if isinstance(schedule, str) else name_of(schedule),
        warmup=warmup,
        timesteps=timesteps,
        loss=loss if isinstance(loss, str) else name_of(loss),
        tet_lambda=tet_lambda,
        augment=augment if isinstance(augment, str) else name_of(augment),
        seed=seed,
        weight_bits=weight_bits,
        qat_fraction=qat_fraction,
        qat_lr=qat_lr,
        tune_fraction=tune_fraction,
        ema=ema,
        validation_fraction=validation_fraction,
        init=None if init is None else str(init),
        device=device,
        precision=precision,
        compile=compile,
        threads=threads,
        data_dir=None if data_dir is None else str(data_dir),
        method_options=method_options or {},
        net_options=dict(net_options or {}) | ({} if hidden is None else {"hidden": tuple(hidden)}),
        data_options=data_options or {},
        loss_options=loss_options or {},
        schedule_options=schedule_options or {},
        augment_options=augment_options or {},
        optimizer=optimizer if isinstance(optimizer, str) else name_of(optimizer),
        optimizer_options=optimizer_options or {},
        cuda_options=cuda_options or {},
    )
    if not isinstance(optimizer, str) and (lr is not None or optimizer_options):
        raise UsageError("lr and optimizer_options are for an optimizer by name; a function of yours gives its own. Leave them out.")
    own = Own(
        loss=None if isinstance(loss, str) else loss,
        schedule=None if isinstance(schedule, str) else schedule,
        augment=None if isinstance(augment, str) else augment,
        optimizer=None if isinstance(optimizer, str) else optimizer,
    )
    samples = data if isinstance(data, Dataset) else None
    return train_run(
        settings, out, resume=resume, download=download, time_limit=time_limit, progress=progress, dataset=samples, own=own, module=module
    )


def _in_order(net: Any, data: Any) -> tuple[nn.Module | str, Data]:
    """Return the network and the data, whichever came first.

    Raises:
        UsageError: there are no data.
    """
    first, second = (_is_network(given) for given in (net, data))
    if data is None and not first:
        net, data = "fc", net
    elif second and not first:
        net, data = data, net
    elif data is None:
        raise UsageError("fit is given a network and no data. Name a data set, fit(net, 'digits', ...), or give samples, fit(net, (x, y)).")
    if not isinstance(net, str | nn.Module):
        raise UsageError(f"net is a {type(net).__name__}; fit takes a torch.nn.Module or the name of a network, then the data.")
    return net, data


def _is_network(given: Any) -> bool:
    return isinstance(given, nn.Module) or (isinstance(given, str) and given in registry.names(networks))


def _dataset(data: Data, options: Mapping[str, Any]) -> Dataset:
    """Return samples of the caller's own as a data set.

    Raises:
        UsageError, DataError: see `as_dataset`.
    """
    known = [name for name in inspect.signature(as_dataset).parameters if name != "train"]
    for name in options:
        if name not in known:
            raise unknown_name("option of samples of your own (data_options)", name, known)
    if isinstance(data, Dataset) and options:
        raise UsageError(
            f"data_options has {', '.join(options)}, and a data set made of samples of your own has none. Give it to as_dataset."
        )
    try:
        return as_dataset(data, **options)
    except UsageError as error:
        raise UsageError(
            f'{error} To fit, say it in data_options={{...}}, such as {{"test": (x, y)}}, {{"value_range": (0, 1)}}.'
        ) from error
