"""What each pass makes of some twenty small networks, line by line, as it is on record in tests/compile/golden.

A change of a pass shows as a difference of text. Where it is meant, renew the files, and read what git says has changed:

    SPIKELOOM_RENEW_GOLDEN=1 python -m pytest tests/compile/test_golden.py

Weights are rounded to multiples of 2^-10 first, and what a pass says without shares of spikes, so that no file depends on how a machine
computes logarithms or adds up floats.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cases import Case, cases
from netgen import samples
from spikeloom.compile import Calibration, Compilation, CompileOptions
from spikeloom.compile.files.dump import describe
from spikeloom.compile.pipeline import named
from spikeloom.compile.targets.api import find
from spikeloom.hwmodels import chip as chips
from spikeloom.network.model import Network

GOLDEN = Path(__file__).parent / "golden"
CASES = {case.name.replace(" ", "-"): case for case in cases() if case.name != "large"}
GRID = 1024  # parts of 1 that float weights and biases are rounded to


def on_grid(network: Network) -> Network:
    """Return a network whose float numbers any machine draws alike."""
    for p in network.projections:
        if p.weight_bits is None:
            data = (np.rint(p.synapses.data * GRID) / GRID).astype(np.float32)
            network = network.with_projection(replace(p, synapses=p.synapses.with_data(data)))
    for p in network.spiking:
        if p.bias is not None and p.bias.dtype == np.float32:
            network = network.with_population(replace(p, bias=(np.rint(p.bias * GRID) / GRID).astype(np.float32)))
    return network


def settled(text: str) -> str:
    """Round the scales of weights to six figures, and leave out shares of spikes."""
    text = re.sub(r"scale [0-9.e+-]+", lambda found: f"scale {float(found[0].split()[1]):.6g}", text)
    return re.sub(r", [0-9.]+% of spikes differ", "", text)


def dumps(case: Case) -> Iterator[str]:
    """Yield the network as it was given, then for each pass what it said, and the network unless it left it as it was."""
    network = on_grid(case.network)
    values = samples(network, 3, 8)
    given = None if network.is_integer else Calibration(values, np.zeros(len(values), np.int64))
    asked = {name: value for name, value in case.options.items() if name not in ("target", "chip")}
    target = find(case.options.get("target", "lava"))
    options = CompileOptions(chips.load(case.options.get("chip", target.chips[0])), calibration=given, **asked)
    before = settled(describe(network))
    yield f"== as it was given\n{before}"
    for name, instance in named(target.passes(options)):
        result = instance.run(network)
        after = settled(describe(result.network))
        yield f"== {name}\n" + "".join(f"   {settled(line)}\n" for line in (*result.changes, *result.warnings))
        yield after if after != before else "   the network is as it was\n"
        network, before = result.network, after


@pytest.mark.parametrize("name", CASES)
def test_every_pass_makes_what_is_on_record(name: str) -> None:
    path, found = GOLDEN / f"{name}.txt", "".join(dumps(CASES[name]))
    if os.environ.get("SPIKELOOM_RENEW_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    recorded = path.read_text() if path.exists() else ""
    if found != recorded:
        lines = difflib.unified_diff(recorded.splitlines(), found.splitlines(), f"golden/{path.name}", "now", lineterm="", n=1)
        pytest.fail("\n".join(["The passes make something else (the docstring says how to renew the files):", *lines]), pytrace=False)


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(CASES)


def test_the_dumps_end_with_what_the_compiler_makes() -> None:
    case = CASES["conv-host"]
    network = on_grid(case.network)
    calibration = Calibration(samples(network, 3, 8), np.zeros(8, np.int64))
    result = Compilation(network, calibration=calibration, **case.options).run_passes()
    assert settled(describe(result.network)) in "".join(dumps(case))
