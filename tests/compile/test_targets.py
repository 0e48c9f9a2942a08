"""Every target that is found fulfils the protocol; a file that does not is refused by name."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from netgen import float_network, samples
from spikeloom import registry
from spikeloom.compile import Calibration, CompileOptions, compile_network, targets
from spikeloom.compile.mapping.progress import quiet
from spikeloom.compile.pipeline import named, run
from spikeloom.compile.targets.api import Target, find
from spikeloom.errors import UsageError
from spikeloom.hwmodels import chip as chips
from xylogen import fitting


@pytest.mark.parametrize("name", registry.names(targets))
def test_a_target_takes_a_network_from_its_passes_to_cores(name: str) -> None:
    target = find(name)
    assert isinstance(target, Target)
    assert set(target.chips) <= set(chips.names())
    network = fitting(3, encoding="direct") if name == "xylo" else float_network(3)
    calibration = Calibration(samples(network, 1, 12), np.zeros(12, np.int64))
    options = CompileOptions(chips.load(target.chips[0]), "rate", calibration=calibration)
    chain = target.passes(options)
    assert len({own for own, _ in named(chain)}) == len(chain)
    result = run(network, chain)
    target.check(result.network, options.chip)
    mapped = target.map(result.network, result.rates or {}, options, "fast", quiet)
    assert mapped.mapping.core_of.size == sum(p.count for p in result.network.on_chip)
    deployed = compile_network(network, target=name, encoding="rate", calibration=calibration, effort="fast")
    assert deployed.target == name and [r.name for r in deployed.passes] == [own for own, _ in named(chain)]
    assert (deployed.mapping.core_of == mapped.mapping.core_of).all()


def test_a_target_without_its_object_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "__path__", list(targets.__path__))
    monkeypatch.setenv("SPIKELOOM_PARTS", str(tmp_path))
    path = tmp_path / "compile/targets/mine.py"
    path.parent.mkdir(parents=True)
    path.write_text('CHIPS = ("loihi2",)\n\n\ndef check(network, chip): ...\n')
    with pytest.raises(UsageError, match=r"The target mine \(.*mine.py\) has no TARGET with chips, passes, check and map"):
        compile_network(float_network(0), target="mine")
    sys.modules.pop(f"{targets.__name__}.mine")
