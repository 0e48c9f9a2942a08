"""The form of the kernels that SPIKELOOM_KERNELS names is the one that runs, with the spikes of the reference in all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from budget import ALL_EXAMPLES
from spikeloom.jit import VARIABLE
from spikeloom.runtime.native.kernels.choose import forms

TESTS = Path(__file__).parent
WHOLE = (
    "test_native.py::test_flat_networks_in_blocks",
    "test_native.py::test_halving_neurons_fused_with_their_sums",
    "test_native.py::test_single_samples_by_events_and_by_eight_steps",
)
MAPS = ("test_native.py::test_convolutional_networks_in_blocks", "test_native.py::test_single_samples_of_maps")
ASK = """
from spikeloom.errors import SpikeloomError
try:
    from spikeloom.runtime.native.kernels import api, choose
    print(choose.FORM, api.sum_pairs.py_func.__module__, choose.forms()[-1])
except SpikeloomError as error:
    print(error)
"""


def ask(**environment: str) -> str:
    """What a process says of its form."""
    clean = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return subprocess.run([sys.executable, "-c", ASK], env=clean | environment, capture_output=True, text=True, check=True).stdout.strip()


def test_the_environment_names_the_form() -> None:
    best = forms()[-1]
    assert ask().startswith(f"{best} spikeloom.runtime.native.kernels.vectors")
    assert ask(**{VARIABLE: "plain"}) == f"plain spikeloom.runtime.native.kernels.plain {best}"
    assert ask(**{VARIABLE: "portable"}).startswith("portable spikeloom.runtime.native.kernels.vectors")
    assert "avx2" in ask(**{VARIABLE: "avx"}) and VARIABLE in ask(**{VARIABLE: "avx"})


def test_a_form_that_the_processor_lacks_is_refused() -> None:
    """What numba compiles for counts, not the machine."""
    limited = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx2"}
    assert ask(**limited).split()[::2] == ["avx2", "avx2"]
    assert "does not have" in ask(**limited, **{VARIABLE: "avx512"})


@pytest.mark.chain
@pytest.mark.parametrize("form", ["plain"])
def test_whole_networks(form: str) -> None:
    """Properties of the simulator, with kernels of this form, in a process of its own; maps, whose kernels take long to compile, in CI."""
    names = (*WHOLE, *MAPS) if ALL_EXAMPLES else WHOLE
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *(str(TESTS / name) for name in names)]
    done = subprocess.run(words, env=os.environ | {VARIABLE: form}, cwd=TESTS.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
