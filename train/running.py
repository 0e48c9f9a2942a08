"""`train_run`: from a recipe to a run folder with a network that compiles; begun, resumed, or found finished."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ..checked import checked
from ..data.dataset import Dataset
from ..errors import SpikeloomWarning, UsageError
from ..files import owned, write_json
from . import checkpoint as checkpoints
from . import platform, threads
from .chosen import Own, check_effects
from .distributed import World, joined, synchronised
from .finished import MODEL, SETTINGS, SUMMARY, TrainedRun, finish, json_object, read_summary
from .layers import SpikingNetwork
from .loop import CHECKPOINT, Trainer
from .model import Model
from .own_module import OwnModule
from .parts import Parts, gated_layers, load_init, take_gates
from .progress import ProgressCallback
from .settings import TrainSettings

__all__ = ["train_run"]


@checked(settings="Make them with spikeloom.train.TrainSettings(...).")
def train_run(
    settings: TrainSettings,
    out: Path | str,
    *,
    resume: bool = False,
    download: bool = False,
    time_limit: float | None = None,
    progress: ProgressCallback | None = None,
    dataset: Dataset | None = None,
    own: Own | None = None,
    module: nn.Module | None = None,
) -> TrainedRun:
    """Train a spiking network by a recipe and export it for the compiler. Under torchrun, all processes train together.

    Args:
        settings: the recipe.
        out: the run folder. Receives settings.json, checkpoint.safetensors, metrics.jsonl, tensorboard/ and, at the end,
            model.onnx, model.safetensors, calibration.safetensors and train.json.
        resume: continue the run in `out` to exactly the result that it would have had, with the number of threads that it began with; a
            finished run is returned as it is.
        download: whether missing files of the data set may be downloaded.
        time_limit: seconds after which no further epoch begins.
        progress: called as progress(epoch, epochs, batch, batches, metrics, seconds_left), by the first process.
        dataset: samples of your own; `settings.data` is then their `identity`.
        own: loss, schedule and augmentation where the settings name the caller's own functions; passed by `fit`.
        module: a module of your own; `settings.net` is then its identity (`own_module.identity_of`).

    Warns:
        SpikeloomWarning: the last bits may differ from those of an uninterrupted run: see `platform`. Also recorded in train.json.

    Raises:
        UsageError: an invalid name, option or value; a setting that would have no effect (`chosen.check_effects`); a folder that holds a
            run, or no run to resume; settings that differ from those of the run to be resumed; a sparsity that leaves a layer without a
            live synapse; weight_bits for a network that has no integer form; weights to start from that belong to another network; CUDA
            where it is not available.
        DataError: the data set is missing or damaged.
        FormatError: a checkpoint or run to start from that is damaged.
        OutputError: the folder cannot be written to, or another process is at work in it.
        PausedError: the time limit has passed with epochs left; `resume` continues.
        SpikeloomError: torch.compile failed; or processes that train together came to hold different weights.
    """
    folder = Path(out)
    if not resume:  # a run that began before this check may go on
        check_effects(settings)
    parts = Parts.of(settings, dataset, module)
    settings = parts.settings
    with joined(settings.wanted_device) as world:
        finished = _check_folder(folder, settings, resume, parts)
        world.wait()  # no process writes until all have looked
        if finished is not None:
            return finished
        saved = _saved_threads(folder) if resume else None
        parts = replace(parts, settings=replace(settings, threads=settings.threads or saved))
        devices = [world.device] if world.device.type == "cuda" else []
        way = platform.cuda_set(settings.cuda) if devices else nullcontext()
        with torch.random.fork_rng(devices=devices), threads.kept(), way:  # leave the caller's random numbers and threads untouched
            trainer = _trainer(parts, folder, resume, download, progress if world.is_first else None, world, own)
            count = cast(int, trainer.settings.threads)
            kept = trainer.model.restored() if isinstance(trainer.model, OwnModule) else nullcontext()
            with kept, owned(folder) if world.is_first else nullcontext():
                if world.is_first:
                    _begin(trainer, resume)
                    _warn(trainer, platform.thread_difference(saved, count) + ([] if devices else platform.unreproducible()))
                trainer.run(time_limit)
                return finish(trainer, world)


def _trainer(
    parts: Parts, folder: Path, resume: bool, download: bool, progress: ProgressCallback | None, world: World, own: Own | None
) -> Trainer:
    dataset = parts.load_data(download, world)
    frames = dataset.timesteps
    device = "cuda" if world.device.type == "cuda" else "cpu"
    timesteps = cast(int, parts.settings.resolved(len(dataset.train.labels), frames=frames).timesteps)
    model = parts.build_model(dataset, timesteps)
    convolutional = any(p.dim() == 4 for p in (*model.weights().values(), *model.others().values()))
    settings = parts.settings.resolved(len(dataset.train.labels), convolutional=convolutional, frames=frames, device=device)
    settings = replace(settings, threads=settings.threads or _suitable_threads(model, cast(int, settings.batch_size), world))
    threads.use(cast(int, settings.threads))
    checkpoint = folder / CHECKPOINT
    saved = checkpoints.read(checkpoint) if resume and checkpoint.exists() else None
    if settings.init is not None and saved is None:
        load_init(model, Path(settings.init))
    take_gates(model, () if saved is None else saved.tensors)
    model = cast(Model, synchronised(model.to(world.device), world))
    trainer = Trainer(settings, dataset, model, parts.build_method(model, settings), folder, progress, world, own)
    if saved is not None:
        trainer.settings.check_same(_completed(cast("dict[str, Any]", saved.document.get("settings", {})), parts), folder)
        if isinstance(model, SpikingNetwork):
            _check_gates(model, gated_layers(name for name in saved.tensors if name.startswith("model/")), folder)
        trainer.restore(saved)
        if world.is_first:
            began = cast("dict[str, Any]", saved.document.get("platform", {}))
            _warn(trainer, platform.differences(began, platform.record(world.size, world.device.type)))
    return trainer


def _suitable_threads(model: Model, batch_size: int, world: World) -> int:
    """Return how many of torch's current threads a training step is worth; on a GPU all of them, since its work is done there."""
    most = torch.get_num_threads()
    if world.device.type == "cuda":
        return most
    positions = model.positions()
    synapses = sum(int(positions[name].sum()) * (w.numel() // positions[name].numel()) for name, w in model.weights().items())
    return threads.suitable(synapses * max(batch_size // world.size, 1), most)


def _warn(trainer: Trainer, found: list[str]) -> None:
    trainer.warnings += found
    for text in found:
        warnings.warn(text, SpikeloomWarning, stacklevel=4)


def _saved_threads(folder: Path) -> int | None:
    """Return the number of threads that the run in a folder began with; None if it was not recorded."""
    found = json_object(folder / SETTINGS, "the settings of a run").get("threads")
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None


def _check_gates(model: SpikingNetwork, saved: set[str], folder: Path) -> None:
    """Refuse to resume a UPR run whose gates are on other layers, as in versions before 2026-11-28.

    Raises:
        UsageError: they are.
    """
    now = list(model.gates())
    if set(now) == saved:
        return
    before = [name for name, _ in model.named_layers() if name in saved]
    asked = [name for name in now if name in model.gated()]
    raise UsageError(
        f"{folder} was started by another version of spikeloom, whose UPR gated the layers {', '.join(before) or 'none'}; this one gates "
        f"{', '.join(asked) or 'none'}. Resume it with that version, or train again with another --out."
    )


def _begin(trainer: Trainer, resume: bool) -> None:
    """Write the settings of a run, unless another process has started one here since the folder was checked."""
    if not resume:
        _check_folder(trainer.folder, trainer.settings, resume)
    write_json(trainer.folder / SETTINGS, trainer.settings.document())


def _completed(saved: Mapping[str, Any], parts: Parts) -> dict[str, Any]:
    """Return saved settings, with the default for every option that did not exist yet when the run began."""
    whole = dict(saved)
    for name, options in (("method_options", parts.method_options), ("net_options", parts.net_options)):
        if options is not None and isinstance(saved.get(name), dict):
            defaults = {f.name: list(f.default) if isinstance(f.default, tuple) else f.default for f in fields(options)}
            whole[name] = defaults | cast("dict[str, Any]", saved[name])
    return whole


def _check_folder(folder: Path, settings: TrainSettings, resume: bool, parts: Parts | None = None) -> TrainedRun | None:
    """Refuse to overwrite a run, or to resume where there is none; return the run if it is finished."""
    holds = any((folder / name).exists() for name in (SETTINGS, CHECKPOINT, SUMMARY, MODEL))
    if holds and not resume:
        raise UsageError(f"{folder} already contains a run. Continue it with --resume, or name another --out; nothing was changed.")
    if resume and not holds:
        raise UsageError(f"{folder} contains no run to resume. Leave out --resume to start one there.")
    if not holds:
        return None
    saved = json_object(folder / SETTINGS, "the settings of a run")
    settings.check_same(saved if parts is None else _completed(saved, parts), folder)
    if not (folder / SUMMARY).exists():
        return None
    return read_summary(folder, replace(TrainSettings.read(saved), data_dir=settings.data_dir))
