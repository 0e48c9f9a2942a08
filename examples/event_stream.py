"""An event camera's recording classified while its events come in, one session step for every 30 ms.

python examples/event_stream.py                                trains a small network on N-MNIST (SPIKELOOM_DATA), streams its test set
python examples/event_stream.py MODEL.loom RECORDING [LABEL]   a network of yours, and a recording: N-MNIST's .bin, or AEDAT 2.0 or 3.1
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import spikeloom
from numpy.typing import NDArray
from spikeloom.data.events import Events
from spikeloom.data.sets import cifar10_dvs, dvs128_gesture, n_mnist

STEP = 30_000  # microseconds: a recording of N-MNIST takes 300 ms, and the network was trained on 10 frames of it
TIMESTEPS = 10


def read(path: Path) -> tuple[Events, int]:
    """Read a recording, and the pixels of its camera on a side, by its format."""
    if path.suffix == ".bin":
        return n_mnist.read_events(path), n_mnist.SENSOR
    with path.open("rb") as file:
        version = file.read(12)
    reader = dvs128_gesture if version.startswith(b"#!AER-DAT3") else cifar10_dvs
    return reader.read_events(path), reader.SENSOR


def frames(events: Events, sensor: int, shape: tuple[int, ...], levels: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield (microseconds since the first event, frame) as soon as the events of a step have come in; they are taken one by one, in order.

    A frame counts the events of each pixel and polarity, up to `levels`; the camera's pixels are scaled to `shape` (2, rows, columns).
    """
    _, rows, columns = shape
    frame, begun = np.zeros(shape, np.uint8), int(events.t[0])
    end = begun + STEP
    for t, x, y, p in zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist(), strict=True):
        while t >= end:  # this one belongs to a later step: the step that it ends is complete
            yield end - begun, frame
            frame, end = np.zeros(shape, np.uint8), end + STEP
        place = p, y * rows // sensor, x * columns // sensor
        frame[place] = min(int(frame[place]) + 1, levels)
    yield end - begun, frame


def classify(session: Any, path: Path) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Yield (microseconds, prediction so far, output spikes so far by class) after each step of a recording."""
    events, sensor = read(path)
    network = session.network
    session.reset()
    for at, frame in frames(events, sensor, network.populations[0].shape, network.input.levels):
        session.step(frame)
        yield at, session.prediction, session.counts


def trained(folder: Path) -> Path:
    """Train a small network on N-MNIST and compile it; return its model.loom."""
    options = {"by": "time"}  # frames of equal duration, as a stream has them
    run = spikeloom.fit(
        "n-mnist", "fc", "grad-r", 0.8, 12, out=folder, hidden=(200,), timesteps=TIMESTEPS, batch_size=32, data_options=options
    )
    return spikeloom.compile_network(run).save(folder / "model.loom")


def show(session: Any, path: Path) -> None:
    """Print what the network says after each step of a recording."""
    for at, prediction, counts in classify(session, path):
        spikes = " ".join(map(str, counts))
        print(f"  {at / 1000:5.0f} ms: {prediction}   output spikes {spikes}")


def stream_test_set(session: Any, place: Path) -> None:
    """Print the first recording step by step, and over all of them the accuracy at each time since the first event."""
    recordings = sorted(place.glob("*/*.bin"))
    print(f"{recordings[0].parent.name}/{recordings[0].name}, a {recordings[0].parent.name}:")
    show(session, recordings[0])
    right, steps, begun = np.zeros(TIMESTEPS, np.int64), 0, time.perf_counter()
    for path in recordings:
        said = [prediction for _, prediction, _ in classify(session, path)]
        steps += len(said)
        said = (said + said[-1:] * TIMESTEPS)[:TIMESTEPS]  # a shorter recording keeps its last prediction
        right += np.array(said) == int(path.parent.name)
    seconds = time.perf_counter() - begun
    for step, count in enumerate(right, 1):
        print(f"after {step * STEP // 1000:3} ms: {count / len(recordings):.0%} of {len(recordings)} recordings")
    print(f"{steps} steps, reading and binning included, in {seconds:.2f} s")


def main(words: list[str]) -> None:
    """Classify one recording with a given network, or train one and stream the test set."""
    if words:
        path = Path(words[1])
        print(f"{path.name}{f', a {words[2]}' if len(words) > 2 else ''}:")
        show(spikeloom.session(words[0]), path)
        return
    root = Path(os.environ.get("SPIKELOOM_DATA", "data"))
    place = next(p for name in n_mnist.FOLDERS for part in ("Test", "test") if (p := root / name / part / "0").exists()).parent
    with tempfile.TemporaryDirectory() as folder:
        stream_test_set(spikeloom.session(trained(Path(folder) / "run")), place)


if __name__ == "__main__":
    main(sys.argv[1:])
