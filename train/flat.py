"""The weights of all layers as one vector, layer after layer in row-major order; exact counts and choices over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import devices

__all__ = ["Flat", "Layer", "count_positive", "largest", "largest_of", "share_out", "smallest_value", "split"]


@dataclass(frozen=True)
class Layer:
    """A layer's position in the vector.

    Attributes:
        positions: int64, broadcastable to the weight: how many synapses a weight represents when convolutions are unrolled.
    """

    name: str
    weight: Tensor
    part: slice
    positions: Tensor

    @property
    def size(self) -> int:
        """The number of weights."""
        return self.weight.numel()

    def values(self) -> Tensor:
        """Return the weights, flat: a view, or a copy if they are not stored in row-major order."""
        return self.weight.detach().reshape(-1)

    def gradient(self) -> Tensor:
        """Return the gradient, flat; zeros where the loss did not depend on the weights."""
        grad = self.weight.grad
        return torch.zeros_like(self.values()) if grad is None else grad.detach().reshape(-1)

    def put(self, values: Tensor) -> None:
        """Set the weights to the flat `values`; does nothing if these are the view that `values()` returned."""
        if values.data_ptr() != self.weight.data_ptr():
            self.weight.detach().copy_(values.view(self.weight.shape))

    def synapses(self, alive: Tensor) -> Tensor:
        """Count unrolled synapses of the flat mask `alive`, exactly: int64 scalar."""
        shaped = alive.view(self.weight.shape)
        shared = [d for d in range(shaped.dim()) if self.positions.shape[d] == 1]
        counts = shaped.sum(dim=shared, keepdim=True, dtype=torch.int64) if shared else shaped.to(torch.int64)
        return (counts * self.positions).sum()

    def describe(self) -> str:
        """Name the layer with its width, for messages."""
        return f"{self.name} ({self.weight.shape[1]} -> {self.weight.shape[0]})"


class Flat:
    """All layers."""

    def __init__(self, weights: Mapping[str, Tensor], positions: Mapping[str, Tensor]) -> None:
        self.layers: list[Layer] = []
        begin = 0
        for name, weight in weights.items():
            end = begin + weight.numel()
            self.layers.append(Layer(name, weight, slice(begin, end), positions[name].to(weight.device)))
            begin = end
        self.size = begin
        first = self.layers[0].weight
        self.device, self.dtype = first.device, first.dtype

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def values(self) -> Tensor:
        """Return a copy of all weights (M,)."""
        return torch.cat([layer.values() for layer in self.layers])

    def alive(self) -> Tensor:
        """Return which weights are not zero: bool (M,)."""
        return torch.cat([layer.values() != 0 for layer in self.layers])

    def put(self, values: Tensor) -> None:
        """Set the weights to `values` (M,)."""
        for layer in self.layers:
            layer.put(values[layer.part])

    def zeros(self, dtype: torch.dtype | None = None) -> Tensor:
        """Return (M,) zeros on the weights' device."""
        return torch.zeros(self.size, dtype=dtype or self.dtype, device=self.device)

    def count_alive(self) -> int:
        """Count the weights that are not zero."""
        return sum(self.alive_by_layer())

    def alive_by_layer(self) -> list[int]:
        """Count each layer's weights that are not zero: one wait for the device."""
        return torch.stack([torch.count_nonzero(layer.values()) for layer in self.layers]).tolist()

    def positive_by_layer(self, values: Tensor) -> list[int]:
        """Count each layer's `values` (M,) above 0: one wait for the device."""
        if devices.uses_numpy(values):
            return [count_positive(values[layer.part]) for layer in self.layers]
        return torch.stack([torch.count_nonzero(values[layer.part] > 0) for layer in self.layers]).tolist()

    def synapses(self, alive: Tensor) -> int:
        """Count the unrolled synapses of a mask (M,)."""
        return int(torch.stack([layer.synapses(alive[layer.part]) for layer in self.layers]).sum())

    def spread(self, numbers: Tensor) -> Tensor:
        """Repeat one number per layer over the layer's weights: (M,)."""
        return torch.cat([numbers[i].expand(layer.size) for i, layer in enumerate(self.layers)])

    def units(self) -> Tensor:
        """Return each layer's mean |w| over its live weights, 1 if it has none: the unit that makes layers comparable.

        Initial weights shrink with the fan-in; a single threshold would prune a layer of large fan-in away entirely.
        """
        means: list[Tensor] = []
        for layer in self.layers:
            values = layer.values()
            live = torch.count_nonzero(values)
            means.append(torch.where(live > 0, values.abs().sum() / live.clamp(min=1), 1.0))
        return torch.stack(means).to(self.dtype)

    def scaled(self, values: Tensor, units: Tensor) -> Tensor:
        """Return `values` (M,) in units of their layers."""
        return torch.cat([values[layer.part] / units[i] for i, layer in enumerate(self.layers)])

    def with_best_first(self, values: Tensor, counts: Sequence[int] | None = None) -> Tensor:
        """Return `values` (M,) with each layer's largest set to infinity, so that a selection over all layers takes them before others.

        Args:
            counts: how many of each layer; None: one, which leaves none empty.
        """
        raised = values.clone()
        for layer, count in zip(self.layers, counts or [1] * len(self), strict=True):
            part = values[layer.part]
            best = part.argmax().view(1) if count == 1 else part.topk(count).indices
            raised[layer.part].index_fill_(0, best, torch.inf)
        return raised


def count_positive(values: Tensor) -> int:
    """Count the `values` above 0."""
    if devices.uses_numpy(values):  # several times faster than torch's
        return int(np.count_nonzero(values.numpy() > 0))
    return int(torch.count_nonzero(values > 0))


def smallest_value(values: Tensor, rank: int) -> Tensor:
    """Return the `rank`-th smallest value (from 1) of `values` (M,), a scalar on the same device."""
    if devices.uses_numpy(values):  # introselect: several times faster than torch's kthvalue
        return torch.from_numpy(np.partition(values.numpy(), rank - 1)[rank - 1 : rank]).squeeze(0)
    return torch.sort(values).values[rank - 1]  # uses the whole device; torch's kthvalue searches a vector in a single block of threads


def largest(values: Tensor, count: int) -> Tensor:
    """Return the mask of exactly the `count` largest `values` (M,); ties at the boundary go to the first."""
    if count <= 0 or count >= values.numel():
        return torch.full_like(values, count > 0, dtype=torch.bool)
    if not devices.uses_numpy(values):  # without a count on the host, which would wait for the device
        return _mask_of(torch.argsort(values, descending=True, stable=True)[:count], values)
    bound = smallest_value(values, values.numel() - count + 1)
    chosen = values > bound
    missing = count - int(chosen.sum())
    chosen[(values == bound).nonzero().view(-1)[:missing]] = True
    return chosen


def largest_of(values: Tensor, allowed: Tensor, count: int) -> Tensor:
    """Return the mask (M,) of exactly the `count` largest `values` among those in `allowed`, bool (M,), which has at least `count`."""
    if not devices.uses_numpy(values):
        order = torch.argsort(values, descending=True, stable=True)
        return _mask_of(order[torch.argsort((~allowed)[order].to(torch.int8), stable=True)][:count], values)
    index = allowed.nonzero().view(-1)
    mask = torch.zeros_like(allowed)
    mask[index[largest(values[index], count)]] = True
    return mask


def _mask_of(index: Tensor, like: Tensor) -> Tensor:
    """Return the mask (M,) of the positions `index`."""
    return torch.zeros_like(like, dtype=torch.bool).index_fill_(0, index, True)


def split(total: int, shares: Sequence[float], limits: Sequence[int]) -> list[int]:
    """Distribute `total` in proportion to `shares`, none above its limit or below 1; what the limits cut off goes to the others.

    Rounded by largest remainder, so the sum is exactly `total`, which must be between the number of limits and their sum.
    """
    exact = [0.0] * len(limits)
    open_ = set(range(len(limits)))
    left = float(total)
    while open_:
        factor = left / sum(shares[i] for i in open_)
        over = {i for i in open_ if factor * shares[i] >= limits[i]}
        for i in over or open_:
            exact[i] = float(limits[i]) if over else factor * shares[i]
            left -= exact[i] if over else 0.0
        open_ = open_ - over if over else set()
    counts = [max(1, min(int(e), limit)) for e, limit in zip(exact, limits, strict=True)]
    order = sorted(range(len(limits)), key=lambda i: (int(exact[i]) - exact[i], i))
    while sum(counts) != total:
        step = 1 if sum(counts) < total else -1
        for i in order if step > 0 else reversed(order):
            if sum(counts) != total and 1 <= counts[i] + step <= limits[i]:
                counts[i] += step
    return counts


def share_out(flat: Flat, live: int, density: str = "uniform") -> list[int]:
    """Distribute `live` synapses among the layers.

    Args:
        density: "uniform": the same density in each layer. "er": Erdos-Renyi, density of a layer (outputs, inputs) proportional to
            (outputs + inputs) / (outputs inputs). "erk": the same with the kernel's sides, (out + in + kh + kw) / (out in kh kw).
    """
    sizes = [layer.size for layer in flat]
    if density == "uniform":
        return split(live, [float(s) for s in sizes], sizes)
    kept = 2 if density == "er" else None
    shapes = [tuple(layer.weight.shape) for layer in flat]
    shares = [s * sum(shape[:kept]) / np.prod(shape[:kept], dtype=np.float64) for s, shape in zip(sizes, shapes, strict=True)]
    return split(live, [float(s) for s in shares], sizes)
