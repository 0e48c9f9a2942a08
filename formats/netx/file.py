"""The values of a .net file, layer by layer, with errors that name the layer. `netx/reader.py` says what they mean for a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError
from ...files import require_readable
from ...hdf5 import Tree, read_tree

GROUPS = ("layer", "simulation", "spikeloom")
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Layer:
    """One entry of `layer/`: its number, its type, and its values by name (`weight`, `neuron/vThMant`, ...)."""

    index: int
    kind: str
    values: Arrays

    @property
    def name(self) -> str:
        """The population's name if the file gives none."""
        return f"{self.kind}{self.index}"

    def wrong(self, what: str, way_out: str = "") -> FormatError:
        """Build the error for a layer that is invalid or cannot be represented."""
        return FormatError(f"Layer {self.index} ({self.kind}): {what}. {way_out}".rstrip())

    def has(self, key: str) -> bool:
        """Whether the layer has a value or a group of that name."""
        return key in self.values or any(name.startswith(f"{key}/") for name in self.values)

    def text(self, key: str) -> str:
        """Return a text value."""
        if key not in self.values or self.values[key].dtype.kind != "U":
            raise self.wrong(f"it has no text {key!r}")
        return str(self.values[key])

    def integers(self, key: str) -> NDArray[np.int64]:
        """Return the values of an array that must be integers, in whatever type they are stored."""
        if key not in self.values or self.values[key].dtype.kind == "U":
            raise self.wrong(f"it has no numbers {key!r}", "Export it again.")
        stored = self.values[key]
        if stored.dtype.kind == "f" and not np.isfinite(stored).all():
            raise self.wrong(f"{key} has values that are not finite", "Export it again.")
        if stored.dtype.kind == "f" and (stored != np.round(stored)).any():
            raise self.wrong(f"{key} has values that are not integers", "Export the network with SLAYER's quantisation on.")
        if stored.size and max(abs(float(stored.min())), abs(float(stored.max()))) > 1 << 40:
            raise self.wrong(f"{key} has values beyond 2^40", "Export it again.")
        return stored.astype(np.int64)

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return one integer within low..high; an array is accepted if all of its entries are equal."""
        if default is not None and key not in self.values:
            return default
        found = np.unique(self.integers(key))
        if found.size != 1:
            raise self.wrong(f"{key} has {found.size} different values; only one per layer is read", "Train with shared parameters.")
        if not low <= found[0] <= high:
            raise self.wrong(f"{key} is {found[0]:,}; it must lie in {low}..{high}")
        return int(found[0])

    def pair(self, key: str, low: int, default: int) -> tuple[int, int]:
        """Return (along rows, along columns) of a value that is one number or two; at most 4096."""
        if key not in self.values:
            return default, default
        found = self.integers(key).ravel()
        if found.size not in (1, 2) or found.min() < low or found.max() > 4096:
            raise self.wrong(f"{key} is {found.tolist()[:8]}; it must be one or two numbers in {low}..4096")
        return int(found[0]), int(found[-1])

    def shape(self) -> tuple[int, ...]:
        """Return the layer's shape as stored: (channels, rows, columns), or (neurons,)."""
        found = tuple(self.integers("shape").ravel().tolist())
        if len(found) not in (1, 3) or min(found) < 1 or max(found) > 1 << 24:
            raise self.wrong(f"its shape is {found}; one or three sizes of at least 1 are read")
        return found


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return every value of the groups `layer`, `simulation` and `spikeloom` under its path, text as an array of one text.

    Raises:
        FormatError: h5py is not installed, or the file is damaged, of another kind, or declares more than the size limit.
    """
    require_readable(path, "the network")

    def refuse(what: str) -> FormatError:
        return FormatError(f"{path} cannot be read as a netx file: {what}. Export it again.")

    tree = read_tree(path, GROUPS, refuse)
    wrong = next((name for name, member in tree.items() if not isinstance(member, dict)), None)
    if wrong is not None:
        raise refuse(f"{wrong} is not a group")
    found = dict(_values(tree, ""))
    odd = next((name for name, value in found.items() if value is None), None)
    if odd is not None:
        raise refuse(f"{odd} has no values, or several texts")
    return cast("dict[str, NDArray[Any]]", found)


def _values(tree: Tree, path: str) -> Iterator[tuple[str, NDArray[Any] | None]]:
    """Yield each value with its path; None for anything but numbers or a single text."""
    for name, member in tree.items():
        where = f"{path}{name}"
        if isinstance(member, dict):
            yield from _values(cast("Tree", member), f"{where}/")
        elif isinstance(member, list):
            texts = [t for row in cast("list[list[str]]", member) for t in row]
            yield where, np.array(texts[0]) if len(texts) == 1 else None
        else:
            yield where, None if member is None else np.asarray(member)


def layers_of(arrays: Arrays) -> list[Layer]:
    """Return the layers in their order.

    Raises:
        FormatError: no layers, or numbers that do not run from 0 on.
    """
    by_index: dict[int, dict[str, NDArray[Any]]] = {}
    for name, value in arrays.items():
        group, _, rest = name.partition("/")
        number, _, key = rest.partition("/")
        if group == "layer":
            if not number.isdecimal() or len(number) > 5:
                raise FormatError(f"{name} is not in a numbered layer.")
            by_index.setdefault(int(number), {})[key] = value
    if not by_index or sorted(by_index) != list(range(len(by_index))):
        raise FormatError(f"the layers are numbered {sorted(by_index)[:8]}, not from 0 on without a gap. Export it again.")
    found: list[Layer] = []
    for index in sorted(by_index):
        bare = Layer(index, "?", by_index[index])
        found.append(Layer(index, bare.text("type"), by_index[index]))
    return found
