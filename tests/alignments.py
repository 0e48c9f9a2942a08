"""Products whose operands lie at chosen places in memory, and a training of such products; as a program: how many results they have.

    python alignments.py [before]

`before`: compute a product with torch before Spikeloom is imported, which leaves MKL as it is by itself.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

LINE = 64  # bytes of a cache line, which torch's allocations begin with


def moved(tensor: Tensor, offset: int) -> Tensor:
    """Return a copy that begins `offset` numbers behind the beginning of a cache line, with the strides of `tensor`."""
    size = tensor.element_size()
    room = torch.empty(tensor.numel() + 2 * LINE, dtype=tensor.dtype)
    start = -room.data_ptr() % LINE // size + offset
    dense = torch.empty_like(tensor)  # its strides are those that a copy has
    return room.as_strided(dense.shape, dense.stride(), start).copy_(tensor)


class Shifted(TorchDispatchMode):
    """Every product gets its operands at `offset`."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset, self.products = offset, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        name = str(func)
        if any(f"aten.{product}." in name for product in ("mm", "addmm", "bmm", "mv", "addmv", "convolution", "convolution_backward")):
            self.products += 1
            args = tuple(moved(a, self.offset) if isinstance(a, Tensor) and a.is_floating_point() else a for a in args)
        return func(*args, **(kwargs or {}))


def products(offset: int) -> list[Tensor]:
    """Return products of every kind that training has, of operands at `offset`."""
    generator = torch.Generator().manual_seed(0)
    made: list[Tensor] = []
    for rows, inner, columns in ((32, 60, 10), (1, 60, 10), (10, 32, 60), (60, 32, 1), (128, 784, 80)):
        a, b = torch.randn(rows, inner, generator=generator), torch.randn(inner, columns, generator=generator)
        for dtype in (torch.float32, torch.float64):
            for right in (b.to(dtype), b.to(dtype).t().contiguous().t()):
                made.append(moved(a.to(dtype), offset) @ moved(right, offset))
    images, taps = torch.randn(3, 4, 8, 8, generator=generator), torch.randn(5, 4, 3, 3, generator=generator)
    return [*made, torch.conv2d(moved(images, offset), moved(taps, offset), padding=1)]


def training(offset: int) -> list[Tensor]:
    """Return what a training ends with whose products all have their operands at `offset`. Batches of one sample."""
    from dataclasses import replace
    from pathlib import Path

    from spikeloom.train import TrainSettings, load_dataset
    from spikeloom.train.loop import Trainer
    from spikeloom.train.parts import Parts

    parts = Parts.of(TrainSettings("digits", epochs=1, batch_size=1, timesteps=1, net_options={"hidden": (30,)}))
    data = load_dataset("digits")
    data = replace(data, train=data.train.take(slice(0, 60)))
    torch.manual_seed(0)
    model = parts.build_model(data, 1)
    with tempfile.TemporaryDirectory() as folder, Shifted(offset) as mode:
        trainer = Trainer(parts.settings, data, model, parts.build_method(model, parts.settings), Path(folder), None)
        trainer.run()
    assert mode.products > 50, "the training has its products elsewhere"
    return list(model.state_dict().values())


def main(before: bool) -> None:
    """Print, for products and for a training, how many results there are over the offsets."""
    if before:
        products(0)
    importlib.import_module("spikeloom")
    torch.set_num_threads(1)
    for compute, offsets in ((products, range(16)), (training, (0, 1, 2, 7))):
        results = {hashlib.sha256(b"".join(t.contiguous().numpy().tobytes() for t in compute(o))).hexdigest() for o in offsets}
        sys.stdout.write(f"{compute.__name__} {len(results)}\n")
    from spikeloom.train import platform

    sys.stdout.write(f"warnings {len(platform.unreproducible())}\n")


if __name__ == "__main__":
    main("before" in sys.argv[1:])
