"""What the last bits of a training run depend on besides its recipe: processes, the order of sums in products, the processor, torch.

A run records this, and a run resumed under other conditions warns: it continues, but its last bits may differ.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ..reproducible import STRICT, VARIABLE
from .cuda_options import CudaOptions
from .devices import describe_cuda

__all__ = ["cuda_set", "depends_on_alignment", "differences", "record", "thread_difference", "unreproducible"]

LINE = 64  # bytes of a cache line
OFFSETS = 16  # float32 numbers in a cache line
# A dense layer forward, one sample of it, its weights' gradient, one output neuron; (rows, inner, columns). On processors whose products
# depend on alignment one of these does: AMD with AVX2 the first, Intel with SSE4.2 the second and the last.
SHAPES = ((32, 60, 10), (1, 60, 10), (10, 32, 60), (60, 32, 1))


def record(processes: int, device: str = "cpu") -> dict[str, str]:
    """Return what a run depends on besides its recipe and its number of threads, as text by name.

    Args:
        processes: how many train together.
        device: the type of device that they train on; for "cuda" the GPU and torch's current settings of it are recorded as well.
    """
    found = {"processes": str(processes), "products": products(), "processor": _processor(), "torch": torch.__version__}
    return found | (_cuda() if device == "cuda" else {})


def _cuda() -> dict[str, str]:
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    ways = [name for name in ("benchmark", "deterministic") if getattr(torch.backends.cudnn, name)]
    return {
        "cuda": describe_cuda() or "none",
        "cudnn": f"{torch.backends.cudnn.version()}, {' and '.join(ways) or 'plain'}",
        "tf32": f"products {'yes' if matmul else 'no'}, convolutions {'yes' if cudnn else 'no'}",
    }


@contextmanager
def cuda_set(options: CudaOptions) -> Generator[None]:
    """Let torch use CUDA in this way, and as before afterwards."""
    matmul, cudnn = cast(Any, torch.backends.cuda.matmul), cast(Any, torch.backends.cudnn)
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    matmul.allow_tf32 = cudnn.allow_tf32 = options.tf32
    cudnn.benchmark, cudnn.deterministic = options.cudnn == "benchmark", options.cudnn == "deterministic"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


def products() -> str:
    """Name the library that computes products, and its setting."""
    if torch.backends.mkl.is_available():
        return f"MKL, {VARIABLE}={os.environ.get(VARIABLE, '')}"
    build = dict(word.strip().split("=", 1) for word in torch.__config__.show().split(",") if "=" in word)
    return build.get("BLAS_INFO", "another BLAS than MKL")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{model or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def differences(saved: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """Return a warning if a run is resumed under other conditions than it began with.

    Args:
        saved: the `record` in its checkpoint; missing entries are not compared.
        now: that of this process.
    """
    changed = [f"{n} {saved[n]}, now {now[n]}" for n in now if isinstance(saved.get(n), str) and saved[n] != now[n]]
    return [f"The run continues, but the last bits of its weights may differ: it was started with {'; '.join(changed)}."] if changed else []


def thread_difference(saved: int | None, now: int) -> list[str]:
    """Return a warning if a run continues with another number of threads, or with more than there are cores."""
    if saved is not None and saved != now:
        return [
            f"The run continues with {now} threads, as requested; its last bits may differ: it was started with {saved}. "
            "Leave out --threads to keep them."
        ]
    cores = os.cpu_count() or now
    if saved is not None and now > cores:
        return [f"The run keeps its {now} threads, and its bits, on {cores} cores, which is slow. --threads {cores} is faster."]
    return []


def unreproducible() -> list[str]:
    """Return a warning if products on this process's CPU depend on the addresses of their operands."""
    found = depends_on_alignment(torch.get_num_threads())
    if found is None:
        return []
    if torch.backends.mkl.is_available():
        way_out = (
            f"MKL reads {VARIABLE} (now {os.environ.get(VARIABLE, 'not set')}) at its first product: import spikeloom before anything is "
            f"computed, or start the process with {VARIABLE}={STRICT}."
        )
    else:
        way_out = f"This torch computes them with {products()}; builds with MKL have reproducible ones."
    what = f"Products of this process depend on where their operands lie in memory: {found}. A resumed run may end with other last bits."
    return [f"{what} {way_out}"]


@cache
def depends_on_alignment(threads: int) -> str | None:
    """Try products and a convolution at every offset in a cache line; describe the first whose result varies, None if none does.

    Args:
        threads: torch's current number of threads; the result is cached for each number.
    """
    del threads
    generator = torch.Generator().manual_seed(0)
    for rows, inner, columns in SHAPES:
        a, b = torch.randn(rows, inner, generator=generator), torch.randn(columns, inner, generator=generator)
        for kind in (torch.float32, torch.float64):
            left, right = a.to(kind), b.to(kind)
            for form in ("x W'", "x W"):
                w = right if form == "x W'" else right.t().contiguous()
                count = len({_bits(_moved(left, o) @ (_moved(w, o).t() if form == "x W'" else _moved(w, o))) for o in range(OFFSETS)})
                if count > 1:
                    return f"({rows}, {inner}) x ({inner}, {columns}) in {str(kind).removeprefix('torch.')} has {count} results"
    images, taps = torch.randn(2, 3, 8, 8, generator=generator), torch.randn(4, 3, 3, 3, generator=generator)
    count = len({_bits(torch.conv2d(_moved(images, o), _moved(taps, o), padding=1)) for o in range(OFFSETS)})
    return f"a convolution has {count} results" if count > 1 else None


def _moved(tensor: Tensor, offset: int) -> Tensor:
    """Return a copy of a contiguous tensor that begins `offset` numbers after the start of a cache line."""
    size = tensor.element_size()
    room = torch.empty(tensor.numel() + 2 * LINE, dtype=tensor.dtype)
    start = -room.data_ptr() % LINE // size + offset
    return room[start : start + tensor.numel()].view(tensor.shape).copy_(tensor)


def _bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()
