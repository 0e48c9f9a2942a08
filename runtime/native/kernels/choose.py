"""Which form of the kernels runs: plain numba, or LLVM's vectors as wide as the processor has them."""

from __future__ import annotations

import os
from functools import cache
from typing import Literal, get_args

from ....errors import UsageError, unknown_name
from ....jit import VARIABLE

__all__ = ["FORM", "Form", "forms"]

Form = Literal["plain", "portable", "avx2", "avx512"]
"""`plain`: numba. Of vectors: `portable` for any processor, `avx2` and `avx512` with the products of bytes in pairs that x86 has."""


@cache
def forms() -> tuple[Form, ...]:
    """Return the forms that run here, the fastest last: those of the processor that numba compiles for (NUMBA_CPU_FEATURES is heeded)."""
    from numba.core import codegen, config

    held: str | None = vars(config)["CPU_FEATURES"]
    features = set((codegen.get_host_cpu_features() if held is None else held).split(","))
    found: list[Form] = ["plain", "portable"]
    if "+avx2" in features:
        found.append("avx2")
        if {"+avx512bw", "+avx512vl"} <= features:
            found.append("avx512")
    return tuple(found)


def _chosen() -> Form:
    """Return the form that the environment names, the last of `forms()` without."""
    name = os.environ.get(VARIABLE)
    if not name:
        return forms()[-1]
    for form in forms():
        if form == name:
            return form
    if name in get_args(Form):
        raise UsageError(f"{VARIABLE} asks for {name}, which this processor does not have. It runs: {', '.join(forms())}.")
    raise unknown_name(f"form of the kernels ({VARIABLE})", name, get_args(Form))


FORM: Form = _chosen()
