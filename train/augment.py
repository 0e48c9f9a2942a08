"""Augmentation of a batch, on its device: each sample is moved, turned or mirrored at random, all samples at once.

Every transformation gives, for each pixel of a sample's new image, the pixel of the old image that it shows; channels and frames move
together. Pixels from outside the image are 0. Values are only moved, so integers stay integers and binary frames stay binary; but
`ResizedCrop` and a smooth `Affine` interpolate between pixels, so a caller that needs integers rounds the result.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Affine", "Augmentation", "CropFlip", "ResizedCrop", "RollFlip", "gentle", "nothing", "published"]


class Augmentation(Protocol):
    """Transforms the samples of a batch at random."""

    @abstractmethod
    def __call__(self, x: Tensor, generator: torch.Generator, /) -> Tensor:
        """Return the transformed batch.

        Args:
            x: (N, H, W), (N, C, H, W) or (N, T, C, H, W), on any device.
            generator: the source of all random numbers, the same number of them whatever the device of `x`; usually on the CPU.

        Returns:
            A tensor of the same shape, type, device and memory format, within the same range of values.
        """
        ...


def nothing(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return the batch unchanged; no random number is drawn."""
    return x


@dataclass(frozen=True)
class CropFlip:
    """CIFAR's: `padding` zeros around the image, a random window of the old size, mirrored left to right half the time.

    He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2.
    """

    padding: int = 4

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """See `Augmentation`."""
        down, right = (_whole(-self.padding, self.padding, x, generator) for _ in range(2))
        flip = _flips(x, generator)
        rows, columns = _axes(x)
        return _moved(x, rows + down, _mirrored(columns, flip) + right)


@dataclass(frozen=True)
class RollFlip:
    """For event cameras: mirrored left to right half the time, then rolled by up to `reach` pixels along both axes.

    As in the code of TET, Deng et al., "Temporal efficient training of spiking neural network via gradient re-weighting", ICLR 2022
    (CIFAR10-DVS at 48 x 48, reach 5).
    """

    reach: int = 5

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """See `Augmentation`."""
        down, right = (_whole(-self.reach, self.reach, x, generator) for _ in range(2))
        flip = _flips(x, generator)
        rows, columns = _axes(x)
        height, width = x.shape[-2:]
        return _moved(x, (rows - down) % height, _mirrored((columns - right) % width, flip))


@dataclass(frozen=True)
class Affine:
    """MNIST's: rotated about the centre, shifted and scaled at random, uniformly; nearest-neighbour interpolation.

    With c the centre, the pixel at c + d of the new image shows the one at  c + R(-a) (d - t) / s  of the old one.
    The default numbers are Grad R's for MNIST.

    Args:
        degrees: the angle a is in -degrees..degrees.
        translation: the shift t is in -translation..translation of the height and width, in whole pixels.
        scale: the bounds of s.
        smooth: bilinear interpolation of the four surrounding pixels instead of the nearest one; shifts are then not rounded.
    """

    degrees: float = 30.0
    translation: float = 0.15
    scale: tuple[float, float] = (0.85, 1.11)
    smooth: bool = False

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """See `Augmentation`."""
        return self.moved(x, generator)

    def moved(self, x: Tensor, generator: torch.Generator, displaced: Tensor | None = None) -> Tensor:
        """Return the transformed batch.

        Args:
            x, generator: see `Augmentation`.
            displaced: (N, H, W, 2), how much further away each pixel looks in the old image, columns before rows, in -1..1 from edge to
                edge; for smooth maps only.
        """
        height, width = x.shape[-2:]
        u = torch.rand(4, len(x), 1, 1, generator=generator, device=generator.device, dtype=torch.float64).to(x.device)
        angle = math.radians(self.degrees) * (2 * u[0] - 1)
        down, right = ((2 * v - 1) * self.translation * side for v, side in ((u[1], height), (u[2], width)))
        scale = self.scale[0] + (self.scale[1] - self.scale[0]) * u[3]
        cos, sin = angle.cos() / scale, angle.sin() / scale
        if self.smooth:
            return _mixed(x, _matrix(cos, sin, down, right, height, width), displaced=displaced)
        rows, columns = _axes(x)
        middle = (height - 1) / 2, (width - 1) / 2
        dy, dx = rows - middle[0] - down.round(), columns - middle[1] - right.round()
        return _moved(x, (cos * dy - sin * dx + middle[0]).round().long(), (sin * dy + cos * dx + middle[1]).round().long())


@dataclass(frozen=True)
class ResizedCrop:
    """ImageNet's: a window of random area and aspect ratio, resized to the old size (bilinear); mirrored half the time.

    Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6; a window that does not fit is clipped to the image.

    Args:
        area: bounds of the window's share of the image, uniform.
        aspect: bounds of its width by its height, uniform in the logarithm.
    """

    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """See `Augmentation`."""
        u = torch.rand(4, len(x), generator=generator, device=generator.device).to(x.device)
        flip = _flips(x, generator).flatten()
        area = self.area[0] + (self.area[1] - self.area[0]) * u[0]
        low, high = (math.log(bound) for bound in self.aspect)
        ratio = (low + (high - low) * u[1]).exp()
        height, width = (area / ratio).sqrt().clamp(max=1), (area * ratio).sqrt().clamp(max=1)
        theta = torch.zeros(len(x), 2, 3, device=x.device)
        theta[:, 0, 0], theta[:, 1, 1] = torch.where(flip, -width, width), height
        theta[:, 0, 2], theta[:, 1, 2] = (2 * u[2] - 1) * (1 - width), (2 * u[3] - 1) * (1 - height)
        return _mixed(x, theta, "border")


PUBLISHED: Mapping[str, Augmentation] = {
    "mnist": Affine(),
    "cifar10": CropFlip(),
    "cifar100": CropFlip(),
    "cifar10-dvs": RollFlip(),
    "imagenet": ResizedCrop(),
}


def published(name: str, shape: tuple[int, ...], temporal: bool) -> Augmentation | None:
    """Return the augmentation that papers use on a data set; None where they use none or the data set is unknown.

    Args:
        name: the data set's.
        shape: that of one sample, or of one frame in temporal data: (H, W) or (C, H, W); for any other shape there is no augmentation.
        temporal: whether samples consist of T frames.
    """
    return PUBLISHED.get(name) if _are_images(shape, temporal) else None


def gentle(shape: tuple[int, ...], temporal: bool) -> Augmentation | None:
    """Return a small affine transformation for any images: up to 10 degrees, 7 % of the sides (2 pixels of MNIST), a scale of 0.9 to 1.1.

    Ours, for networks of few parameters and training of a few dozen epochs, for which the published ones are too strong. Images are
    interpolated; frames of events stay whole numbers.

    Args:
        shape, temporal: see `published`; None is returned where samples are not images.
    """
    return Affine(10.0, 0.07, (0.9, 1.1), smooth=not temporal) if _are_images(shape, temporal) else None


def _are_images(shape: tuple[int, ...], temporal: bool) -> bool:
    return len(shape) == 3 if temporal else len(shape) in (2, 3)


def _whole(low: int, high: int, x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a whole number low..high for each sample, (N, 1, 1), on the device of `x`."""
    return torch.randint(low, high + 1, (len(x), 1, 1), generator=generator, device=generator.device).to(x.device)


def _flips(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw the samples to be mirrored, bool (N, 1, 1)."""
    return _whole(0, 1, x, generator).bool()


def _axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row (1, H, 1) and the column (1, 1, W) of each pixel."""
    height, width = x.shape[-2:]
    return torch.arange(height, device=x.device)[None, :, None], torch.arange(width, device=x.device)[None, None, :]


def _mirrored(columns: Tensor, flip: Tensor) -> Tensor:
    return torch.where(flip, columns.shape[-1] - 1 - columns, columns)


def _moved(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return  y[n, ..., h, w] = x[n, ..., rows[n, h, w], columns[n, h, w]],  0 where that is outside; indices broadcast to (N, H, W)."""
    height, width = x.shape[-2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    source = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    flat = x.reshape(len(x), -1, height * width)
    index = source.expand(len(x), height, width).reshape(len(x), 1, -1).expand_as(flat)
    kept = inside.expand(len(x), height, width).reshape(len(x), 1, -1)
    return _like(torch.where(kept, flat.gather(2, index), 0).to(x.dtype).view(x.shape), x)


def _matrix(cos: Tensor, sin: Tensor, down: Tensor, right: Tensor, height: int, width: int) -> Tensor:
    """Return  d -> R(-a) (d - t) / s  (N, 2, 3) for places in -1..1 from edge to edge, columns before rows; `cos` and `sin` hold 1 / s."""
    columns = [cos, sin * (height / width), -(cos * right + sin * down) * (2 / width)]
    rows = [-sin * (width / height), cos, -(cos * down - sin * right) * (2 / height)]
    return torch.stack([torch.cat(columns, 2), torch.cat(rows, 2)], 1).view(-1, 2, 3)


def _mixed(x: Tensor, matrix: Tensor, outside: str = "zeros", displaced: Tensor | None = None) -> Tensor:
    """Sample the image at  matrix (d, 1) + displaced(d)  (N, 2, 3) for each position d in -1..1, by bilinear interpolation."""
    images = x.flatten(1, -3) if x.dim() > 3 else x[:, None]
    grid = torch.nn.functional.affine_grid(matrix.float(), list(images.shape), align_corners=False).to(x.dtype)
    if displaced is not None:
        grid = grid + displaced.to(x.dtype)
    changed = torch.nn.functional.grid_sample(images, grid, padding_mode=outside, align_corners=False)
    return _like(changed.reshape(x.shape), x)


def _like(changed: Tensor, x: Tensor) -> Tensor:
    """Give the batch the memory format of the original."""
    last = x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return changed.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
