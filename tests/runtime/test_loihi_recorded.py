"""Our spikes against those of a Loihi chip: a network recorded on silicon, written down in Python."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.network import reference
from spikeloom.runtime.backends import lava

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("SPIKELOOM_DATA") or "/nowhere") / "loihi-recorded"
EXAMPLE = ROOT / "examples" / "loihi_recorded.py"
recorded_here = pytest.mark.skipif(not (FOLDER / "xor250.npz").exists(), reason="SPIKELOOM_DATA has no loihi-recorded/xor250.npz")


@pytest.fixture
def example() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLE))


@recorded_here
def test_every_spike_is_the_chips(example: dict[str, Any]) -> None:
    """The reference, straight from the numbers: hidden spikes one step, output spikes two before they are recorded."""
    with np.load(FOLDER / "xor250.npz") as file:
        recorded = {name: file[name].astype(np.int64) for name in file.files}
    assert (int(recorded["hidden"].sum()), int(recorded["output"].sum())) == (639, 2)
    spikes = reference.simulate(example["network"](recorded), recorded["input"][None])
    for name, late in (("hidden", 1), ("output", 2)):
        assert np.array_equal(spikes[name][0, :-late], recorded[name][late:].astype(bool)), name
        assert not recorded[name][:late].any()


@recorded_here
def test_the_example(example: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled and run natively; in Lava it is a test of its own, which takes longer."""
    monkeypatch.setattr(lava, "available", lambda: "left out")
    example["main"](FOLDER)
    assert capsys.readouterr().out.splitlines() == [
        "native, hidden: 639 spikes of the chip, 639 of ours, 0 of 12,475 differ",
        "native, output: 2 spikes of the chip, 2 of ours, 0 of 498 differ",
    ]


@pytest.mark.slow
@pytest.mark.skipif(lava.available() is not None, reason=f"Lava is not here: {lava.available()}")
@recorded_here
def test_lava_s_spikes_are_the_chips_too(example: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    example["main"](FOLDER)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(", 0 of " in line for line in lines)


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The network that the page writes down compiles, and spikes."""
    page = (ROOT / "docs" / "integer-networks.md").read_text()
    exec(page.split("```python\n")[1].split("```")[0], {})
    assert any(int(digit) for digit in capsys.readouterr().out if digit.isdigit())
