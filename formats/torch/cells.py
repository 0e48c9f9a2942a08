"""The neurons of SpikingJelly, snnTorch and Norse as the neurons of our networks.

SpikingJelly (IF, LIF, ParametricLIF, CUBALIF): spikes when v >= v_threshold; v_reset None: the threshold is subtracted.
snnTorch (Leaky, Synaptic): v <- beta v + i, spikes when v > threshold; a reset acts in the next step unless reset_delay is False, which
    for one to zero is the same.
Norse (LIF, LIFCell, LIFBoxCell): v <- v + dt / tau_mem (v_leak - v + i), spikes when v > v_th.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ...errors import NetworkError
from ...network.model import LIF

__all__ = ["Cell", "cell_of", "is_neuron"]

USE = "Use neuron.IFNode, LIFNode, ParametricLIFNode or CUBALIFNode of SpikingJelly; docs/modules.md has those of snnTorch and Norse."


@dataclass(frozen=True)
class Cell:
    """A layer of neurons. `late`: the threshold is subtracted a step after the spike, past its leak. `sequence`: it takes all steps.

    `recurrent`: its module `recurrent` receives the layer's own spikes of the step before, and adds to its input.
    """

    neuron: LIF
    late: bool = False
    sequence: bool = False
    recurrent: bool = False


def is_neuron(module: torch.nn.Module) -> bool:
    """Return whether a module is a layer of neurons of a known framework, supported or not."""
    return _kind(module) is not None


def cell_of(module: torch.nn.Module, where: str) -> Cell:
    """Return the neurons of a module.

    Args:
        where: its name in the user's module, for error messages.

    Raises:
        NetworkError: neurons that no chip runs unchanged, or parameters out of range.
    """
    rule = CELLS.get(_kind(module) or "")
    if rule is None:
        raise NetworkError(f"{where} is a neuron that is not read. {USE}")
    try:
        return rule(module, where)
    except NetworkError as error:
        text = str(error)
        raise NetworkError(text if text.startswith(where) else f"{where}: {text}") from error


def _kind(module: torch.nn.Module) -> str | None:
    """Return the neuron class that a module is, or is derived from: `spikingjelly.LIFNode`."""
    for kind in type(module).__mro__:
        place = kind.__module__.split(".")
        if place[0] == "spikingjelly" and place[1:3] == ["activation_based", "neuron"] and not _is_base(kind):
            return f"spikingjelly.{kind.__name__}"
        spiking = any(k.__name__ == "SpikingNeuron" for k in kind.__mro__)
        if place[0] == "snntorch" and spiking and kind.__name__ not in ("SpikingNeuron", "LIF"):
            return f"snntorch.{kind.__name__}"
        if place[0] == "norse" and kind.__name__.endswith(("Cell", "LIF", "LI")):
            return f"norse.{kind.__name__}"
    return None


def _is_base(kind: type) -> bool:
    return kind.__name__ in ("BaseNode", "SimpleBaseNode", "AdaptBaseNode", "NonSpikingBaseNode")


def _number(value: Any, what: str, where: str) -> float:
    """Return a parameter shared by all neurons of a layer.

    Raises:
        NetworkError: it differs between them, or is not a finite number.
    """
    array = value.detach().double().numpy() if isinstance(value, torch.Tensor) else np.asarray(value, np.float64)
    if not np.isfinite(array).all():
        raise NetworkError(f"{where} has a {what} that is not a finite number. Train again, with a lower learning rate.")
    if array.size == 0 or (array != array.flat[0]).any():
        raise NetworkError(f"{where} has a {what} of its own for each neuron; neurons of a layer share one here. Train one number a layer.")
    return float(array.flat[0])


# --- SpikingJelly -----------------------------------------------------------------------------------------------------


def _spikingjelly(module: Any, where: str, tau: float, *, decay_input: bool, tau_syn: float = 1.0) -> Cell:
    soft = module.v_reset is None
    reset = 0.0 if soft else _number(module.v_reset, "v_reset", where)
    threshold = _number(module.v_threshold, "v_threshold", where)
    return Cell(LIF(tau, threshold, reset, decay_input, soft, tau_syn), sequence=module.step_mode == "m")


def _if(module: Any, where: str) -> Cell:
    return _spikingjelly(module, where, np.inf, decay_input=False)


def _lif(module: Any, where: str) -> Cell:
    return _spikingjelly(module, where, _number(module.tau, "tau", where), decay_input=bool(module.decay_input))


def _parametric(module: Any, where: str) -> Cell:
    tau = 1.0 / _number(torch.sigmoid(module.w.detach().double()), "tau", where)
    return _spikingjelly(module, where, tau, decay_input=bool(module.decay_input))


def _decayed(keep: float, what: str, where: str) -> float:
    """Return the time constant of a state that keeps the fraction `keep` per step."""
    if not 0.0 <= keep <= 1.0:
        raise NetworkError(f"{where} has a {what} of {keep}; it must lie in 0..1.")
    return np.inf if keep == 1.0 else 1.0 / (1.0 - keep)


def _cuba(module: Any, where: str) -> Cell:
    tau = _decayed(_number(module.v_decay, "v_decay", where), "v_decay", where)
    tau_syn = _decayed(_number(module.c_decay, "c_decay", where), "c_decay", where)
    if module.v_reset:
        raise NetworkError(f"{where} decays to 0 and is reset to {module.v_reset}; the two must be the same. Use v_reset=0.0, or None.")
    return _spikingjelly(module, where, tau, decay_input=False, tau_syn=tau_syn)


# --- snnTorch -----------------------------------------------------------------------------------------------------------


def _above(threshold: float) -> float:
    """Return the value that v must reach to exceed a threshold."""
    return float(np.nextafter(threshold, np.inf))


def _snntorch(module: Any, where: str, tau_syn: float) -> Cell:
    kind = str(module.reset_mechanism)
    if kind == "none" or module.inhibition or module.state_quant:
        raise NetworkError(
            f"{where} has no reset, an inhibition or quantised states, which a chip's neurons have not. Use reset_mechanism='zero'."
        )
    if kind == "zero" and tau_syn != 1.0 and module.reset_delay:
        raise NetworkError(f"{where} loses the input of the step after a spike. Use reset_delay=False, or reset_mechanism='subtract'.")
    beta = float(np.clip(_number(module.beta, "beta", where), 0.0, 1.0))
    soft = kind == "subtract"
    threshold = _number(module.threshold, "threshold", where)
    late = soft and bool(module.reset_delay)
    return Cell(LIF(_decayed(beta, "beta", where), _above(threshold), 0.0, decay_input=False, soft_reset=soft, tau_syn=tau_syn), late=late)


def _leaky(module: Any, where: str) -> Cell:
    return _snntorch(module, where, 1.0)


def _synaptic(module: Any, where: str) -> Cell:
    alpha = float(np.clip(_number(module.alpha, "alpha", where), 0.0, 1.0))
    return _snntorch(module, where, _decayed(alpha, "alpha", where))


def _rleaky(module: Any, where: str) -> Cell:
    made = _leaky(module, where)
    if not made.late and module.reset_delay:
        raise NetworkError(f"{where} loses the input of the step after a spike. Use reset_delay=False, or reset_mechanism='subtract'.")
    return replace(made, recurrent=True)


# --- Norse --------------------------------------------------------------------------------------------------------------


def _norse(module: Any, where: str, *, sequence: bool, filtered: bool) -> Cell:
    p, dt = module.p, module.dt
    tau = 1.0 / _number(dt * p.tau_mem_inv, "tau_mem_inv", where)
    tau_syn = 1.0 / _number(dt * p.tau_syn_inv, "tau_syn_inv", where) if filtered else 1.0
    reset, leak = _number(p.v_reset, "v_reset", where), _number(p.v_leak, "v_leak", where)
    if reset != leak:
        raise NetworkError(f"{where} decays to {leak} and is reset to {reset}; the two must be the same. Use v_reset=v_leak.")
    reset_method = getattr(getattr(p, "reset_method", None), "__name__", "reset_value")
    soft = reset_method == "reset_subtract"
    return Cell(LIF(tau, _above(_number(p.v_th, "v_th", where)), reset, soft_reset=soft, tau_syn=tau_syn), sequence=sequence)


def _norse_cell(module: Any, where: str) -> Cell:
    return _norse(module, where, sequence=False, filtered=True)


def _norse_sequence(module: Any, where: str) -> Cell:
    return _norse(module, where, sequence=True, filtered=True)


def _norse_box(module: Any, where: str) -> Cell:
    return _norse(module, where, sequence=False, filtered=False)


CELLS: dict[str, Callable[[Any, str], Cell]] = {
    "spikingjelly.IFNode": _if,
    "spikingjelly.SimpleIFNode": _if,
    "spikingjelly.LIFNode": _lif,
    "spikingjelly.SimpleLIFNode": _lif,
    "spikingjelly.ParametricLIFNode": _parametric,
    "spikingjelly.CUBALIFNode": _cuba,
    "snntorch.Leaky": _leaky,
    "snntorch.Synaptic": _synaptic,
    "snntorch.RLeaky": _rleaky,
    "norse.LIFCell": _norse_cell,
    "norse.LIF": _norse_sequence,
    "norse.LIFBoxCell": _norse_box,
}
