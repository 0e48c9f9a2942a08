"""The examples run and say what they promise."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import pytest
from spikeloom import compile as compiler
from spikeloom import runtime, train

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of floats, trained, compiled and run."""
    folder = tmp_path_factory.mktemp("example") / "run"
    trained = train.fit("digits", method="grad-r", sparsity=0.8, epochs=4, hidden=(32,), out=str(folder))
    network = compiler.compile_network(trained)
    network.save(folder / "model.loom")
    runtime.run(network, train.load_dataset("digits").test, data_name="digits").save(folder / "results.json")
    return folder


def example(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setattr(sys, "argv", [name, str(folder)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out.splitlines()


@pytest.mark.chain
def test_a_chip_of_ones_own(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(run_folder, tmp_path / "run"))
    large, small = example("own_chip.py", folder, monkeypatch, capsys)
    assert large.startswith("loihi2: 1 core")
    name, cores = small.split()[:2]
    assert name == "small-cores:"
    assert int(cores) > 1


@pytest.mark.chain
def test_grad_r_in_ones_own_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    first, *layers, last = example("own_loop.py", tmp_path, monkeypatch, capsys)
    accuracy, rest = first.split("%", 1)
    assert float(accuracy) > 90 and rest == " of the test samples, 90.0% of the weights are zero"
    assert [line.split(":")[0] for line in layers] == ["  layer 1", "  layer 3"]
    assert float(last.removeprefix("in Lava's integers: ").removesuffix("%")) > 90


@pytest.mark.chain
def test_crossbars(run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = example("truenorth_digits.py", run_folder, monkeypatch, capsys)
    assert [line.split(":")[0] for line in lines] == ["ternary", "codebook", "exact"]
    assert "cores," in lines[1]


@pytest.mark.chain
def test_reading_results(run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = example("reading_results.py", run_folder, monkeypatch, capsys)
    assert "SOPs per sample" in lines[0]
    assert lines[-1].startswith("  core 0 is the busiest")


@pytest.mark.chain
def test_a_module_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = example("own_model.py", tmp_path, monkeypatch, capsys)
    assert float(line.split("%")[0]) > 90.0
    assert line.endswith("of loihi")
    assert (tmp_path / "own_model.loom").exists()


@pytest.mark.chain
def test_fit_of_a_module_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    first, last = example("own_fit.py", tmp_path / "run", monkeypatch, capsys)
    assert float(first.split("%")[0]) > 90.0 and "90.0% of the weights are zero" in first
    assert float(last.removeprefix("in Lava's integers: ").removesuffix("%")) > 90.0


@pytest.mark.chain
def test_nir_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = example("nir_from_elsewhere.py", tmp_path / "nir", monkeypatch, capsys)
    assert line.startswith("1 core, spikes per neuron and step: lif1 0.")


@pytest.mark.chain
def test_a_pruning_rule_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from spikeloom.train import methods

    monkeypatch.setattr(methods, "__path__", list(methods.__path__))
    monkeypatch.setenv("SPIKELOOM_PARTS", "")  # the example sets it; put back afterwards
    monkeypatch.setattr(sys, "argv", ["own_pruning_rule.py", str(tmp_path), "6"])
    runpy.run_path(str(EXAMPLES / "own_pruning_rule.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"{name}: sparsity 90.00%" for name in ("magnitude", "grad-r", "esl")]
    again = train.fit("digits", method="magnitude", sparsity=0.9, epochs=6, hidden=(100,), out=tmp_path / "again")
    assert again.accuracy > 0.8
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("again", "magnitude")]
    assert weights[0] == weights[1]


@pytest.mark.chain
def test_a_session(run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    first, whole, early = example("session.py", run_folder, monkeypatch, capsys)
    assert first.startswith("step ") and "spikes in hidden1" in first
    results = runtime.run(run_folder / "model.loom", train.load_dataset("digits").test, samples="first:100")
    steps = compiler.load(run_folder / "model.loom").network.timesteps
    assert whole == f"all {steps} steps: {results.accuracy:.0%} of 100 samples"
    assert 1 <= float(early.split()[0]) <= steps


@pytest.mark.chain
def test_a_recurrent_network_on_xylo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["xylo_digits.py"])
    runpy.run_path(str(EXAMPLES / "xylo_digits.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    by_stage = {line.split(": ")[0]: line.split(": ")[1] for line in lines if not line.startswith(" ")}
    accuracies = {name: float(text.split("%")[0]) for name, text in by_stage.items()}
    assert accuracies["float"] > 85 and abs(accuracies["xylo"] - accuracies["float"]) < 5
    assert by_stage["xylo"].endswith("46.6 uJ dynamic in a sample's 16 steps")  # 291 uW for 160 ms
    assert any(line.startswith(("  xylosim: ", "  The xylosim backend needs xylosim")) for line in lines)
    assert any(line.startswith("  loihi-silicon: ") for line in lines)
