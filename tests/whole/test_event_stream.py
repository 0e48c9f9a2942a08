"""The example of an event stream: its frames are those of the data sets' binning, whatever the format, and it classifies N-MNIST."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spikeloom
from netgen import float_network
from spikeloom.data.events import Binning, camera_frames
from spikeloom.network import InputSpec, Network, Population
from test_events import aedat2_bytes, aedat3_bytes, nmnist_bytes

EXAMPLE = str(Path(__file__).parents[2] / "examples/event_stream.py")
DATA = Path(os.environ.get("SPIKELOOM_DATA", "nowhere"))
FORMATS: dict[str, Callable[..., bytes]] = {"r.bin": nmnist_bytes, "two.aedat": aedat2_bytes, "three.aedat": aedat3_bytes}


def recording(name: str, path: Path) -> Path:
    """A recording of 10 steps of 30 ms to the microsecond, with a step without events."""
    rng, side = np.random.default_rng(3), 34 if name == "r.bin" else 128
    t = np.sort(np.concatenate([[0], rng.integers(0, 60_000, 80), rng.integers(90_000, 299_999, 200), [299_999]]))
    (x, y), p = rng.integers(0, side, (2, len(t))), rng.integers(0, 2, len(t))
    file = path / name
    file.write_bytes(FORMATS[name](list(zip(t.tolist(), x.tolist(), y.tolist(), p.tolist(), strict=True))))
    return file


@pytest.mark.parametrize("name", FORMATS)
def test_frames_of_a_stream_are_those_of_the_data_set(name: str, tmp_path: Path) -> None:
    example: dict[str, Any] = runpy.run_path(EXAMPLE)
    events, sensor = example["read"](recording(name, tmp_path))
    found = list(example["frames"](events, sensor, (2, 17, 17), 3))
    expected = camera_frames(events, sensor, 17, Binning(10, "time", 3))
    assert [at for at, _ in found] == [30_000 * step for step in range(1, 11)]
    np.testing.assert_array_equal([frame for _, frame in found], expected)
    assert not expected[2].any() and expected.max() > 1


def test_a_network_and_a_recording_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = float_network(0, sizes=(2 * 17 * 17, 12, 4), density=0.5, timesteps=10)
    entry = Population("input", (2, 17, 17), None)
    network = Network((entry, *network.spiking), network.projections, 10, InputSpec(3, 1.0))
    deployed = spikeloom.compile_network(network, encoding="graded")
    path = recording("three.aedat", tmp_path)
    example: dict[str, Any] = runpy.run_path(EXAMPLE)
    example["main"]([str(deployed.save(tmp_path / "model.loom")), str(path), "3"])
    first, *steps = capsys.readouterr().out.splitlines()
    assert first == "three.aedat, a 3:" and len(steps) == 10 and steps[-1].split()[:2] == ["300", "ms:"]
    events, sensor = example["read"](path)
    session = spikeloom.session(deployed)
    session.run(frame for _, frame in example["frames"](events, sensor, (2, 17, 17), 3))
    assert steps[-1].split("spikes ")[1] == " ".join(map(str, session.counts)) and session.counts.any()


@pytest.mark.skipif(not (DATA / "N-MNIST-small").is_dir(), reason="SPIKELOOM_DATA names no folder with N-MNIST-small")
@pytest.mark.slow
def test_n_mnist_is_classified_as_it_comes(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(EXAMPLE)["main"]([])
    lines = capsys.readouterr().out.splitlines()
    accuracies = [float(line.split(": ")[1].split("%")[0]) for line in lines if line.startswith("after")]
    assert len(accuracies) == 10 and accuracies[-1] > 70 and accuracies[0] < accuracies[-1] - 15  # the answer grows with what came in
    assert lines[0].startswith("0/") and "steps, reading and binning included" in lines[-1]
