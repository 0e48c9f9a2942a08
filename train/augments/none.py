"""Samples as they are."""

from __future__ import annotations

from .. import augment
from .api import Augmentation, Dataset


def build(dataset: Dataset, options: None) -> Augmentation:
    """Return the augmentation that changes nothing."""
    return augment.nothing
