"""What a training method offers: an optimiser that also decides which synapses live; and what all methods share.

A method's file imports everything that it builds on from here: the weights as one vector, exact choices over it, random numbers that follow
from (seed, stream, step, index), the first mask of methods that are sparse from the first step, and Adam with rewiring in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from ...errors import UsageError, unknown_name
from .. import devices, reachable
from ..flat import Flat, Layer, count_positive, largest, largest_of, share_out, smallest_value
from ..layers import SpikingNetwork
from ..optimiser_kernels import LANGEVIN, MASK_SEARCH, MASKED, REWIRING, SOFT_THRESHOLD, Kernel
from ..random_numbers import GROWTH, NOISE, REACTIVATION, START, hashed, key_of, normals, signs_of, uniform_choice
from ..subject import Goal, Prunable
from ._start import Start, first_mask

__all__ = [
    "BETA1",
    "BETA2",
    "EPS",
    "GROWTH",
    "JUST_LIVE",
    "LANGEVIN",
    "MASKED",
    "MASK_SEARCH",
    "NOISE",
    "REACTIVATION",
    "REWIRING",
    "SOFT_THRESHOLD",
    "START",
    "Flat",
    "Goal",
    "Kernel",
    "Layer",
    "Method",
    "Prunable",
    "Pruning",
    "Start",
    "check_choice",
    "check_flag",
    "check_number",
    "check_unused",
    "count_positive",
    "first_mask",
    "hashed",
    "key_of",
    "largest",
    "largest_of",
    "masked",
    "normals",
    "share_out",
    "signs_of",
    "smallest_value",
    "uniform_choice",
]

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # Adam's, as in all the papers
JUST_LIVE = 1e-6  # the weight of a synapse that has just come alive, and the least one of a live synapse once rewiring is frozen


class Method(Protocol):
    """Owns the weights of a model during training, one of our networks or any module (`train.prune`).

    A module in this folder has  Options  and  build(model: Prunable, settings: Goal, options) -> Method.

    A method that is trained by other optimisers too has `own_update` = "" and `step_by`, see `Pruning`.
    """

    def zero_grad(self) -> None:
        """Forget the gradients."""
        ...

    def step(self, lr: float, progress: float) -> None:
        """Update the weights from their gradients.

        Args:
            lr: the learning rate of this step.
            progress: the share of the float stage that is done, 0..1.
        """
        ...

    def end_epoch(self, progress: float) -> dict[str, float]:
        """Adjust the sparsity to its scheduled value; return numbers for the log.

        Among them pruned and regrown, the numbers of weights that died and regrew since the last call; connectivity, the share of weights
        that are not zero; and for our own networks connectivity_unrolled, the same for the synapses when convolutions are unrolled, and
        connectivity_reachable, which counts only those that a spike can cross (`train.reachable`).

        Raises:
            UsageError: a layer has no live synapse left.
        """
        ...

    def sparsity(self) -> float:
        """The share of weights that are zero."""
        ...

    def is_final(self, progress: float) -> bool:
        """Whether the sparsity is the requested one, so that this epoch's weights may be kept."""
        ...

    def freeze(self) -> None:
        """Stop rewiring: dead synapses stay dead, live ones alive."""
        ...

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything needed to continue training bit for bit, including the weights."""
        ...

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_tensors` returned."""
        ...


class Pruning:
    """Bookkeeping that all methods share; a method adds its rule: `step`, and `control`, `numbers`, `has_target` where it has them.

    Instead of `step` a rule may have its three parts, `prepare`, `update` and `follow`; on CUDA the second then becomes part of one graph
    with the forward and the backward pass (`step_graph`).

    Attributes:
        flat: the weights of all layers that are pruned; size: their number.
        dense_size, dense_synapses: weights and unrolled synapses that are not pruned, but counted.
        mean, square: Adam's moments of dL/dw (M,).
        steps: how many have been taken.
        TENSORS: names of the attributes that are state, besides the weights and the step count.
        COUNTERS: names of the whole numbers that are.
        remedy: what to do if a layer dies out, for messages.
        left_dense: layers that the rule leaves dense of itself, though they are counted.
        own_update: why no other optimiser can take the place of the method's Adam; empty: one can, by `step_by`.
    """

    own_update: str = "has an update of its own"
    left_dense: tuple[str, ...] = ()
    TENSORS: ClassVar[tuple[str, ...]] = ("mean", "square")
    COUNTERS: ClassVar[tuple[str, ...]] = ("steps", "zeros_at_start")

    def __init__(self, model: Prunable, settings: Goal) -> None:
        self.model = model
        self.weights = model.weights()
        self.flat = Flat(self.weights, model.positions())
        self.size, self.target, self.seed = self.flat.size, settings.sparsity, settings.seed
        self.dense_size = sum(weight.numel() for weight in model.counted().values())
        self.asked_zeros = round(self.target * (self.size + self.dense_size))
        if self.size - self.asked_zeros < len(self.flat):
            apart = ", ".join(model.counted())
            raise UsageError(
                f"A sparsity of {settings.sparsity} leaves {self.size - self.asked_zeros} of {self.size} synapses, fewer than the "
                f"{len(self.flat)} layers need to stay connected. Ask for a lower sparsity"
                + (f", or name fewer layers in net.unpruned ({apart})." if apart else " or more hidden neurons.")
            )
        self.mean, self.square = self.flat.zeros(), self.flat.zeros()
        self.steps, self.frozen = 0, False
        self.zeros_at_start = self.size - self.flat.count_alive()
        self.alive = self.flat.alive()
        self.remedy = "Ask for a lower sparsity, more epochs or more hidden neurons."
        self.synapses = self.flat.synapses(torch.ones_like(self.alive))
        self.dense_synapses = 0 if not isinstance(model, SpikingNetwork) else reachable.unpruned_synapses(model)
        self._placed: dict[str, Tensor] = {}
        self.scalars: Sequence[Sequence[float]] | Tensor = ()

    # --- what a method may override --------------------------------------------------------------------------------------

    def step(self, lr: float, progress: float) -> None:
        """Take one step, see `Method`."""
        self.prepare(lr, progress)
        self.update()
        self.follow(progress)

    def prepare(self, lr: float, progress: float) -> None:
        """Do the host's part of a step: count it, and set the numbers that `update` takes (`set_scalars`, `placed`)."""
        raise NotImplementedError

    def update(self) -> None:
        """Do the device's part of a step. It may be recorded once and repeated: what it does, and to which memory, depends on `form`
        alone; all numbers that change lie in tensors; it takes no number from the device and makes nothing whose shape depends on one.
        """
        raise NotImplementedError

    def follow(self, progress: float) -> None:
        """Do what follows a step now and then: corrections of the sparsity, rewiring. It may read from the device."""

    @property
    def rewires(self) -> bool:
        """Whether the live synapses change in training; where they do not, neurons that take no part are left out of the steps."""
        return True

    settles: ClassVar[bool] = False  # whether it becomes `settled` within its own epochs

    @property
    def settled(self) -> bool:
        """Whether the synapses that are alive now stay those, so that weights may be averaged over steps."""
        return self.frozen or not self.rewires

    @property
    def form(self) -> tuple[bool, ...]:
        """What decides which operations `update` consists of."""
        return (self.frozen,)

    def control(self, progress: float) -> None:
        """Adjust the sparsity to its scheduled value at `progress`."""

    def numbers(self) -> dict[str, float]:
        """Return the method's own numbers for the log, since the last call."""
        return {}

    def restored(self) -> None:
        """Recompute what follows from the state, after loading it."""

    def is_final(self, progress: float) -> bool:
        """Whether the number of zeros is the requested one."""
        return self.frozen or self.zeros() == self.asked_zeros

    # --- shared ----------------------------------------------------------------------------------------------------------

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self.weights.values():
            weight.grad = None

    def advance(self, lr: float) -> tuple[float, float, float, float, float]:
        """Count a step; return Adam's numbers for it: beta1, beta2, rate, root, eps (see `optimiser_kernels`)."""
        self.steps += 1
        return BETA1, BETA2, lr / (1.0 - BETA1**self.steps), math.sqrt(1.0 - BETA2**self.steps), EPS

    def placed(self, name: str, values: Tensor) -> Tensor:
        """Return numbers of this step, made on the host, where the weights are: on a device always in the same memory, without waiting."""
        if devices.uses_numpy(self.mean):
            return values
        if name not in self._placed or self._placed[name].shape != values.shape:
            self._placed[name] = torch.empty_like(values, device=self.flat.device)
        devices.uploaded(values, self._placed[name])
        return self._placed[name]

    def set_scalars(self, *rows: Sequence[float]) -> None:
        """Set the numbers of this step's kernels, `scalars`: the rows themselves on the CPU, elsewhere a tensor of them, copied at once."""
        on_cpu = devices.uses_numpy(self.mean)
        self.scalars = rows if on_cpu else self.placed("scalars", torch.tensor(rows, dtype=self.flat.dtype))

    def end_epoch(self, progress: float) -> dict[str, float]:
        """Adjust the sparsity to its scheduled value; return numbers for the log, see `Method`."""
        if not self.frozen:
            self.control(progress)
        before, self.alive = self.alive, self.flat.alive()
        numbers = self.numbers() | self._connections(before)
        if self.is_final(progress):
            self._check_layers()
        return numbers

    def _connections(self, before: Tensor) -> dict[str, float]:
        alive = self.alive
        counts = [(before & ~alive).sum(), (alive & ~before).sum(), alive.sum()]
        pruned, regrown, live = torch.stack(counts).tolist()
        numbers = {
            "pruned": float(pruned),
            "regrown": float(regrown),
            "connectivity": (live + self.dense_size) / (self.size + self.dense_size),
        }
        if not isinstance(self.model, SpikingNetwork):  # neither the size of its maps nor its graph is known
            return numbers
        return numbers | {
            "connectivity_unrolled": (self.flat.synapses(alive) + self.dense_synapses) / (self.synapses + self.dense_synapses),
            "connectivity_reachable": reachable.connectivity(self.model),
        }

    def _check_layers(self) -> None:
        for layer in self.flat:
            if not bool(self.alive[layer.part].any()):
                raise UsageError(
                    f"At a sparsity of {self.sparsity():.4f} the layer {layer.describe()} has no live synapse left, so nothing "
                    f"reaches the output. {self.remedy}"
                )

    def step_by(self, move: Callable[[], None], lr: float, progress: float) -> None:
        """Take a step in which another optimiser, `move`, updates the weights from their gradients; for methods without `own_update`.

        Args:
            move: updates the parameters, also those that the method does not own.
            lr, progress: see `Method.step`.
        """
        raise NotImplementedError

    def ramped_zeros(self, rise: float) -> int:
        """Return how many weights are to be zero at the share `rise` (0..1) of the way from the start to the end."""
        return self.zeros_at_start + round((self.asked_zeros - self.zeros_at_start) * rise)

    def zeros(self) -> int:
        """Count the weights that are zero."""
        return self.size - self.flat.count_alive()

    def sparsity(self) -> float:
        """The share of counted weights that are zero."""
        return self.zeros() / (self.size + self.dense_size)

    def freeze(self) -> None:
        """Stop rewiring: dead synapses stay dead, live ones alive."""
        self.frozen = True

    def state_tensors(self) -> dict[str, Tensor]:
        """The weights, the step count and the method's own state, on the CPU."""
        tensors = {"weights": self.flat.values()} | {name: getattr(self, name) for name in self.TENSORS}
        tensors = {name: tensor.cpu() for name, tensor in tensors.items()}
        return tensors | {name: torch.tensor(getattr(self, name)) for name in self.COUNTERS}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_tensors` returned.

        Raises:
            KeyError, ValueError: a tensor is missing or has another shape.
        """
        for name in self.TENSORS:
            own: Tensor = getattr(self, name)
            setattr(self, name, _like(tensors[name], own, name))
        for name in self.COUNTERS:
            setattr(self, name, int(tensors[name]))
        self.flat.put(_like(tensors["weights"], self.flat.values(), "weights"))
        self.restored()
        self.alive = self.flat.alive()

    def state_of(self, layer: Layer, *names: str) -> list[Tensor]:
        """Return the layer's part of the named flat tensors, views."""
        return [getattr(self, name)[layer.part] for name in names]


def _like(tensor: Tensor, own: Tensor, name: str) -> Tensor:
    if tensor.shape != own.shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, not {tuple(own.shape)}")
    return tensor.to(device=own.device, dtype=own.dtype, copy=True)


def masked(before: Tensor, after: Tensor, alive: Tensor, floor: float) -> Tensor:
    """Return updated weights where `alive`, kept at least `floor` away from 0, and 0 elsewhere; as the kernel MASKED does."""
    kept = torch.where(after.abs() < floor, torch.where(before > 0, floor, -floor), after)
    return torch.where(alive, kept, 0)


def check_number(name: str, value: object, low: float, high: float, *, include_low: bool = True, whole: bool = False) -> None:
    """Check an option of a method.

    Raises:
        UsageError: it is not a number (or not a whole one), or outside low..high; the message names it.
    """
    kinds = int if whole else (int, float)
    good = isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high and (include_low or value > low)
    if not good:
        kind = "a whole number" if whole else "a number"
        sign = "<=" if include_low else "<"
        raise UsageError(f"method.{name} is {value!r}; it must be {kind} with {low:g} {sign} {name} <= {high:g}.")


def check_unused(options: object, names: Sequence[str], choice: str, instead: str) -> None:
    """Raise if an option is set that has no effect.

    Args:
        options: a dataclass of options with defaults.
        names: those without effect; one that equals its default is taken as not set.
        choice: what takes their effect, as NAME=VALUE.
        instead: what gives them one, as NAME=VALUE.

    Raises:
        UsageError: one of them is not its default.
    """
    for name in names:
        value = getattr(options, name)
        if value != getattr(type(options), name):
            raise UsageError(f"method.{name} is {value}, and has no effect with method.{choice}. Leave it out, or set method.{instead}.")


def check_flag(name: str, value: object) -> None:
    """Check an option of a method that is true or false.

    Raises:
        UsageError: it is neither.
    """
    if not isinstance(value, bool):
        raise UsageError(f"method.{name} is {value!r}; it must be true or false.")


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Check an option of a method that is one of several words.

    Raises:
        UsageError: it is none of them; the message lists them.
    """
    if value not in known:
        raise unknown_name(f"method.{name}", str(value), known)
