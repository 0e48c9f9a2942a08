"""Small rotations, shifts and scalings, for any images; see `augment.gentle`."""

from __future__ import annotations

from ...errors import UsageError
from .. import augment
from .api import Augmentation, Dataset, refusal


def build(dataset: Dataset, options: None) -> Augmentation:
    """Return the augmentation.

    Raises:
        UsageError: samples are not images.
    """
    found = augment.gentle(dataset.shape, dataset.temporal)
    if found is None:
        raise UsageError(refusal("gentle", dataset, "Leave out --augment."))
    return found
