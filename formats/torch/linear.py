"""Linear operations of torch, and pools: convolutions, matrices, normalisations, averages and maxima over windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ...errors import DoesNotFitError
from ..nir.signals import Kernel
from .expressions import Expression
from .recorder import Recorder, Traced, Value, plain

__all__ = ["RULES", "biased", "reduced", "scaled"]

Float = NDArray[np.float64]
MAX_BASIS = 1 << 14  # elements of a map whose operation is found by running it on each of them
CHUNK = 256


def scaled(to: Recorder, e: Expression, factors: Float) -> Expression:
    """Return an expression with each element times a factor."""
    if (factors == 1.0).all():
        return e
    return to.book.make("scale", (e,), e.shape, to.at, factors.ravel().copy(), key=("scale", factors.tobytes()))


def biased(to: Recorder, e: Expression, values: Float) -> Expression:
    """Return an expression with a constant added to each element."""
    if not values.any():
        return e
    return to.book.make("bias", (e,), e.shape, to.at, values.ravel().copy(), key=("bias", values.tobytes()))


def reduced(to: Recorder, e: Expression, axes: tuple[int, ...], *, keep: bool, mean: bool) -> Expression:
    """Return sums or means over axes of a sample."""
    kept = tuple(1 if i in axes else n for i, n in enumerate(e.shape))
    shape = kept if keep else tuple(n for i, n in enumerate(e.shape) if i not in axes)
    rows = np.broadcast_to(np.arange(int(np.prod(kept))).reshape(kept), e.shape).ravel()
    weight = int(np.prod(kept)) / rows.size if mean else 1.0
    matrix = sp.csr_matrix((np.full(rows.size, weight), (rows, np.arange(rows.size))), shape=(int(np.prod(kept)), rows.size))
    return to.book.make("matrix", (e,), shape, to.at, matrix, key=("reduced", axes, keep, mean))


def _numbers(to: Recorder, tensor: Any, what: str) -> Float:
    """Return weights as an array.

    Raises:
        NetworkError: they depend on the data, or are not finite.
    """
    if isinstance(tensor, Traced):
        raise to.refuse(f"has a {what} that depends on the data", "Use weights that are the same for every sample.")
    array = tensor.detach().double().numpy()
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise to.refuse(f"has {count:,} values in its {what} that are not finite numbers", "Train again, with a lower learning rate.")
    return np.array(array, np.float64)


def _given(args: Any, kwargs: Any, *names: str) -> list[Any]:
    """Return arguments by the names of a signature, None where one is not given."""
    return [args[i] if i < len(args) else kwargs.get(n) for i, n in enumerate(names)]


def _pair(value: Any, count: int, default: int) -> tuple[int, int]:
    """Return one or two numbers as rows and columns; along one axis a map has one row."""
    value = default if value is None or (isinstance(value, list | tuple) and not value) else value
    values = [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)] * count
    values = values * count if len(values) == 1 else values
    return (values[0], values[1]) if count == 2 else (-1, values[0])


def _axes(pair: tuple[int, int], one: int) -> tuple[int, int]:
    return (one, pair[1]) if pair[0] == -1 else pair


def _sample(to: Recorder, x: Any, axes: int, name: str) -> Expression:
    """Return what a layer of maps takes: a batch of samples (channels, ...), or of time steps and samples in one axis."""
    if not isinstance(x, Traced):
        raise to.refuse(f"takes a constant ({name})", "Compute it when the module is made.")
    if x.value.lead not in ("N", "F") or len(x.value.expression.shape) != axes + 1:
        raise to.refuse(
            f"takes a tensor of shape {tuple(x.shape)}, {len(x.value.lead)} of whose axes are time and batch ({name})",
            "Give it (N, channels, ...), or use the layers of SpikingJelly in the multi-step mode.",
        )
    return x.value.expression


def _convolved(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    count = int(name[4])
    x, weight, bias, stride, padding, dilation, groups = _given(
        args, kwargs, "input", "weight", "bias", "stride", "padding", "dilation", "groups"
    )
    e, w = _sample(to, x, count, name), _numbers(to, weight, "weight")
    data = func(*plain(args), **plain(kwargs))
    steps, spread = _axes(_pair(stride, count, 1), 1), _axes(_pair(dilation, count, 1), 1)
    w = w if count == 2 else w[:, :, None]
    one_sided = (0, 0)
    if isinstance(padding, str):
        spans = [d * (k - 1) if padding == "same" else 0 for k, d in zip(w.shape[2:], spread, strict=True)]
        sides, one_sided = (spans[0] // 2, spans[1] // 2), (spans[0] % 2, spans[1] % 2)
    else:
        sides = _axes(_pair(padding, count, 0), 0)
    kernel = Kernel(w, steps, sides, spread, int(groups or 1), one_sided)
    key = ("conv", id(weight), steps, sides, spread, int(groups or 1), one_sided)
    made = to.book.make("conv", (e,), tuple(data.shape[1:]), to.at, (kernel, weight), key=key)
    if bias is not None:
        made = biased(to, made, np.repeat(_numbers(to, bias, "bias"), int(np.prod(data.shape[2:]))))
    return to.traced(data, Value(made, x.value.lead))


def _matrix(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    x, weight, bias = _given(args, kwargs, "input", "weight", "bias")
    if name in ("matmul", "__matmul__", "mm"):
        x, weight = args[0], args[1]
        if not isinstance(x, Traced) or isinstance(weight, Traced) or weight.dim() != 2:
            raise to.refuse(
                f"multiplies tensors by each other ({name})", "A chip multiplies spikes by weights: use (values @ weights) with a matrix."
            )
        weight = weight.t()
    if not isinstance(x, Traced) or not x.value.expression.shape:
        raise to.refuse(f"takes a matrix from the data ({name})", "Use weights that are the same for every sample.")
    data = func(*plain(args), **plain(kwargs))
    made = to.book.make(
        "linear",
        (x.value.expression,),
        tuple(data.shape[len(x.value.lead) :]),
        to.at,
        (_numbers(to, weight, "weight"), weight),
        key=("linear", id(weight)),
    )
    if bias is not None:
        made = biased(to, made, np.broadcast_to(_numbers(to, bias, "bias"), made.shape))
    return to.traced(data, Value(made, x.value.lead))


def _normalised(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    x, mean, var, weight, bias, training, _, eps = _given(
        args, kwargs, "input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"
    )
    if training or mean is None or var is None:
        raise to.refuse("normalises by the statistics of the batch", "Say .eval(), and keep track_running_stats on.")
    if x.value.lead not in ("N", "F") or not x.value.expression.shape:
        raise to.refuse(f"normalises a tensor of shape {tuple(x.shape)}", "Use the layers of SpikingJelly in the multi-step mode.")
    data = func(*plain(args), **plain(kwargs))
    m, v = _numbers(to, mean, "running mean"), _numbers(to, var, "running variance")
    gain = 1.0 / np.sqrt(v + (1e-5 if eps is None else float(eps)))
    gain = gain if weight is None else gain * _numbers(to, weight, "weight")
    shift = -m * gain + (0.0 if bias is None else _numbers(to, bias, "bias"))
    e = x.value.expression
    each = int(np.prod(e.shape[1:]))
    made = biased(to, scaled(to, e, np.repeat(gain, each).reshape(e.shape)), np.repeat(shift, each).reshape(e.shape))
    return to.traced(data, Value(made, x.value.lead))


def _same(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    training = kwargs.get("training", args[2] if len(args) > 2 else kwargs.get("train", True))
    if training:
        raise to.refuse("drops values at random", "Say .eval().")
    return args[0]


# --- pools ------------------------------------------------------------------------------------------------------------


def _maps(e: Expression, count: int) -> tuple[int, ...]:
    """Return the shape as (channels, sides): of fewer axes, one channel."""
    return e.shape if len(e.shape) == count + 1 else (1, *e.shape)


def _pooled(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    """Return averages over windows: a strided sum where the windows are whole, else the matrix that the function is."""
    x: Any = args[0]
    count = int(name[-2])
    if not isinstance(x, Traced) or x.value.lead not in ("N", "F", "1N", "TN") or len(x.value.expression.shape) not in (count, count + 1):
        raise to.refuse(f"takes a tensor of shape {tuple(getattr(x, 'shape', ()))} ({name})", "Give it (N, channels, ...).")
    data = func(*plain(args), **plain(kwargs))
    e, shape = x.value.expression, tuple(data.shape[len(x.value.lead) :])
    maps, sides = _maps(e, count), shape[-count:]
    window = _adaptive(maps[1:], sides) if name.startswith("adaptive") else _window(args, kwargs, count)
    if window is not None and _whole(maps[1:], sides, window):
        size, stride, padding = (_two(n, one) for n, one in zip(window, (1, 1, 0), strict=True))
        made = to.book.make("pool", (e,), shape, to.at, (size, stride, padding, count), key=("pool", size, stride, padding, count))
    else:
        matrix = basis(to, lambda t: func(t, *plain(args[1:]), **plain(kwargs)), maps, name)
        made = to.book.make("matrix", (e,), shape, to.at, matrix, key=("matrix", name, str(args[1:]), str(kwargs)))
    return to.traced(data, Value(made, x.value.lead))


Window = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _two(values: tuple[int, ...], one: int) -> tuple[int, int]:
    return (values[0], values[1]) if len(values) == 2 else (one, values[0])


def _several(value: Any, count: int, default: tuple[int, ...]) -> tuple[int, ...]:
    if value is None or (isinstance(value, list | tuple) and not value):
        return default
    values = tuple(int(v) for v in value) if isinstance(value, list | tuple) else (int(value),)
    return values * count if len(values) == 1 else values


def _window(args: Any, kwargs: Any, count: int) -> Window | None:
    """Return the window, stride and padding of an average; None where its divisors differ between windows."""
    names = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    _, size, stride, padding, ceil, include, divisor = _given(args, kwargs, *names)
    kernel = _several(size, count, ())
    pads = _several(padding, count, (0,) * count)
    if ceil or divisor is not None or (any(pads) and include is False):
        return None
    return kernel, _several(stride, count, kernel), pads


def _adaptive(maps: tuple[int, ...], sides: tuple[int, ...]) -> Window | None:
    if any(n % m for n, m in zip(maps, sides, strict=True)):
        return None
    size = tuple(n // m for n, m in zip(maps, sides, strict=True))
    return size, size, (0,) * len(size)


def _whole(maps: tuple[int, ...], sides: tuple[int, ...], window: Window) -> bool:
    found = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(maps, *window, strict=True))
    return found == sides


def basis(
    to: Recorder, run: Callable[[torch.Tensor], torch.Tensor], maps: tuple[int, ...], name: str, *, mixes: bool = False
) -> sp.csr_matrix:
    """Return the matrix of a linear function by running it on one element after another; of each channel alone, unless it `mixes` them."""
    shape = maps if mixes else (1, *maps[1:])
    size = int(np.prod(shape))
    if size > MAX_BASIS:
        raise DoesNotFitError(f"{to.at} computes {name} on a map of {size:,} elements; {MAX_BASIS:,} are read. Use windows of one size.")
    eye, parts = torch.eye(size, dtype=torch.float64), list[Any]()
    for start in range(0, size, CHUNK):
        sent = run(eye[start : start + CHUNK].reshape(-1, *shape))
        parts.append(sp.csr_matrix(sent.reshape(len(sent), -1).numpy()))
    single = sp.csr_matrix(sp.vstack(parts).T)
    return single if mixes else sp.csr_matrix(sp.kron(sp.identity(maps[0]), single))


def _spread(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    """Return padding, upsampling and transposed convolutions as the matrix that they are."""
    x: Any = args[0]
    if not isinstance(x, Traced) or x.value.lead not in ("N", "F"):
        raise to.refuse(f"takes a tensor of another shape ({name})", "Give it (N, channels, ...).")
    if name == "pad" and _given(args, kwargs, "input", "pad", "mode", "value")[3]:
        raise to.refuse("pads with a constant other than 0", "Pad with zeros.")
    for tensor in (*args[1:], *kwargs.values()):
        if isinstance(tensor, torch.Tensor):
            _numbers(to, tensor, "weight")
    data = func(*plain(args), **plain(kwargs))
    e = x.value.expression
    transposed = name.startswith("conv_transpose")
    bias = _given(args, kwargs, "input", "weight", "bias")[2] if transposed else None
    rest, named = list(plain(args[1:])), plain(kwargs)
    if transposed and len(rest) > 1:
        rest[1] = None
    named |= {"bias": None} if "bias" in named else {}
    matrix = basis(to, lambda t: func(t, *rest, **named), e.shape, name, mixes=transposed)
    made = to.book.make("matrix", (e,), tuple(data.shape[1:]), to.at, matrix)
    if bias is not None:
        made = biased(to, made, np.repeat(_numbers(to, bias, "bias"), int(np.prod(data.shape[2:]))))
    return to.traced(data, Value(made, x.value.lead))


def _largest(to: Recorder, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    """Return maxima over windows: of spikes, whether any in the window spiked."""
    x: Any = args[0]
    count = int(name[name.index("d") - 1]) if not name.startswith("adaptive") else int(name[-2])
    if not isinstance(x, Traced) or x.value.lead not in ("N", "F") or len(x.value.expression.shape) != count + 1:
        raise to.refuse(f"takes a tensor of shape {tuple(getattr(x, 'shape', ()))} ({name})", "Give it (N, channels, ...).")
    data = func(*plain(args), **plain(kwargs))
    data = data[0] if isinstance(data, tuple) else data
    e, sides = x.value.expression, tuple(data.shape[2:])
    _, size, stride, padding, dilation = _given(args, kwargs, "input", "kernel_size", "stride", "padding", "dilation")
    if name.startswith("adaptive"):
        window, apart = _adaptive(e.shape[1:], sides), (1,) * count
    else:
        kernel = _several(size, count, ())
        window, apart = (
            (kernel, _several(stride, count, kernel), _several(padding, count, (0,) * count)),
            _several(dilation, count, (1,) * count),
        )
    if window is None:
        raise to.refuse("takes maxima over windows of different sizes", "Use sides that the map is a multiple of.")
    spans = tuple(d * (k - 1) + 1 for k, d in zip(window[0], apart, strict=True))
    if _whole(e.shape[1:], sides, (spans, window[1], window[2])):
        value: Any = (*(_two(n, one) for n, one in zip(window, (1, 1, 0), strict=True)), _two(apart, 1))
        made = to.book.make("max", (e,), tuple(data.shape[1:]), to.at, value, key=("max", value))
    elif any(d != 1 for d in apart):
        raise to.refuse("takes maxima over windows beyond the map, with a dilation", "Leave ceil_mode out.")
    else:
        average: Any = torch.nn.functional.avg_pool1d if count == 1 else torch.nn.functional.avg_pool2d
        area = int(np.prod(window[0]))
        matrix = basis(to, lambda t: _sums(average, t, window), e.shape, name)
        matrix.data[:] = np.rint(matrix.data * area)
        made = to.book.make("any", (e,), tuple(data.shape[1:]), to.at, matrix, key=("any", window, sides))
    return to.traced(data, Value(made, x.value.lead))


def _sums(average: Any, t: torch.Tensor, window: Window) -> torch.Tensor:
    """Return which elements lie in a window that ends beyond the map: not zero where they do."""
    size, stride, padding = (list(n) for n in window)
    ones: torch.Tensor = average(t, size, stride, padding, ceil_mode=True)
    return (ones != 0).double() / float(np.prod(size))


RULES = {
    **dict.fromkeys(("conv1d", "conv2d"), _convolved),
    **dict.fromkeys(("linear", "matmul", "__matmul__", "mm"), _matrix),
    "batch_norm": _normalised,
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "feature_dropout", "alpha_dropout"), _same),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d"), _pooled),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d"), _largest),
    **dict.fromkeys(("pad", "interpolate", "upsample", "conv_transpose1d", "conv_transpose2d"), _spread),
}  # fmt: skip
