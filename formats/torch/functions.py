"""The supported operations of torch, and how each is expressed in `expressions`. `docs/modules.md` has the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch

from ...errors import NetworkError
from . import linear
from .expressions import Expression, leaves
from .names import ADDS, ASKS, COMPARES, CONSTANTS, DIVIDES, INSTEAD, MOVES, MULTIPLIES, ON_DATA, REVERSED, SAME
from .recorder import Recorder, Traced, Value, plain

__all__ = ["apply", "constant_of", "over_steps"]


def name_of(func: Any) -> str:
    """Return the name of a torch function or property."""
    name = str(getattr(func, "__name__", func))
    return str(getattr(func.__self__, "__name__", name)) if name in ("__get__", "__set__") else name


def apply(to: Recorder, func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operation of torch on arguments with traced tensors among them; return its result, traced.

    Raises:
        NetworkError: an unsupported operation, with the module that computes it.
    """
    name = name_of(func)
    if name in ASKS or name in CONSTANTS:
        return func(*plain(args), **plain(kwargs))
    if name in SAME:
        return args[0]
    if name in MOVES:
        rest = (plain(args[1:]), plain(kwargs))
        return _single(to, args[0], name, lambda t: func(t, *rest[0], **rest[1]))
    rule = RULES.get(name)
    if rule is not None:
        return rule(to, name, func, args, kwargs)
    raise _refused(to, name)


def _single(to: Recorder, x: Any, name: str, run: Callable[[torch.Tensor], Any]) -> Any:
    if not isinstance(x, Traced):
        raise to.refuse(f"takes a part of a constant by data ({name})", "Choose what is taken when the module is made.")
    return to.moved(x, run)


def _refused(to: Recorder, name: str) -> NetworkError:
    if name in ON_DATA:
        return to.refuse(
            f"looks at the values of a tensor ({name}), and does one thing or another with them",
            "A chip runs the same connections at every step: take the branch that is meant, or leave it to neurons.",
        )
    if name in COMPARES:
        return to.refuse(f"compares values itself ({name})", "Use a neuron of SpikingJelly, snnTorch or Norse, whose equation is known.")
    instead = next((text for text, names in INSTEAD.items() if name in names.split()), "Use the layers in docs/modules.md.")
    return to.refuse(f"computes {name}, which is neither linear nor a spiking neuron that is read", instead)


# --- sums, products and constants -------------------------------------------------------------------------------------


def _together(to: Recorder, a: Any, b: Any, data: torch.Tensor) -> tuple[Any, Any, str]:
    """Return two operands as expressions of one shape (constants as arrays of it), and the leading axes of the result."""
    leads = [x.value.lead for x in (a, b) if isinstance(x, Traced)]
    lead = max(leads, key=len)
    if tuple(data.shape[: len(lead)]) != to.prefix(lead):
        raise to.refuse(f"adds or multiplies tensors whose shapes spread to {tuple(data.shape)}", "Give both the same shape.")
    shape = tuple(data.shape[len(lead) :])
    return _operand(to, a, data, lead, shape), _operand(to, b, data, lead, shape), lead


def _operand(to: Recorder, x: Any, data: torch.Tensor, lead: str, shape: tuple[int, ...]) -> Any:
    if isinstance(x, Traced):
        if tuple(x.shape) == tuple(data.shape) and x.value.lead == lead:
            return x.value.expression
        spread = to.moved(x, lambda t: t.expand(data.shape))
        if spread.value.lead != lead:
            raise to.refuse("brings together tensors with and without time", "Give both the same axes.")
        return spread.value.expression
    return constant_of(to, x, (*to.prefix(lead), *shape), lead)


def constant_of(to: Recorder, x: Any, full: tuple[int, ...], lead: str) -> np.ndarray[Any, Any]:
    """Return a constant as an array of the shape of one sample at one step."""
    array = np.broadcast_to(np.asarray(plain(x).detach() if isinstance(x, torch.Tensor) else x, np.float64), full)
    flat = array.reshape(int(np.prod(full[: len(lead)])), -1)
    if not (flat == flat[:1]).all():
        raise to.refuse("adds or multiplies constants that differ between samples or time steps", "Make them the same for all.")
    if not np.isfinite(flat[:1]).all():
        raise to.refuse("adds or multiplies constants that are not finite numbers", "Train again, with a lower learning rate.")
    return flat[0].reshape(full[len(lead) :])


def _added(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    sign = ADDS.get(name, -1.0) * float(kwargs.get("alpha", args[2] if len(args) > 2 else 1))
    a, b = (args[0], args[1] if len(args) > 1 else kwargs["other"])
    if name in REVERSED:
        a, b = b, a
    data = plain(a) + sign * plain(b)
    first, second, lead = _together(to, a, b, data)
    if isinstance(first, np.ndarray):
        made = linear.biased(to, linear.scaled(to, second, np.full(second.shape, sign)), first)
    elif isinstance(second, np.ndarray):
        made = linear.biased(to, first, sign * second)
    else:
        made = to.book.make("add", (first, linear.scaled(to, second, np.full(second.shape, sign))), first.shape, to.at, key="add")
    return _stored(to, name, args[0], to.traced(data, Value(made, lead)))


def _stored(to: Recorder, name: str, x: Any, result: Traced) -> Traced:
    """Return the result; of an operation in place (`add_`, `+=`), the tensor that was changed."""
    in_place = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
    if in_place and isinstance(x, Traced) and x.shape == result.shape:
        plain(x).copy_(plain(result))
        x.value = result.value
        return x
    return result


def _multiplied(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    data = plain(a) * plain(b)
    first, second, lead = _together(to, a, b, data)
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        e, factors = (second, first) if isinstance(first, np.ndarray) else (first, second)
        made = linear.scaled(to, cast("Expression", e), factors)
    else:
        made = to.book.make("and", (first, second), first.shape, to.at, key="and")
    return _stored(to, name, args[0], to.traced(data, Value(made, lead)))


def _either(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    data = torch.maximum(plain(a).double(), plain(b).double()) if isinstance(b, torch.Tensor) and isinstance(a, torch.Tensor) else None
    if data is None or not isinstance(a, Traced) or not isinstance(b, Traced):
        raise to.refuse(f"takes the {name} of spikes and a constant", "Leave it out.")
    first, second, lead = _together(to, a, b, data)
    return to.traced(data, Value(to.book.make("or", (first, second), first.shape, to.at, key="or"), lead))


def _divided(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    if isinstance(b, Traced) or not isinstance(a, Traced) or kwargs.get("rounding_mode") is not None:
        raise to.refuse("divides by values of spikes, or rounds", "Divide by constants.")
    data = plain(a) / b
    with np.errstate(divide="ignore"):
        factors = 1.0 / constant_of(to, b, tuple(data.shape), a.value.lead)
    if not np.isfinite(factors).all():
        raise to.refuse("divides by 0", "Divide by other constants.")
    return _stored(to, name, a, to.traced(data, Value(linear.scaled(to, a.value.expression, factors), a.value.lead)))


def _negated(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    return _multiplied(to, "mul", torch.mul, (args[0], -1.0), {})


def _means(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    """Return the sum or mean over the time axis, or over axes of a sample."""
    x: Traced = args[0]
    value, lead, count = x.value, x.value.lead, len(x.value.lead)
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    keep = bool(kwargs.get("keepdim", args[2] if len(args) > 2 else False))
    axes = sorted(d % x.dim() for d in (range(x.dim()) if dims is None else [dims] if isinstance(dims, int) else dims))
    data = func(plain(x), axes, keepdim=keep)
    if axes == [lead.find("T")]:
        factor = 1.0 / to.steps if name == "mean" else 1.0
        made = to.book.make("over_time", (value.expression,), value.expression.shape, to.at, factor, key=factor)
        return to.traced(data, Value(made, ("1N" if keep else "N") if lead == "TN" else "N"))
    if any(a < count for a in axes):
        raise to.refuse(f"takes the {name} over the samples of a batch", f"Name the axes of the {name}, without that of the batch.")
    own = tuple(a - count for a in axes)
    made = linear.reduced(to, value.expression, own, keep=keep, mean=name == "mean")
    return to.traced(data, Value(made, lead))


# --- sequences and concatenations -------------------------------------------------------------------------------------


def _stacked(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    items: Sequence[Any] = args[0]
    dim = int(kwargs.get("dim", args[1] if len(args) > 1 else 0))
    leads = {i.value.lead for i in items if isinstance(i, Traced)}
    data = func([plain(i).double() for i in items], dim)
    if leads <= {"N"} and name == "stack" and len(items) == to.steps and dim == 0:
        return _in_time(to, items, data, "TN")
    if leads == {"1N"} and name != "stack" and len(items) == to.steps and dim == 0:
        return _in_time(to, items, data, "TN")
    if len(leads) != 1:
        raise to.refuse("joins tensors with and without time", "Give all the same axes.")
    (lead,) = leads
    place = dim % data.dim() - len(lead)
    if place < 0:
        raise to.refuse(
            f"joins tensors along the axis {dim}, of time or of the batch", f"Join all {to.steps} time steps, or along an axis of a sample."
        )
    parts = [i if isinstance(i, Traced) else None for i in items]
    prefix = to.prefix(lead)
    made: list[Expression] = []
    for item, part in zip(items, parts, strict=True):
        if part is None:
            zeros = to.book.make("zero", (), tuple(item.shape[len(lead) :]), to.at, key="zero")
            e = linear.biased(to, zeros, constant_of(to, item, (*prefix, *item.shape[len(lead) :]), lead))
        else:
            e = part.value.expression
        made.append(to.gathered(e, np.arange(int(np.prod(e.shape))), (*e.shape[:place], 1, *e.shape[place:])) if name == "stack" else e)
    shape = tuple(data.shape[len(lead) :])
    return to.traced(data, Value(to.book.make("cat", tuple(made), shape, to.at, place, key=("cat", place)), lead))


def _in_time(to: Recorder, items: Sequence[Any], data: torch.Tensor, lead: str) -> Traced:
    """Return the time steps of a loop as a sequence: what the last is, since the first may be constants that start a recurrence."""
    last = items[-1]
    if not isinstance(last, Traced):
        raise to.refuse("joins time steps of which the last is a constant", "Join what neurons send at every step.")
    relative = to.book.relative(last.value.expression, to.steps - 1)
    return to.traced(data, Value(relative, lead))


Rule = Callable[[Recorder, str, Any, Any, Any], Any]
RULES: dict[str, Rule] = {
    **dict.fromkeys((*ADDS, *REVERSED), _added),
    **dict.fromkeys(MULTIPLIES, _multiplied),
    **dict.fromkeys(DIVIDES, _divided),
    **dict.fromkeys(("maximum", "logical_or", "bitwise_or", "__or__"), _either),
    **dict.fromkeys(("neg", "__neg__", "negative"), _negated),
    **dict.fromkeys(("sum", "mean"), _means),
    **dict.fromkeys(("stack", "cat", "concat", "concatenate"), _stacked),
    **linear.RULES,
}


def over_steps(to: Recorder, e: Expression) -> Expression:
    """Return the value at a step, relative to it, of what sums or averages over all time steps, as a loop's `total += spikes` does.

    Raises:
        NetworkError: sums over only some of the steps, or over other steps.
    """
    if e.op in ("view", "gather", "scale", "linear", "matrix", "pool"):
        inner = over_steps(to, e.args[0])
        return to.book.make(e.op, (inner,), e.shape, e.where, e.value, key=e.key)
    if e.op == "over_time":
        return linear.scaled(to, e.args[0], np.full(e.shape, float(e.value)))
    if e.op == "add":
        terms = _terms(e)
        steps = {_step(t) for t in terms}
        if steps == set(range(to.steps)) and len(terms) == to.steps:
            relative = [to.book.relative(t, _step(t)) for t in terms]
            if all(r is relative[0] for r in relative):
                return relative[0]
    return e


def _terms(e: Expression) -> list[Expression]:
    found, waiting = list[Expression](), [e]
    while waiting:
        top = waiting.pop()
        if top.op == "add":
            waiting += top.args
        else:
            found.append(top)
    return found


def _step(e: Expression) -> int:
    """Return the time step of an expression: that of its latest leaf."""
    return max((leaf.step for leaf in leaves(e) if leaf.step is not None and not leaf.late), default=-1)
