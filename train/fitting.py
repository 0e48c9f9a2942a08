"""`fit`: from the name of a data set and a recipe to a run folder with a network that compiles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save

from .. import registry
from .._version import VERSION
from ..compile import handover
from ..compile.handover import Stage
from ..errors import FormatError, UsageError
from ..files import make_folder, read_json, write_bytes, write_json
from . import checkpoint as checkpoints
from . import export, methods, networks
from .data import Dataset, load_dataset
from .evaluate import accuracy, with_weights
from .layers import SpikingNetwork
from .loop import CHECKPOINT, Best, ProgressCallback, Trainer
from .methods._base import Method
from .quantise import integer_weights
from .settings import Control, TrainSettings

__all__ = ["TrainedRun", "fit"]

SETTINGS, SUMMARY, MODEL, WEIGHTS, CALIBRATION = "settings.json", "train.json", "model.onnx", "model.safetensors", "calibration.safetensors"


@dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    `accuracy` is that of the network handed over, on the test set, 0..1; `stages` has it by stage. `sparsity` is the share of zero
    weights that was reached, `integer_sparsity` that of the integers (None without weight_bits).
    """

    folder: Path
    settings: TrainSettings
    sparsity: float
    integer_sparsity: float | None
    stages: tuple[Stage, ...]
    epochs: int
    best_epoch: int
    validation_accuracy: float
    epoch_seconds: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """The accuracy of the last stage: of what was handed over."""
        return self.stages[-1].accuracy

    @property
    def model(self) -> Path:
        """The hand-over file."""
        return self.folder / MODEL


def fit(
    data: str,
    net: str = "fc",
    method: str = "dense",
    sparsity: float = 0.0,
    epochs: int = 20,
    *,
    out: Path | str,
    batch_size: int | None = None,
    lr: float = 1e-2,
    timesteps: int = 8,
    hidden: tuple[int, ...] = (800,),
    weight_bits: int | None = None,
    seed: int = 0,
    control: Control = "closed",
    alpha: float = 1e-3,
    ramp: float = 0.5,
    qat_fraction: float = 0.25,
    qat_lr: float = 0.3,
    validation_fraction: float = 0.1,
    data_dir: Path | str | None = None,
    resume: bool = False,
    progress: ProgressCallback | None = None,
) -> TrainedRun:
    """Train a spiking network and hand it over to the compiler.

    Args:
        data, net, method: names of files in train/datasets, train/networks, train/methods.
        sparsity: the share of weights that shall be zero, 0 <= sparsity < 1.
        epochs, batch_size, lr, timesteps, hidden, weight_bits, seed, control, alpha, ramp, qat_fraction, qat_lr,
            validation_fraction, data_dir: see `TrainSettings`.
        out: the run folder. Receives settings.json, checkpoint.safetensors, metrics.jsonl, tensorboard/ and, at the end,
            model.onnx, model.safetensors, calibration.safetensors and train.json.
        resume: continue the run in `out` to the bits it would have had; a finished one is returned as it is.
        progress: called as progress(epoch, epochs, batch, batches, metrics, seconds_left).

    Raises:
        UsageError: a name or value that makes no sense; a folder that holds a run, or none to resume; other settings than the
            run to be resumed; a sparsity that leaves a layer without a live synapse.
        DataError: the data set is missing or damaged.
        FormatError: a checkpoint that is damaged.
        OutputError: the folder cannot be written to.
    """
    folder = Path(out)
    settings = TrainSettings(
        data=data,
        net=net,
        method=method,
        sparsity=sparsity,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        timesteps=timesteps,
        hidden=tuple(hidden),
        seed=seed,
        control=control,
        alpha=alpha,
        ramp=ramp,
        weight_bits=weight_bits,
        qat_fraction=qat_fraction,
        qat_lr=qat_lr,
        validation_fraction=validation_fraction,
        data_dir=None if data_dir is None else str(data_dir),
    )
    finished = _check_folder(folder, settings, resume)
    if finished is not None:
        return finished
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are none of ours
        return _train(settings, folder, resume, progress)


def _train(settings: TrainSettings, folder: Path, resume: bool, progress: ProgressCallback | None) -> TrainedRun:
    builder = registry.load(methods, "method", settings.method)
    network = registry.load(networks, "network", settings.net)
    dataset = load_dataset(settings.data, None if settings.data_dir is None else Path(settings.data_dir))
    settings = settings.resolved(len(dataset.train.labels))
    torch.manual_seed(settings.seed)
    model: SpikingNetwork = network.build(dataset.inputs, dataset.classes, settings.hidden, settings.timesteps)
    method: Method = builder.build(model, settings)
    trainer = Trainer(settings, dataset, model, method, folder, progress)
    if resume and (folder / CHECKPOINT).exists():
        saved = checkpoints.read(folder / CHECKPOINT)
        settings.check_same(cast("dict[str, Any]", saved.document.get("settings", {})), folder)
        trainer.restore(saved)
    make_folder(folder)
    write_json(folder / SETTINGS, settings.document())
    trainer.run()
    return _finish(trainer)


def _check_folder(folder: Path, settings: TrainSettings, resume: bool) -> TrainedRun | None:
    """Refuse to overwrite a run or to resume none; return the run if it is finished."""
    holds = any((folder / name).exists() for name in (SETTINGS, CHECKPOINT, SUMMARY, MODEL))
    if holds and not resume:
        raise UsageError(f"{folder} already holds a run. Continue it with --resume, or name another --out; nothing was changed.")
    if resume and not holds:
        raise UsageError(f"{folder} holds no run to resume. Leave out --resume to start one there.")
    if not holds:
        return None
    settings.check_same(_json_object(folder / SETTINGS, "the settings of a run"), folder)
    return _read_summary(folder, settings) if (folder / SUMMARY).exists() else None


def _json_object(path: Path, what: str) -> dict[str, Any]:
    document = read_json(path, what)
    if not isinstance(document, dict):
        raise FormatError(f"{path} is not {what}. Train again, with another --out.")
    return cast("dict[str, Any]", document)


def _finish(trainer: Trainer) -> TrainedRun:
    """Use the test set, once, on the weights that validation chose; write what is handed over."""
    dataset, folder, best = trainer.dataset, trainer.folder, trainer.best
    last = best["integer" if trainer.arithmetic else "float"]
    stages = [_stage("float", trainer, best["float"], quantised=False)]
    if trainer.arithmetic:
        stages.append(_stage("integer (torch)", trainer, last, quantised=True))
    run = TrainedRun(
        folder,
        trainer.settings,
        last.sparsity,
        _integer_sparsity(trainer, last),
        tuple(stages),
        trainer.epoch,
        last.epoch,
        last.accuracy,
        tuple(float(row["seconds"]) for row in trainer.rows),
    )
    network = export.network(trainer.model, last.weights, trainer.arithmetic, dataset, run.stages, _provenance(run))
    write_bytes(folder / WEIGHTS, save({f"{n}.weight": w.contiguous() for n, w in last.weights.items()}))
    export.write_calibration(folder / CALIBRATION, dataset)
    handover.write(network, folder / MODEL)
    write_json(folder / SUMMARY, _summary(run))
    return run


def _stage(name: str, trainer: Trainer, best: Best, *, quantised: bool) -> Stage:
    model = with_weights(trainer.model, best.weights, trainer.arithmetic if quantised else None)
    test: Dataset = trainer.dataset
    return Stage(name, accuracy(model, test.test, test.levels), len(test.test))


def _integer_sparsity(trainer: Trainer, best: Best) -> float | None:
    if not trainer.arithmetic:
        return None
    integers = [integer_weights(w, trainer.arithmetic[name].registers) for name, w in best.weights.items()]
    return sum(int((w == 0).sum()) for w in integers) / sum(w.numel() for w in integers)


def _provenance(run: TrainedRun) -> dict[str, str]:
    settings = run.settings
    return {
        "data": settings.data,
        "net": settings.net,
        "method": settings.method,
        "sparsity_asked": repr(settings.sparsity),
        "sparsity_reached": repr(run.sparsity),
        "control": settings.control,
        "epochs": str(run.epochs),
        "seed": str(settings.seed),
        "spikeloom": VERSION,
        "torch": version("torch"),
        "spikingjelly": version("spikingjelly"),
    }


def _summary(run: TrainedRun) -> dict[str, Any]:
    document = asdict(run) | {"stages": [asdict(s) for s in run.stages], "threads": torch.get_num_threads(), "spikeloom": VERSION}
    del document["folder"], document["settings"]
    return document | {"accuracy": run.accuracy, "sparsity_asked": run.settings.sparsity, "seed": run.settings.seed}


def _read_summary(folder: Path, settings: TrainSettings) -> TrainedRun:
    document: Mapping[str, Any] = _json_object(folder / SUMMARY, "the summary of a run")
    try:
        stages = tuple(Stage(str(s["name"]), float(s["accuracy"]), int(s["samples"]), str(s["split"])) for s in document["stages"])
        integer = document["integer_sparsity"]
        return TrainedRun(
            folder,
            settings,
            float(document["sparsity"]),
            None if integer is None else float(integer),
            stages,
            int(document["epochs"]),
            int(document["best_epoch"]),
            float(document["validation_accuracy"]),
            tuple(float(s) for s in document["epoch_seconds"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{folder / SUMMARY} is damaged: {json.dumps(str(error))}. Train again, with another --out.") from error
