"""Training by several processes under torchrun: each processes its share of every batch, and all take the same step.

    torchrun --nproc-per-node 4 -m spikeloom train --data cifar10 ...

The batch size is that of all processes together. Process r of R takes every R-th sample of a batch, from the r-th on. With n_r samples
there and n in total, its loss is scaled by n_r / n, and the gradients of all processes are added up in one flat buffer: their sum is
the gradient of the whole batch's mean loss, whatever the sizes of the parts. (DistributedDataParallel would average the parts
unweighted.) Every process then takes the same step on the same bits, which `check_same` verifies by a hash.

Batch normalisation computes its statistics over all processes on CUDA (SyncBatchNorm). On CPUs, where torch has none, each process
normalises by its own part of the batch, and the running statistics are averaged after every epoch.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, distributed, nn

from ..errors import SpikeloomError, UsageError
from ..files import sha256

__all__ = ["World", "joined"]

CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """The process group that trains together, as seen by one process: its `rank`, the group's `size`, and its device."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def part(self, indices: Tensor) -> Tensor:
        """Return this process's part of the `indices` of a batch."""
        return indices[self.rank :: self.size]

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes; a parameter without one counts as zeros.

        One call per step, over one flat buffer per dtype.
        """
        if self.size == 1:
            return
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for parameter in parameters:
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for gradients in by_type.values():
            flat = torch.cat([g.reshape(-1) for g in gradients])
            distributed.all_reduce(flat)
            for gradient, total in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(total.view(gradient.shape))

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes."""
        if self.size == 1:
            return value
        summed = value.detach().to(self.device, copy=True)
        distributed.all_reduce(summed)
        return summed.to(value.device)

    def average_buffers(self, model: nn.Module) -> None:
        """Replace the floating-point buffers (running statistics) by their means over the processes."""
        if self.size > 1:
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self.total(buffer) / self.size)

    def check_same(self, tensors: Mapping[str, Tensor], when: str) -> None:
        """Compare tensors between the processes by their SHA-256.

        Raises:
            SpikeloomError: a process holds other bits; the message names the first such tensor and `when`.
        """
        if self.size == 1:
            return
        names = sorted(tensors)
        digests = torch.tensor([list(bytes.fromhex(digest(tensors[name]))) for name in names], dtype=torch.uint8, device=self.device)
        gathered = [torch.empty_like(digests) for _ in range(self.size)]
        distributed.all_gather(gathered, digests)
        for rank, other in enumerate(gathered):
            differs = (other != gathered[0]).any(1).nonzero().flatten().tolist()
            if differs:
                name = names[int(differs[0])]
                raise SpikeloomError(
                    f"{_capital(when)} process {rank} holds other bits of {name} than process 0 ({len(differs)} of {len(names)} tensors "
                    "differ), so they no longer train one network. Start all processes with the same software and the same settings."
                )

    def wait(self) -> None:
        """Return when all processes have reached this call."""
        if self.size > 1:
            self.total(torch.zeros(1))


def digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's bytes."""
    return sha256(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def choose_device(wanted: str) -> torch.device:
    """Return the device that `wanted` ("auto", "cpu" or "cuda") resolves to for this process on its machine.

    Raises:
        UsageError: CUDA was requested but is not available, or there are fewer devices than processes.
    """
    available = torch.cuda.is_available()
    if wanted == "cpu" or (wanted == "auto" and not available):
        return CPU
    if not available:
        raise UsageError("device is cuda, but torch finds no CUDA device here. Use --device cpu, or install a CUDA build of torch.")
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= count:
        raise UsageError(f"Process {local} of this machine has no CUDA device of its own: there are {count}. Start at most {count}.")
    return torch.device("cuda", local)


@contextmanager
def joined(wanted: str) -> Generator[World]:
    """Join the processes that torchrun started, if it did: gloo between CPUs, NCCL between CUDA devices; leave the group at the end.

    Args:
        wanted: the requested device: "auto", "cpu" or "cuda".

    Raises:
        UsageError: see `choose_device`.
    """
    device = choose_device(wanted)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or distributed.is_initialized():
        yield World(device=device) if size == 1 else World(distributed.get_rank(), distributed.get_world_size(), device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()


def synchronised(model: nn.Module, world: World) -> nn.Module:
    """Return the model with SyncBatchNorm as its batch normalisation if several CUDA devices train it; parameters stay the same objects."""
    if world.size == 1 or world.device.type != "cuda":
        return model
    return cast(nn.Module, nn.SyncBatchNorm.convert_sync_batchnorm(model))
