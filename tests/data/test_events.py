"""Binning of events, against a loop over the events; and the readers of recordings, whole and damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from spikeloom.data import events
from spikeloom.data.events import Binning, Events, bin_events, camera_frames, unwrapped
from spikeloom.data.sets import cifar10_dvs, dvs128_gesture, n_mnist
from spikeloom.errors import DataError, UsageError


def _loop(times: list[int], addresses: list[int], size: int, binning: Binning) -> NDArray[np.uint8]:
    """The definition, event by event."""
    frames = np.zeros((binning.timesteps, size), np.int64)
    order = sorted(range(len(times)), key=lambda i: (times[i], i))
    for rank, i in enumerate(order):
        if binning.by == "count":
            part = rank * binning.timesteps // len(times)
        else:
            part = (times[i] - min(times)) * binning.timesteps // (max(times) - min(times) + 1)
        frames[part, addresses[i]] += 1
    return np.minimum(frames, binning.clip).astype(np.uint8)


@example([(0, 0), (1, 0)], 2, "time", 255)  # the last event falls into the last part ...
@example([(5, 0), (6, 0), (7, 0)], 3, "time", 255)  # ... as long as parts of one microsecond
@example([(7, 1), (7, 2)], 4, "time", 1)
@example([(3, 1), (3, 2), (1, 0)], 3, "count", 255)  # equal times keep their order
@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 6)), max_size=60),
    st.integers(1, 12),
    st.sampled_from(["time", "count"]),
    st.sampled_from([1, 2, 255]),
)
def test_bins_are_those_of_the_definition(rows: list[tuple[int, int]], timesteps: int, by: str, clip: int) -> None:
    binning = Binning(timesteps, "time" if by == "time" else "count", clip)
    times, addresses = [t for t, _ in rows], [a for _, a in rows]
    found = bin_events(np.array(times, np.int64), np.array(addresses, np.int64), 7, binning)
    assert found.dtype == np.uint8 and np.array_equal(found, _loop(times, addresses, 7, binning))


def test_all_events_are_kept_and_spread_evenly() -> None:
    rng = np.random.default_rng(0)
    times, addresses = np.sort(rng.integers(0, 10**6, 1000)), rng.integers(0, 50, 1000)
    counted = bin_events(times, addresses, 50, Binning(10, "count", 255))
    assert counted.sum() == 1000 and (counted.sum(1) == 100).all()
    assert bin_events(times, addresses, 50, Binning(10, "count", 2)).max() == 2


def test_a_cameras_pixels_and_polarities_find_their_place() -> None:
    seen = Events(*(np.array(v, np.int64) for v in ([0, 1, 2, 3], [0, 127, 64, 3], [0, 127, 2, 100], [0, 1, 1, 0])))
    frames = camera_frames(seen, 128, 48, Binning(2, "count", 1))
    assert frames.shape == (2, 2, 48, 48)
    assert np.argwhere(frames).tolist() == [[0, 0, 0, 0], [0, 1, 47, 47], [1, 0, 37, 1], [1, 1, 0, 24]]


@pytest.mark.parametrize("values", [{"timesteps": 0}, {"timesteps": 1001}, {"by": "chance"}, {"clip": 0}, {"clip": 256}])
def test_options_that_make_no_sense(values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        Binning(**values)  # pyright: ignore[reportArgumentType]


def test_frames_that_fill_the_memory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fewer timesteps"):
        events.gather(range(1 << 40), [], (1000, 2, 128, 128), lambda _: np.zeros(0, np.uint8), tmp_path)


# Recordings, written event by event from the formats' descriptions.
Rows = list[tuple[int, int, int, int]]  # t, x, y, p
ROWS: Rows = [(5, 3, 7, 1), (6, 33, 0, 0), (70_000, 0, 33, 1), (300_000, 12, 12, 0)]


def nmnist_bytes(rows: Rows) -> bytes:
    return b"".join(bytes([x, y]) + ((p << 23) | t).to_bytes(3, "big") for t, x, y, p in rows)


def aedat2_bytes(rows: Rows) -> bytes:
    """A DVS128's addresses; the reader turns the axes to column 127 - y, row 127 - x, and a set bit means darker."""
    header = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# created by a test\r\n"
    return header + b"".join(struct.pack(">II", ((127 - x) << 8) | ((127 - y) << 1) | (1 - p), t) for t, x, y, p in rows)


def aedat3_bytes(rows: Rows, per_packet: int = 2, overflow: int = 0) -> bytes:
    content = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    content += struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 1, 1, 1) + bytes(8)  # a special event, to be passed over
    for start in range(0, len(rows), per_packet):
        part = rows[start : start + per_packet]
        content += struct.pack("<hhiiiiii", 1, 1, 8, 4, overflow, len(part), len(part), len(part))
        content += b"".join(struct.pack("<II", (x << 17) | (y << 2) | (p << 1) | 1, t) for t, x, y, p in part)
    return content


READERS = {
    "n-mnist": (n_mnist.read_events, nmnist_bytes),
    "cifar10-dvs": (cifar10_dvs.read_events, aedat2_bytes),
    "dvs128-gesture": (dvs128_gesture.read_events, aedat3_bytes),
}


def _rows(found: Events) -> Rows:
    return [tuple(row) for row in np.stack([found.t, found.x, found.y, found.p], 1).tolist()]


@pytest.mark.parametrize("name", READERS)
def test_recordings_are_read_as_written(name: str, tmp_path: Path) -> None:
    reader, writer = READERS[name]
    path = tmp_path / "recording"
    path.write_bytes(writer(ROWS))
    assert _rows(reader(path)) == ROWS


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("keep", [0, 1, 7, -1, -3])
def test_recordings_cut_short_are_named(name: str, keep: int, tmp_path: Path) -> None:
    reader, writer = READERS[name]
    path = tmp_path / "recording"
    path.write_bytes(writer(ROWS)[:keep])
    with pytest.raises(DataError, match=r"recording is truncated or damaged.*it must be"):
        reader(path)


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_read_or_refused(name: str, tmp_path: Path) -> None:
    reader, writer = READERS[name]
    rng, whole = np.random.default_rng(1), writer(ROWS * 20)
    path = tmp_path / "recording"
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        for at in rng.integers(0, len(content), 3):
            content[at] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            found = reader(path)
        except DataError:
            refused += 1
            continue
        assert len(found.t) and found.x.min() >= 0 and found.x.max() < 128 and found.y.min() >= 0 and found.y.max() < 128
    assert 0 < refused < 300


@pytest.mark.parametrize("name", READERS)
def test_a_huge_file_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = READERS[name]
    module = __import__(reader.__module__, fromlist=["x"])
    monkeypatch.setattr(module, "MAX_FILE", 10)
    (tmp_path / "recording").write_bytes(writer(ROWS))
    with pytest.raises(DataError, match="recording has more than 10 bytes"):
        reader(tmp_path / "recording")


def test_overflow_marks_are_added_to_the_times_that_follow(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(nmnist_bytes([(100, 1, 1, 0), (0, 0, 240, 0), (50, 2, 2, 1)]))
    assert _rows(n_mnist.read_events(path)) == [(100, 1, 1, 0), (50 + 8192, 2, 2, 1)]
    path.write_bytes(aedat3_bytes([(100, 1, 1, 0)], overflow=3))
    assert _rows(dvs128_gesture.read_events(path)) == [(100 + (3 << 31), 1, 1, 0)]


HALF = 1 << 31


@example(2 * HALF - 2, [1, 1, 1, 5])  # runs over at 2^32
@example(HALF - 1, [1, 1])  # a signed clock runs over at 2^31
@example(-3, [1, 1, 1, 1])  # negative times first
@example(10, [-5, 0, HALF - 1, -HALF])  # back and far ahead
@given(st.integers(-HALF, 2 * HALF - 1), st.lists(st.integers(-HALF, HALF - 1), min_size=1, max_size=20))
def test_a_clock_of_32_bits_keeps_the_order(start: int, steps: list[int]) -> None:
    true = start + np.concatenate([[0], np.cumsum(steps)])
    found = unwrapped(true % (2 * HALF))
    assert -HALF <= found[0] < HALF and np.array_equal(np.diff(found), steps)


@pytest.mark.parametrize("start", [2**32 - 10, -10, 2**31 - 10])
def test_frames_do_not_depend_on_where_the_clock_ran_over(start: int, tmp_path: Path) -> None:
    """Twenty events a microsecond apart, of which the first half lies before the jump."""
    rows: Rows = [((start + i) % 2**32, i, i, 1) for i in range(20)]
    (tmp_path / "recording").write_bytes(aedat2_bytes(rows))
    seen = cifar10_dvs.read_events(tmp_path / "recording")
    for by in ("time", "count"):
        frames = camera_frames(seen, 128, 128, Binning(2, "time" if by == "time" else "count", 255))
        assert [np.flatnonzero(frame.sum(axis=(0, 1))).tolist() for frame in frames] == [list(range(10)), list(range(10, 20))]


@pytest.mark.parametrize(
    ("reader", "content"),
    [
        (n_mnist.read_events, nmnist_bytes([(1, 34, 0, 0)])),
        (n_mnist.read_events, nmnist_bytes([(1, 0, 240, 0)])),
        (dvs128_gesture.read_events, aedat3_bytes([(1, 128, 0, 0)])),
        (dvs128_gesture.read_events, b"#!AER-DAT3.1\n#!END-HEADER\n" + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 2**31 - 1, 5, 5)),
        (dvs128_gesture.read_events, b"#!AER-DAT3.1\n#!END-HEADER\n" + struct.pack("<hhiiiiii", 1, 1, 0, 4, 0, 5, 5, 5)),
        (dvs128_gesture.read_events, b"#!AER-DAT3.1\n#!END-HEADER\n" + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, -1, -1, 5)),
        (cifar10_dvs.read_events, b"#!AER-DAT2.0\n" + struct.pack(">II", 1 << 31, 5)),
        (cifar10_dvs.read_events, b"#!AER-DAT2.0"),
    ],
)
def test_events_that_no_camera_saw(reader: Callable[[Path], Events], content: bytes, tmp_path: Path) -> None:
    (tmp_path / "recording").write_bytes(content)
    with pytest.raises(DataError, match="recording is truncated or damaged"):
        reader(tmp_path / "recording")
