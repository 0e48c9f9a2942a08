"""The same bits wherever operands lie in memory: products and trainings at many alignments, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

# The oldest instructions that MKL still has: with them its products depend on alignment on Intel's processors, too. Others ignore it.
OLD = {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}


def results(*words: str, **environment: str) -> dict[str, int]:
    """How many results products and a training have over the alignments, and how many warnings there are, where nothing is set."""
    clean = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"} | OLD | environment
    script = Path(__file__).parents[1] / "alignments.py"
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, env=clean, check=True)
    return {name: int(count) for name, count in map(str.split, done.stdout.splitlines())}


@pytest.mark.chain
def test_products_and_trainings_give_one_result_at_every_alignment() -> None:
    assert results() == {"products": 1, "training": 1, "warnings": 0}


@pytest.mark.chain
@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this torch computes its products without MKL")
def test_without_reproducible_products_they_do_not() -> None:
    """What the test above would find if nothing were set: MKL has computed before Spikeloom was there to ask."""
    found = results("before")
    assert found["products"] > 1 and found["training"] > 1 and found["warnings"] == 1


def test_a_setting_of_the_users_is_kept() -> None:
    code = "import spikeloom, os; print(os.environ['MKL_CBWR'])"
    for given, kept in (({}, "AUTO,STRICT"), ({"MKL_CBWR": "COMPATIBLE"}, "COMPATIBLE")):
        clean = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"} | given
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean, check=True)
        assert done.stdout.strip() == kept
