"""What a tensor inside a module is: spikes, the input and constants, through the operations between them.

A leaf (the input, or the spikes of a layer of neurons) has a time: in a loop over time steps the number of its step, in an operation on a
whole sequence the steps by which it is late. `relative` turns the first into the second, `at` the second into the first, so that a step
of a loop, a call of a single-step module and a multi-step module are one thing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Book", "Expression", "leaves"]

Shape = tuple[int, ...]
LEAVES = ("input", "spikes", "state")


@dataclass(frozen=True, eq=False)
class Expression:
    """An operation on expressions; equal ones made by one `Book` are one object.

    `shape`: of one sample at one time step. `where`: the user's name of the module that computes it, `features.3 (Conv2d)`.
    `value`: what the operation needs (weights, geometry). `step`: of a leaf, its time step, or with `late` the steps by which it is late;
    None: an input that is the same at all steps.
    """

    op: str
    args: tuple[Expression, ...]
    shape: Shape
    where: str
    value: Any = None
    step: int | None = None
    late: bool = False
    key: Hashable = None

    @property
    def name(self) -> str:
        """The layer of neurons that a leaf is of."""
        return str(self.value)


class Book:
    """Makes expressions, each once."""

    def __init__(self) -> None:
        self.known: dict[Hashable, Expression] = {}
        self.moved: dict[Hashable, Expression] = {}

    def make(
        self,
        op: str,
        args: tuple[Expression, ...],
        shape: Shape,
        where: str,
        value: Any = None,
        *,
        key: Hashable = None,
        step: int | None = None,
        late: bool = False,
    ) -> Expression:
        """Return the expression; `key` tells `value` apart from others of the same operation."""
        key = key if key is not None else id(value)
        full = (op, tuple(id(a) for a in args), shape, key, step, late)
        if full not in self.known:
            self.known[full] = Expression(op, args, shape, where, value, step, late, key)
        return self.known[full]

    def relative(self, expression: Expression, step: int) -> Expression:
        """Return an expression at a time step as one of how late its leaves are."""
        return self._moved(expression, step, late=True)

    def at(self, expression: Expression, step: int) -> Expression:
        """Return what an expression of late leaves is at a time step; leaves before the first step stay silent."""
        return self._moved(expression, step, late=False)

    def _moved(self, expression: Expression, step: int, *, late: bool) -> Expression:
        key = (id(expression), step, late)
        if key not in self.moved:
            self.moved[key] = self._move(expression, step, late=late)
        return self.moved[key]

    def _move(self, e: Expression, step: int, *, late: bool) -> Expression:
        if e.op in LEAVES:
            if e.step is None or e.late == late:
                return e
            return self.make(e.op, (), e.shape, e.where, e.value, key=e.key, step=step - e.step, late=late)
        args = tuple(self._moved(a, step, late=late) for a in e.args)
        if all(a is b for a, b in zip(args, e.args, strict=True)):
            return e
        return self.make(e.op, args, e.shape, e.where, e.value, key=e.key)


def leaves(expression: Expression) -> Iterator[Expression]:
    """Yield the leaves of an expression, each once."""
    seen, waiting = set[int](), [expression]
    while waiting:
        e = waiting.pop()
        if id(e) in seen:
            continue
        seen.add(id(e))
        if e.op in LEAVES:
            yield e
        waiting += e.args
