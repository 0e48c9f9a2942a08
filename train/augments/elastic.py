"""Elastic distortion of images, after a small rotation, shift and scaling; for any images, and meant for digits and letters.

Each sample gets a smooth random field of displacements (Simard, Steinkraus and Platt, "Best practices for convolutional neural networks
applied to visual document analysis", ICDAR 2003):

    u = G r / rms(G r) * strength,   r: uniform in -1..1 at each pixel and axis,   G: a Gaussian of `smoothness` pixels, over both axes

and the pixel at p of the new image shows the place  A p + u(p)  of the old one by bilinear interpolation, A being the affine map of the
augmentation `gentle` with this module's bounds. Outside the image is 0. The paper scales u by a constant, alpha, which for its sigma of 4
and alpha of 34 makes an rms of 1.4 pixels; here the rms is what one sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import UsageError
from ..augment import Affine
from ..settings import check_real
from .api import Augmentation, Dataset, refusal


@dataclass(frozen=True)
class Options:
    """How far pixels move.

    Args:
        strength: root mean square of the displacement along each axis, in pixels of an image 28 high; taller ones are moved further.
        smoothness: sigma of the Gaussian, in the same pixels.
        degrees, translation, scale: rotation up to this angle, shift up to this share of the sides, scaling by 1 - scale to 1 + scale.
    """

    strength: float = 1.0
    smoothness: float = 4.0
    degrees: float = 10.0
    translation: float = 0.07
    scale: float = 0.1

    def __post_init__(self) -> None:
        for name, most in (("strength", 28.0), ("smoothness", 28.0), ("degrees", 180.0), ("translation", 1.0), ("scale", 0.9)):
            positive = name == "smoothness"
            check_real(name, getattr(self, name), 0.0, most, f"0 {'<' if positive else '<='} {name} <= {most:g}", include_low=not positive)


def build(dataset: Dataset, options: Options) -> Augmentation:
    """Return the augmentation.

    Raises:
        UsageError: samples are not images, or are frames of events, which interpolation would make fractions of.
    """
    if dataset.temporal or len(dataset.shape) not in (2, 3):
        raise UsageError(refusal("elastic", dataset, "Leave out --augment, or try --augment gentle."))
    return Elastic(options)


@dataclass(frozen=True)
class Elastic:
    """The augmentation."""

    options: Options

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """See `Augmentation`."""
        options = self.options
        affine = Affine(options.degrees, options.translation, (1 - options.scale, 1 + options.scale), smooth=True)
        return affine.moved(x, generator, displaced=self._field(x, generator))

    def _field(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the displacements, (N, H, W, 2), columns before rows, in -1..1 from edge to edge."""
        height, width = x.shape[-2:]
        noise = torch.rand(len(x), 2, height, width, generator=generator, device=generator.device).to(x.device) * 2 - 1
        sigma = self.options.smoothness * height / 28
        rows, columns = (_gaussian(side, sigma).to(x.device) for side in (height, width))
        field = ((noise @ columns).transpose(2, 3) @ rows).transpose(2, 3)  # both matrices are symmetric
        field = field / field.square().mean((2, 3), keepdim=True).sqrt().clamp(min=1e-12) * (self.options.strength * height / 28)
        return field.permute(0, 2, 3, 1) * torch.tensor([2 / width, 2 / height], device=x.device)


def _gaussian(side: int, sigma: float) -> Tensor:
    """Return the (side, side) matrix of a Gaussian filter; outside the image the noise is 0."""
    places = torch.arange(side, dtype=torch.float32)
    return (-(places[:, None] - places[None, :]).square() / (2 * sigma * sigma)).exp() / (math.sqrt(2 * math.pi) * sigma)
