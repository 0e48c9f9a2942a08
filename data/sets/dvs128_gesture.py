"""DVS128 Gesture: 11 hand gestures seen by an event camera of 128 x 128 pixels; 1,176 training and 288 test samples.

Amir et al., "A low power, fully event-based gesture recognition system", CVPR 2017. CC BY 4.0. A recording userNN_light.aedat holds many
gestures, one after the other; userNN_light_labels.csv says when each begins and ends. The split is official, by user.

AEDAT 3.1 (https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.1.html): lines that begin with #, the last one
#!END-HEADER; then packets, little-endian: a header of 28 bytes (type and source, 16 bits each; event size, offset of the time, overflows of
the clock, capacity, events, valid events, 32 bits each), then `capacity` events. A polarity event (type 1) is 32 bits of data (bit 0 valid,
bit 1 polarity, bits 2-16 y, bits 17-31 x) and 32 bits of time in microseconds.
"""

from __future__ import annotations

import csv
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..dataset import Dataset, Split
from ..download import Source
from ..events import Binning, Events, camera_frames, check_size
from ._files import damaged, find, missing, read

SENSOR = 128
CLASSES = 11
FOLDERS = ("DvsGesture", "DVS128Gesture", "dvs128-gesture", ".")
TRIALS = ("trials_to_train.txt", "trials_to_test.txt")
COLUMNS = ("class", "startTime_usec", "endTime_usec")
MAX_FILE = 1 << 30  # 134 million events
MAX_TEXT = 1 << 20
MAGIC, END = b"#!AER-DAT3.1", b"#!END-HEADER"
PACKET = struct.Struct("<hhiiiiii")
POLARITY, EVENT_SIZE = 1, 8
SOURCE = Source("https://research.ibm.com/interactive/dvsgesture/")


@dataclass(frozen=True)
class Options(Binning):
    """How samples become frames: timesteps (16), by (count or time), clip (1: binary), and `size`, pixels a side (128)."""

    timesteps: int = 16
    size: int = SENSOR

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.size, SENSOR)


def load(folder: Path, options: Options) -> Dataset:
    """Read DVS128 Gesture from the folder of trials_to_train.txt, trials_to_test.txt and the recordings; temporal, (2, size, size).

    Raises:
        DataError: a file is missing, truncated, or no AEDAT 3.1; or a label makes no sense.
    """
    found = place(folder)
    train, test = (_split(found / trials, options) for trials in TRIALS)
    return Dataset("dvs128-gesture", train, test, CLASSES, options.clip, (2, options.size, options.size), temporal=True)


def place(folder: Path) -> Path:
    """Return the folder of the recordings.

    Raises:
        MissingFilesError: they are in none of the places that are searched.
    """
    places = [folder / name for name in FOLDERS]
    found = find(places, TRIALS)
    if found is None:
        raise missing("DVS128 Gesture", [*TRIALS, "user*.aedat", "user*_labels.csv"], places, SOURCE)
    return found


def _split(trials: Path, options: Options) -> Split:
    values: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    names = [line.strip() for line in _text(trials).splitlines() if line.strip()]
    for name in names:
        path = trials.parent / name
        if Path(name).name != name:
            raise DataError(f"{trials} names {name!r}; it must name recordings beside it. Get it again.")
        events = read_events(path)
        for label, start, end in read_labels(path.with_name(f"{path.stem}_labels.csv")):
            low, high = np.searchsorted(events.t, (start, end))
            sample = Events(events.t[low:high], events.x[low:high], events.y[low:high], events.p[low:high])
            values.append(camera_frames(sample, SENSOR, options.size, options))
            labels.append(label)
    if not labels:
        raise DataError(f"{trials} names no recording with a labelled gesture. Get it again.")
    return Split(np.stack(values), np.asarray(labels, np.int64))


def _text(path: Path) -> str:
    try:
        return read(path, MAX_TEXT).decode()
    except UnicodeDecodeError as error:
        raise damaged(path, "a text file", "it is not UTF-8") from error


def read_labels(path: Path) -> list[tuple[int, int, int]]:
    """Read which gestures (0..10; the file counts from 1) a recording holds, from when to when in microseconds.

    Raises:
        DataError: missing, or not a table of class, startTime_usec, endTime_usec.
    """
    rows = [row for row in csv.reader(_text(path).splitlines()) if row]
    if not rows or tuple(cell.strip() for cell in rows[0]) != COLUMNS:
        raise damaged(path, f"a table with the columns {', '.join(COLUMNS)}", f"it begins with {rows[0] if rows else 'nothing'}")
    found: list[tuple[int, int, int]] = []
    for row in rows[1:]:
        try:
            label, start, end = (int(cell) for cell in row)
        except ValueError as error:
            raise damaged(path, "three whole numbers a row", f"a row is {row}") from error
        if not 1 <= label <= CLASSES or start >= end:
            raise damaged(path, f"classes 1..{CLASSES} that begin before they end", f"a row is {row}")
        found.append((label - 1, start, end))
    return found


def read_events(path: Path) -> Events:
    """Read a recording in AEDAT 3.1: its valid polarity events, in the order of time.

    Raises:
        DataError: another format, a packet that is cut off, or an event outside the camera.
    """
    content = read(path, MAX_FILE)
    header = content.find(END)
    if not content.startswith(MAGIC) or header < 0:
        raise damaged(path, f"a recording from {MAGIC.decode()} to {END.decode()}", f"it begins with {content[:12]!r}")
    start = content.find(b"\n", header) + 1 or len(content)
    data: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    times: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    while start < len(content):
        start, words, overflow = _packet(path, content, start)
        data.append(words[:, 0])
        times.append(words[:, 1] + (overflow << 31))
    word, t = np.concatenate(data), np.concatenate(times)
    word, t = word[(word & 1) == 1], t[(word & 1) == 1]
    order = np.argsort(t, kind="stable")
    word, t = word[order], t[order]
    x, y = word >> 17, (word >> 2) & 0x7FFF
    if not len(t) or x.max() >= SENSOR or y.max() >= SENSOR:
        raise damaged(path, f"events on {SENSOR} x {SENSOR} pixels", "it has none" if not len(t) else "one lies outside")
    return Events(t, x, y, (word >> 1) & 1)


def _packet(path: Path, content: bytes, start: int) -> tuple[int, NDArray[np.int64], int]:
    """Return where the next packet begins, this one's events (n, 2) (none of another type), and how often the clock ran over."""
    body = start + PACKET.size
    if body > len(content):
        raise damaged(path, "whole packets", f"{len(content) - start} bytes are left for a header of {PACKET.size}")
    kind, _, size, _, overflow, capacity, number, _ = PACKET.unpack_from(content, start)
    end = body + size * capacity
    if size < 1 or not 0 <= number <= capacity or overflow < 0 or end > len(content):
        found = f"a packet states {capacity} events of {size} bytes, {number} in use, but {len(content) - body} bytes are left"
        raise damaged(path, "whole packets", found)
    if kind != POLARITY:
        return end, np.zeros((0, 2), np.int64), 0
    if size != EVENT_SIZE:
        raise damaged(path, f"polarity events of {EVENT_SIZE} bytes", f"they have {size}")
    return end, np.frombuffer(content, "<u4", 2 * number, body).reshape(-1, 2).astype(np.int64), overflow
