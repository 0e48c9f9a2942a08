"""What an augmentation is, and the transformations that they are made of.

A module in this folder has  build(dataset, options) -> Augmentation  and, if it has any,  Options, a frozen dataclass; it refuses data that
the augmentation does not suit.
"""

from __future__ import annotations

from ...data.dataset import Dataset
from ..augment import Affine, Augmentation, CropFlip, ResizedCrop, RollFlip

__all__ = ["Affine", "Augmentation", "CropFlip", "Dataset", "ResizedCrop", "RollFlip", "refusal"]


def refusal(name: str, dataset: Dataset, way_out: str) -> str:
    """Return the message for data that an augmentation does not suit."""
    return f"There is no {name} augmentation for the data set {dataset.name} ({dataset.shape}). {way_out}"
