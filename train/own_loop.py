"""Pruning in the user's own training loop: every method as a `torch.optim.Optimizer` over a module's linear and convolutional weights."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .. import registry
from ..checked import checked
from ..errors import DAMAGE, SpikeloomWarning, UsageError
from . import methods
from .methods.api import Method
from .rest import Rest
from .settings import check_real, check_whole
from .subject import ModuleWeights, SparsityGoal

__all__ = ["Connectivity", "PruningOptimizer", "prune"]

CONTROLS = 100  # how often per training a method is told that an epoch has ended, if the epochs' length is not given
STATE = "pruning"  # the key in `state_dict` for everything besides torch's own state
WEIGHTS, OTHERS = "pruned weights", "other parameters"  # names of the parameter groups


@dataclass(frozen=True)
class Connectivity:
    """The shares (0..1) of non-zero weights: `overall`, over all pruned weights, and by layer."""

    overall: float
    layers: Mapping[str, float]


@checked(
    module="Give a torch.nn.Module with linear or convolutional layers.",
    method="Name a pruning rule, such as grad-r.",
    exempt='Give a list of names, such as ["head"].',
)
def prune(
    module: nn.Module,
    method: str = "grad-r",
    sparsity: float = 0.95,
    *,
    total_steps: int,
    lr: float = 1e-3,
    exempt: Iterable[str] = (),
    seed: int = 0,
    method_options: Mapping[str, Any] | None = None,
    others: bool = True,
    steps_per_epoch: int | None = None,
) -> PruningOptimizer:
    """Return an optimizer that prunes a module while training it, for use in your own training loop.

        optimizer = prune(model, "grad-r", sparsity=0.95, total_steps=epochs * len(loader))
        for x, y in batches: loss(model(x), y).backward(); optimizer.step(); optimizer.zero_grad()
        model = optimizer.finish()

    The method owns the weights of all linear and convolutional layers that are trained and not exempt, and updates them by Adam (0.9,
    0.999, 1e-8) and its own rule. The sparsity schedule follows the completed share of `total_steps`.

    Args:
        module: any module, on one device, its pruned weights float32 or float64; DistributedDataParallel is unwrapped, and must
            have been applied before this call.
        method: a file in train/methods; upr only where all layers are linear.
        sparsity: the share of the pruned weights that is to be zero, 0 <= sparsity < 1.
        total_steps: how often `step` will be called; batches whose gradients are accumulated count as one.
        lr: the learning rate, 0 < lr <= 1; used by both parameter groups; schedulers may change it.
        exempt: names of layers, or of modules around some, as in `named_modules`, patterns (head.*) or kinds (conv, linear, first, last),
            whose weights are not pruned.
        seed: of the method's random numbers, which depend only on the seed and the step, so processes that train together prune alike.
        method_options: the method's own options by name, see docs/methods.md.
        others: whether biases, normalisation and all other parameters are also trained here, with plain Adam; False leaves them to an
            optimizer of your own.
        steps_per_epoch: how many steps make an epoch, at whose end the method is called; this sets how often rules act that act only then
            (such as the one in examples/own_pruning_rule.py). None: a hundredth of the steps.

    Raises:
        UsageError: an invalid value, no layer to prune, an unknown name, or weights that cannot be pruned: shared,
            parametrized, not finite, on several devices, of half precision; see `subject.ModuleWeights`.
    """
    chosen = registry.load(methods, "method", method)
    options = registry.options_of(chosen, method_options or {}, f"the method {method}")
    check_real("sparsity", sparsity, 0.0, 1.0, "0 <= sparsity < 1, such as 0.95 for 95 % zeros", include_high=False)
    check_real("lr", lr, 0.0, 1.0, "0 < lr <= 1, such as 0.001", include_low=False)
    check_whole("total_steps", total_steps, 1, 1 << 40)
    check_whole("seed", seed, 0, (1 << 63) - 1)
    if steps_per_epoch is not None:
        check_whole("steps_per_epoch", steps_per_epoch, 1, 1 << 40)
    weights = ModuleWeights(module, exempt)
    resolved = {} if options is None else asdict(options)
    plan = Plan(method, sparsity, total_steps, seed, steps_per_epoch or max(1, total_steps // CONTROLS), resolved)
    built = cast(Method, chosen.build(weights, SparsityGoal(sparsity, seed), options))
    return PruningOptimizer(module, weights, built, plan, lr, others=others)


@dataclass(frozen=True)
class Plan:
    """The arguments of an optimizer on which its state depends."""

    method: str
    sparsity: float
    total_steps: int
    seed: int
    steps_per_epoch: int
    options: Mapping[str, Any]


class PruningOptimizer(Optimizer):
    """A method as a torch optimizer; made by `prune`.

    Parameter groups: the pruned weights and, unless they are left to another optimizer, all other parameters. Of a group's options only
    `lr` is used. A call of `step` when no parameter has a gradient does not count as a step, as in torch's own optimizers.

    Attributes:
        steps: how many steps have been taken, of `plan.total_steps`; may grow further after `finish`.
    """

    def __init__(self, module: nn.Module, weights: ModuleWeights, method: Method, plan: Plan, lr: float, *, others: bool) -> None:
        self.module, self.method, self.plan = module, method, plan
        self.steps, self.finished = 0, False
        self._weights = weights.weights()
        self._devices = {name: weight.device for name, weight in self._weights.items()}
        self._rest = Rest(weights.others() if others else {})
        groups: list[dict[str, Any]] = [{"params": list(self._weights.values()), "name": WEIGHTS}]
        if self._rest.parameters:
            groups.append({"params": list(self._rest.parameters.values()), "name": OTHERS})
        self._complete = False
        super().__init__(groups, {"lr": lr})
        self._complete = True
        self._begun_with = _digest(self._weights.values())

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuse: the pruned weights are chosen when the optimizer is made.

        Raises:
            UsageError: always, once the optimizer is made.
        """
        if self._complete:
            raise UsageError("A pruning optimizer takes no further parameters. Give them an optimizer of their own, or call prune() again.")
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        """Refuse copies and pickles, whose weights would belong to no module.

        Raises:
            UsageError: always.
        """
        raise UsageError("A pruning optimizer cannot be copied or pickled apart from its module. Save state_dict(), or call prune() again.")

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step: Adam and the method's rule on the pruned weights, Adam on the others.

        Args:
            closure: computes the loss anew and its gradients; called once. Its value is returned.

        Raises:
            UsageError: all steps have been taken; a gradient is not finite; the weights were moved, or changed between `prune` and the
                first step; a layer has lost its last weight.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if any(p.grad is not None for group in self.param_groups for p in group["params"]):
            self._step()
        return loss

    @torch.no_grad()
    def _step(self) -> None:
        self._check_step()
        self.steps += 1
        progress = min(self.steps / self.plan.total_steps, 1.0)
        rates = [float(group["lr"]) for group in self.param_groups]
        self.method.step(rates[0], progress)
        self._rest.step(rates[-1])
        if self.steps % self.plan.steps_per_epoch == 0 and not self.finished:
            self.method.end_epoch(progress)

    def _check_step(self) -> None:
        if self.steps >= self.plan.total_steps and not self.finished:
            raise UsageError(
                f"All {self.plan.total_steps} steps of this optimizer are done. Ask for more total_steps in prune(), or call finish() "
                "first and train on with the connections that are left."
            )
        for name, weight in self._weights.items():
            if weight.device != self._devices[name]:
                raise UsageError(
                    f"The weight of {name} was moved from {self._devices[name]} to {weight.device} after prune(). Move the module first."
                )
        if self.steps == 0 and _digest(self._weights.values()) != self._begun_with:
            raise UsageError(
                "The weights were changed between prune() and the first step, by DistributedDataParallel or load_state_dict perhaps. A "
                "method starts from the weights that it is given: call prune() after that."
            )
        gradients = {name: weight.grad for name, weight in self._weights.items() if weight.grad is not None}
        sums = [gradient.sum() for gradient in gradients.values()]
        finite = torch.isfinite(torch.stack(sums)).tolist() if sums else []
        doubtful = [name for name, good in zip(gradients, finite, strict=True) if not good]  # a sum of large numbers may be infinite, too
        wrong = [name for name in doubtful if not bool(torch.isfinite(gradients[name]).all())]
        if wrong:
            raise UsageError(
                f"The gradient of {wrong[0]} is NaN or infinite at step {self.steps + 1}; nothing was changed. "
                "Lower lr, clip the gradients, or under float16 use torch.amp.GradScaler, which leaves such steps out."
            )

    @torch.no_grad()
    def finish(self) -> nn.Module:
        """Stop rewiring and return the module with the requested number of zeros; `step` then trains the remaining weights.

        Raises:
            UsageError: a layer has no live weight left.

        Warns:
            SpikeloomWarning: steps are left, so weights that the schedule had not yet removed were removed at once.
        """
        if self.finished:
            return self.module
        if self.steps < self.plan.total_steps:
            text = f"finish() after {self.steps} of {self.plan.total_steps} steps: what the schedule had yet to prune was removed at once."
            warnings.warn(text, SpikeloomWarning, stacklevel=3)
        self.method.end_epoch(1.0)
        self.method.freeze()
        self.finished = True
        return self.module

    def sparsity(self) -> float:
        """Return the current share of zeros among the pruned weights."""
        return self.method.sparsity()

    def connectivity(self) -> Connectivity:
        """Return the current share of non-zero weights, for each pruned layer and overall."""
        alive = {name: int(torch.count_nonzero(weight)) for name, weight in self._weights.items()}
        sizes = {name: weight.numel() for name, weight in self._weights.items()}
        return Connectivity(sum(alive.values()) / sum(sizes.values()), {name: alive[name] / sizes[name] for name in alive})

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to continue training bit for bit, with the pruned weights; `torch.load(weights_only=True)` reads it.

        The other parameters and buffers are in the module's own `state_dict`.
        """
        tensors = {name: tensor.detach().clone() for name, tensor in self.method.state_tensors().items()}
        own = {"plan": asdict(self.plan), "steps": self.steps, "finished": self.finished, "method": tensors}
        rest = {name: tensor.detach().clone() for name, tensor in self._rest.state_tensors().items()}
        return {**super().state_dict(), STATE: own | {"rest": rest}}

    @torch.no_grad()
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the result of `state_dict` into an optimizer made by the same call of `prune` on the same module.

        Raises:
            UsageError: the state belongs to something else, which the message names; or this optimizer is finished and the state is not.
        """
        own = _own_state(state_dict, self.plan)
        if self.finished and not own["finished"]:
            raise UsageError("This optimizer is finished, and the state is from before that. Load it into a new one, from prune().")
        groups = {name: state_dict[name] for name in ("state", "param_groups") if name in state_dict}
        try:
            super().load_state_dict(groups)
            self.method.load_state_tensors(own["method"])
            self._rest.load_state_tensors(own["rest"])
        except (RuntimeError, *DAMAGE) as error:
            raise UsageError(
                f"The state is of another module or damaged: {error}. Load it into the optimizer that it was saved from."
            ) from error
        self.steps, self.finished = int(own["steps"]), bool(own["finished"])
        if self.finished:
            self.method.freeze()
        self._begun_with = _digest(self._weights.values())


def _own_state(state: Mapping[str, Any], plan: Plan) -> Mapping[str, Any]:
    """Return this package's part of a state.

    Raises:
        UsageError: there is none, or it belongs to another plan.
    """
    own = state.get(STATE)
    if not isinstance(own, Mapping) or not isinstance(own.get("plan"), Mapping) or not {"steps", "finished", "method", "rest"} <= set(own):
        raise UsageError("The state is not that of a pruning optimizer. Load what state_dict() of one returned.")
    saved = cast("Mapping[str, Any]", own["plan"])
    for name, value in asdict(plan).items():
        if saved.get(name) != value:
            raise UsageError(f"The state is of an optimizer with {name} = {saved.get(name)!r}, not {value!r}. Call prune() as before.")
    return cast("Mapping[str, Any]", own)


def _digest(weights: Iterable[Tensor]) -> str:
    """Return a hash of the weights' bytes."""
    made = hashlib.blake2b(digest_size=16)
    for weight in weights:
        made.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return made.hexdigest()
