"""A user's module in the chip's integers: quantisation-aware training whose forward pass is that of the deployed network.

While the module runs, three kinds of its layers compute other things, and everything else stays its own:

    Linear, Conv1d, Conv2d   a = floor((W_int x) 2^e)        W_int = round(W q), W with its batch normalisation folded in
    BatchNorm behind it      nothing: its running statistics, scale and shift are in W and in the bias of the neurons
    IF, LIF, ParametricLIF   v <- tz(v (4096 - dv) / 4096) + 64 a + b_int;   spikes where v > 64 vth;   v <- 0, or v - 64 vth

All integers are held exactly, in float64. Backward, rounding counts as the identity, and the module's own surrogate gradient is evaluated
at the potential in its own unit. `hwmodels.fixed_point` defines the arithmetic; `check` compares the two.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from spikingjelly.activation_based import layer as sj
from spikingjelly.activation_based import neuron as sj_neuron
from torch import Tensor, nn
from torch.nn import functional

from ..data.dataset import Dataset
from ..errors import UsageError
from ..formats.torch.build import Neurons
from ..formats.torch.expressions import Expression
from ..formats.torch.module import proven_on
from ..formats.torch.states import widened
from ..hwmodels.fixed_point import ALIGN, DECAY_ONE, NEVER_DECAYS, NO_MEMORY, STATE_LIMIT
from ..hwmodels.quantise import round_bias
from ..network import reference
from ..network.model import LIF, InputSpec, IntegerLIF, Network, Threshold
from .model import IntegerPart
from .quantise import IntegerArithmetic, integer_weights

__all__ = ["IntegerLayer", "check", "in_integers", "integer_layers", "integer_network", "parts_of"]

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, sj.Linear, sj.Conv1d, sj.Conv2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, sj.BatchNorm1d, sj.BatchNorm2d)
NEURONS = (sj_neuron.IFNode, sj_neuron.LIFNode, sj_neuron.ParametricLIFNode)
MOVES = ("view", "gather", "max", "any")
LEAVE_OUT = "Leave out weight_bits: training is then in float, and the compiler calibrates."
AXES = {nn.Linear: 1, nn.Conv1d: 2, nn.Conv2d: 3}


@dataclass(frozen=True)
class IntegerLayer:
    """The parts of a module that make one layer of neurons, by their names in `named_modules`. `norm`: None without a normalisation."""

    neurons: str
    weighted: str
    norm: str | None
    neuron: LIF
    is_first: bool


def integer_layers(module: nn.Module, found: list[Neurons]) -> dict[str, IntegerLayer]:
    """Return the layers of a module that can be trained in integers, by the names of their populations.

    Raises:
        UsageError: a layer cannot; the message names it and what to use instead.
    """
    parts = dict(module.named_modules())
    layers = {n.name: _layer(n, parts) for n in found}
    for kind in ("weighted", "norm"):
        used = [getattr(made, kind) for made in layers.values() if getattr(made, kind) is not None]
        twice = next((name for name in used if used.count(name) > 1), None)
        if twice is not None:
            raise _refused(f"{twice} is used for several layers of neurons", "Give each its own.")
    return layers


def _refused(what: str, instead: str) -> UsageError:
    return UsageError(f"weight_bits trains in the chip's integers, and {what}. {instead} {LEAVE_OUT}")


def _layer(found: Neurons, parts: Mapping[str, nn.Module]) -> IntegerLayer:
    path, cell = _path(found.where), found.cell
    apart = cell.gain is not None or cell.groups is not None  # thresholds or time constants of their own
    if type(parts.get(path)) not in NEURONS or cell.late or cell.arrives or apart or cell.neuron.tau_syn != 1.0:
        raise _refused(f"{found.where} has no such form", "Use neuron.IFNode, LIFNode or ParametricLIFNode of SpikingJelly.")
    e, norm, behind = found.arriving, None, list[str]()
    while e.op in ("scale", "bias"):
        behind.append(_path(e.where))
        e = e.args[0]
    weighted = _path(e.where)
    if e.op not in ("conv", "linear") or type(parts.get(weighted)) not in WEIGHTED:
        raise _refused(
            f"{found.where} receives what {e.where} computes ({e.op})",
            "Have each layer of neurons receive one Linear, Conv1d or Conv2d, with a BatchNorm or without.",
        )
    others = [name for name in dict.fromkeys(behind) if name != weighted]
    if others:
        norm = others[0]
        if len(others) > 1 or type(parts.get(norm)) not in NORMS:
            raise _refused(f"{found.where} receives what {', '.join(others)} makes of {e.where}", "Have one BatchNorm there, or none.")
    return IntegerLayer(path, weighted, norm, cell.neuron, is_first=_source(e, found.where) == "input")


def _source(e: Expression, where: str) -> str:
    """Return what a weighted layer receives: "input", or "spikes".

    Raises:
        UsageError: something else than whole numbers.
    """
    weighted = e.where
    e = e.args[0]
    while e.op in MOVES:
        e = e.args[0]
    if e.op not in ("input", "spikes") or (e.step or 0) != 0:
        raise _refused(
            f"{weighted} receives what {e.where} computes ({e.op}) rather than spikes or samples",
            "Use MaxPool or a stride in place of averages, and leave the samples and the sums of branches as they are.",
        )
    return e.op


def _path(where: str) -> str:
    """Return the name in `named_modules` of  "features.3 (Conv2d)";  the module itself is ""."""
    name = where.rsplit(" (", 1)[0]
    return "" if name == "the module" else name


# --- weights ----------------------------------------------------------------------------------------------------------------


def _folded(layer: IntegerLayer, parts: Mapping[str, nn.Module]) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of a layer in float64, its normalisation folded in."""
    weighted: Any = parts[layer.weighted]
    weight = weighted.weight.double()
    bias = None if weighted.bias is None else weighted.bias.double()
    if layer.norm is None:
        return weight, bias
    norm: Any = parts[layer.norm]
    scale = 1.0 / torch.sqrt(norm.running_var.double() + norm.eps)
    scale = scale * norm.weight.double() if norm.affine else scale
    shift = (0.0 if bias is None else bias) - norm.running_mean.double()
    shift = shift * scale + (norm.bias.double() if norm.affine else 0.0)
    return weight * scale.view(-1, *[1] * (weight.dim() - 1)), shift


def parts_of(module: nn.Module, layers: Mapping[str, IntegerLayer]) -> dict[str, IntegerPart]:
    """Return the layers with their weights as they are quantised, on the CPU."""
    parts = dict(module.named_modules())
    made: dict[str, IntegerPart] = {}
    for name, layer in layers.items():
        weight, bias = _folded(layer, parts)
        made[name] = IntegerPart(weight.detach().cpu(), None if bias is None else bias.detach().cpu(), layer.neuron, layer.is_first)
    return made


# --- the forward pass --------------------------------------------------------------------------------------------------------


class _Straight(torch.autograd.Function):
    """The value of `hard`, with the gradient of `soft`."""

    @staticmethod
    def forward(ctx: Any, soft: Tensor, hard: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return hard.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad, None


def _straight(soft: Tensor, hard: Tensor) -> Tensor:
    return cast(Tensor, _Straight.apply(soft, hard.detach()))


@contextmanager
def in_integers(
    module: nn.Module,
    layers: Mapping[str, IntegerLayer],
    arithmetic: Mapping[str, IntegerArithmetic],
    spikes: dict[str, list[Tensor]] | None,
) -> Generator[None]:
    """Let a module run in integers: its input is integers, in float64.

    Args:
        spikes: filled with the spikes of each step, by layer; None: they are not kept.
    """
    parts = dict(module.named_modules())
    changed: list[nn.Module] = []
    try:
        for name, layer in layers.items():
            chip = arithmetic[name]
            weight, bias = _folded(layer, parts)
            sent = None if spikes is None else spikes.setdefault(name, [])
            _change(changed, parts[layer.weighted], _weighted(parts[layer.weighted], weight, chip))
            if layer.norm is not None:
                _change(changed, parts[layer.norm], lambda x: x)
            _change(changed, parts[layer.neurons], _Neurons(parts[layer.neurons], layer.neuron, bias, chip, sent))
        yield
    finally:
        for part in changed:
            del part.forward


def _change(changed: list[nn.Module], part: nn.Module, forward: Any) -> None:
    changed.append(part)
    part.forward = forward


def _weighted(part: Any, weight: Tensor, chip: IntegerArithmetic) -> Any:
    """Return the forward of a weighted layer, samples or spikes in, the chip's input out."""
    registers = chip.registers
    integers = _straight(weight * registers.step, integer_weights(weight, registers))
    axes = next(count for kind, count in AXES.items() if isinstance(part, kind))

    def forward(x: Tensor) -> Tensor:
        lead = x.shape[: x.dim() - axes]
        if isinstance(part, nn.Linear):
            total = functional.linear(x, integers)
        else:
            total = part._conv_forward(x.reshape(-1, *x.shape[len(lead) :]), integers, None)  # pyright: ignore[reportPrivateUsage]
            total = total.reshape(*lead, *total.shape[1:])
        shifted = total * 2.0**registers.exponent
        return _straight(shifted, torch.floor(shifted))

    return forward


class _Neurons:
    """The forward of a layer of neurons, the chip's input in, spikes out; it keeps the potentials from call to call."""

    def __init__(self, part: Any, neuron: LIF, bias: Tensor | None, chip: IntegerArithmetic, sent: list[Tensor] | None) -> None:
        self.part, self.neuron, self.chip, self.sent = part, neuron, chip, sent
        self.bias = None if bias is None else _integer_bias(bias, chip)
        self.v: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return torch.stack([self.step(each) for each in x]) if self.part.step_mode == "m" else self.step(x)

    def step(self, a: Tensor) -> Tensor:
        registers = self.chip.registers
        top = float(max(registers.vth, 1) << ALIGN)
        v = torch.zeros_like(a) if self.v is None else self.v
        kept = v * ((DECAY_ONE - registers.dv) / DECAY_ONE)
        v = _straight(kept, torch.trunc(kept)) + a * float(1 << ALIGN)
        if self.bias is not None:
            v = v + self.bias.view(-1, *[1] * (a.dim() - 2))
        v = v.clamp(-(STATE_LIMIT - 1), STATE_LIMIT - 1)
        height = self.neuron.v_threshold - self.neuron.v_reset
        s = _straight(self.part.surrogate_function(v * (height / top) - height), (v > registers.vth << ALIGN).to(v.dtype))
        down = s.detach() if self.part.detach_reset else s
        self.v = v - down * float(registers.vth << ALIGN) if self.neuron.soft_reset else v * (1.0 - down)
        if self.sent is not None:
            self.sent.append(s.detach())
        return s


def _integer_bias(bias: Tensor, chip: IntegerArithmetic) -> Tensor:
    rounded = torch.from_numpy(round_bias(bias.detach().cpu().numpy(), chip.gain)).to(bias)
    return _straight(bias * (chip.gain * (1 << ALIGN)), rounded)


# --- the network -------------------------------------------------------------------------------------------------------------


def integer_network(
    module: nn.Module, layers: Mapping[str, IntegerLayer], arithmetic: Mapping[str, IntegerArithmetic], dataset: Dataset, timesteps: int
) -> Network:
    """Return the network of a module in integers: that of a copy with integer weights, in which neurons get their registers.

    Raises:
        SpikeloomError: any error that importing a module raises.
    """
    folded = parts_of(module, layers)
    copy = widened(module).cpu().eval()
    parts: dict[str, Any] = dict(copy.named_modules())
    for name, layer in layers.items():
        weighted, norm = parts[layer.weighted], None if layer.norm is None else parts[layer.norm]
        with torch.no_grad():
            weighted.weight.copy_(integer_weights(folded[name].weight, arithmetic[name].registers))
            if weighted.bias is not None:
                weighted.bias.zero_()
            if norm is not None:
                _unit(norm)
    values = dataset.train.values[:2]
    network = proven_on(copy, values, timesteps, events=dataset.temporal, levels=dataset.levels, scale=1.0).network
    network = replace(network, input=InputSpec(dataset.levels, 1.0 / dataset.levels, "events" if dataset.temporal else "current"))
    for name, layer in layers.items():
        network = _with_registers(network, name, layer, folded[name].bias, arithmetic[name])
    return network


def _unit(norm: Any) -> None:
    """Turn a normalisation into the identity, exactly."""
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0)
    norm.eps = 0.0
    if norm.affine:
        norm.weight.fill_(1.0)
        norm.bias.zero_()


def _with_registers(network: Network, name: str, layer: IntegerLayer, bias: Tensor | None, chip: IntegerArithmetic) -> Network:
    registers, population = chip.registers, network.population(name)
    arriving = network.inputs_of(name)
    if len(arriving) > 1:
        raise _refused(f"{name} receives from {len(arriving)} layers", "Have each layer of neurons receive one other.")
    du = NEVER_DECAYS if layer.is_first and not network.input.is_temporal else NO_MEMORY
    rounded = None if bias is None else round_bias(bias.numpy(), chip.gain)
    held: Any = {"neuron": IntegerLIF(du, registers.dv, registers.vth, layer.neuron.soft_reset), "bias": rounded}
    network = network.with_population(replace(population, **held))
    for p in arriving:
        synapses = p.synapses.with_data(np.rint(p.synapses.data).astype(np.int32))
        stored: Any = {"exponent": registers.exponent, "weight_bits": registers.weight_bits, "scale": registers.scale}
        network = network.with_projection(replace(p, synapses=synapses, **stored))
    return network


def integer_spikes(network: Network, values: NDArray[Any]) -> reference.Spikes:
    """Return the spikes of a network in integers by the reference; its memoryless units run as they are."""
    streams: dict[str, NDArray[Any]] = {network.populations[0].name: reference.encode(network, values)}
    for group in network.components():
        gates = any(isinstance(p.neuron, Threshold) for p in group)
        streams |= reference.float_component(network, group, streams) if gates else reference.component(network, group, streams)
    return {p.name: streams[p.name] for p in network.spiking}


def check(found: Mapping[str, list[Tensor]], network: Network, values: NDArray[Any]) -> None:
    """Compare the spikes that a module sent in integers with those of its network.

    Args:
        found: by layer, the spikes (samples, ...) of each step.
        values: the samples.

    Raises:
        UsageError: they differ; the message names the first layer.
    """
    wanted = integer_spikes(network, values)
    for name in (p.name for p in network.spiking if p.name in found):
        sent = torch.stack(found[name], 1).flatten(2).cpu().numpy() != 0
        if not np.array_equal(sent, wanted[name]):
            raise _refused(
                f"the spikes of {name} then differ from those of the network that is read from the module",
                "Call its layers as modules, and do nothing to what they compute.",
            )
