"""Options that every network of Spikeloom has beside its own, `net.OPTION`: what they change is done to the network that was built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, Literal

from spikingjelly.activation_based import surrogate as surrogates
from torch import nn

from .. import registry
from ..errors import UsageError, unknown_name
from .layers import SpikingNetwork
from .networks.api import check_dropout
from .neurons import FusedLIFNode
from .standardise import Standardise
from .subject import chosen_layers

__all__ = ["Shared", "shared_of"]

Init = Literal["default", "torch", "kaiming"]
Neuron = Literal["lif", "if"]
Reset = Literal["zero", "subtract"]
Surrogate = Literal["atan", "sigmoid", "triangle", "rect", "erf", "softsign"]

SURROGATES: dict[Surrogate, Any] = {
    "atan": surrogates.ATan,
    "sigmoid": surrogates.Sigmoid,
    "triangle": surrogates.PiecewiseQuadratic,
    "rect": surrogates.Rect,
    "erf": surrogates.Erf,
    "softsign": surrogates.SoftSign,
}
TAU = 2.0
LARGEST = 1e6  # of thresholds and sharpnesses


@dataclass(frozen=True)
class Shared:
    """What can be set of any network.

    Args:
        mean, std: of the samples (0..1), taken off and divided by, one number or one per channel; empty: the samples as they are.
        init: of the weights of convolutions and linear layers: "default", that of the network's file; "torch": torch's own, uniform in
            +-1/sqrt(inputs); "kaiming": normal with variance 2 / (C_out k^2) (He et al., 2015, fan_out), as in the code of UPR.
        neuron: "lif"; "if": integrate and fire, nothing leaks: v <- v + x.
        tau: membrane time constant of the LIF neurons, in time steps.
        decay_input: whether their input is divided by tau: v <- v + (x - v) / tau, or v <- v - v / tau + x.
        threshold: at which the neurons spike.
        reset: what a spike does to the potential: it becomes "zero", or the threshold is taken off ("subtract", a soft reset).
        surrogate: derivative of a spike in the backward pass, a class of SpikingJelly's `surrogate`: ATan, Sigmoid, PiecewiseQuadratic
            (triangle), Rect, Erf or SoftSign.
        alpha: its sharpness; None: SpikingJelly's default, 2 for atan.
        dropouts: "LAYER:P": before that layer a source neuron is silenced with probability P at all T steps, in training; a layer's name,
            a pattern such as conv*, or a kind as in `subject.chosen_layers`.
        exempt: layers whose weights no method prunes and that no sparsity counts, by the names of `SpikingNetwork.named_ops`, patterns or
            kinds likewise; as for modules of the user's own.
        unpruned: layers that no method prunes, but that are counted: the others have to give all zeros.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    init: Init = "default"
    neuron: Neuron = "lif"
    tau: float = TAU
    decay_input: bool = True
    threshold: float = 1.0
    reset: Reset = "zero"
    surrogate: Surrogate = "atan"
    alpha: float | None = None
    dropouts: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()
    unpruned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1.0 < self.tau <= LARGEST:
            raise UsageError(f"net.tau is {self.tau}; it must be above 1 time step (net.neuron=if does not leak at all).")
        if self.neuron == "if" and (self.tau != TAU or not self.decay_input):
            raise UsageError("net.tau and net.decay_input are of neurons that leak, and net.neuron is if. Leave them out.")
        for name, value in (("threshold", self.threshold), ("alpha", 1.0 if self.alpha is None else self.alpha)):
            if not 0.0 < value <= LARGEST:
                raise UsageError(f"net.{name} is {value}; it must be a number with 0 < {name} <= {LARGEST:g}.")

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from the defaults, as settings and files have them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def apply(self, model: SpikingNetwork, samples: tuple[int, ...]) -> None:
        """Give a new network what the options ask for.

        Args:
            samples: the shape of a sample, or of a frame of a temporal one.

        Raises:
            UsageError: an option does not suit the network; the message names it.
        """
        if self.mean or self.std:
            model.standardise = Standardise(self.mean, self.std, samples, model.shape)
        if self.init != "default":
            self._initialise(model)
        if self.neuron_changes:
            for _, layer in model.named_layers():
                layer.neuron = self._made(layer.neuron.repeat)
        if self.dropouts:
            self._drop(model)
        if self.exempt or self.unpruned:
            model.leave_out(self.exempt, self.unpruned)

    @property
    def neuron_changes(self) -> bool:
        """Whether the neurons differ from the default ones."""
        default = Shared()
        names = ("neuron", "tau", "decay_input", "threshold", "reset", "surrogate", "alpha")
        return any(getattr(self, name) != getattr(default, name) for name in names)

    def _initialise(self, model: SpikingNetwork) -> None:
        """Draw the weights anew, in the order of the layers."""
        for weight in model.weights().values():
            if self.init == "kaiming":
                nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.kaiming_uniform_(weight, a=math.sqrt(5))

    def _made(self, repeat: int | None) -> FusedLIFNode:
        leaks = self.neuron == "lif"
        node = FusedLIFNode(
            repeat=repeat,
            tau=float(self.tau) if leaks else math.inf,
            v_threshold=float(self.threshold),
            v_reset=None if self.reset == "subtract" else 0.0,
            decay_input=leaks and self.decay_input,
        )
        kind = SURROGATES[self.surrogate]
        node.surrogate_function = kind() if self.alpha is None else kind(alpha=float(self.alpha))
        return node

    def _drop(self, model: SpikingNetwork) -> None:
        ops, kinds = dict(model.named_ops()), model.kinds()
        for text in self.dropouts:
            place, colon, share = text.rpartition(":")
            try:
                value = float(share) if colon else math.nan
            except ValueError:
                value = math.nan
            if math.isnan(value):
                raise UsageError(f"net.dropouts has {text!r}; each is LAYER:P, such as fc1:0.5.")
            check_dropout("dropouts", value)
            for name in chosen_layers((place,), kinds, list(kinds), "layer in net.dropouts"):
                ops[name].dropout = value


def shared_of(network: ModuleType, given: Mapping[str, Any], what: str) -> tuple[Any, Shared]:
    """Return a network's own options and those that all networks have.

    Args:
        network: its module; an option of its own takes precedence over a shared one of that name.
        given: values by name, text read as each option's type.
        what: what messages call it, such as "the network fc".

    Raises:
        UsageError: an unknown option, or an invalid value.
    """
    own = {f.name: f for f in fields(getattr(network, "Options", _None))}
    known = [f.name for f in fields(Shared) if f.name not in own]
    for name in given:
        if name not in own and name not in known:
            raise unknown_name(f"option of {what}", name, [*own, *known])
    mine = registry.options_of(network, {name: value for name, value in given.items() if name in own}, what)
    shared = registry.build(Shared, {name: value for name, value in given.items() if name not in own}, what)
    if shared.init != "default" and "gain" in own and mine.gain != own["gain"].default:
        raise UsageError(f"net.gain is of the initial weights of {what} itself, and net.init={shared.init} replaces them. Leave out one.")
    return mine, shared


@dataclass(frozen=True)
class _None:
    """No options."""
