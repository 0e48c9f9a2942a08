"""Augmentation, against one sample at a time in NumPy and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from spikeloom.data.dataset import Dataset, Split
from spikeloom.errors import UsageError
from spikeloom.train.augment import Affine, Augmentation, CropFlip, ResizedCrop, RollFlip, gentle, nothing, published
from spikeloom.train.augments import elastic

KINDS: list[Augmentation] = [CropFlip(), RollFlip(), Affine(), ResizedCrop(), Affine(smooth=True), elastic.Elastic(elastic.Options())]
SHAPES = [(9, 14, 12), (9, 3, 14, 12), (9, 4, 2, 14, 12)]


def _batch(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) + 0.5


def _draws(seed: int, reach: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The random numbers of a crop or roll: down, right, flip."""
    generator = torch.Generator().manual_seed(seed)
    down, right = (torch.randint(-reach, reach + 1, (count, 1, 1), generator=generator).flatten().numpy() for _ in range(2))
    return down, right, torch.randint(0, 2, (count, 1, 1), generator=generator).flatten().numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", [1, 4])
def test_crop_and_flip_are_those_of_one_sample(shape: tuple[int, ...], padding: int) -> None:
    x = _batch(shape)
    found = CropFlip(padding)(x, torch.Generator().manual_seed(3)).numpy()
    down, right, flip = _draws(3, padding, len(x))
    height, width = shape[-2:]
    for n, sample in enumerate(x.numpy()):
        padded = np.pad(sample, [(0, 0)] * (sample.ndim - 2) + [(padding, padding)] * 2)
        window = padded[..., padding + down[n] : padding + down[n] + height, padding + right[n] : padding + right[n] + width]
        assert np.array_equal(found[n], window[..., ::-1] if flip[n] else window)
    assert set(flip) == {0, 1} and len(set(down)) > 1


@pytest.mark.parametrize("shape", SHAPES)
def test_roll_and_flip_are_those_of_one_sample(shape: tuple[int, ...]) -> None:
    x = _batch(shape)
    found = RollFlip()(x, torch.Generator().manual_seed(4)).numpy()
    down, right, flip = _draws(4, 5, len(x))
    for n, sample in enumerate(x.numpy()):
        mirrored = sample[..., ::-1] if flip[n] else sample
        assert np.array_equal(found[n], np.roll(mirrored, (down[n], right[n]), (-2, -1)))


def test_affine_is_scipys() -> None:
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.random((16, 28, 28)), (0, 2, 2))
    x = torch.from_numpy(smooth).float()
    found = Affine()(x, torch.Generator().manual_seed(5)).numpy()
    u = torch.rand(4, 16, 1, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64).flatten(1).numpy()
    different = 0
    for n in range(16):
        angle, scale = math.radians(30 * (2 * u[0, n] - 1)), 0.85 + 0.26 * u[3, n]
        shift = np.round((2 * u[1:3, n] - 1) * 0.15 * 28)
        matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / scale
        middle = np.array([13.5, 13.5])
        expected = ndimage.affine_transform(x[n].numpy(), matrix, middle - matrix @ (middle + shift), order=0, mode="grid-constant")
        different += int((found[n] != expected).sum())
    assert different <= 0.002 * found.size  # pixels halfway between two, rounded the other way
    assert (found == 0).any() and np.abs(found - smooth).mean() > 0.01


@pytest.mark.parametrize("side", [(28, 28), (20, 31)])
def test_a_smooth_affine_is_scipys(side: tuple[int, int]) -> None:
    x = torch.from_numpy(np.random.default_rng(0).random((12, *side))).float()
    found = Affine(25.0, 0.1, (0.8, 1.2), smooth=True)(x, torch.Generator().manual_seed(5)).numpy()
    u = torch.rand(4, 12, 1, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64).flatten(1).numpy()
    for n in range(12):
        angle, scale = math.radians(25 * (2 * u[0, n] - 1)), 0.8 + 0.4 * u[3, n]
        shift = (2 * u[1:3, n] - 1) * 0.1 * np.array(side)
        matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / scale
        middle = (np.array(side) - 1) / 2
        expected = ndimage.affine_transform(x[n].numpy(), matrix, middle - matrix @ (middle + shift), order=1, mode="grid-constant")
        np.testing.assert_allclose(found[n], expected, atol=1e-4)


@pytest.mark.parametrize("side", [(28, 28), (20, 31)])
def test_an_elastic_distortion_is_scipys(side: tuple[int, int]) -> None:
    """Without rotation, shift and scaling: noise, SciPy's Gaussian, the stated root mean square, SciPy's interpolation."""
    x = torch.from_numpy(np.random.default_rng(0).random((6, *side))).float()
    options = elastic.Options(strength=1.4, smoothness=3.0, degrees=0.0, translation=0.0, scale=0.0)
    found = elastic.Elastic(options)(x, torch.Generator().manual_seed(5)).numpy()
    generator = torch.Generator().manual_seed(5)
    noise = torch.rand(6, 2, *side, generator=generator).numpy() * 2 - 1
    pixel = side[0] / 28
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float64) for n in side), indexing="ij"))
    for n in range(6):
        smooth = [ndimage.gaussian_filter(field.astype(np.float64), 3.0 * pixel, mode="constant", truncate=30.0) for field in noise[n]]
        right, down = (field / np.sqrt(np.square(field).mean()) * 1.4 * pixel for field in smooth)
        expected = ndimage.map_coordinates(x[n].numpy(), grid + np.stack([down, right]), order=1, mode="grid-constant")
        np.testing.assert_allclose(found[n], expected, atol=1e-3)


def test_an_elastic_distortion_is_refused_for_what_is_no_image() -> None:
    for frames, shape in (((4,), (2, 34, 34)), ((), (64,))):
        split = Split(np.zeros((2, *frames, *shape), np.uint8), np.zeros(2, np.int64))
        with pytest.raises(UsageError, match=r"no elastic augmentation.*Leave out"):
            elastic.build(Dataset("mine", split, split, 2, 1, shape, bool(frames)), elastic.Options())
    for wrong in ({"strength": -1.0}, {"smoothness": 0.0}, {"scale": 1.5}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            elastic.Options(**wrong)


def test_affine_keeps_the_published_bounds() -> None:
    x = torch.zeros(4000, 21, 21)
    x[:, 10, 10], x[:, 10, 16] = 1, 2  # the middle, and a point 6 to its right
    moved = Affine()(x, torch.Generator().manual_seed(0))
    shifts, angles = [], []
    for sample in moved.numpy():
        middle, point = np.argwhere(sample == 1), np.argwhere(sample == 2)
        if len(middle) == 1 and len(point) == 1:
            shifts.append(middle[0] - 10)
            angles.append(math.degrees(math.atan2(*(point[0] - middle[0]))))
    assert np.abs(shifts).max() == round(0.15 * 21) and 25 < max(angles) < 36 and -36 < min(angles) < -25


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: type(k).__name__)
@pytest.mark.parametrize("shape", SHAPES)
def test_shape_range_and_the_generator(kind: Augmentation, shape: tuple[int, ...]) -> None:
    x = _batch(shape)
    before = x.clone()
    state = torch.get_rng_state()
    first, again, other = (kind(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(x, before)
    assert first.shape == x.shape and first.dtype == x.dtype and torch.equal(first, again) and not torch.equal(first, other)
    assert float(first.min()) >= 0 and float(first.max()) <= float(x.max()) + 1e-6
    assert torch.equal(nothing(x, torch.Generator()), x)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: type(k).__name__)
def test_channels_and_frames_move_together(kind: Augmentation) -> None:
    image = _batch((6, 1, 1, 16, 16))
    changed = kind(image.expand(6, 4, 2, 16, 16).contiguous(), torch.Generator().manual_seed(0))
    assert torch.equal(changed, changed[:, :1, :1].expand_as(changed))


@pytest.mark.parametrize("kind", KINDS[:3], ids=lambda k: type(k).__name__)
def test_integers_stay_integers(kind: Augmentation) -> None:
    pixels = torch.randint(0, 256, (5, 12, 12), generator=torch.Generator().manual_seed(0)).float()
    changed = kind(pixels, torch.Generator().manual_seed(1))
    assert torch.equal(changed, changed.round()) and set(changed.unique().tolist()) <= {0.0, *pixels.unique().tolist()}


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: type(k).__name__)
def test_channels_last_stays_so(kind: Augmentation) -> None:
    x = _batch((4, 3, 10, 10))
    last = kind(x.contiguous(memory_format=torch.channels_last), torch.Generator().manual_seed(1))
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, kind(x, torch.Generator().manual_seed(1)))


def test_gentle_suits_any_image_and_keeps_events_binary() -> None:
    assert gentle((700,), True) is None and gentle((64,), False) is None
    image, events = _batch((8, 28, 28)), torch.bernoulli(torch.full((8, 3, 2, 28, 28), 0.3), generator=torch.Generator().manual_seed(1))
    static, temporal = gentle((28, 28), False), gentle((2, 28, 28), True)
    assert static is not None and temporal is not None
    moved = static(image, torch.Generator().manual_seed(0))
    assert 0 < float((moved - image).abs().mean()) < 0.5 and not set(moved.unique().tolist()) <= set(image.unique().tolist())
    assert set(temporal(events, torch.Generator().manual_seed(0)).unique().tolist()) == {0.0, 1.0}


def test_a_resized_crop_is_a_window_brought_to_the_old_size() -> None:
    ramp = torch.arange(32.0).expand(200, 1, 32, 32).contiguous()
    changed = ResizedCrop()(ramp, torch.Generator().manual_seed(2))
    steps = changed[:, 0].diff(dim=2)
    width = steps[:, :, 10:20].abs().mean((1, 2))  # share of the width that the window has: all columns are evenly far apart
    assert float((steps[:, :, 8:24].abs() - width[:, None, None]).abs().max()) < 0.35 and float(width.min()) > 0.2
    assert float(width.max()) <= 1.001 and 60 < int((steps.mean((1, 2)) < 0).sum()) < 140
    whole = ResizedCrop((1.0, 1.0), (1.0, 1.0))(ramp, torch.Generator().manual_seed(2))
    assert all(torch.allclose(w, r, atol=1e-4) or torch.allclose(w, r.flip(-1), atol=1e-4) for w, r in zip(whole, ramp, strict=True))


def test_an_aspect_is_width_by_height() -> None:
    ramp = torch.arange(32.0).expand(20, 1, 32, 32)
    wide = ResizedCrop((0.2, 0.2), (4.0, 4.0))(torch.cat([ramp, ramp.mT], 1).contiguous(), torch.Generator().manual_seed(1))
    across, down = wide[:, 0].diff(dim=2)[:, :, 10:20].abs().mean(), wide[:, 1].diff(dim=1)[:, 10:20].abs().mean()
    assert float(across) == pytest.approx(0.8**0.5, abs=0.02) and float(down) == pytest.approx(0.05**0.5, abs=0.02)


def test_what_papers_use_by_data_set() -> None:
    assert isinstance(published("cifar10", (3, 32, 32), False), CropFlip)
    assert published("cifar100", (3, 32, 32), False) == CropFlip(4)
    assert published("mnist", (28, 28), False) == Affine(30.0, 0.15, (0.85, 1.11))
    assert published("cifar10-dvs", (2, 48, 48), True) == RollFlip(5)
    assert isinstance(published("imagenet", (3, 64, 64), False), ResizedCrop)
    for name, shape, temporal in (("digits", (8, 8), False), ("shd", (700,), True), ("dvs128-gesture", (2, 128, 128), True)):
        assert published(name, shape, temporal) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: type(k).__name__)
def test_on_the_device_it_is_the_same(kind: Augmentation) -> None:
    x = _batch((5, 3, 16, 16))
    there = kind(x.cuda(), torch.Generator().manual_seed(1))
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), kind(x, torch.Generator().manual_seed(1)))
