"""`benchmarks/claims.py`: how differences are judged; and, slowly, that Grad R is above Deep R at few synapses on the digits."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from graphgen import single_threaded  # noqa: F401  # pyright: ignore[reportUnusedImport]
from spikeloom import registry
from spikeloom.data.dataset import load_dataset
from spikeloom.train import methods

ROOT = Path(__file__).resolve().parents[2]


def benchmark() -> Any:
    """Load the script, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("claims", ROOT / "benchmarks" / "claims.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["claims"] = module
    spec.loader.exec_module(module)
    return module


claims = benchmark()


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1.0, 1.2, 0.9], "seen"),
        ([-1.0, -1.2, -0.9], "opposite"),
        ([1.0, -0.9, 0.2], "within the spread"),
        ([0.0, 0.0, 0.0], "within the spread"),
        ([1.0, 1.0], "seen"),
        ([2.92 / 3**0.5 * 1.01, 0.0, 0.0], "within the spread"),
    ],
)
def test_a_difference_is_judged_by_its_spread(differences: list[float], expected: str) -> None:
    assert claims.verdict(differences) == expected


def test_the_bound_is_that_of_student_s_t() -> None:
    """Differences m - 1, m, m + 1 have an SD of 1, so the bound for three seeds is 2.91999 / sqrt(3)."""
    bound = 2.919986 / 3**0.5
    for margin, expected in ((bound + 1e-4, "seen"), (bound - 1e-4, "within the spread"), (-bound - 1e-4, "opposite")):
        assert claims.verdict([margin - 1, margin, margin + 1]) == expected


@pytest.mark.parametrize("claim", get_args(claims.Claim))
def test_every_run_is_one_that_its_method_takes(claim: str) -> None:
    pairs = claims.comparisons(claim)
    assert all(one.above.sparsity == one.below.sparsity and one.above != one.below for one in pairs)
    for run in {(r.name, r.sparsity): r for one in pairs for r in (one.above, one.below)}.values():
        registry.options_of(registry.load(methods, "method", run.method), run.options, f"the method {run.method}")


@pytest.mark.slow
def test_grad_r_is_above_deep_r_at_few_synapses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way, on the digits: trained, compiled, run, judged, written; repeated, what is finished is read."""
    size = replace(claims.SIZES["gradr"], epochs=15, batch_size=32, net_options={"hidden": (60,)}, data=lambda: load_dataset("digits"))
    few = [c for c in claims.comparisons("gradr") if c.above.sparsity == 0.98 and not c.matched]
    monkeypatch.setattr(claims, "comparisons", lambda claim: few)
    said: list[str] = []
    rows = claims.judged("gradr", size, [0, 1, 2], tmp_path, said.append)
    assert [row["verdict"] for row in rows] == ["seen"], rows
    assert len(said) == 1 and claims.markdown(rows).count("\n") == 2
    assert json.loads(json.dumps(rows)) == rows
    for path in tmp_path.rglob("claim.json"):
        assert json.loads(path.read_text())["connectivity"] == pytest.approx(2, abs=0.1)
    monkeypatch.setattr(claims.spikeloom, "fit", None)  # nothing is trained again
    assert claims.judged("gradr", size, [0, 1, 2], tmp_path, said.append) == rows
