"""Signals between two layers of neurons: sums of delayed linear maps of spikes, and a constant.

    x(t) = sum over terms  A_k i_k(t - lag_k)  +  bias,   i_k <- i_k - i_k / tau_k + s_k,  which is s_k itself where tau_k is 1

NIR's linear nodes (Affine, Conv2d, SumPool2d, Scale, Delay, ...) map one signal to the next, so a chain of them becomes one projection.
Convolutions stay taps, and pooled windows stay windows, wherever a single map can represent the chain; else they are multiplied out
as sparse matrices. Everything here is float64 and is rounded once, to float32, when the network is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...errors import DoesNotFitError, FormatError
from ...network.convolution import Convolution
from ...network.synapses import Synapses, row_pointers

__all__ = [
    "ONE",
    "Kernel",
    "Signal",
    "Term",
    "added",
    "constant",
    "convolved",
    "delayed",
    "dense",
    "joined",
    "mapped",
    "matrix_of",
    "of_source",
    "pooled",
    "rows_of",
    "scaled",
]

ONE = ""  # the source of a constant 1, for constants that start late
MAX_UNROLLED = 50_000_000  # synapses of a product of maps, some 2 GB while they are sorted
Maps = tuple[int, int, int]
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Sums over adjacent windows of size x size, times a factor."""

    source_shape: Maps
    size: int
    factor: float


Link = Pool | Synapses | Convolution | None  # None: as it is


@dataclass(frozen=True)
class Term:
    """The spikes of `source`, `lag` steps ago, through a map and a current with the time constant `tau` in steps, in either order."""

    source: str
    link: Link = None
    lag: int = 0
    tau: float = 1.0


@dataclass(frozen=True)
class Signal:
    """A sum of terms and a bias (size,), with a shape."""

    shape: tuple[int, ...]
    terms: tuple[Term, ...]
    bias: Float

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Kernel:
    """A convolution's weights (channels out, channels in of a group, height, width) and geometry, rows before columns."""

    weight: NDArray[Any]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    one_sided: tuple[int, int] = (0, 0)  # extra zeros at the ends of the axes


def of_source(name: str, shape: tuple[int, ...]) -> Signal:
    """Return the signal sent by a population or the input."""
    return Signal(shape, (Term(name),), np.zeros(int(np.prod(shape))))


def constant(values: Float, shape: tuple[int, ...], late: int = 0) -> Signal:
    """Return a constant as a term of its own, silent before step `late`."""
    return Signal(shape, (Term(ONE, _sparse(values[:, None]), late),), np.zeros(values.size))


def added(signals: Iterable[Signal], shape: tuple[int, ...]) -> Signal:
    """Return the sum of signals of equal size."""
    terms: list[Term] = []
    bias = np.zeros(int(np.prod(shape)))
    for signal in signals:
        terms += signal.terms
        bias = bias + signal.bias
    return Signal(shape, tuple(terms), bias)


def dense(signal: Signal, weight: NDArray[Any], shape: tuple[int, ...], where: str) -> Signal:
    """Return  W x,  W (targets, sources) a dense matrix."""
    matrix = _sparse(weight)

    def link(old: Link) -> Link:
        if isinstance(old, Pool):
            channels, (rows, columns) = old.source_shape[0], _windows(old)
            return Convolution(_times(matrix, old.factor), (channels, *old.source_shape[1:]), (rows, columns), pool=old.size)
        return matrix if old is None else _product(matrix, old, where)

    return Signal(shape, _mapped(signal.terms, link), _apply(matrix, signal.bias))


def mapped(signal: Signal, matrix: Synapses, shape: tuple[int, ...], where: str) -> Signal:
    """Return  A x,  A (targets, sources) a sparse matrix in float64."""

    def link(old: Link) -> Link:
        return matrix if old is None else _product(matrix, old, where)

    return Signal(shape, _mapped(signal.terms, link), _apply(matrix, signal.bias))


def scaled(signal: Signal, factors: Float, where: str) -> Signal:
    """Return the elements times `factors` (size,)."""
    if (factors == 1.0).all():
        return signal
    channel = factors.reshape(signal.shape[0], -1) if len(signal.shape) == 3 else None
    by_channel = None if channel is None or (channel != channel[:, :1]).any() else channel[:, 0]

    def link(old: Link) -> Link:
        if isinstance(old, Pool) and (factors == factors[0]).all():
            return replace(old, factor=old.factor * float(factors[0]))
        if old is None and by_channel is None:
            return Synapses(np.arange(signal.size + 1), np.arange(signal.size, dtype=np.int32), factors.copy(), (signal.size, signal.size))
        known = _known(old, signal.shape)
        if isinstance(known, Convolution):
            each = factors.reshape(known.target_shape[0], -1)
            if (each == each[:, :1]).all():
                return known.with_data(known.data * each[:, 0][known.taps.rows])
        flat = _unrolled(known, where)
        return flat.with_data(flat.data * factors[flat.rows])

    return Signal(signal.shape, _mapped(signal.terms, link), signal.bias * factors)


def rows_of(signal: Signal, numbers: NDArray[np.int64], where: str) -> Signal:
    """Return some of the elements, as a flat signal."""
    chosen = np.zeros(signal.size, np.bool_)
    chosen[numbers] = True

    def link(old: Link) -> Link:
        flat = _unrolled(_known(old, signal.shape), where)
        return flat.restricted(np.ones(flat.shape[1], np.bool_), chosen)

    return Signal((numbers.size,), _mapped(signal.terms, link), signal.bias[chosen])


def joined(parts: dict[str, NDArray[np.int64]], shape: tuple[int, ...]) -> Signal:
    """Return a signal whose elements come from several populations: by name, the (rising) indices of the elements that each sends."""
    size, terms = int(np.prod(shape)), list[Term]()
    for name, numbers in parts.items():
        places = Synapses(row_pointers(numbers, size), np.arange(numbers.size, dtype=np.int32), np.ones(numbers.size), (size, numbers.size))
        terms.append(Term(name, places))
    return Signal(shape, tuple(terms), np.zeros(size))


def delayed(signal: Signal, steps: NDArray[np.int64], where: str) -> Signal:
    """Return the signal delayed by `steps` (size,), silent before its start: constants start late as well."""
    if (steps == steps[0]).all():
        terms = [replace(t, lag=t.lag + int(steps[0])) for t in signal.terms]
    else:
        flats = [replace(t, link=_unrolled(_known(t.link, signal.shape), where)) for t in signal.terms]
        terms = [_late(t, steps, int(d)) for t in flats for d in np.unique(steps)]
    for d in np.unique(steps[(steps > 0) & (signal.bias != 0)]):
        begins = np.where(steps == d, signal.bias, 0.0)
        terms += constant(begins, signal.shape, int(d)).terms
    return Signal(signal.shape, tuple(terms), np.where(steps == 0, signal.bias, 0.0))


def _late(term: Term, steps: NDArray[np.int64], late: int) -> Term:
    link = term.link
    if not isinstance(link, Synapses):
        raise TypeError(f"a map that is not unrolled: {link}")
    return replace(term, link=link.select(steps[link.rows] == late), lag=term.lag + late)


def pooled(signal: Signal, size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], factor: float, where: str) -> Signal:
    """Return sums over windows times `factor`; incomplete windows are dropped, padding zeros count."""
    channels, height, width = _maps(signal.shape)
    if not any(signal.bias) and size == stride == (size[0], size[0]) and padding == (0, 0) and min(height, width) >= size[0]:
        shape = (channels, height // size[0], width // size[0])
        if all(t.link is None for t in signal.terms):
            return Signal(
                shape, tuple(replace(t, link=Pool((channels, height, width), size[0], factor)) for t in signal.terms), np.zeros(_n(shape))
            )
    weight = np.full((channels, 1, *size), factor)
    return convolved(signal, Kernel(weight, stride, padding, groups=channels), where)


def convolved(signal: Signal, kernel: Kernel, where: str) -> Signal:
    """Return the cross-correlation of a signal of maps with a kernel.

    Raises:
        FormatError: the map is too small.
    """
    base, shape = _base(kernel, _maps(signal.shape), where)

    def link(old: Link) -> Link:
        if old is None:
            return base
        if isinstance(old, Pool) and isinstance(base, Convolution):
            return replace(base, taps=_times(base.taps, old.factor), source_shape=old.source_shape, pool=old.size)
        return _product(base, old, where)

    return Signal(shape, _mapped(signal.terms, link), _apply(base, signal.bias))


def matrix_of(link: Link, shape: tuple[int, ...]) -> Synapses | Convolution:
    """Return a link as connectivity onto a population of `shape`, without zeros."""
    known = _known(link, shape)
    keep = known.data != 0
    return known if keep.all() else known.select(keep)


# --- maps ---------------------------------------------------------------------------------------------------------------


def _n(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _maps(shape: tuple[int, ...]) -> Maps:
    channels, height, width = shape
    return channels, height, width


def _mapped(terms: tuple[Term, ...], link: Callable[[Link], Link]) -> tuple[Term, ...]:
    """Map the terms' links; a shared object stays shared."""
    made: dict[int, Link] = {}
    for term in terms:
        if id(term.link) not in made:
            made[id(term.link)] = link(term.link)
    return tuple(replace(t, link=made[id(t.link)]) for t in terms)


def _windows(pool: Pool) -> tuple[int, int]:
    return pool.source_shape[1] // pool.size, pool.source_shape[2] // pool.size


def _sparse(weight: NDArray[Any]) -> Synapses:
    """Keep the non-zero entries of a matrix, in float64."""
    rows, columns = np.nonzero(weight)
    data = weight[rows, columns].astype(np.float64)
    return Synapses(row_pointers(rows, weight.shape[0]), columns.astype(np.int32), data, (weight.shape[0], weight.shape[1]))


def _times(matrix: Synapses, factor: float) -> Synapses:
    return matrix if factor == 1.0 else matrix.with_data(matrix.data * factor)


def _known(link: Link, shape: tuple[int, ...]) -> Synapses | Convolution:
    """Return a link as a map: identity and pools become single-tap convolutions if the shape is one of maps."""
    if isinstance(link, Pool):
        channels, eye = link.source_shape[0], np.arange(link.source_shape[0])
        area = link.size**2
        columns = (eye[:, None] * area + np.arange(area)).ravel().astype(np.int32)
        taps = Synapses(np.arange(channels + 1) * area, columns, np.full(columns.size, link.factor), (channels, channels * area))
        return Convolution(taps, link.source_shape, (link.size, link.size), stride=link.size)
    if link is not None:
        return link
    whole = len(shape) == 3
    count = shape[0] if whole else _n(shape)
    eye = Synapses(np.arange(count + 1), np.arange(count, dtype=np.int32), np.ones(count), (count, count))
    return Convolution(eye, _maps(shape), (1, 1)) if whole else eye


def _unrolled(known: Synapses | Convolution, where: str) -> Synapses:
    _check_count(known.count, where)
    return known.unrolled()


def _check_count(count: int, where: str) -> None:
    if count > MAX_UNROLLED:
        raise DoesNotFitError(
            f"The nodes up to {where} make {count:,} synapses when multiplied out; the reader holds {MAX_UNROLLED:,}. Put neurons between "
            f"them, or make scales and delays the same for each channel."
        )


def _product(left: Synapses | Convolution, right: Link, where: str) -> Synapses:
    first = _known(right, ()) if right is not None else None
    if first is None:
        raise TypeError("a product with nothing")
    _check_count(first.count, where)
    _check_count(left.count, where)
    a, b = left.unrolled(), first.unrolled()
    work = int(np.dot(np.bincount(a.indices, minlength=a.shape[1]).astype(np.int64), b.fan_in))
    _check_count(work, where)
    product = sp.csr_matrix(a.matrix(np.float64) @ b.matrix(np.float64))
    product.sort_indices()
    shape = (a.shape[0], b.shape[1])
    return Synapses(product.indptr.astype(np.int64), product.indices.astype(np.int32), product.data, shape)


def _apply(matrix: Synapses | Convolution, bias: Float) -> Float:
    if not bias.any():
        return np.zeros(matrix.shape[0])
    return np.asarray(matrix.operator(np.float64) @ bias[:, None], np.float64).ravel()


def _base(kernel: Kernel, source: Maps, where: str) -> tuple[Synapses | Convolution, Maps]:
    """Return a kernel as a map of sources, and its target's shape. Zeros around the kernel make the padding equal on all sides."""
    spans = [d * (k - 1) + 1 for k, d in zip(kernel.weight.shape[2:], kernel.dilation, strict=True)]
    padding = max(p for p in kernel.padding)
    padding = max(padding, *(p + o for p, o in zip(kernel.padding, kernel.one_sided, strict=True)))
    before = [padding - p for p in kernel.padding]
    size = [s + 2 * (padding - p) - o for s, p, o in zip(spans, kernel.padding, kernel.one_sided, strict=True)]
    sides = [n + 2 * padding - k + 1 for n, k in zip(source[1:], size, strict=True)]
    if min(sides) < 1:
        raise FormatError(f"the kernel of {where}, {spans[0]} x {spans[1]}, does not fit its map of {source[1]} x {source[2]}")
    if source[0] * size[0] * size[1] >= 1 << 31:
        raise FormatError(f"the kernel of {where} with its padding, {size[0]} x {size[1]}, is too large for {source[0]} channels")
    taps = _taps(kernel, source[0], (before[0], before[1]), (size[0], size[1]))
    even = kernel.stride[0] == kernel.stride[1] or sides[0] == 1 or sides[1] == 1
    if even:
        stride = kernel.stride[0] if sides[0] > 1 else kernel.stride[1]
        base = Convolution(taps, source, (size[0], size[1]), stride, padding)
        return base, base.target_shape
    base = Convolution(taps, source, (size[0], size[1]), 1, padding)
    kept = np.zeros(base.target_shape, np.bool_)
    kept[:, :: kernel.stride[0], :: kernel.stride[1]] = True
    shape = (base.target_shape[0], -(-sides[0] // kernel.stride[0]), -(-sides[1] // kernel.stride[1]))
    return _unrolled(base, where).restricted(np.ones(base.shape[1], np.bool_), kept.ravel()), shape


def _taps(kernel: Kernel, channels: int, before: tuple[int, int], size: tuple[int, int]) -> Synapses:
    """Return the taps of a kernel, dilated and placed `before` rows and columns into one of `size`."""
    weight = kernel.weight
    out, inner, y, x = np.nonzero(weight)
    channel = out // (len(weight) // kernel.groups) * weight.shape[1] + inner
    row, column = y * kernel.dilation[0] + before[0], x * kernel.dilation[1] + before[1]
    columns = (channel * size[0] + row) * size[1] + column
    data = weight[out, inner, y, x].astype(np.float64)
    order = np.lexsort((columns, out))
    shape = (len(weight), channels * size[0] * size[1])
    return Synapses(row_pointers(out, len(weight)), columns[order].astype(np.int32), data[order], shape)
