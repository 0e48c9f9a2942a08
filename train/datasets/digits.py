"""The 1,797 handwritten 8 x 8 digits that scikit-learn carries inside: no files, no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from ..data import Dataset, Split

LEVELS = 16
TEST_SHARE = 0.2
SPLIT_SEED = 20210416  # fixed: the same test set whatever the training seed


def load(folder: Path) -> Dataset:
    """Return the digits, split 80/20 once and for all. `folder` is not needed: the samples are embedded."""
    from sklearn.datasets import load_digits

    bunch = cast(Any, load_digits())
    values = np.asarray(bunch.images).astype(np.uint8)
    every = Split(values, np.asarray(bunch.target).astype(np.int64))
    order = np.random.default_rng(SPLIT_SEED).permutation(len(every))
    held = round(TEST_SHARE * len(every))
    return Dataset("digits", every.take(order[held:]), every.take(order[:held]), 10, LEVELS, values.shape[1:])
