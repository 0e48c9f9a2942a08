"""What the kernels in LLVM's vectors share: types, and vectors read, written and picked apart."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

BIT, BYTE, SHORT, INT, LONG = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
ZERO = ir.Constant(INT, 0)


def vector(element: Any, size: int) -> Any:
    """Return the type of a vector of `size` elements."""
    return ir.VectorType(element, size)


def splat(b: Any, value: Any, size: int) -> Any:
    """Return a vector that holds `value` everywhere."""
    kind = vector(value.type, size)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), value, ZERO)
    return b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), ir.Constant(vector(INT, size), None))


def pick(b: Any, x: Any, y: Any, places: list[int]) -> Any:
    """Return the elements at `places` of two vectors one after the other."""
    return b.shuffle_vector(x, y, ir.Constant(vector(INT, len(places)), places))


def data_of(context: Any, b: Any, kind: Any, array: Any, element: Any) -> Any:
    """Return the address of an array's data as one of `element`."""
    return b.bitcast(context.make_array(kind)(context, b, array).data, element.as_pointer())


def read(b: Any, address: Any, kind: Any) -> Any:
    """Load a vector from an address that need not be aligned."""
    value = b.load(b.bitcast(address, kind.as_pointer()))
    value.align = 1
    return value


def write(b: Any, value: Any, address: Any) -> None:
    """Store a vector at an address that need not be aligned."""
    b.store(value, b.bitcast(address, value.type.as_pointer())).align = 1


def prefetch(b: Any, address: Any, level: int) -> None:
    """Call for the cache line at an address, which need not be ours: to be read, into the first cache (level 3) or the second (2)."""
    kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), INT, INT, INT])
    b.call(cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0"), [address, *(ir.Constant(INT, n) for n in (0, level, 1))])
