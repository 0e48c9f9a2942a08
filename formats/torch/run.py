"""Runs a copy of a module over its time steps and records what every layer of neurons received and sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import NetworkError, SpikeloomError, UsageError
from .build import ENTRY, Neurons
from .cells import Cell, cell_of, is_neuron
from .expressions import Expression
from .functions import apply, constant_of, over_steps
from .linear import biased
from .recorder import Recorder, Traced, Value, plain
from .states import widened

__all__ = ["Call", "Recorded", "Recording", "record"]


@dataclass
class Recording:
    """What a layer of neurons received and sent, (samples, time steps, neurons) each, float64 and 0 or 1."""

    received: NDArray[np.float64]
    sent: NDArray[np.bool_]


@dataclass(frozen=True)
class Call:
    """How a module is called.

    `form`: "step": with the samples of one step (N, ...), `timesteps` times; "sequence": once with all steps (T, N, ...); "once": with a
    batch (N, ...), whose steps it makes itself. `place`: where in what it returns the spikes are, keys and indices from the outside in.
    `by_step`: whether what it returns is that of each step, rather than a sum or mean over all of them.
    """

    form: str
    place: tuple[Any, ...]
    by_step: bool

    def spikes(self, result: Any) -> Any:
        """Return the spikes in what the module returned."""
        for key in self.place:
            result = result[key]
        return result


@dataclass
class Recorded:
    """A module's layers of neurons in the order in which they ran, and what it returns: at a step, and as it was returned."""

    shape: tuple[int, ...]
    neurons: list[Neurons]
    output: Expression
    recordings: dict[str, Recording]
    returned: NDArray[np.float64]
    call: Call
    frameworks: set[str] = field(default_factory=set[str])


class _NeedsTimeError(NetworkError):
    """The module takes sequences but got a batch."""


@dataclass
class _Call:
    expression: Expression
    sequence: bool
    received: torch.Tensor
    sent: torch.Tensor


def record(module: torch.nn.Module, values: NDArray[np.float64], timesteps: int, *, temporal: bool) -> Recorded:
    """Run a copy of a module on samples, in float64.

    Args:
        values: (samples, ...), or (timesteps, samples, ...) of events.

    Raises:
        UsageError: a module that cannot be run as it is: in train mode, on another device, with hooks, or on this sample.
        NetworkError: something unsupported, by the name of its module.
    """
    _check(module)
    batch = values.shape[1] if temporal else values.shape[0]
    data = torch.from_numpy(values if batch > 1 else np.repeat(values, 2, axis=1 if temporal else 0))  # two samples tell axes apart
    first: SpikeloomError | None = None
    for form in _forms(module, temporal=temporal):
        run = _Run(module, data, timesteps, temporal=temporal)
        try:
            return run.recorded(form, batch)
        except _ForeignError as error:
            first = first or UsageError(
                f"The module cannot be run on a sample of the shape {tuple(values.shape)}: {error}. Give it (N, ...), a batch of samples "
                f"that its first layer takes, or (T, N, ...) with events=True."
            )
        except NetworkError as error:
            if isinstance(first, NetworkError) and not isinstance(first, _NeedsTimeError):
                raise first from error
            first = error if first is None or not isinstance(error, _NeedsTimeError) else first
    raise first or UsageError("The module has no form that is read.")


def _forms(module: torch.nn.Module, *, temporal: bool) -> tuple[str, ...]:
    """Return how the module may be called: with a sequence, or with the samples of a step, in the order of what is likelier."""
    multi = any(getattr(m, "step_mode", "s") == "m" for m in module.modules())
    return ("sequence", "step") if multi or temporal else ("step", "sequence")


def _check(module: torch.nn.Module) -> None:
    if not isinstance(module, torch.nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"It is a {type(module).__name__}, not a torch.nn.Module.")
    for name, part in module.named_modules():
        where = _where(name, part)
        if isinstance(part, torch.jit.ScriptModule):
            raise UsageError(f"{where} is compiled by torch.jit, and its layers cannot be told. Give the module that it was made from.")
        if part.training:
            raise UsageError(f"{where} is in train mode, in which it drops values or normalises by the batch. Say .eval() first.")
        hooks: Any = part
        if hooks._forward_hooks or hooks._forward_pre_hooks:
            raise UsageError(
                f"{where} has forward hooks, which may change what it computes. Remove them (handle.remove(), of torch.nn.utils.prune "
                f"prune.remove(module, 'weight'))."
            )
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.device.type != "cpu":
            raise UsageError(f"{name} is on the device {tensor.device}; modules are read on the CPU. Say .cpu() first.")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            raise NetworkError(
                f"{name} has {count:,} values that are not finite numbers (NaN or infinite). Train again, with a lower learning rate."
            )


def _where(name: str, module: torch.nn.Module) -> str:
    return f"{name} ({type(module).__name__})" if name else f"the module ({type(module).__name__})"


class _ForeignError(Exception):
    """What torch or the user's forward raised."""


class _Run:
    """One run of a copy of a module."""

    def __init__(self, module: torch.nn.Module, data: torch.Tensor, steps: int, *, temporal: bool) -> None:
        self.data, self.steps, self.temporal = data, steps, temporal
        self.samples = data.shape[1] if temporal else data.shape[0]
        self.shape = tuple(data.shape[2:] if temporal else data.shape[1:])
        self.recorder = Recorder(steps, self.samples, apply)
        self.cells: dict[str, Cell] = {}
        self.calls: dict[str, list[_Call]] = {}
        self.last: dict[str, Traced] = {}
        self.frameworks: set[str] = set()
        self.place: tuple[Any, ...] = ()
        self.module = widened(module)
        self._prepare()

    def _prepare(self) -> None:
        taken = {ENTRY}
        for path, part in self.module.named_modules():
            where = _where(path, part)
            if is_neuron(part):
                name = path or type(part).__name__.lower()
                while name in taken:
                    name += "_"
                taken.add(name)
                self.frameworks.add(type(part).__mro__[0].__module__.split(".")[0])
                part.forward = self._leaf(part, part.forward, name, where)
            part.register_forward_pre_hook(lambda *_, where=where: self.recorder.stack.append(where))
            part.register_forward_hook(lambda *_: self.recorder.stack.pop() and None, always_call=True)

    def _leaf(self, module: Any, forward: Callable[..., Any], name: str, where: str) -> Callable[..., Any]:
        """Return what runs in place of a neuron's forward: the same, on ordinary tensors, with a record."""

        def run(x: Any, *args: Any, **kwargs: Any) -> Any:
            cell = self.cells.get(name) or cell_of(module, where)
            self.cells[name] = cell
            x = x if isinstance(x, Traced) else self._constant(x, cell, where)
            sequence = x.value.lead == "TN"
            if sequence != cell.sequence or x.value.lead not in ("N", "TN"):
                kind = "all time steps" if sequence else "one time step" if x.value.lead == "N" else "time steps and samples in one axis"
                takes = "all of them, (T, N, ...)" if cell.sequence else "one, (N, ...)"
                raise _NeedsTimeError(
                    f"{where} receives {kind} at once and takes {takes}. Set its step_mode, or call the module otherwise."
                )
            self._check_state(args, kwargs, name, where)
            result = forward(plain(x).clone(), *plain(args), **plain(kwargs))
            if cell.arrives is not None:
                x = cell.arrives(module, x, self._own(result, name, where, sequence=sequence))
            return self._sent(x, result, name, where)

        return run

    def _own(self, result: Any, name: str, where: str, *, sequence: bool) -> torch.Tensor:
        """Return the spikes of recurrent neurons one step before those of a call."""
        spikes = (result[0] if isinstance(result, tuple) else result).detach().double()
        if not sequence:
            return self.last.get(name, torch.zeros_like(spikes))
        before = torch.cat([torch.zeros_like(spikes[:1]), spikes[:-1]])
        e = self.recorder.book.make("spikes", (), tuple(spikes.shape[2:]), where, name, key=name, step=1, late=True)
        return self.recorder.traced(before, Value(e, "TN"))

    def _constant(self, x: Any, cell: Cell, where: str) -> Traced:
        """Return a constant that neurons receive, as the first steps behind a delay do, traced."""
        lead = "TN" if cell.sequence else "N"
        prefix = self.recorder.prefix(lead)
        if not isinstance(x, torch.Tensor) or tuple(x.shape[: len(prefix)]) != prefix:
            raise NetworkError(f"{where} receives a constant, not what other layers send. Connect it to the input.")
        each = x.reshape(self.samples, -1) if lead == "N" else x.reshape(self.steps * self.samples, -1)
        if not bool((each == each[:1]).all()):
            raise NetworkError(
                f"{where} receives values that no layer sends and that differ between samples: the potential of neurons (.v), or random "
                f"numbers. A chip sends spikes; use those."
            )
        zero = self.recorder.book.make("zero", (), tuple(x.shape[len(prefix) :]), where, key="zero")
        return self.recorder.traced(x, Value(biased(self.recorder, zero, constant_of(self.recorder, x, tuple(x.shape), lead)), lead))

    def _check_state(self, args: Any, kwargs: Any, name: str, where: str) -> None:
        """Refuse a state that is not the one that the neurons themselves returned a step ago."""
        step = len(self.calls.get(name, []))
        for state in (*args, *kwargs.values()):
            if isinstance(state, Traced):
                e = state.value.expression
                if e.op not in ("state", "spikes") or e.name != name or e.step != step - 1:
                    raise NetworkError(
                        f"{where} is given a state that it did not return in the step before. Hand on its own state from step to step."
                    )
            elif isinstance(state, torch.Tensor) and step == 0 and bool((state != 0).any()):
                raise NetworkError(f"{where} begins with a state that is not 0. Begin with zeros, as its init or reset gives them.")

    def _sent(self, x: Traced, result: Any, name: str, where: str) -> Any:
        """Record a call, and return its result traced: the spikes, and states that only the neurons may have again."""
        parts = list(result) if isinstance(result, tuple) else [result]
        spikes = parts[0].detach().double()
        if not bool(((spikes == 0) | (spikes == 1)).all()):
            largest = float(spikes.max())
            raise NetworkError(
                f"{where} sends values other than 0 and 1 (up to {largest:g}), and a chip sends spikes. Use neurons that send spikes of 1."
            )
        if tuple(spikes.shape) != tuple(x.shape):
            raise NetworkError(f"{where} receives {tuple(x.shape)} and sends {tuple(spikes.shape)}; neurons send one value each.")
        calls = self.calls.setdefault(name, [])
        sequence, step = x.value.lead == "TN", len(calls)
        calls.append(_Call(x.value.expression, sequence, plain(x).detach().clone(), spikes.clone()))
        shape, book = x.value.expression.shape, self.recorder.book
        e = book.make("spikes", (), shape, where, name, key=name, step=0 if sequence else step, late=sequence)
        made: list[Any] = [self.recorder.traced(spikes, Value(e, x.value.lead))]
        self.last[name] = made[0]
        for part in parts[1:]:
            kept = book.make("state", (), shape, where, name, key=name, step=step)
            fits = isinstance(part, torch.Tensor) and tuple(part.shape) == tuple(x.shape)
            made.append(self.recorder.traced(part.detach(), Value(kept, x.value.lead)) if fits else part)
        return tuple(made) if isinstance(result, tuple) else made[0]

    # --- the calls ----------------------------------------------------------------------------------------------------

    def recorded(self, form: str, batch: int) -> Recorded:
        """Run the module in a form: once on a sequence, or on one step and, where that was one step of its neurons, on the others."""
        outputs = [self._call(self._input(0, form))]
        once = all(len(calls) == 1 and not calls[0].sequence for calls in self.calls.values())
        steps = form == "step" and once
        if steps:
            outputs += [self._call(self._input(t, form)) for t in range(1, self.steps)]
        self._check_calls()
        relative, returned = self._output(outputs)
        neurons = [self._neurons(name) for name in self.calls]
        recordings = {name: self._recording(name, batch) for name in self.calls}
        call = Call(form if form == "sequence" or steps else "once", self.place, steps or outputs[-1].value.lead == "TN")
        return Recorded(self.shape, neurons, relative, recordings, returned[:batch], call, self.frameworks)

    def _input(self, step: int, form: str) -> Traced:
        book, key = self.recorder.book, "input"
        if form == "sequence":
            data = self.data if self.temporal else self.data.expand(self.steps, *self.data.shape).clone()
            e = book.make("input", (), self.shape, key, key, key=key, step=0 if self.temporal else None, late=self.temporal)
            return self.recorder.traced(data.clone(), Value(e, "TN"))
        data = self.data[step] if self.temporal else self.data
        e = book.make("input", (), self.shape, key, key, key=key, step=step if self.temporal else None)
        return self.recorder.traced(data.clone(), Value(e, "N"))

    def _call(self, x: Traced) -> Traced:
        try:
            with torch.no_grad():
                result = self.module(x)
        except SpikeloomError:
            raise
        except Exception as error:  # the user's own forward, and torch's functions: anything may be raised there
            raise _ForeignError(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}") from error
        found = _spiking(result)
        if found is None:
            raise NetworkError("The module returns nothing that depends on its input's spikes. Return the spikes of its last layer.")
        self.place, spikes = found
        return spikes

    def _check_calls(self) -> None:
        if not self.calls:
            raise NetworkError(
                "The module has no spiking neurons that are read (neuron.LIFNode, snntorch.Leaky, ...), and a chip runs spikes. Add them."
            )
        for name, calls in self.calls.items():
            due = 1 if calls[0].sequence else self.steps
            if len(calls) != due:
                where = name if name else calls[0].expression.where
                raise NetworkError(
                    f"{where} runs {len(calls)} times in {self.steps} time steps ({due} expected): it is shared by places whose states "
                    f"mix, or timesteps is not the module's own. Give each place neurons of its own, or say timesteps=."
                )

    def _output(self, outputs: list[Traced]) -> tuple[Expression, NDArray[np.float64]]:
        """Return what the module returns at a step, relative to it, and the sum over the steps of what it returned."""
        e, lead = outputs[-1].value.expression, outputs[-1].value.lead
        if len(outputs) > 1:
            relative = self.recorder.book.relative(over_steps(self.recorder, e), self.steps - 1)
            return relative, torch.stack([plain(o) for o in outputs]).sum(0).numpy()
        if lead == "TN":
            return e, plain(outputs[0]).sum(0).numpy()
        if lead != "N":
            raise NetworkError(f"The module returns a tensor of shape {tuple(outputs[0].shape)}. Return (N, classes), or (T, N, classes).")
        return self.recorder.book.relative(over_steps(self.recorder, e), self.steps - 1), plain(outputs[0]).numpy()

    def _neurons(self, name: str) -> Neurons:
        last = self.calls[name][-1]
        arriving = last.expression if last.sequence else self.recorder.book.relative(last.expression, self.steps - 1)
        where = next(_where(p, m) for p, m in self.module.named_modules() if (p or type(m).__name__.lower()) == name.rstrip("_"))
        return Neurons(name, where, last.expression.shape, self.cells[name], arriving)

    def _recording(self, name: str, batch: int) -> Recording:
        calls = self.calls[name]
        received, sent = ([c.received for c in calls], [c.sent for c in calls])
        both = (torch.cat(t) if calls[0].sequence else torch.stack(t) for t in (received, sent))
        first, second = (t.transpose(0, 1).reshape(t.shape[1], self.steps, -1)[:batch].numpy() for t in both)
        return Recording(first, second != 0)


def _spiking(result: Any) -> tuple[tuple[Any, ...], Traced] | None:
    """Return the first of the results that spikes make, and its place among them."""
    if isinstance(result, Traced):
        return ((), result) if result.value.expression.op != "state" else None
    parts = list(result.items()) if isinstance(result, dict) else list(enumerate(result)) if isinstance(result, list | tuple) else []
    for key, part in parts:
        found = _spiking(part)
        if found is not None:
            return (key, *found[0]), found[1]
    return None
