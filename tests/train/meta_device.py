"""Training steps on torch's meta device, which has shapes and no numbers: what a GPU would be asked for, without one.

`Watch` sees every operation. Tensors of the CPU among those of the device fail, with the line; waits of the host for the device (numbers
that are read, copies from pageable memory, shapes that depend on numbers) are counted by line, and answered, so that the step goes on.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import spikeloom
import torch
from spikeloom.train import devices, optimiser_kernels
from spikeloom.train.flat import Layer
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

META = torch.device("meta")
PACKAGE = str(Path(spikeloom.__file__).resolve().parent)
ATEN = torch.ops.aten
READS = (ATEN._local_scalar_dense.default, ATEN.equal.default)
SHAPED = (ATEN.nonzero.default, ATEN.masked_select.default, ATEN._unique2.default, ATEN.repeat_interleave.Tensor)
COPIES = (ATEN._to_copy.default, ATEN.copy_.default)
ADAM = (ATEN._fused_adam_.tensor_lr, ATEN._fused_adam_.default)  # in place, and not written for meta


class MixedError(Exception):
    """A tensor of the CPU among those of the device."""


def line() -> str:
    """Return the innermost line of the package that runs now, as FILE:LINE."""
    frame = inspect.currentframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(PACKAGE) and "/tests/" not in name and ".venv" not in name:
            return f"{name.removeprefix(PACKAGE).lstrip('/')}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside the package"


class Watch(TorchDispatchMode):
    """Watches operations on the meta device.

    Args:
        answer: what a number that is read from the device is said to be.

    Attributes:
        waits: the lines at which the host waited; uploads: how many small copies it made without waiting, from `devices.uploaded`.
        operations: each operation's name with the shapes that it took and made.
    """

    def __init__(self, answer: float = 1.0) -> None:
        super().__init__()
        self.answer = answer
        self.waits: list[str] = []
        self.uploads = 0
        self.operations: list[tuple[str, tuple[Any, ...]]] = []

    def wait(self, what: str) -> None:
        self.waits.append(f"{line()} {what}")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        places = {t.device.type for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        if func in COPIES:
            made = self._copied(func, args, kwargs)
        elif len(places) > 1:
            raise MixedError(f"{line()}: {func} takes tensors on {' and '.join(sorted(places))}")
        elif "meta" not in places:
            return func(*args, **kwargs)
        elif func in READS:
            self.wait("reads a number")
            return type(cast(Any, 0.0 if args[0].is_floating_point() else 0))(self.answer)
        elif func in ADAM:
            made = None
        else:
            made = self._shaped(func, args, kwargs)
        shapes = tuple(tuple(t.shape) for t in tree_leaves((args, kwargs, made)) if isinstance(t, Tensor))
        self.operations.append((str(func), shapes))
        return made

    def _copied(self, func: Any, args: Any, kwargs: Any) -> Any:
        source, target = args[0], args[0]
        if func is ATEN.copy_.default:
            source, place = args[1], target.device.type
        else:
            place = torch.device(kwargs.get("device") or source.device).type
        if source.device.type == place:
            return func(*args, **kwargs)
        self.wait(f"copies from {source.device.type} to {place}")
        if func is ATEN.copy_.default:
            return target
        return torch.full(source.shape, self.answer, dtype=kwargs.get("dtype") or source.dtype, device=place)

    def _shaped(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation; where its shape depends on numbers, a wait, as though all of a mask were chosen."""
        masks = [i for i in tree_leaves(args[1:2]) if isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8)]
        if func in (ATEN.index.Tensor, ATEN.index_put_.default) and masks:
            if func is ATEN.index_put_.default and args[2].numel() == 1:  # torch fills by the mask itself
                return args[0]
            self.wait("chooses by a mask")
            return args[0] if func is ATEN.index_put_.default else args[0].flatten()
        if func in SHAPED:
            self.wait("makes a tensor whose size depends on numbers")
            size = args[0].numel()
            return torch.zeros((size, args[0].dim()) if func is ATEN.nonzero.default else (size,), dtype=torch.int64, device=META)
        return func(*args, **kwargs)


@contextmanager
def watched(answer: float = 1.0) -> Generator[Watch]:
    """Watch what is done on the meta device, written as for CUDA."""
    watch = Watch(answer)

    def uploaded(values: Tensor, target: Tensor) -> None:
        assert values.shape == target.shape and values.dtype == target.dtype and values.device.type == "cpu"
        watch.uploads += 1

    def put(layer: Layer, values: Tensor) -> None:  # storage on meta has no address: always as where the values are a copy
        layer.weight.detach().copy_(values.view(layer.weight.shape))

    def tensor(*args: Any, **kwargs: Any) -> Tensor:  # copies without an operation that could be seen
        if torch.device(kwargs.get("device") or "cpu").type == "meta":
            watch.wait("copies from cpu to meta")
        return original(*args, **kwargs)

    original = torch.tensor
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "uploaded", uploaded)
        patch.setattr(Layer, "put", put)
        patch.setattr(torch, "tensor", tensor)
        patch.setattr(optimiser_kernels.Kernel, "_compile", lambda kernel: kernel.written)  # what torch.compile is given
        patch.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda *_: None)
        with watch:
            yield watch


def moved(value: Any, device: torch.device) -> Any:
    """Return nested tensors on a device."""
    return tree_map(lambda t: t.to(device) if isinstance(t, Tensor) else t, value)
