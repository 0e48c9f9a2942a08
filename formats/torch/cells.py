"""The neurons of SpikingJelly, snnTorch and Norse as the neurons of our networks.

SpikingJelly (IF, LIF, ParametricLIF, CUBALIF): spikes when v >= v_threshold; v_reset None: the threshold is subtracted.
snnTorch (Leaky, Synaptic, RLeaky, RSynaptic): v <- beta v + i, spikes when v > threshold; a reset acts in the next step unless reset_delay
    is False, which for one to zero is the same. RLeaky and RSynaptic take their own spikes of the step before.
Norse (LIF, LIFCell, LIFBoxCell, LIFRecurrent, LIFRecurrentCell): v <- v + dt / tau_mem (v_leak - v + i), spikes when v > v_th.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import NetworkError
from ...network.model import LIF

__all__ = ["Cell", "cell_of", "is_neuron"]

CONSTANTS = ("tau", "w", "v_decay", "c_decay", "alpha", "beta", "tau_mem_inv", "tau_syn_inv")  # attributes of neurons by which kinds differ
MOST_KINDS = 16  # populations into which a layer is split

INSTEAD = {
    "KLIFNode": "It cuts its potential off below 0, which a chip's neurons do not. Use ParametricLIFNode, which learns tau.",
    "PSN": "It computes all time steps at once, without a reset; a chip steps through them. Use LIFNode or ParametricLIFNode.",
    "MaskedPSN": "It weights its last inputs, without a reset; a chip keeps one potential. Use LIFNode or ParametricLIFNode.",
    "SlidingPSN": "It weights its last inputs, without a reset; a chip keeps one potential. Use LIFNode or ParametricLIFNode.",
    "Alpha": "It has two currents, an exciting and an inhibiting one. Use Synaptic, which has one.",
    "Lapicque": "Its R, C and time step are a Leaky's beta. Use Leaky with beta = 1 - time_step / (R C), and its R in the weights.",
    "SConv2dLSTM": "It is no neuron that fires, but a cell of gates. Use RLeaky.",
    "SLSTM": "It is no neuron that fires, but a cell of gates. Use RLeaky or RSynaptic.",
}
USE = "Use neuron.IFNode, LIFNode, ParametricLIFNode or CUBALIFNode of SpikingJelly; docs/modules.md has those of snnTorch and Norse."


@dataclass(frozen=True)
class Cell:
    """A layer of neurons. `late`: the threshold is subtracted a step after the spike, past its leak. `sequence`: it takes all steps.

    `arrives`: what arrives at the neurons, of their module, its input and their own spikes of the step before; None: the input.
    `gain`: factors of what arrives at each neuron, by which neurons of different thresholds become neurons of the threshold 1:
    u = (v - v_reset) / (v_threshold - v_reset)  follows the equation of v, with  x / (v_threshold - v_reset)  for x.
    `groups`: the number of each neuron's kind among `kinds`, where time constants differ; None: all are `neuron`.
    """

    neuron: LIF
    late: bool = False
    sequence: bool = False
    arrives: Callable[[Any, Any, Any], Any] | None = None
    gain: NDArray[np.float64] | None = None
    groups: NDArray[np.int64] | None = None
    kinds: tuple[LIF, ...] = ()


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
        why = next((INSTEAD[k.__name__] for k in type(module).__mro__ if k.__name__ in INSTEAD), USE)
        raise NetworkError(f"{where} is a neuron that is not read. {why}")
    try:
        return _grouped(rule, module, where)
    except NetworkError as error:
        text = str(error)
        raise NetworkError(text if text.startswith(where) else f"{where}: {text}") from error


class _Uniform:
    """A module of neurons with other values for some of its attributes."""

    def __init__(self, module: Any, values: Mapping[str, Any]) -> None:
        self._module, self._values = module, values

    def __getattr__(self, name: str) -> Any:
        """Return the value, or the module's."""
        return self._values[name] if name in self._values else getattr(self._module, name)


def _grouped(rule: Callable[[Any, str], Cell], module: Any, where: str) -> Cell:
    """Return the neurons of a module, in groups where their time constants differ.

    Raises:
        NetworkError: as `cell_of`, or too many of them.
    """
    holder = module if any(hasattr(module, name) for name in CONSTANTS) else getattr(module, "p", module)
    found = {name: _numbers(getattr(holder, name), name, where) for name in CONSTANTS if hasattr(holder, name)}
    apart = {name: values for name, values in found.items() if (values != values.flat[0]).any()}
    if not apart:
        return rule(module, where)
    arrays = np.broadcast_arrays(*apart.values())
    rows, numbers = np.unique(np.stack([a.ravel() for a in arrays], 1), axis=0, return_inverse=True)
    if len(rows) > MOST_KINDS:
        raise NetworkError(
            f"{where} has neurons of {len(rows)} different {' and '.join(apart)}; a chip's neurons of a layer share theirs, and a layer is "
            f"split into up to {MOST_KINDS}. Train one number a layer, or a few."
        )
    cells: list[Cell] = []
    for row in rows:
        values = {name: torch.tensor(value, dtype=torch.float64) for name, value in zip(apart, row.tolist(), strict=True)}
        one = _Uniform(module, values) if holder is module else _Uniform(module, {"p": _Uniform(holder, values)})
        cells.append(rule(one, where))
    return replace(cells[0], groups=numbers.reshape(arrays[0].shape), kinds=tuple(c.neuron for c in cells))


def _kind(module: torch.nn.Module) -> str | None:
    """Return the neuron class that a module is, or is derived from: `spikingjelly.LIFNode`."""
    for kind in type(module).__mro__:
        place = kind.__module__.split(".")
        if place[0] == "spikingjelly" and place[1:3] == ["activation_based", "neuron"] and not _is_base(kind):
            return f"spikingjelly.{kind.__name__}"
        spiking = any(k.__name__ == "SpikingNeuron" for k in kind.__mro__)
        if place[0] == "snntorch" and spiking and kind.__name__ not in ("SpikingNeuron", "LIF"):
            return f"snntorch.{kind.__name__}"
        if place[0] == "norse" and kind.__name__.endswith(("Cell", "LIF", "LI", "Recurrent")):
            return f"norse.{kind.__name__}"
    return None


def _is_base(kind: type) -> bool:
    return kind.__name__ in ("BaseNode", "SimpleBaseNode", "AdaptBaseNode", "NonSpikingBaseNode")


def _numbers(value: Any, what: str, where: str) -> NDArray[np.float64]:
    """Return a parameter as an array.

    Raises:
        NetworkError: it has no value, or one that is not a finite number.
    """
    array = value.detach().double().numpy() if isinstance(value, torch.Tensor) else np.asarray(value, np.float64)
    if not np.isfinite(array).all() or not array.size:
        raise NetworkError(f"{where} has a {what} that is not a finite number. Train again, with a lower learning rate.")
    return array


def _number(value: Any, what: str, where: str) -> float:
    """Return a parameter shared by all neurons of a layer.

    Raises:
        NetworkError: it differs between them, or is not a finite number.
    """
    array = _numbers(value, what, where)
    if (array != array.flat[0]).any():
        raise NetworkError(
            f"{where} has a {what} of its own for each neuron; a chip's neurons of a layer share one (only thresholds may differ). Train "
            f"one number a layer, or split the layer by it."
        )
    return float(array.flat[0])


def _thresholds(value: Any, reset: float, where: str) -> tuple[float, float, NDArray[np.float64] | None]:
    """Return the threshold and reset that all neurons of a layer share, and the gains that make them so where thresholds differ.

    Raises:
        NetworkError: a threshold that is not above the reset.
    """
    found = _numbers(value, "threshold", where)
    if (found == found.flat[0]).all():
        return float(found.flat[0]), reset, None
    if found.min() <= reset:
        raise NetworkError(f"{where} has a threshold of {found.min():g}, which must be above the reset, {reset:g}. Train it within bounds.")
    return 1.0, 0.0, 1.0 / (found - reset)


# --- SpikingJelly -----------------------------------------------------------------------------------------------------


def _spikingjelly(module: Any, where: str, tau: float, *, decay_input: bool, tau_syn: float = 1.0) -> Cell:
    soft = module.v_reset is None
    reset = 0.0 if soft else _number(module.v_reset, "v_reset", where)
    threshold, reset, gain = _thresholds(module.v_threshold, reset, where)
    return Cell(LIF(tau, threshold, reset, decay_input, soft, tau_syn), sequence=module.step_mode == "m", gain=gain)


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
    threshold, _, gain = _thresholds(module.threshold, 0.0, where)
    neuron = LIF(_decayed(beta, "beta", where), _above(threshold), 0.0, decay_input=False, soft_reset=soft, tau_syn=tau_syn)
    return Cell(neuron, late=soft and bool(module.reset_delay), gain=gain)


def _leaky(module: Any, where: str) -> Cell:
    return _snntorch(module, where, 1.0)


def _synaptic(module: Any, where: str) -> Cell:
    alpha = float(np.clip(_number(module.alpha, "alpha", where), 0.0, 1.0))
    return _snntorch(module, where, _decayed(alpha, "alpha", where))


def _rleaky(module: Any, where: str) -> Cell:
    made = _leaky(module, where)
    if not made.late and module.reset_delay:
        raise NetworkError(f"{where} loses the input of the step after a spike. Use reset_delay=False, or reset_mechanism='subtract'.")
    return replace(made, arrives=_with_own)


def _rsynaptic(module: Any, where: str) -> Cell:
    if not module.reset_delay or str(module.reset_mechanism) != "subtract":
        raise NetworkError(
            f"{where} resets in a way that its own forward does not carry out (its potential is not handed on), or that loses the input of "
            f"the step after a spike. Use reset_mechanism='subtract' with reset_delay=True."
        )
    return replace(_synaptic(module, where), arrives=_with_own)


def _with_own(module: Any, x: Any, own: Any) -> Any:
    """Return the input of snnTorch's recurrent neurons."""
    return x + module.recurrent(own)


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
    threshold, reset, gain = _thresholds(p.v_th, reset, where)
    return Cell(LIF(tau, _above(threshold), reset, soft_reset=soft, tau_syn=tau_syn), sequence=sequence, gain=gain)


def _norse_cell(module: Any, where: str) -> Cell:
    return _norse(module, where, sequence=False, filtered=True)


def _norse_sequence(module: Any, where: str) -> Cell:
    return _norse(module, where, sequence=True, filtered=True)


def _norse_recurrent(module: Any, where: str) -> Cell:
    return replace(_norse_cell(module, where), arrives=_norse_arrives)


def _norse_recurrent_sequence(module: Any, where: str) -> Cell:
    return replace(_norse_sequence(module, where), arrives=_norse_arrives)


def _norse_arrives(module: Any, x: Any, own: Any) -> Any:
    """Return the input of Norse's recurrent neurons, which have weights of their own."""
    linear = torch.nn.functional.linear
    return linear(x, module.input_weights) + linear(own, module.recurrent_weights)


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
    "snntorch.RSynaptic": _rsynaptic,
    "norse.LIFCell": _norse_cell,
    "norse.LIF": _norse_sequence,
    "norse.LIFBoxCell": _norse_box,
    "norse.LIFRecurrentCell": _norse_recurrent,
    "norse.LIFRecurrent": _norse_recurrent_sequence,
}
