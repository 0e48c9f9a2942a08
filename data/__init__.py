"""Data sets and samples in files, as integers: `load_dataset`, `as_dataset`, `samples_of`. Nothing here imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from .dataset import Dataset, Split, load_dataset, names
    from .given import as_dataset
    from .samples import samples_of

__all__ = ["Dataset", "Split", "as_dataset", "load_dataset", "names", "samples_of"]

if not TYPE_CHECKING:  # type checkers would accept any name from a module with __getattr__
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "Dataset": ".dataset",
            "Split": ".dataset",
            "as_dataset": ".given",
            "load_dataset": ".dataset",
            "names": ".dataset",
            "samples_of": ".samples",
        },
    )
