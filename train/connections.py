"""Connections of spiking networks: synapses from the sum of several sources.

    a = norm( op( avg_pool( dropout( sum of the sources' spikes ) ) ) )

Spikes are (T, N, ...). A static sample is processed once for all T steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, dropout

from ..errors import UsageError

__all__ = ["INPUT", "NORMS", "Connection", "Shape", "has_norms"]

INPUT = "input"
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
Shape = tuple[int, ...]


class Connection(nn.Module):
    """Synapses from the sum of several sources:  a = norm(op(avg_pool(dropout(s1 + s2 + ...)))).

    Args:
        sources: names of layers, or ("input",); all of the shape `source_shape`.
        source_shape: (C, H, W), or (N,).
        op: convolution (one group, same stride and padding on both axes) or linear layer, which flattens its input maps; None: the
            identity.
        norm: batch normalisation after a convolution.
        pool: side of the windows that are averaged first; an incomplete window at the border is dropped.
        dropout: the probability that a source neuron is silenced in training, at all T steps; the others are scaled up.

    Raises:
        UsageError: shapes or operations that do not fit together.
    """

    def __init__(
        self,
        sources: Sequence[str],
        source_shape: Shape,
        op: nn.Linear | nn.Conv2d | None = None,
        norm: nn.BatchNorm2d | None = None,
        *,
        pool: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.sources, self.source_shape = tuple(sources), tuple(source_shape)
        self.op, self.norm = op, norm
        self.pool, self.dropout = pool, dropout
        self.sums_pools = False
        _check_connection(self)

    @property
    def pooled_shape(self) -> Shape:
        """The input shape of `op`."""
        channels, *sides = self.source_shape
        return (channels, *(side // self.pool for side in sides))

    @property
    def shape(self) -> Shape:
        """The shape of the input current: (C, H, W), or (N,)."""
        if isinstance(self.op, nn.Linear):
            return (self.op.out_features,)
        if self.op is None:
            return self.pooled_shape
        return (self.op.out_channels, *(_outputs(self.op, axis, side) for axis, side in enumerate(self.pooled_shape[1:])))

    @property
    def positions(self) -> Tensor:
        """How many synapses one weight represents when unrolled: int64, broadcastable to the weight."""
        if not isinstance(self.op, nn.Conv2d):
            sides = self.pool**2 if len(self.source_shape) == 3 else 1
            return torch.full((1, 1), sides, dtype=torch.int64)
        rows, columns = (_positions(self.op, axis, side) for axis, side in enumerate(self.pooled_shape[1:]))
        return (rows[:, None] * columns * self.pool**2)[None, None]

    def forward(self, s: Tensor) -> Tensor:
        """Return the input current: (T, N, *shape) from spikes (T, N, *source_shape), (N, *shape) from static values."""
        if self.training and self.dropout:
            s = s * dropout(torch.ones_like(s[0] if s.dim() - len(self.source_shape) == 2 else s), self.dropout)
        leading = s.shape[: s.dim() - len(self.source_shape)]
        x = s.flatten(0, len(leading) - 1)
        if self.pool > 1:
            x = avg_pool2d(x, self.pool, divisor_override=1 if self.sums_pools else None)
        if isinstance(self.op, nn.Linear):
            x = x.flatten(1)
        x = x if self.op is None else self.op(x)
        if self.training and isinstance(self.norm, nn.BatchNorm2d) and x.numel() == x.shape[1]:
            raise UsageError(
                f"The batch normalisation of the connection from {' + '.join(self.sources)} to {x.shape[1]} channels got a single value of "
                "each: a batch of one sample on maps of one pixel has no variance. Ask for --batch-size 2 or more, or for larger samples."
            )
        x = x if self.norm is None else self.norm(x)
        return x.unflatten(0, leading)


def has_norms(model: nn.Module) -> bool:
    """Return whether a network has batch normalisation."""
    return any(isinstance(module, NORMS) for module in model.modules())


def _outputs(conv: nn.Conv2d, axis: int, side: int) -> int:
    return (side + 2 * int(conv.padding[axis]) - conv.kernel_size[axis]) // conv.stride[axis] + 1


def _positions(conv: nn.Conv2d, axis: int, side: int) -> Tensor:
    """Along one axis, the output positions at which each tap lies inside the map."""
    inputs = torch.arange(_outputs(conv, axis, side))[:, None] * conv.stride[axis] - int(conv.padding[axis])
    taps = inputs + torch.arange(conv.kernel_size[axis])
    return ((taps >= 0) & (taps < side)).sum(0)


def _check_connection(connection: Connection) -> None:
    op, shape, pooled = connection.op, connection.source_shape, connection.pooled_shape
    what = f"The connection from {' + '.join(connection.sources)} of shape {shape}"
    if not connection.sources or (INPUT in connection.sources and len(connection.sources) > 1):
        raise UsageError(f"{what} must have layers as its sources, or the input alone.")
    if min(pooled) < 1 or (len(shape) != 3 and connection.pool > 1):
        raise UsageError(f"{what} cannot be pooled by {connection.pool}: the map is too small. Use larger samples or fewer pools.")
    if isinstance(op, nn.Conv2d):
        plain = op.groups == 1 and set(op.dilation) == {1} and len(set(op.stride)) == len(set(op.padding)) == 1
        if not plain or op.padding_mode != "zeros" or isinstance(op.padding, str):
            raise UsageError(f"{what} has a convolution with groups, dilation or padding other than zeros; none of these can be exported.")
        if len(shape) != 3 or shape[0] != op.in_channels or min(connection.shape) < 1:
            raise UsageError(f"{what} does not fit a kernel {op.kernel_size} on {op.in_channels} channels. Use larger samples.")
    elif isinstance(op, nn.Linear) and op.in_features != torch.Size(pooled).numel():
        raise UsageError(f"{what} has {torch.Size(pooled).numel()} numbers, but its linear layer takes {op.in_features}.")
    if connection.norm is not None and not isinstance(op, nn.Conv2d):
        raise UsageError(f"{what} has a normalisation without a convolution, which cannot be folded.")
