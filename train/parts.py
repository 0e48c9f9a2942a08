"""The plug-ins of a run, found by name: data set, network and method, each with its options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from .. import registry
from ..data import sets as datasets
from ..data.dataset import Dataset, load_dataset
from ..errors import DAMAGE, FormatError, UsageError
from ..files import read_bytes
from ..formats import onnx
from ..network import zoo
from ..network.model import Convolution
from . import methods, networks, own_module
from .distributed import World
from .layers import SpikingNetwork
from .methods.api import Method
from .model import Model
from .settings import TrainSettings
from .shared_options import Shared, shared_of
from .state import load_state

__all__ = ["WEIGHTS", "Parts", "gated_layers", "load_init", "take_gates"]

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Parts:
    """Modules and options of a run; `settings` are those requested, with every option of the plug-ins written out."""

    settings: TrainSettings
    network: Any
    method: ModuleType
    net_options: Any
    method_options: Any
    dataset: Dataset | None = None
    module: nn.Module | None = None
    shared: Shared = field(default_factory=Shared)

    @classmethod
    def of(cls, settings: TrainSettings, dataset: Dataset | None = None, module: nn.Module | None = None) -> Parts:
        """Find the plug-ins that the settings name.

        Args:
            dataset: the user's own samples, which cannot be found by name.
            module: the user's own module likewise.

        Raises:
            UsageError: an unknown name or option, or an invalid value of an option.
        """
        data_options = cls._data_options(settings) if dataset is None else _own(settings, dataset)
        method = registry.load(methods, "method", settings.method)
        named = f"the network {settings.net}"
        if module is None:
            network = registry.load(networks, "network", settings.net)
            net_options, shared = shared_of(network, settings.net_options, named)
        else:
            network, shared = own_module, Shared()
            net_options = registry.options_of(network, settings.net_options, named)
        method_options = registry.options_of(method, settings.method_options, f"the method {settings.method}")
        net_values = _values(net_options) | shared.changed()
        whole = replace(settings, data_options=_values(data_options), net_options=net_values, method_options=_values(method_options))
        if module is not None:
            _check_module(whole)
        return cls(whole, network, method, net_options, method_options, dataset, module, shared)

    @staticmethod
    def _data_options(settings: TrainSettings) -> Any:
        data = registry.load(datasets, "data set", settings.data)
        return registry.options_of(data, _with_timesteps(data, settings), f"the data set {settings.data}")

    def load_data(self, download: bool, world: World) -> Dataset:
        """Load the data set; the first process downloads missing files before the others look.

        Raises:
            DataError: its files are missing or damaged.
        """
        if self.dataset is not None:
            return self.dataset
        settings = self.settings
        folder = None if settings.data_dir is None else Path(settings.data_dir)
        if not world.is_first:
            world.wait()
        dataset = load_dataset(settings.data, folder, options=settings.data_options, download=download and world.is_first)
        if world.is_first:
            world.wait()
        return dataset

    def build_model(self, dataset: Dataset, timesteps: int) -> Model:
        """Build the network, with random weights drawn from the seed; or take the user's module as it is.

        Raises:
            UsageError: it does not suit the data, or is to be trained in integers and has no integer form.
        """
        settings = self.settings
        if self.module is not None:
            return own_module.own_module(self.module, dataset, timesteps, self.net_options, settings.weight_bits)
        torch.manual_seed(settings.seed)
        model: SpikingNetwork = self.network.build(dataset.shape, dataset.classes, timesteps, self.net_options, temporal=dataset.temporal)
        self.shared.apply(model, dataset.shape)
        if settings.weight_bits is not None:
            _check_integers(model, settings, self.shared)
        return model

    def build_method(self, model: Model, settings: TrainSettings) -> Method:
        """Build the method for a model; see its module for errors."""
        return cast(Method, self.method.build(model, settings, self.method_options))


def take_gates(model: Model, tensors: Iterable[str]) -> None:
    """Give a model the gates that a saved state has: neurons that a run removed stay removed in one that starts from it.

    Args:
        model: any network; a user's module has no gates.
        tensors: the state's names.
    """
    if not isinstance(model, SpikingNetwork):
        return
    for gate in model.add_gates(gated_layers(tensors) & {name for name, _ in model.named_layers()}).values():
        gate.requires_grad_(False)


def gated_layers(tensors: Iterable[str]) -> set[str]:
    """Return the names of the layers whose gates are among a state's tensors, `layers.NAME.gate` with any prefix."""
    return {name.removesuffix(".gate").rpartition("layers.")[2] for name in tensors if name.endswith(".gate")}


def _check_integers(model: SpikingNetwork, settings: TrainSettings, shared: Shared) -> None:
    """Refuse to train a network in integers that has no integer form."""
    if shared.surrogate != "atan":
        raise UsageError(
            f"net.surrogate is {shared.surrogate}, and the integers of --weight-bits have the gradient of atan alone. Leave out one."
        )
    if not model.supports_integers:
        raise UsageError(
            f"weight_bits is {settings.weight_bits}, but the network {settings.net} cannot be trained in integers; only chains of "
            "fully connected layers can. Leave out --weight-bits: training is then in float, and spikeloom compile calibrates."
        )


def _check_module(settings: TrainSettings) -> None:
    """Refuse settings that only apply to Spikeloom's networks."""
    if settings.compile:
        raise UsageError("compile is for Spikeloom's networks, whose neurons torch.compile knows. Leave it out for a module of your own.")


def _own(settings: TrainSettings, dataset: Dataset) -> None:
    """Refuse settings that only apply to data sets found by name."""
    if settings.data != dataset.identity:
        raise UsageError(
            f"The run was trained on {settings.data}, and the samples given are {dataset.identity}. Give the same samples, or another out."
        )
    if settings.data_options:
        names = ", ".join(settings.data_options)
        raise UsageError(f"data_options has {names}, and samples of your own have none. Give it to as_dataset.")


def _with_timesteps(data: ModuleType, settings: TrainSettings) -> Mapping[str, Any]:
    """Cut events into one frame per requested time step, unless the number of frames was given."""
    kind = getattr(data, "Options", None)
    if settings.timesteps is None or kind is None or "timesteps" not in {f.name for f in fields(kind)}:
        return settings.data_options
    return {"timesteps": settings.timesteps} | dict(settings.data_options)


def _values(options: Any) -> dict[str, Any]:
    return {} if options is None else {f.name: getattr(options, f.name) for f in fields(options)}


def load_init(model: Model, source: Path) -> None:
    """Give a new model the weights of a trained run.

    Args:
        model: any network.
        source: a run folder, its model.safetensors, or zoo:NAME for a fully connected float network of the package.

    Raises:
        FormatError: there is none, or it is damaged.
        UsageError: it belongs to another network; the message names the tensor.
    """
    path = source / WEIGHTS if source.is_dir() else source
    name = zoo.name_of(source)
    tensors = _saved(path) if name is None else _of_zoo(name)
    take_gates(model, tensors)
    try:
        load_state(model, tensors)
    except ValueError as error:
        raise UsageError(
            f"{path} has the weights of another network: {error}. Start from a run of the same network with the same options."
        ) from error


def _saved(path: Path) -> Mapping[str, torch.Tensor]:
    """Read the weights of a run."""
    content = read_bytes(path, "the weights to start from", "Name a finished run, or its model.safetensors, with --init.")
    try:
        return load(content)
    except (SafetensorError, *DAMAGE) as error:
        raise FormatError(f"{path} is damaged or no safetensors file: {error}. Name a finished run with --init.") from error


def _of_zoo(name: str) -> Mapping[str, torch.Tensor]:
    """Return the weights of a network of the zoo by their names in a network of ours.

    Raises:
        UsageError: its file has integers, or normalisations that export folded into the weights.
    """
    entry = zoo.entry(name)
    entry.check()
    network = onnx.read(entry.path)
    if network.is_integer or any(isinstance(p.synapses, Convolution) for p in network.projections):
        why = "integers of the chip" if network.is_integer else "normalisations folded into its weights"
        raise UsageError(
            f"{zoo.PREFIX}{name} has no weights to start from: its file has {why}. Train it again and name that run: "
            f"{entry.training.command}"
        )
    tensors: dict[str, torch.Tensor] = {}
    for population in network.spiking:
        for number, projection in enumerate(network.inputs_of(population.name)):
            dense = torch.from_numpy(projection.synapses.to_dense().astype("float32"))
            tensors[f"layers.{population.name}.connections.{number}.op.weight"] = dense
    return tensors
