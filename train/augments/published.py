"""What papers use on the data set; see `augment.published`."""

from __future__ import annotations

from ...errors import UsageError
from .. import augment
from .api import Augmentation, Dataset, refusal


def build(dataset: Dataset, options: None) -> Augmentation:
    """Return the augmentation.

    Raises:
        UsageError: they use none.
    """
    found = augment.published(dataset.name, dataset.shape, dataset.temporal)
    if found is None:
        raise UsageError(refusal("published", dataset, "Leave out --augment, or try --augment gentle."))
    return found
