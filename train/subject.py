"""What a pruning method needs to know: a model's weights and the sparsity requested of the training. Our networks and settings provide
both; `ModuleWeights` finds the weights of any torch module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from ..errors import UsageError, unknown_name
from .connections import NORMS

__all__ = ["Goal", "ModuleWeights", "Prunable", "SparsityGoal", "chosen_layers", "unwrapped"]

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
PRUNED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)


class Prunable(Protocol):
    """A model as a method sees it."""

    def weights(self) -> Mapping[str, nn.Parameter]:
        """Return every weight that pruning may remove, by the layer's name: (out, in, *kernel), or (out, in)."""
        ...

    def positions(self) -> Mapping[str, Tensor]:
        """Return how many synapses a weight represents when unrolled: int64, broadcastable to the weight of the same name."""
        ...

    def counted(self) -> Mapping[str, nn.Parameter]:
        """Return the weights that are not pruned and count in the sparsity, so that the others have to give all zeros."""
        ...

    def normalised(self) -> Mapping[str, tuple[nn.Module, nn.Module]]:
        """Return the layers among `weights` whose outputs (the first axis) batch normalisation now divides by their own deviation: the
        layer and its normalisation."""
        ...


class Goal(Protocol):
    """The goal of a method.

    Attributes:
        sparsity: the share of weights that is to be zero, 0 <= sparsity < 1.
        seed: of all random numbers of the method.
        init: the trained run that training starts from; None: random weights.
    """

    @property
    def sparsity(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def init(self) -> str | None: ...


@dataclass(frozen=True)
class SparsityGoal:
    """A `Goal` outside a training run of this package."""

    sparsity: float
    seed: int
    init: str | None = None


def chosen_layers(wanted: Iterable[str], kinds: Mapping[str, str], known: Sequence[str], what: str) -> set[str]:
    """Return the layers that are named, directly or by what encloses them, by a pattern or by kind.

    Args:
        wanted: each a layer's name, or that of a module that holds some; a pattern with *, ? or [...], such as conv*; a kind: conv or
            linear; or first or last.
        kinds: the kind of each layer, "conv" or "linear", by its name, in their order.
        known: names for the message.
        what: what the message says there is none of.

    Raises:
        UsageError: one names none; the message lists the names that exist.
    """
    names = list(kinds)
    found: set[str] = set()
    for one in wanted:
        inside = {name for name in names if name == one or name.startswith(f"{one}.")}
        if not inside:
            ends = {"first": names[:1], "last": names[-1:]}
            inside = set(ends.get(one, [name for name, kind in kinds.items() if kind == one or fnmatchcase(name, one)]))
        if not inside:
            raise unknown_name(what, str(one), [*known, "conv", "linear", "first", "last"])
        found |= inside
    return found


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside DistributedDataParallel, DataParallel and torch.compile's wrapper, whose parameters it shares."""
    while True:
        if isinstance(module, DistributedDataParallel | DataParallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


class ModuleWeights:
    """The weights of a module's linear and convolutional layers, transposed convolutions included, in the order of `named_modules`.

    Layers whose weight has `requires_grad` False are left alone, as are exempt ones.

    Args:
        module: any module; see `unwrapped`.
        exempt: names of layers, or of modules that hold some, patterns or kinds (`chosen_layers`), that are neither pruned nor counted.
        unpruned: likewise, of layers that are not pruned, but counted in the sparsity.

    Raises:
        UsageError: there is no layer to prune, a name is unknown, or a weight cannot be pruned: shared, parametrized, not
            finite, in half precision, sharded, not yet made, or on another device than the first.
    """

    def __init__(self, module: nn.Module, exempt: Iterable[str] = (), unpruned: Iterable[str] = ()) -> None:
        self.module = unwrapped(module)
        every = dict(_layers(self.module))
        dense = _exempt(self.module, every, unpruned, "unpruned")
        left_out = _exempt(self.module, every, exempt, "exempt") | dense
        self.unpruned, self.exempt = tuple(n for n in every if n in dense), tuple(n for n in every if n in left_out - dense)
        self._counted = {name: _weight(name, layer) for name, layer in every.items() if name in dense}
        self._weights = {name: _weight(name, layer) for name, layer in every.items() if name not in left_out}
        self._weights = {name: weight for name, weight in self._weights.items() if weight.requires_grad}
        if not self._weights:
            raise UsageError(
                f"{type(self.module).__name__} has no linear or convolutional layer to prune (nn.Linear, nn.Conv1d to 3d, "
                f"nn.ConvTranspose1d to 3d; {len(every)} found, the others exempt or with requires_grad=False). Pass the module that "
                "holds such layers, or name fewer in exempt."
            )
        self._check_shared()
        _check_alike(self._weights)

    def weights(self) -> dict[str, nn.Parameter]:
        """Return the weights by the layer's name."""
        return dict(self._weights)

    def positions(self) -> dict[str, Tensor]:
        """Return one synapse per weight: how often a convolution uses its weights is unknown without the size of the maps."""
        return {name: torch.ones([1] * weight.dim(), dtype=torch.int64) for name, weight in self._weights.items()}

    def counted(self) -> dict[str, nn.Parameter]:
        """Return the weights that are not pruned and count in the sparsity."""
        return dict(self._counted)

    def normalised(self) -> dict[str, tuple[nn.Module, nn.Module]]:
        """Return the layers that stand right before batch normalisation, in training, in one nn.Sequential; no transposed convolutions.

        Elsewhere only running the module would show what follows what.
        """
        layers = ((name, layer) for name, layer in self.module.named_modules() if name in self._weights)
        names = {id(layer): name for name, layer in layers if not isinstance(layer, TRANSPOSED)}
        lines = [list(m.children()) for m in self.module.modules() if isinstance(m, nn.Sequential)]
        pairs = [pair for line in lines for pair in pairwise(line)]
        return {names[id(a)]: (a, b) for a, b in pairs if id(a) in names and isinstance(b, NORMS) and b.training}

    def others(self) -> dict[str, nn.Parameter]:
        """Return the other parameters that have gradients by name: biases, normalisation, exempt layers, ..."""
        owned = {id(weight) for weight in self._weights.values()}
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad and id(p) not in owned}

    def _check_shared(self) -> None:
        pruned = {_place(weight) for weight in self._weights.values()}
        met: dict[int, str] = {}
        for name, parameter in self.module.named_parameters(remove_duplicate=False):
            first = met.setdefault(_place(parameter), name)
            if first != name and _place(parameter) in pruned:
                raise UsageError(
                    f"The parameters {first} and {name} are the same weights. Which layer they are pruned for would depend on the order; "
                    f"give each layer its own weights, or exempt {first.rpartition('.')[0]} and {name.rpartition('.')[0]}."
                )


def _place(parameter: Tensor) -> int:
    """Return a number that is the same for parameters that share memory."""
    return parameter.data_ptr() or id(parameter)


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers whose weights can be pruned, with their names; a module that is itself such a layer is named by its class."""
    for name, layer in module.named_modules():
        if isinstance(layer, PRUNED):
            yield name or type(layer).__name__, layer


def _exempt(module: nn.Module, layers: Mapping[str, nn.Module], names: Iterable[str], what: str) -> set[str]:
    """Return the layers that `names` name, see `chosen_layers`."""
    if isinstance(names, str):
        raise UsageError(f"{what} is the text {names!r}; it must be a list of names, such as {what}=[{names!r}].")
    kinds = {name: "linear" if isinstance(layer, nn.Linear) else "conv" for name, layer in layers.items()}
    return chosen_layers(names, kinds, _nameable(module, layers), f"layer in {what}")


def _nameable(module: nn.Module, layers: Mapping[str, nn.Module]) -> list[str]:
    held = [name for name, _ in module.named_modules() if any(layer.startswith(f"{name}.") for layer in layers)]
    return [*layers, *held]


def _weight(name: str, layer: nn.Module) -> nn.Parameter:
    """Return a layer's weight if it can be pruned."""
    weight = dict(layer.named_parameters(recurse=False)).get("weight")
    if weight is None or parametrize.is_parametrized(layer):
        raise UsageError(
            f"The weight of the layer {name} is computed from other parameters (torch.nn.utils.parametrize, prune or weight_norm), so that "
            "zeros in it would not stay. Remove that first (parametrize.remove_parametrizations, prune.remove), or exempt the layer."
        )
    what = _unfit(weight)
    if what is not None:
        raise UsageError(f"The weight of the layer {name} {what}")
    return weight


def _unfit(weight: nn.Parameter) -> str | None:
    """Return why a weight cannot be pruned; None if it can."""
    found = {
        "has no size yet: the layer is lazy. Run the module on a batch first.": lambda: isinstance(weight, UninitializedParameter),
        f"is a {type(weight.data).__name__}, no plain tensor, as under FSDP. Use DistributedDataParallel, which shards nothing.": (
            lambda: type(weight.data) is not Tensor
        ),
        "is on the device meta and holds no numbers. Load or initialise it first.": lambda: weight.device.type == "meta",
        f"is {weight.dtype}; pruning needs float32 or float64. Keep the weights in float32 and compute under torch.autocast.": (
            lambda: weight.dtype not in (torch.float32, torch.float64)
        ),
        "holds NaN or infinity. Start from finite weights.": lambda: not bool(torch.isfinite(weight.detach()).all()),
    }
    return next((text for text, holds in found.items() if holds()), None)


def _check_alike(weights: Mapping[str, nn.Parameter]) -> None:
    """Refuse weights on several devices or of several types."""
    first, one = next(iter(weights.items()))
    for name, weight in weights.items():
        if weight.device != one.device or weight.dtype != one.dtype:
            raise UsageError(
                f"The weights of {first} are {one.dtype} on {one.device}, those of {name} {weight.dtype} on {weight.device}. A method "
                "needs all weights alike in one place: move the module to one device, or prune its parts with an optimizer each."
            )
