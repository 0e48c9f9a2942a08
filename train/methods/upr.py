"""UPR, the unstructured pruning framework of weights and neurons (Shi et al., ICLR 2024; its authors' code).

Search, the first T_s of the float epochs (`search`):

    weights  w sigmoid(beta a_w);   spikes of convolutions, the first left out, times sigmoid(beta a_n);   a = 0 at the start
    beta_t = 5 (1000 / 5)^(t / T_s)
    L + lambda [ sum e_w sigmoid(beta a_w) + sum e_n sigmoid(beta a_n) ]
    e_w = output positions of the weight, H W / stride^2;   e_n = sum over the next layers of C_out k^2 / stride^2

The layers that receive the sample itself have no gates, nor do linear ones: in a network without convolutions only weights are pruned.
Layers that the authors do not prune (`SpikingNetwork.dense`; the option `layers`) keep a_w = infinity, and all their weights.

Then masks become hard, and the surviving w, without the sigmoid, are fine-tuned; Adam restarts, or keeps its moments as the authors' does
(`moments`).
With a sparsity of 0 the mask is the paper's, a > 0, and lambda (`penalty`) decides the sparsity. With a sparsity above 0 the requested
number of weights, over all layers, is removed: those with the largest a_w of all layers and the best of each layer are kept, whatever
lambda; this is ours, and a kept a_w may be below 0. Gates are hard at a_n > 0 in both. Weights that closed gates leave without a use (see
`Gates.useless`) are removed first and count among the zeros; the best of the closed channels are reopened where a layer had no other,
or where fewer weights than requested were left.

If only half of the masks were closed when they harden and a tenth of the weights kept, fine-tuning would start from a ruined network. Under
closed control, the default, all a_w are therefore lowered equally every 10 steps, as a separate lambda for each step would do, until

    z(t) = z_S (1 - (1 - t / T_s)^3)

of them are at or below 0, z_S being the zeros requested: the mask at the end is then a > 0, as in the paper. Open control omits this.

The penalty does not go through the loss. With o = sigmoid(beta a) and the gradient g of the effective weight w o, as the loss gives it,

    dL/dw = g o;   dL/da_w = (g w + lambda e_w) beta o (1 - o);   dL/da_n = (dL/do + lambda e_n) beta o (1 - o)

Adam moves w and a; `mask_lr` is the masks' learning rate as a share of that of the weights: 1 on CIFAR-10. Another optimiser may move w
(`step_by`), and keeps its state when the masks harden: on CIFAR10-DVS the paper uses SGD with Nesterov momentum for the weights, at
0.025, and Adam for the masks, at 1e-3, a share of 0.04. Between steps the model holds w o, so evaluation during the search is
that of the soft network; the authors' code evaluates the soft network and the hard one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from ...errors import UsageError
from ..flat import count_positive, largest, smallest_value
from ..layers import SpikingNetwork
from ..optimiser_kernels import MASK_SEARCH, MASKED
from ..subject import Goal, Prunable
from ._gates import Gates, weight_energies
from .api import BETA1, BETA2, EPS, JUST_LIVE, Method, Pruning, check_choice, check_number, masked

Control = Literal["closed", "open"]
Layers = Literal["published", "all"]
Moments = Literal["restart", "keep"]
FIRST_BETA, LAST_BETA = 5.0, 1000.0
CONTROL_EVERY = 10  # steps between two corrections of the number of closed masks


@dataclass(frozen=True)
class Options:
    """The search.

    Args:
        control: "closed" lowers all a_w equally, so that with a sparsity above 0 the requested number is closed when the masks harden;
            "open" leaves that to the penalty, as in the paper.
        penalty: lambda. The paper's are 5e-12 to 5e-11 on CIFAR-10 and 1e-10 to 1e-9 on CIFAR10-DVS.
        search: T_s, the share of the float epochs spent on the search, the rest being fine-tuning; the paper's is 0.8 on CIFAR-10, at a
            constant learning rate; one that falls to 0 would leave too little of it for fine-tuning.
        mask_lr: the learning rate of the masks, as a share of that of the weights.
        moments: whether Adam restarts when the masks harden, or keeps its moments, as in the authors' code.
        layers: "published" leaves dense what the authors' code does not prune, see `SpikingNetwork.dense`; "all" prunes every layer.
    """

    control: Control = "closed"
    penalty: float = 1e-11
    search: float = 0.5
    mask_lr: float = 1.0
    layers: Layers = "published"
    moments: Moments = "restart"

    def __post_init__(self) -> None:
        check_choice("control", self.control, get_args(Control))
        check_choice("layers", self.layers, get_args(Layers))
        check_choice("moments", self.moments, get_args(Moments))
        check_number("penalty", self.penalty, 0.0, 1e6)
        check_number("search", self.search, 0.0, 1.0, include_low=False)
        check_number("mask_lr", self.mask_lr, 0.0, 1e6, include_low=False)


def build(model: Prunable, settings: Goal, options: Options) -> Method:
    """Build the method for `model`, which gets gates.

    Raises:
        UsageError: fewer live synapses than layers, or than the layers that are not pruned have; or a module that is not a `SpikingNetwork`
            and has convolutions.
    """
    if not isinstance(model, SpikingNetwork) and any(weight.dim() > 2 for weight in model.weights().values()):
        raise UsageError(
            "The method upr counts the operations of every weight and puts gates on the neurons of convolutions, for which it has to know "
            "the size of the maps and which neurons follow; of a module with convolutions it knows neither. Use grad-r or stds, or "
            "train one of Spikeloom's networks (spikeloom train --method upr). On linear layers alone upr works."
        )
    return UPR(model, settings, options)


class UPR(Pruning):
    """Soft masks that harden, then fine-tuning.

    Attributes:
        dense: the connections that are not pruned.
        raw: w (M,) of the search; score: a_w (M,); opening: sigmoid(beta a_w) (M,); mask: int8 (M,), once hard.
        gate_score: a_n (G,); gate_opening: the gates (G,).
        hard: 1 once the search is over.
    """

    own_update = ""
    TENSORS: ClassVar[tuple[str, ...]] = (
        "raw", "score", "opening", "mean", "square", "score_mean", "score_square", "mask", "beta",
        "gate_score", "gate_opening", "gate_mean", "gate_square",
    )  # fmt: skip
    COUNTERS: ClassVar[tuple[str, ...]] = ("steps", "zeros_at_start", "hard")
    settles: ClassVar[bool] = True

    def __init__(self, model: Prunable, settings: Goal, options: Options) -> None:
        super().__init__(model, settings)
        self.options, self.hard = options, 0
        if not self.target:
            self.remedy = f"Lower method.penalty, {options.penalty:g} now, or ask for a sparsity."
        network = model if isinstance(model, SpikingNetwork) else None
        self.dense = network.dense if network is not None and options.layers == "published" else ()
        self.left_dense = tuple(layer.name for layer in self.flat if layer.name in self.dense)
        self._check_room()
        self.gates = Gates(network, self.flat, self.dense)
        self.energies = [1.0] * len(self.flat) if network is None else weight_energies(network)
        self.raw = self.flat.values()
        self.score, self.score_mean, self.score_square = self.flat.zeros(), self.flat.zeros(), self.flat.zeros()
        self.opening = torch.full_like(self.raw, 0.5)
        for layer in self.flat:
            if layer.name in self.dense:
                self.score[layer.part], self.opening[layer.part] = torch.inf, 1.0
        self.mask = self.flat.zeros(torch.int8)
        self.beta = torch.tensor(FIRST_BETA, dtype=torch.float64)
        gates = torch.zeros(self.gates.size, dtype=self.flat.dtype, device=self.flat.device)
        self.gate_score, self.gate_mean, self.gate_square = gates, gates.clone(), gates.clone()
        self.gate_opening = torch.full_like(gates, 0.5)
        self.gate_energies = self._gate_energies()
        self.flat.put(self.raw * self.opening)
        self.gates.put(self.gate_opening)
        self.gates.learn(True)

    def _check_room(self) -> None:
        """Refuse a sparsity that the pruned layers cannot reach."""
        pruned = [layer for layer in self.flat if layer.name not in self.dense]
        room = sum(layer.size for layer in pruned) - len(pruned)
        if self.asked_zeros > room:
            raise UsageError(
                f"A sparsity of {self.target} removes {self.asked_zeros:,} of {self.size:,} weights, but UPR does not prune "
                f"{', '.join(self.dense)}, and the other layers can lose {room:,} at most. Ask for at most "
                f"{math.floor(1e4 * room / self.size) / 1e4:g}, or prune all layers with method.layers=all."
            )

    def _gate_energies(self) -> Tensor:
        energies = torch.zeros_like(self.gate_score)
        for energy, part in zip(self.gates.energies, self.gates.parts(), strict=True):
            energies[part] = energy
        return energies

    def beta_at(self, progress: float) -> float:
        """The steepness of the masks at the share `progress` of the float epochs."""
        return FIRST_BETA * (LAST_BETA / FIRST_BETA) ** min(1.0, progress / self.options.search)

    def zero_grad(self) -> None:
        """Forget the gradients, including those of the gates."""
        super().zero_grad()
        for gate in self.gates.parameters.values():
            gate.grad = None

    def prepare(self, lr: float, progress: float) -> None:
        """Set the numbers of Adam and, in the search, of the masks."""
        adam = self.advance(lr)
        if self.hard:
            self.set_scalars((*adam, JUST_LIVE))
        else:
            self._set_search(adam, adam[2], progress)

    def _set_search(self, adam: tuple[float, ...], rate: float, progress: float) -> None:
        """Set the numbers of a step of the search, Adam's of the weights, and those of the masks, whose rate is a share of `rate`."""
        beta, next_beta = float(self.beta), self.beta_at(progress)
        masks = (rate * self.options.mask_lr, beta, next_beta)
        self.set_scalars(*((*adam, *masks, self.options.penalty * energy) for energy in self.energies))
        self.beta.fill_(next_beta)

    def update(self) -> None:
        """Take one step of Adam: on weights and masks in the search, on the surviving weights after it."""
        if self.hard:
            self._fine_tune()
            return
        names = ("raw", "score", "opening", "mean", "square", "score_mean", "score_square")
        for layer, numbers in zip(self.flat, self.scalars, strict=True):
            values = layer.values()
            raw, score, opening, *moments = self.state_of(layer, *names)
            MASK_SEARCH((raw, score, opening, values, layer.gradient(), *moments), numbers)
            layer.put(values)
        self._move_gates()

    def step_by(self, move: Callable[[], None], lr: float, progress: float) -> None:
        """Let another optimiser move the weights w by dL/dw = g o, and Adam the masks; then the weights that survived."""
        before = self.flat.values()
        if self.hard:
            move()
            self.steps += 1
            self.flat.put(masked(before, self.flat.values(), self.mask > 0, JUST_LIVE))
            return
        adam, opening = self.advance(lr), self.opening.clone()
        self._set_search((*adam[:2], 0.0, *adam[3:]), adam[2], progress)  # the kernel's own step of the weights is 0
        self.update()
        for layer in self.flat:
            if layer.weight.grad is not None:
                layer.weight.grad.mul_(opening[layer.part].view(layer.weight.shape))
        self.flat.put(self.raw)
        move()
        self.raw.copy_(self.flat.values())
        self.flat.put(self.raw * self.opening)
        self.follow(progress)

    @property
    def settled(self) -> bool:
        """Whether the masks have hardened."""
        return bool(self.hard)

    @property
    def form(self) -> tuple[bool, ...]:
        """See `Pruning`: the search and fine-tuning."""
        return self.frozen, bool(self.hard)

    def follow(self, progress: float) -> None:
        """Close masks as the ramp asks, and harden them at the end of the search."""
        if self.hard:
            return
        if progress >= self.options.search:
            self._harden()
        elif self.options.control == "closed" and self.steps % CONTROL_EVERY == 0:
            self._close(progress, self.beta_at(progress))

    def _close(self, progress: float, beta: float) -> None:
        """Lower all a_w equally until the number at or below 0 is the ramp's."""
        wanted = round(self.asked_zeros * (1.0 - (1.0 - progress / self.options.search) ** 3))
        if self.size - count_positive(self.score) >= wanted:
            return
        self.score -= smallest_value(self.score, wanted)
        self.opening.copy_(torch.sigmoid(beta * self.score))
        self.flat.put(self.raw * self.opening)

    def _fine_tune(self) -> None:
        for layer in self.flat:
            values = layer.values()
            mask, mean, square = self.state_of(layer, "mask", "mean", "square")
            MASKED((values, mask, layer.gradient(), mean, square), self.scalars[0])
            layer.put(values)

    def _move_gates(self) -> None:
        if not self.gates.size:
            return
        _, _, _, root, _, rate, beta, next_beta, _ = self.scalars[0]
        opening = self.gate_opening
        grad = (self.gates.gradient() + self.options.penalty * self.gate_energies) * beta * opening * (1 - opening)
        self.gate_mean.mul_(BETA1).add_(grad, alpha=1 - BETA1)
        self.gate_square.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
        self.gate_score -= rate * self.gate_mean / (self.gate_square.sqrt() / root + EPS)
        self.gate_opening.copy_(torch.sigmoid(next_beta * self.gate_score))
        self.gates.put(self.gate_opening)

    def control(self, progress: float) -> None:
        """Harden the masks once the search is over."""
        if not self.hard and progress >= self.options.search:
            self._harden()

    def _harden(self) -> None:
        kept = self._survivors()
        self.mask, self.hard = kept.to(torch.int8), 1
        live = torch.where(self.raw < 0, self.raw.clamp(max=-JUST_LIVE), self.raw.clamp(min=JUST_LIVE))
        self.flat.put(torch.where(kept, live, 0))
        self.gate_opening = (self.gate_score > 0).to(self.flat.dtype)
        self.gates.put(self.gate_opening)
        self.gates.learn(False)
        if self.options.moments == "restart":
            self.mean.zero_()
            self.square.zero_()
            self.steps = 0

    def _survivors(self) -> Tensor:
        """Return which weights (M,) are kept."""
        if not self.target:
            return (self.score > 0) & ~self.gates.useless(self.gate_score)
        wanted = self.size - self.asked_zeros
        useless = self._useless_but(wanted)
        return largest(self.flat.with_best_first(self.score.masked_fill(useless, -torch.inf)), wanted)

    def _useless_but(self, wanted: int) -> Tensor:
        """Return the useless weights; open the best of these until each layer has one and `wanted` weights are left."""
        best = self.gates.best_of_channels(self.gate_score)
        for name in [name for name, scores in best.items() if bool((scores <= 0).all())]:
            self._open_best(name)
        useless = self.gates.useless(self.gate_score)
        while self.size - int(useless.sum()) < wanted:
            closed = self._best_closed()
            self._open_best(max(closed, key=lambda name: float(closed[name].max())))
            useless = self.gates.useless(self.gate_score)
        return useless

    def _best_closed(self) -> dict[str, Tensor]:
        """Return the score of each closed channel by layer, -inf for open ones."""
        best = self.gates.best_of_channels(self.gate_score)
        return {name: scores.masked_fill(scores > 0, -torch.inf) for name, scores in best.items()}

    def _open_best(self, name: str) -> None:
        """Open all gates of the layer's best closed channel."""
        scores = self._best_closed()[name]
        part = self.gates.parts()[list(self.gates.parameters).index(name)]
        self.gate_score[part].view(len(scores), -1)[int(scores.argmax())] = JUST_LIVE

    def numbers(self) -> dict[str, float]:
        """The steepness of the masks and the mean opening of the gates."""
        gates = {"gates": float(self.gate_opening.mean())} if self.gates.size else {}
        return {"beta": float(self.beta), **gates}

    def is_final(self, progress: float) -> bool:
        """Whether the search is over."""
        return bool(self.hard)

    def freeze(self) -> None:
        """End the search; the masks stay."""
        super().freeze()
        if not self.hard:
            self._harden()

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_tensors` returned."""
        super().load_state_tensors(tensors)
        self.gates.put(self.gate_opening)
        self.gates.learn(not self.hard)
