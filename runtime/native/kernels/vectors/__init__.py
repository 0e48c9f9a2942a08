"""The kernels in LLVM's vectors, emitted as LLVM's intermediate code: `make` gives those of a form, which do what `plain` does.

numba compiles a loop over lanes to half the registers' width on many processors, keeps its sums in memory and widens 8-bit products to
64 bits before it narrows them. Here sums and states stay in registers, over all the steps.
"""

from __future__ import annotations

from typing import Any

from ..choose import Form
from .coding import draw
from .events import add_eight_portable, add_eight_x86
from .fused import make_run_fused
from .lif import make_run_lanes
from .row_sums import make_sum_pairs, sum_bits, sum_step_bits
from .tiles import count_and_transpose, strip, transpose

__all__ = ["make"]


def make(form: Form) -> dict[str, Any]:
    """Return the kernels of a form by name, see `api.Kernels`."""
    return {
        "sum_pairs": make_sum_pairs(form),
        "sum_bits": sum_bits,
        "sum_step_bits": sum_step_bits,
        "run_lanes": make_run_lanes(form),
        "run_fused": make_run_fused(form),
        "transpose": transpose,
        "count_and_transpose": count_and_transpose,
        "strip": strip,
        "draw": draw,
        "add_eight": add_eight_portable if form == "portable" else add_eight_x86,
    }
