"""Large sets stream from their file: neither the parts of the training samples nor the feed hold them in memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from spikeloom.data.dataset import Dataset, Split, split_validation
from spikeloom.train import TrainSettings, feed, train_run
from spikeloom.train.evaluate import accuracy
from spikeloom.train.feed import Feed
from trainers import trainer_of

ROWS, SHAPE = 3000, (3, 48, 48)
SIZE = ROWS * 3 * 48 * 48  # 20 MB


def stored(path: Path, rows: int = ROWS, shape: tuple[int, ...] = SHAPE) -> NDArray[np.uint8]:
    values = np.lib.format.open_memmap(path, "w+", np.uint8, (rows, *shape))
    values[:] = np.arange(rows, dtype=np.uint32).reshape(-1, *[1] * len(shape)) * 7 % 251
    values.flush()
    del values
    return np.load(path, mmap_mode="r")


def test_samples_of_a_mapped_file_are_never_in_memory_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are read for each batch; to a device that has room (`loaded`) they go a few at a time. torch's own memory is not traced."""
    monkeypatch.setattr(feed, "CHUNK", SIZE // 40)
    train = Split(stored(tmp_path / "x.npy"), np.arange(ROWS) % 4)
    tracemalloc.start()
    try:
        training, validation = split_validation(train, 0.1, 0)
        fed = Feed(training, 255, torch.device("cpu"))
        order = fed.place(np.random.default_rng(0).permutation(len(fed)))
        for chosen in order.split(100)[:8]:
            x, labels = fed.take(chosen, integer=False)
            assert x.shape == (100, *SHAPE) and len(labels) == 100
        loaded = feed.loaded(training.values, torch.device("cpu"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < SIZE / 8
    kept = np.sort(np.random.default_rng([0, 1]).permutation(ROWS)[300:])
    assert (len(training), len(validation)) == (2700, 300)
    np.testing.assert_array_equal(loaded.numpy(), np.asarray(train.values[kept]))
    expected = train.values[kept[order[:5].numpy()]].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(fed.take(order[:5], integer=False)[0].numpy(), expected)


def test_a_mapped_split_is_evaluated_like_one_in_memory(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, "fc", "dense")
    values = stored(tmp_path / "x.npy", 90, (16,))
    labels = np.arange(90) % 4
    pairs = [split_validation(Split(kept, labels), 0.3, 1) for kept in (values, np.array(values))]
    for mapped, held in zip(*pairs, strict=True):
        np.testing.assert_array_equal(mapped.values[:], held.values)
        np.testing.assert_array_equal(mapped.take(np.arange(3)).values, held.values[:3])
        assert accuracy(trainer.model, mapped, 255) == accuracy(trainer.model, held, 255)


def test_a_training_on_a_mapped_file_has_the_bits_of_one_in_memory(tmp_path: Path) -> None:
    values, labels = stored(tmp_path / "x.npy", 80, (4, 4)), np.arange(80) % 4
    test = Split(np.array(values[:8]), labels[:8])
    found: list[bytes] = []
    for name, kept in (("mapped", values), ("held", np.array(values))):
        data = Dataset("made", Split(kept, labels), test, 4, 255, (4, 4))
        settings = TrainSettings(
            data.identity, method="grad-r", sparsity=0.5, epochs=2, timesteps=2, threads=1, net_options={"hidden": (9,)}
        )
        found.append((train_run(settings, tmp_path / name, dataset=data).folder / "model.safetensors").read_bytes())
    assert found[0] == found[1]


def test_what_does_not_fit_on_the_device_is_read_for_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_fits", lambda size, device: False)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)  # needs CUDA
    split = Split(np.arange(24, dtype=np.uint8).reshape(6, 4), np.arange(6))
    fed = Feed(split, 255, torch.device("meta"))
    order = fed.place(np.array([3, 1]))
    assert not fed.resident and order.device.type == "cpu"
    x, labels = fed.take(order, integer=True)
    assert (x.shape, labels.shape, x.device.type, labels.device.type) == ((2, 4), (2,), "meta", "meta")
