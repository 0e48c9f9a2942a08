"""The results of a run folder name the commands that trained and compiled the network."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.chain
def test_the_commands_make_the_same_network_again(spikeloom: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--data", "digits", "--method", "grad-r", "--sparsity", "0.5", "--epochs", "1", "--hidden", "20", "--threads", "1")
    for command in (("train", *words, "--out", "a"), ("compile", "a", "--weight-bits", "6"), ("run", "a/model.loom")):
        assert spikeloom(*command).code == 0
    found = json.loads((tmp_path / "a/results.json").read_text())["provenance"]
    assert found["before"][1] == "spikeloom compile a --weight-bits 6" and len(found["before"]) == 2
    (tmp_path / "a").rename("old")
    for command in (*found["before"], found["command"]):
        assert spikeloom(*shlex.split(command)[1:]).code == 0
    again = json.loads((tmp_path / "a/results.json").read_text())["provenance"]
    assert again["before"] == found["before"]
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "old/model.safetensors").read_bytes()
    (tmp_path / "a/compile.json").write_text("{")  # damaged: no reason to lose the results
    assert spikeloom("run", "a/model.loom").code == 0
    assert "before" not in json.loads((tmp_path / "a/results.json").read_text())["provenance"]
