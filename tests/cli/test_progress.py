"""Progress of long work where there is no terminal: plain lines now and then, with the time left."""

from __future__ import annotations

import pytest
from spikeloom.cli import progress


class Clock:
    """Seconds, a second more at each look."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_run_says_how_long_it_still_takes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    bar = progress.Bar("running")
    clock.now += 19.0
    for done in (100, 200, 300, 400):
        bar.samples(done, 1000)
        clock.now += 19.0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["100 of 1,000 samples  3:00 left", "200 of 1,000 samples  2:56 left"]  # 20 s and 22 s for 100 samples
    assert lines[-1].startswith("400 of 1,000 samples  ") and len(lines) == 4
    bar.samples(1000, 1000)
    assert "left" not in capsys.readouterr().err


def test_compiling_says_where_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    bar = progress.Bar("compiling")
    bar.stage("filling cores", 0.0)
    bar.stage("filling cores", 0.1)
    assert not capsys.readouterr().err  # less than ten seconds
    clock.now += 30.0
    bar.stage("filling cores", 0.5)
    assert capsys.readouterr().err.startswith("filling cores: 50%  0:3")
