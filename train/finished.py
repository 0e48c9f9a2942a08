"""A finished training run: its results, the files that it writes, and reading them back."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save

from .. import __version__
from ..data.dataset import OWN
from ..display import short, table
from ..errors import DAMAGE, FormatError, SpikeloomError, SpikeloomWarning
from ..files import read_json, write_bytes, write_json
from ..formats import onnx as model_onnx
from ..network.model import Network, Stage
from . import export, platform, reachable
from .connections import has_norms
from .distributed import World
from .evaluate import accuracy, is_silent, with_weights
from .layers import SpikingNetwork
from .loop import CHECKPOINT, Trainer
from .model import Model
from .own_module import OwnModule, network_of
from .parts import WEIGHTS
from .quantise import integer_weights
from .settings import TrainSettings
from .state import Best

__all__ = ["MODEL", "SETTINGS", "SUMMARY", "TrainedRun", "finish", "json_object", "provenance_of", "read_summary"]

UNCOUNTED = "uncounted"  # the key of the provenance for layers that connectivity_reachable leaves out, see `compile.analysis.reachable`
CONNECTIVITIES = ("connectivity_unrolled", "connectivity_reachable")
SETTINGS, SUMMARY, MODEL, CALIBRATION = "settings.json", "train.json", "model.onnx", "calibration.safetensors"


@dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    `accuracy` is that of the exported network, on the test set, 0..1; `stages` has it by stage. `sparsity` is the share of zero
    weights that was reached, `integer_sparsity` that of the integers (None without weight_bits). `warnings`: problems found in the run.
    `connectivity_unrolled` is the share of synapses that are left when convolutions are unrolled, `connectivity_reachable` the share that a
    spike can also cross (UPR's Conn., see `reachable`); None in runs of versions that did not count them. `exempt`: layers that were not
    pruned and that none of these counts; `unpruned`: layers that were not pruned, but count.
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
    warnings: tuple[str, ...] = ()
    connectivity_unrolled: float | None = None
    connectivity_reachable: float | None = None
    exempt: tuple[str, ...] = ()
    unpruned: tuple[str, ...] = ()

    def __repr__(self) -> str:
        made = f"{short(self.settings.data)}, {short(self.settings.net)}, {short(self.settings.method)}"
        return f"<TrainedRun {made}: {self.accuracy:.2%} at a sparsity of {self.sparsity:.2%}, {self.epochs} epochs, in {self.folder}>"

    def _repr_html_(self) -> str:
        """Show the accuracy at each stage in a notebook."""
        rows = [(stage.name, f"{stage.accuracy:.2%}", stage.samples, stage.split) for stage in self.stages]
        return table(repr(self), ("stage", "accuracy", "samples", "split"), rows)

    @property
    def connectivity(self) -> float:
        """The share of weights that are not zero."""
        return 1.0 - self.sparsity

    @property
    def accuracy(self) -> float:
        """The accuracy of the last stage, that of the exported network."""
        return self.stages[-1].accuracy

    @property
    def model(self) -> Path:
        """Path of the exported network, model.onnx."""
        return self.folder / MODEL


def json_object(path: Path, what: str) -> dict[str, Any]:
    """Read a file of a run that holds a JSON object; `what` names it in messages."""
    document = read_json(path, what)
    if not isinstance(document, dict):
        raise FormatError(f"{path} is not {what}. Train again, with another --out.")
    return cast("dict[str, Any]", document)


def finish(trainer: Trainer, world: World) -> TrainedRun:
    """Evaluate the state chosen by validation on the test set, once; write the exported files."""
    needed = ("float", "integer") if trainer.arithmetic else ("float",)
    for stage in needed:
        if stage not in trainer.best:
            raise FormatError(f"{trainer.folder / CHECKPOINT} is damaged: it has no best {stage} weights. Train again, with another --out.")
    last = trainer.best[needed[-1]]
    stages = [_stage("float", trainer, with_weights(trainer.model, trainer.best["float"].state))]
    model: Model = with_weights(trainer.model, last.state, trainer.arithmetic)
    connected: tuple[float | None, float | None] = (None, None)
    if isinstance(model, SpikingNetwork):
        connected = (reachable.unrolled_connectivity(model), reachable.connectivity(model))
    if trainer.arithmetic:
        stages.append(_stage("integer (torch)", trainer, model))
    elif isinstance(model, SpikingNetwork):
        rounds = has_norms(model) or model.standardise is not None
        model = export.fold(model)
        if rounds:
            stages.append(_stage("folded", trainer, model.double()))
    run = TrainedRun(
        trainer.folder,
        trainer.settings,
        last.sparsity,
        _integer_sparsity(trainer, model),
        tuple(stages),
        trainer.epoch,
        last.epoch,
        last.accuracy,
        tuple(float(row["seconds"]) for row in trainer.rows),
        _warnings(trainer, model, stages[0]),
        *connected,
        trainer.model.exempt,
        (*trainer.model.unpruned, *getattr(trainer.method, "left_dense", ())),
    )
    if isinstance(trainer.model, OwnModule):
        trainer.model.load_state_dict(last.state)  # the user goes on with what was chosen
    if world.is_first:
        run = _hand_over(trainer, model, last, run, platform.record(world.size, world.device.type))
    world.wait()
    return run


def _hand_over(trainer: Trainer, model: Model, best: Best, run: TrainedRun, where: Mapping[str, str]) -> TrainedRun:
    """Write the exported files; return the run with what is to be said of them."""
    folder, dataset = run.folder, trainer.dataset
    write_bytes(folder / WEIGHTS, save({name: t.cpu().contiguous() for name, t in best.state.items()}))
    export.write_calibration(folder / CALIBRATION, dataset)
    said: tuple[str, ...] = ()
    try:
        network = _network(trainer, model, run)
        content = model_onnx.to_bytes(network)
    except SpikeloomError as error:
        if not isinstance(model, OwnModule):
            raise
        way_out = f"compile_network(module, timesteps={run.settings.timesteps}, data=...), or FILE.py:NAME --weights {folder / WEIGHTS}"
        said = (f"{MODEL} was not written: {str(error).split('. ')[0]}. Compile the trained module itself: {way_out}.",)
        warnings.warn(said[0], SpikeloomWarning, stacklevel=5)
    else:
        write_bytes(folder / MODEL, content)
        said = network.reading.warnings if network.reading else ()
    run = replace(run, warnings=(*run.warnings, *said))
    write_json(
        folder / SUMMARY, _summary(run) | _graph(trainer) | {"platform": dict(where), "warnings": [*trainer.warnings, *run.warnings]}
    )
    return run


def _graph(trainer: Trainer) -> dict[str, int]:
    """Return how often a step was recorded as a CUDA graph, if graphs were to be used."""
    return {} if trainer.graph is None else {"cuda_graphs": trainer.graph.recorded}


def _network(trainer: Trainer, model: Model, run: TrainedRun) -> Network:
    """Return the network to export; that of a user's module is read from it, and proven."""
    provenance = provenance_of(run)
    if isinstance(model, OwnModule):
        found = network_of(model, trainer.dataset)
        return replace(found, stages=run.stages, provenance={**found.provenance, **provenance})
    own = cast(SpikingNetwork, model)
    own = own if own.standardise is None else export.fold(own)  # in integers, folding is no stage of its own
    apart = tuple(dict.fromkeys((*own.uncounted, *own.exempt)))
    provenance |= {UNCOUNTED: json.dumps(apart)} if apart else {}
    return export.network(own.float().cpu(), trainer.arithmetic, trainer.dataset, run.stages, provenance)


def _warnings(trainer: Trainer, model: Model, stage: Stage) -> tuple[str, ...]:
    """Return a warning if the output spikes on no test sample, or if the network is no better than a constant prediction."""
    test = trainer.dataset.test
    if is_silent(model, test, trainer.dataset.levels):
        return (
            f"Layer {model.last} never spiked on {len(test):,} test samples, so every prediction is class 0.{_starved(trainer.model)} "
            "Try a lower --sparsity, more --epochs, another --lr, or more --timesteps.",
        )
    constant = int(np.bincount(test.labels).max()) / len(test)
    if stage.accuracy > constant + 2.0 * math.sqrt(constant * (1.0 - constant) / len(test)):
        return ()
    return (
        f"The network is right on {stage.accuracy:.2%} of {len(test):,} test samples, hardly more than a constant prediction, "
        f"{constant:.2%}.{_starved(trainer.model)} Try more --epochs, another --lr, or a lower --sparsity.",
    )


def _starved(model: Model) -> str:
    """Name the layers with fewer weights than outputs, and what keeps more in them; empty if there is none."""
    live = {name: (int(torch.count_nonzero(w.detach())), w) for name, w in model.weights().items()}
    few = [f"{name} {left:,} of {w.numel():,}" for name, (left, w) in live.items() if left < w.shape[0]]
    if not few:
        return ""
    shown = ", ".join(few[:4]) + (f" and {len(few) - 4} more" if len(few) > 4 else "")
    ways = (
        "exempt them with --exempt, or keep more there: --method grad-r --set method.floor=0.5, "
        "and method.rescale=true before batch normalisation"
    )
    return f" Layers with fewer weights than outputs: {shown}; {ways}."


def _stage(name: str, trainer: Trainer, model: Model) -> Stage:
    test = trainer.dataset.test
    return Stage(name, accuracy(model, test, trainer.dataset.levels, trainer.world), len(test))


def _integer_sparsity(trainer: Trainer, model: Model) -> float | None:
    if not trainer.arithmetic:
        return None
    parts = {name: part for name, part in model.integer_parts().items() if name not in model.exempt}
    integers = [integer_weights(part.weight, trainer.arithmetic[name].registers) for name, part in parts.items()]
    return sum(int((w == 0).sum()) for w in integers) / sum(w.numel() for w in integers)


TRAINED_BY = ("lr", "batch_size", "timesteps", "schedule", "loss", "augment", "optimizer", "validation_fraction", "precision")
IN_INTEGERS = ("weight_bits", "qat_fraction", "qat_lr")
OFTEN_IDLE = ("warmup", "tet_lambda", "tune_fraction", "ema")  # recorded where they were set


def provenance_of(run: TrainedRun) -> dict[str, str]:
    """Return all that decides the weights, by name, as text: runs in which it is the same differ in their seed alone."""
    settings = run.settings
    parts = ("method", "net", "data", "loss", "schedule", "augment", "optimizer")
    options = {
        f"{part}.{name}": json.dumps(value)
        for part in parts
        for name, value in cast("Mapping[str, Any]", getattr(settings, f"{part}_options")).items()
    }
    named = [*TRAINED_BY, *(IN_INTEGERS if settings.weight_bits is not None else ())]
    named += [f.name for f in fields(settings) if f.name in OFTEN_IDLE and getattr(settings, f.name) != f.default]
    decided = {name: _said(getattr(settings, name)) for name in named}
    return (
        options
        | decided
        | ({"init": "trained weights"} if settings.init is not None else {})
        | {
            ("own_data" if settings.data.startswith(OWN) else "data"): settings.data,
            "net": settings.net,
            "method": settings.method,
            "sparsity_asked": repr(settings.sparsity),
            "sparsity_reached": repr(run.sparsity),
            "epochs": str(run.epochs),
            "seed": str(settings.seed),
            "spikeloom": __version__,
            "torch": version("torch"),
            "spikingjelly": version("spikingjelly"),
        }
    )


def _said(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _summary(run: TrainedRun) -> dict[str, Any]:
    document = asdict(run) | {"stages": [asdict(s) for s in run.stages], "threads": torch.get_num_threads(), "spikeloom": __version__}
    del document["folder"], document["settings"]
    return document | {
        "accuracy": run.accuracy,
        "connectivity": run.connectivity,
        "sparsity_asked": run.settings.sparsity,
        "seed": run.settings.seed,
    }


def read_summary(folder: Path, settings: TrainSettings) -> TrainedRun:
    """Return the finished run in a folder, which was trained with `settings`."""
    document: Mapping[str, Any] = json_object(folder / SUMMARY, "the summary of a run")
    try:
        stages = tuple(Stage.of_document(s) for s in document["stages"])
        integer, seconds = document["integer_sparsity"], tuple(float(s) for s in document["epoch_seconds"])
        if not stages or not seconds:
            raise ValueError("it has no stages, or no seconds of its epochs")
        return TrainedRun(
            folder,
            settings,
            float(document["sparsity"]),
            None if integer is None else float(integer),
            stages,
            int(document["epochs"]),
            int(document["best_epoch"]),
            float(document["validation_accuracy"]),
            seconds,
            tuple(str(warning) for warning in document.get("warnings", ())),
            *(None if document.get(name) is None else float(document[name]) for name in CONNECTIVITIES),
            exempt=tuple(str(layer) for layer in document.get("exempt", ())),
            unpruned=tuple(str(layer) for layer in document.get("unpruned", ())),
        )
    except DAMAGE as error:
        raise FormatError(f"{folder / SUMMARY} is damaged: {json.dumps(str(error))}. Train again, with another --out.") from error
