"""The whole chain on random small networks: a few epochs of training, compiled, run natively, every spike held against the reference."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from budget import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from spikeloom import registry
from spikeloom.compile import compile_network, load
from spikeloom.errors import NetworkError, UsageError
from spikeloom.runtime import run
from spikeloom.train import fit, load_dataset, methods

CHAINS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(registry.names(methods)),
        "hidden": st.lists(st.integers(8, 24), min_size=1, max_size=2).map(tuple),
        "timesteps": st.integers(2, 6),
        "weight_bits": st.sampled_from((None, 4, 8)),
        "seed": st.integers(0, 99),
    }
)
CHIPS = st.sampled_from((("loihi", "host"), ("loihi", "rate"), ("loihi2", "current"), ("loihi2", "graded"), ("loihi2", "rate")))


def chain_is_exact(recipe: dict[str, Any], chip: str, encoding: Any) -> None:
    """What learns too little to be deployed as meant, or cannot enter so, is refused; all else is exact."""
    sparsity = 0.0 if recipe["method"] == "dense" else 0.5
    with TemporaryDirectory() as name:
        folder = Path(name) / "run"
        try:
            fit("digits", sparsity=sparsity, epochs=4, out=folder, **recipe)
            compile_network(folder, chip=chip, encoding=encoding).save(folder / "model.loom")
        except (NetworkError, UsageError):
            assume(False)
        results = run(load(folder / "model.loom"), load_dataset("digits").test, check=True)
        assert results.check is not None and results.check.equal and results.check.spikes_compared > 0


@pytest.mark.chain
@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHAINS, CHIPS)
def test_chains_are_exact(recipe: dict[str, Any], chip: tuple[str, str]) -> None:
    chain_is_exact(recipe, *chip)


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHAINS, CHIPS)
def test_many_chains_are_exact(recipe: dict[str, Any], chip: tuple[str, str]) -> None:
    chain_is_exact(recipe, *chip)
