"""SpikingJelly's LIF neuron, its multi-step form fused into one kernel on the CPU."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from numpy.typing import NDArray
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import kernels, threads

__all__ = ["HALF", "FusedLIFNode", "lif"]

HALF = (torch.bfloat16, torch.float16)
TO_LAST, FROM_LAST = (0, 1, 3, 4, 2), (0, 1, 4, 2, 3)  # permutations of (T, N, C, H, W): channels to the end, and back


class FusedLIFNode(neuron.LIFNode):
    """SpikingJelly's `LIFNode` (ATan surrogate) with all T steps in one multi-threaded pass on the CPU.

    The forward pass is bit-identical to `LIFNode` step by step; gradients agree to rounding. The gains on the
    CPU (benchmarks/train_speed.py) come from computing the static first layer once for all T instead of T times, and from these
    kernels, which keep a neuron's T steps in cache. Where they do not apply (CUDA, another surrogate, `store_v_seq`)
    SpikingJelly's own code runs; its CUDA kernels read a static input through a view without copies.

    The membrane potential is float32 even where the input is bfloat16 or float16, as under autocast; spikes have the input's
    dtype. Maps in the channels-last memory format stay in it.

    Args:
        repeat: None: inputs are (T, N, ...). A number T: inputs are static, (N, ...), and applied at each of T steps.
        tau, v_threshold, v_reset, decay_input, detach_reset: as in SpikingJelly's `LIFNode`; tau in time steps, above 1; v_reset None: a
            spike subtracts the threshold.
        alpha: the ATan surrogate's sharpness.
    """

    def __init__(
        self,
        *,
        repeat: int | None = None,
        tau: float = 2.0,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        decay_input: bool = True,
        detach_reset: bool = True,
        alpha: float = 2.0,
    ) -> None:
        super().__init__(tau, decay_input, v_threshold, v_reset, surrogate.ATan(alpha=alpha), detach_reset, step_mode="m")
        self.repeat = repeat

    def multi_step_forward(self, x_seq: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the spikes (T, N, ...) as 0/1 of the input's dtype; the state is kept as in SpikingJelly, until `reset()`."""
        inputs = x_seq if self.repeat is None else x_seq.unsqueeze(0)
        if args or kwargs or self.store_v_seq or not _channels_last(inputs):
            return self._run(inputs, *args, **kwargs)
        # the order of the axes is irrelevant to a neuron, but code that needs contiguous memory would copy channels-last maps
        self._arrange_state(0, 2, 3, 1)
        spikes = self._run(inputs.permute(TO_LAST))
        self._arrange_state(0, 3, 1, 2)
        return spikes.contiguous().permute(FROM_LAST)

    def _arrange_state(self, *axes: int) -> None:
        if isinstance(cast(object, self.v), Tensor):
            self.v = self.v.permute(axes)

    def _run(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the spikes of inputs (T, N, ...), or of one step (1, N, ...) to be repeated."""
        if not self._fuses(inputs) or args or kwargs:
            inputs = inputs if self.repeat is None else inputs.expand(self.repeat, *inputs.shape[1:])
            return cast(Tensor, super().multi_step_forward(inputs, *args, **kwargs))
        wide = inputs.float() if inputs.dtype in HALF else inputs
        (state,) = self.materialize_states((wide,), (self.v,), "m")
        steps, constants = self.repeat or len(inputs), _constants(self)
        if torch.compiler.is_compiling():
            spikes, _, self.v = lif(wide, state, steps, *constants)
        else:
            spikes, self.v = cast("tuple[Tensor, Tensor]", _FusedLIF.apply(wide, state, steps, constants))
        return spikes.to(inputs.dtype)

    def materialize_states(self, inputs: tuple[Tensor, ...], states: tuple[object, ...], step_mode: str) -> tuple[Any, ...]:
        """Return the membrane potential as a tensor, as SpikingJelly does, but at least in float32."""
        x = inputs[0]
        if x.dtype in HALF:
            x = (x[:1] if step_mode == "m" else x).float()
        return super().materialize_states((x, *inputs[1:]), states, step_mode)

    def _fuses(self, inputs: Tensor) -> bool:
        supported = inputs.device.type == "cpu" and inputs.dtype in (torch.float32, torch.float64, *HALF)
        standard = isinstance(self.surrogate_function, surrogate.ATan) and bool(self.surrogate_function.spiking)
        return supported and standard and not self.store_v_seq and self._neuron_precision is None


def _channels_last(x: Tensor) -> bool:
    """Whether maps (T, N, C, H, W) are in the channels-last memory format."""
    return x.dim() == 5 and not x.is_contiguous() and x.permute(TO_LAST).is_contiguous()


Constants = tuple[float, float, float | None, bool, bool, float]  # tau, v_threshold, v_reset (None: soft), decay_input, detach_reset, alpha


def _constants(node: FusedLIFNode) -> Constants:
    alpha = float(cast(Any, node.surrogate_function).alpha)
    return (node.tau, node.v_threshold, node.v_reset, node.decay_input, node.detach_reset, alpha)


def flat(tensor: Tensor) -> NDArray[Any]:
    """View a tensor (steps, ...) as a contiguous NumPy array (steps, elements)."""
    return tensor.detach().contiguous().view(tensor.shape[0], -1).numpy()


def forward_through_time(x: Tensor, v: Tensor, steps: int, constants: Constants) -> tuple[Tensor, Tensor, Tensor]:
    """Return the spikes, the charged potentials, both (steps, ...), and the potential after the last step."""
    tau, v_threshold, v_reset, decay_input, _, _ = constants
    spikes = torch.empty((steps, *x.shape[1:]), dtype=x.dtype)
    charged, last = torch.empty_like(spikes), v.detach().clone()
    values = flat(x)
    kind = values.dtype.type
    floats = kind(tau), kind(v_threshold), kind(v_reset or 0.0)
    flags, outputs = (decay_input, v_reset is None), (flat(spikes), flat(charged))
    threads.run(kernels.lif_forward, spikes.numel(), values, last.view(-1).numpy(), *floats, *flags, *outputs)
    return spikes, charged, last


class _FusedLIF(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, steps: int, constants: Constants) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        spikes, charged, last = forward_through_time(x, v, steps, constants)
        ctx.save_for_backward(charged)
        ctx.constants, ctx.rows = constants, x.shape[0]
        ctx.set_materialize_grads(False)
        return spikes, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor | None, grad_v: Tensor | None) -> tuple[Tensor | None, Tensor | None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (charged,) = ctx.saved_tensors
        grad_x, grad_v0 = backward_through_time(charged, grad_spikes, grad_v, ctx.rows, _shape(ctx.constants))
        return grad_x, grad_v0, None, None


class LIFShape:
    """The scalars of the backward kernel, see `kernels.lif_backward`; `v_reset` None: a soft reset."""

    def __init__(
        self,
        threshold: float,
        unit: float,
        alpha: float,
        gain: float,
        keep: float,
        v_reset: float | None,
        detach_reset: bool,
        *,
        strict: bool,
    ) -> None:
        self.floats = (threshold, unit, math.pi * alpha / 2, alpha / 2, gain, keep, v_reset or 0.0)
        self.flags = (detach_reset, strict, v_reset is None)


def backward_through_time(
    charged: Tensor, grad_spikes: Tensor | None, grad_v: Tensor | None, rows: int, shape: LIFShape
) -> tuple[Tensor, Tensor]:
    """Return dL/dx (rows, ...), summed over the steps where `rows` is 1, and dL/dv before the first step."""
    grads = torch.zeros_like(charged) if grad_spikes is None else grad_spikes
    grad_v0 = torch.zeros_like(charged[0]) if grad_v is None else grad_v.detach().clone(memory_format=torch.contiguous_format)
    grad_x = torch.empty((rows, *charged.shape[1:]), dtype=charged.dtype)
    history = flat(charged)
    kind = history.dtype.type
    scalars: Any = [kind(f) for f in shape.floats]
    gradients = flat(grads), grad_v0.view(-1).numpy()
    threads.run(kernels.lif_backward, history.size, *gradients, history, *scalars, *shape.flags, flat(grad_x))
    return grad_x, grad_v0


def _shape(constants: Constants) -> LIFShape:
    tau, v_threshold, v_reset, decay_input, detach_reset, alpha = constants
    return LIFShape(v_threshold, 1.0, alpha, (1.0 / tau if decay_input else 1.0), 1.0 - 1.0 / tau, v_reset, detach_reset, strict=False)


# --- The same as operations of torch, which torch.compile takes whole instead of looking inside ----------------------------


@torch.library.custom_op("spikeloom::lif", mutates_args=())
def lif(
    x: Tensor, v: Tensor, steps: int,
    tau: float, v_threshold: float, v_reset: float | None, decay_input: bool, detach_reset: bool, alpha: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return what `forward_through_time` does, for inputs `x` (steps or 1, ...) and potentials `v` (...)."""
    return forward_through_time(x, v, steps, (tau, v_threshold, v_reset, decay_input, detach_reset, alpha))


@lif.register_fake
def _(x: Tensor, v: Tensor, steps: int, *constants: Any) -> tuple[Tensor, Tensor, Tensor]:
    spikes = x.new_empty((steps, *x.shape[1:]))
    return spikes, torch.empty_like(spikes), torch.empty_like(v)


@torch.library.custom_op("spikeloom::lif_backward", mutates_args=())
def _lif_backward(
    charged: Tensor, grad_spikes: Tensor, grad_v: Tensor, rows: int,
    tau: float, v_threshold: float, v_reset: float | None, decay_input: bool, detach_reset: bool, alpha: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    shape = _shape((tau, v_threshold, v_reset, decay_input, detach_reset, alpha))
    return backward_through_time(charged, grad_spikes, grad_v, rows, shape)


@_lif_backward.register_fake
def _(charged: Tensor, grad_spikes: Tensor, grad_v: Tensor, rows: int, *constants: Any) -> tuple[Tensor, Tensor]:
    return charged.new_empty((rows, *charged.shape[1:])), charged.new_empty(charged.shape[1:])


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, _, _, *constants = inputs
    ctx.save_for_backward(output[1])
    ctx.rows, ctx.constants = x.shape[0], constants


def _backward(ctx: Any, grad_spikes: Tensor, _: Tensor, grad_v: Tensor) -> tuple[Tensor | None, ...]:
    (charged,) = ctx.saved_tensors
    return *_lif_backward(charged, grad_spikes, grad_v, ctx.rows, *ctx.constants), *[None] * 7


lif.register_autograd(_backward, setup_context=_keep_for_backward)
