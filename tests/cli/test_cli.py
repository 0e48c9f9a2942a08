"""The command line as a user meets it: the chain, JSON, exit codes, and one clear line for every mistake."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from spikeloom.cli import app
from typer.main import get_command

Command = Callable[..., Any]


def one_line(err: str) -> str:
    """The message, which must be ours, on one line and without a traceback."""
    lines = [line for line in err.splitlines() if line.startswith("spikeloom: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


@pytest.fixture
def run_folder(digits_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits_run, tmp_path / "run"))


def test_the_chain(spikeloom: Command, run_folder: Path) -> None:
    compiled = json.loads(spikeloom("compile", run_folder, "--json").out)
    for key in ("neurons", "synapses", "cores", "cores_bound", "messages_per_step", "messages_bound", "hops_per_message"):
        assert isinstance(compiled[key], (int, float))
    ran = spikeloom("run", run_folder / "model.loom", "--data", "digits", "--check", "--json")
    assert ran.code == 0, ran.err
    results = json.loads(ran.out)
    assert results == json.loads((run_folder / "results.json").read_text())
    assert results["check"]["equal"] is True
    assert results["accuracy"] > 0.7
    assert results["energy"]["joules_per_sample"] > 0
    assert results["latency"]["seconds_per_sample"] > 0
    stages = {s["name"]: s["accuracy"] for s in results["stages"]}
    assert stages["deployed (native)"] == stages["integer (torch)"]
    page = spikeloom("report", run_folder)
    assert Path(page.out.strip()).read_text().lower().startswith("<!doctype html>")
    graph = spikeloom("export", run_folder / "model.loom", "--to", "graphml")
    assert "<graphml" in Path(graph.out.strip()).read_text()


MODULE = """
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

def net():
    made = nn.Sequential(layer.Flatten(), layer.Linear(64, 12), neuron.LIFNode(), layer.Linear(12, 10), neuron.LIFNode())
    functional.set_step_mode(made, "m")
    return made
"""


def test_a_module_of_ones_own(spikeloom: Command, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODULE)
    source, out = f"{tmp_path / 'model.py'}:net", tmp_path / "run"
    train = ("train", "--data", "digits", "--net", source, "--epochs", 1, "--lr", 0.02, "--threads", 1, "--out")
    done = json.loads(spikeloom(*train, out, "--json").out)
    assert done["sparsity"] == 0.0
    settings = json.loads((out / "settings.json").read_text())
    assert settings["net"].startswith("own:Sequential:")
    spikeloom(*train, tmp_path / "again")
    weights = [(folder / "model.safetensors").read_bytes() for folder in (out, tmp_path / "again")]
    assert weights[0] == weights[1]  # random weights follow from the seed
    assert json.loads(spikeloom(*train, out, "--resume", "--json").out) == done
    bounds = spikeloom("estimate", source, "--weights", out / "model.safetensors", "--data", "digits", "-T", 8, "--json")
    assert json.loads(bounds.out) == json.loads(spikeloom("estimate", out, "--json").out)
    assert "model.py has no nte. Did you mean 'net'?" in one_line(spikeloom(*train[:4], f"{source[:-3]}nte", "--out", out).err)
    assert "FILE.py:NAME" in one_line(spikeloom(*train[:4], "own:Net:1", "--out", out).err)


def test_tables_for_people(spikeloom: Command, run_folder: Path) -> None:
    assert "hidden1" in spikeloom("compile", run_folder).out
    shown = spikeloom("run", run_folder / "model.loom", "--data", "digits", "--samples", 20, "--energy-model", "loihi-silicon")
    assert "loihi-silicon" in shown.out
    assert json.loads((run_folder / "results.json").read_text())["samples"] == 20


def test_passes_explained_stopped_and_dumped(spikeloom: Command, run_folder: Path) -> None:
    explained = spikeloom("compile", run_folder, "--explain").out
    assert "quantise  Choose registers population by population." in explained
    assert "neurons," in explained and "Dead code:" in explained
    stopped = spikeloom("compile", run_folder, "--stop-after", "drop-dead", "--dump-dir", run_folder / "passes")
    assert stopped.code == 0 and "Stopped after drop-dead; nothing was mapped." in stopped.err
    assert sorted(p.name for p in (run_folder / "passes").iterdir())[-1] == "03-drop-dead.txt"
    document = json.loads(spikeloom("compile", run_folder, "--stop-after", "record", "--json").out)
    assert [one["name"] for one in document["passes"]] == ["fold", "record"]
    assert spikeloom("compile", run_folder, "--stop-after", "nothing").code == 2


@pytest.mark.parametrize("backend", ["native", "onnx"])
def test_backends_agree(spikeloom: Command, run_folder: Path, backend: str) -> None:
    ended = spikeloom("run", run_folder / "model.loom", "--data", "digits", "--backend", backend, "--check", "--samples", 100, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["check"]["backend"] == backend


@pytest.mark.parametrize("chip", ["loihi", "loihi-silicon"])
def test_loihi_with_the_first_layer_on_the_host(spikeloom: Command, run_folder: Path, chip: str) -> None:
    assert spikeloom("compile", run_folder, "--chip", chip).code == 0
    ended = spikeloom("run", run_folder / "model.loom", "--data", "digits", "--check", "--json")
    results = json.loads(ended.out)
    assert results["network"]["encoding"] == "host"
    assert results["host_macs_per_sample"] > 0


def test_a_difference_ends_with_4(spikeloom: Command, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spikeloom.runtime.backends import native

    real = native.simulate

    def wrong(*arguments: Any) -> Any:
        recording = real(*arguments)
        recording.spikes["hidden1"][3, 2, 1] ^= True
        return recording

    monkeypatch.setattr(native, "simulate", wrong)
    ended = spikeloom("run", run_folder / "model.loom", "--data", "digits", "--check")
    assert ended.code == 4
    assert "layer hidden1, sample 3, step 2, neuron 1" in one_line(ended.err)
    assert not (run_folder / "results.json").exists()


MISTAKES = [
    (("train", "--data", "mnits", "--out", "OUT"), 2, "Did you mean 'mnist'"),
    (("train", "--data", "digits", "--net", "fcc", "--out", "OUT"), 2, "Did you mean 'fc'"),
    (("train", "--data", "digits", "--method", "gradr", "--out", "OUT"), 2, "Did you mean 'grad-r'"),
    (("train", "--data", "digits", "--method", "grad-r", "--sparsity", "1.0", "--out", "OUT"), 2, "sparsity"),
    (("train", "--data", "digits", "--method", "grad-r", "--sparsity", "-0.1", "--out", "OUT"), 2, "sparsity"),
    (("train", "--data", "digits", "--method", "grad-r", "--sparsity", "nan", "--out", "OUT"), 2, "sparsity"),
    (("train", "--data", "digits", "--sparsity", "0.9", "--out", "OUT"), 2, "grad-r"),
    (("train", "--data", "digits", "--hidden", "x", "--out", "OUT"), 2, "--hidden"),
    (("train", "--data", "mnist", "--data-dir", "NOWHERE", "--out", "OUT"), 1, "train-images"),
    (("compile", "NOWHERE"), 2, "There is no network at"),
    (("compile", "RUN", "--target", "truenrth"), 2, "no target called"),
    (("compile", "RUN", "--chip", "loihi3"), 2, "Did you mean"),
    (("compile", "RUN", "--encoding", "fast"), 2, "no encoding called 'fast'"),
    (("compile", "RUN", "--effort", "more"), 2, "no effort called 'more'"),
    (("compile", "RUN", "--chip", "loihi", "--encoding", "current"), 3, "It carries: host, rate"),
    (("compile", "RUN", "--target", "truenorth", "--stop-after", "quantise"), 2, "Passes of its own are: crossbars."),
    (("run", "NOWHERE", "--data", "digits"), 1, "Cannot read the deployed network"),
    (("run", "LOOM", "--data", "digit"), 2, "Did you mean 'digits'"),
    (("run", "LOOM", "--data", "digits", "--backend", "lav"), 2, "Did you mean 'lava'"),
    (("run", "LOOM", "--data", "digits", "--samples", "0"), 2, "--samples is 0"),
    (("run", "LOOM", "--data", "digits", "--energy-model", "x"), 2, "no chip called"),
    (("run", "LOOM", "--data", "digits", "--backend", "lava", "--lava-python", "/no/python"), 1, "/no/python"),
    (("run", "LOOM", "--data", "digits", "--threads", "0"), 2, "number of threads is 0"),
    (("run", "LOOM", "--data", "digits", "--backend", "lava", "--time-limit", "-1"), 2, "--time-limit is -1"),
    (("run", "LOOM", "--data", "digits", "--backend", "lava", "--time-limit", "nan"), 2, "--time-limit is nan"),
    (("run", "LOOM", "--time-limit", "5"), 2, "--time-limit is an option of the backend lava and of xylosim, and the backend is native"),
    (
        ("run", "LOOM", "--backend", "torch", "--lava-python", "x"),
        2,
        "--lava-python is an option of the backend lava, and the backend is t",
    ),
    (("run", "LOOM", "--device", "cpu"), 2, "--device is an option of the backend torch, and the backend is native. Leave it out, or add"),
    (("run", "LOOM", "--probe-megabytes", "5"), 2, "there is no probe. Name one with --probe"),
    (("compile", "zoo:digits-gradr-10", "--stop-after", "quantise", "--out", "x.loom"), 2, "--out is for a mapping, and --stop-after ends"),
    (("compile", "zoo:digits-gradr-10", "--stop-after", "quantise", "--effort", "best"), 2, "--effort is for a mapping, and --stop-after"),
    (("run", "RUN", "--data", "digits"), 1, "model.loom"),
    (("report", "NOWHERE"), 1, "Run the network"),
    (("export", "LOOM", "--to", "dot"), 2, "Known: graphml"),
    (
        ("export", "RUN", "--to", "nir", "--out", "OUT.onnx"),
        2,
        "ends in .onnx, as files of onnx do, and --to is nir. Name another file, or",
    ),
    (("figure", "RUN", "--format", "svg", "--out", "OUT.pdf"), 2, "ends in .pdf, and --format is svg. Leave one of the two out."),
    (("hw", "show", "truenort"), 2, "no chip called"),
]


@pytest.mark.parametrize(("words", "code", "text"), MISTAKES, ids=[" ".join(m[0])[:60] for m in MISTAKES])
def test_mistakes(spikeloom: Command, run_folder: Path, tmp_path: Path, words: tuple[str, ...], code: int, text: str) -> None:
    places = {"OUT": tmp_path / "out", "NOWHERE": tmp_path / "nowhere", "RUN": run_folder, "LOOM": run_folder / "model.loom"}
    before = sorted(p.name for p in run_folder.iterdir())
    ended = spikeloom(*(places.get(w, w) for w in words))
    assert ended.code == code, ended.err
    assert text in one_line(ended.err)
    assert sorted(p.name for p in run_folder.iterdir()) == before
    assert not list(tmp_path.glob("out/model*"))


@pytest.mark.parametrize("name", ["results-mine.json", "mine.json"])
def test_what_run_proposes_next_works(spikeloom: Command, run_folder: Path, tmp_path: Path, name: str) -> None:
    ended = spikeloom("run", run_folder / "model.loom", "--data", "digits", "--samples", 5, "--out", tmp_path / "other" / name)
    assert spikeloom(*ended.err.strip().rpartition("Next: spikeloom ")[2].split()).code == 0


@pytest.mark.parametrize("words", [("run", "--chekc"), ("rnu",), ("train", "--dta", "digits"), ()])
def test_wrong_words_are_usage_errors(spikeloom: Command, words: tuple[str, ...]) -> None:
    assert spikeloom(*words).code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders; test_full_device covers it")
def test_read_only_folder(spikeloom: Command, run_folder: Path) -> None:
    run_folder.chmod(0o500)
    ended = spikeloom("compile", run_folder)
    run_folder.chmod(0o700)
    assert ended.code == 1
    assert "Cannot write" in one_line(ended.err)


def test_full_device(spikeloom: Command, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills while model.loom is written: the old file stays, no temporary file is left."""
    before = (run_folder / "model.loom").read_bytes()

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as handle:
            handle.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    ended = spikeloom("compile", run_folder)
    monkeypatch.undo()
    assert ended.code == 1
    assert "No space left on device" in one_line(ended.err)
    assert (run_folder / "model.loom").read_bytes() == before
    assert not [p for p in run_folder.iterdir() if p.name.startswith(".model")]


def test_out_that_is_a_file(spikeloom: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = spikeloom("train", "--data", "digits", "--epochs", 1, "--out", tmp_path / "file" / "run")
    assert ended.code == 1
    assert "Cannot write" in one_line(ended.err)


def test_hw(tmp_path: Path, spikeloom: Command) -> None:
    assert {c["name"] for c in json.loads(spikeloom("hw", "list", "--json").out)} >= {"loihi", "loihi-silicon", "loihi2"}
    shown = json.loads(spikeloom("hw", "show", "loihi", "--json").out)
    assert shown["energy"]["synaptic_op"] == {
        "value": 23.6,
        "unit": "pJ",
        "source": shown["energy"]["synaptic_op"]["source"],
        "status": "published",
    }
    assert "Davies" in spikeloom("hw", "show", "loihi").out
    mine = tmp_path / "mine.toml"
    mine.write_text(files("spikeloom.hwmodels.chips").joinpath("loihi2.toml").read_text())
    assert "is a valid chip file: loihi2" in spikeloom("hw", "check", mine).err
    checked = json.loads(spikeloom("hw", "check", mine, "--json").out)
    assert checked["path"] == str(mine) and checked["name"] == "loihi2" and checked["cores"] > 100


def commands() -> list[tuple[str, ...]]:
    root: Any = get_command(app)
    found: list[tuple[str, ...]] = [()]
    for name, command in root.commands.items():
        found.append((name,))
        found += [(name, inner) for inner in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("words", commands(), ids=lambda w: " ".join(w) or "spikeloom")
def test_every_command_has_help(spikeloom: Command, words: tuple[str, ...]) -> None:
    ended = spikeloom(*words, "--help")
    assert ended.code == 0
    assert "Usage:" in ended.out


@pytest.mark.chain
def test_ctrl_c_says_what_is_left_and_training_goes_on(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "spikeloom",
        "train",
        "--data",
        "digits",
        "--hidden",
        "30",
        "--epochs",
        "400",
        "--out",
        str(tmp_path / "run"),
    ]
    begun = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "run/checkpoint.safetensors"
    while not checkpoint.exists() and begun.poll() is None:
        time.sleep(0.01)
    begun.send_signal(signal.SIGINT)
    _, told = begun.communicate(timeout=600)
    assert begun.returncode == 130 and "repeat the command with --resume" in told and "Traceback" not in told
    paused = subprocess.run([*words, "--resume", "--time-limit", "0"], capture_output=True, text=True, check=False)
    assert paused.returncode == 5 and "paused at its time limit after epoch" in paused.stderr


def test_ctrl_c_during_a_run(digits_run: Path, spikeloom: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spikeloom.runtime.simulator.run", stopped)
    monkeypatch.setattr("spikeloom.runtime.run", stopped, raising=False)
    ended = spikeloom("run", digits_run / "model.loom", "--data", "digits")
    assert ended.code == 130 and ended.err == "spikeloom: Interrupted. No file was left half-written.\n"


def test_json_of_what_is_written_elsewhere(digits_run: Path, spikeloom: Command, tmp_path: Path) -> None:
    exported = json.loads(spikeloom("export", digits_run / "model.loom", "--to", "graphml", "--out", tmp_path / "g.graphml", "--json").out)
    assert exported["format"] == "graphml" and Path(exported["path"]).is_file()
    results = tmp_path / "results.json"
    assert spikeloom("run", digits_run / "model.loom", "--data", "digits", "--samples", 20, "--out", results).code == 0
    assert json.loads(spikeloom("report", results, "--json").out) == json.loads(spikeloom("report", results, "--format", "json").out)


def test_a_refused_training_never_waits_for_torch(tmp_path: Path) -> None:
    """Importing it takes seconds."""
    (tmp_path / "r.toml").write_text("sparsty = 0.5\n")
    lines = [
        ["--data", "mnits"],
        ["--data", "digits", "--method", "gradr"],
        ["--data", "digits", "--sparsity", "2"],
        ["--recipe", "r.toml"],
    ]
    code = """
import json, sys
from spikeloom import cli
for words in json.loads(sys.argv[1]):
    sys.argv = ["spikeloom", "train", *words, "--out", "run"]
    try:
        cli.main()
    except SystemExit as end:
        assert end.code == 2, words
print([name for name in ("torch", "spikingjelly", "numba", "scipy", "onnx") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code, json.dumps(lines)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]" and done.stderr.count("Did you mean") == 3
