"""Mappings in files, and as users give them: which core each neuron is on, as CSV or JSON (docs/mapping.md)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...checked import checked
from ...errors import DAMAGE, FormatError, UsageError
from ...files import read_bytes, read_json, write_json, write_text
from ..deployed import DeployedNetwork, load
from ..mapping.given import LEFT, Given, cores_of_text

__all__ = ["Pins", "Placed", "given_of", "save_mapping"]

FORMAT, VERSION = "spikeloom.mapping", 1
COLUMNS = ("population", "neuron", "core", "chip", "slot")
LARGEST = 1 << 31
WAY_OUT = "spikeloom export MODEL.loom --to mapping writes one."
Placed = DeployedNetwork | MappingType[str, Any] | Path | str
"""A mapping as users give it: of a deployed network, in a file, or by layer the core of each neuron, -1 for one left to the mapper."""
Pins = MappingType[str, Any]
"""Layers and their cores: whole numbers, or a text such as "0-7,12"."""


@checked(network="Pass what spikeloom.compile_network or spikeloom.load returned.")
def save_mapping(network: DeployedNetwork, path: Path | str) -> Path:
    """Write the core of every neuron, and the chip and slot of its core, atomically: as JSON if the name ends so, otherwise as CSV.

    Args:
        network: a deployed network.
        path: the file to write.

    Returns:
        The path. `compile_network(..., mapping=path)` reads it: the same network gets the same mapping and the same figures.

    Raises:
        OutputError: the folder cannot be written to.
    """
    path = Path(path)
    return write_json(path, _document(network)) if path.suffix == ".json" else write_text(path, _table(network))


def given_of(mapping: Placed | None, pins: Pins | None) -> Given | None:
    """Return what a user gave as one object; None if he gave nothing.

    Raises:
        FormatError: a file that is missing or not a mapping; the line or entry is named.
        UsageError: cores that are no whole numbers.
    """
    if mapping is None and not pins:
        return None
    found = Given() if mapping is None else _given(mapping)
    pinned = {name: _cores(name, cores) for name, cores in (pins or {}).items()}
    where = "--pin" if mapping is None else found.where
    return Given(found.core_of, found.places, pinned, where)


def _given(mapping: Placed) -> Given:
    if isinstance(mapping, DeployedNetwork):
        return Given(dict(_cores_by_population(mapping)), _places(mapping), where="the network's mapping")
    if isinstance(mapping, Path | str):
        path = Path(mapping)
        if path.suffix == ".loom":
            return replace(_given(load(path)), where=str(path))
        return _read_json(path) if path.suffix == ".json" else _read_csv(path)
    return Given({name: _array(name, cores) for name, cores in mapping.items()})


def _array(name: str, cores: Any) -> NDArray[np.int64]:
    found = np.asarray(cores)
    if found.ndim != 1 or not (np.issubdtype(found.dtype, np.integer) or found.size == 0) or (found < LEFT).any():
        raise UsageError(
            f"The cores of {name} are an array of {found.dtype} of shape {found.shape}; give a whole number for each neuron, "
            f"{LEFT} for one that is left to the mapper."
        )
    return found.astype(np.int64)


def _cores(name: str, cores: Any) -> tuple[int, ...]:
    if isinstance(cores, str):
        return cores_of_text(cores, f"the pinned layer {name}")
    listed = np.asarray([cores] if isinstance(cores, int | np.integer) else list(cores) if isinstance(cores, Iterable) else cores)
    if listed.ndim != 1 or (listed.size and (not np.issubdtype(listed.dtype, np.integer) or (listed < 0).any())):
        raise UsageError(
            f"{name} is pinned to {cores!r}; name its cores as whole numbers, such as range(8), or as a text, such as '0-7,12'."
        )
    return tuple(sorted({int(core) for core in cast("list[int]", listed.tolist())}))


def _cores_by_population(network: DeployedNetwork) -> Iterable[tuple[str, NDArray[np.int64]]]:
    """Yield the core of each neuron of each population on the chip, -1 for those that were removed."""
    for p in network.network.on_chip:
        cores = np.full(p.size, LEFT, np.int64)
        cores[p.living] = network.cores_of(p.name)
        yield p.name, cores


def _places(network: DeployedNetwork) -> dict[int, tuple[int, int]]:
    held = network.chip.limit("cores")
    pairs = zip(network.mapping.chip_of.tolist(), (network.mapping.slot_of % held).tolist(), strict=True)
    return dict(enumerate(pairs))


def _document(network: DeployedNetwork) -> dict[str, Any]:
    cores = [{"core": core, "chip": chip, "slot": slot} for core, (chip, slot) in _places(network).items()]
    populations = {name: [None if core == LEFT else core for core in found.tolist()] for name, found in _cores_by_population(network)}
    return {"format": FORMAT, "version": VERSION, "chip": network.chip.name, "cores": cores, "populations": populations}


def _table(network: DeployedNetwork) -> str:
    places, text = _places(network), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, cores in _cores_by_population(network):
        writer.writerows((name, neuron, core, *places[core]) for neuron, core in enumerate(cores.tolist()) if core != LEFT)
    return text.getvalue()


def _read_csv(path: Path) -> Given:
    content = read_bytes(path, "the mapping", WAY_OUT)
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = [word.strip() for word in next(rows, [])]
        _check_header(path, header)
        listed: dict[str, dict[int, int]] = {}
        places: dict[int, tuple[int, int]] = {}
        for row in rows:
            if row:
                _take(f"{path}, line {rows.line_num}", dict(zip(header, row, strict=False)), len(row) == len(header), listed, places)
    except (csv.Error, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is not a CSV file: {error}. {WAY_OUT}") from error
    return Given({name: _filled(cores) for name, cores in listed.items()}, places, where=str(path))


def _check_header(path: Path, header: list[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name in COLUMNS[:3] if name not in header]
    if unknown or missing or len(set(header)) < len(header) or ("chip" in header) != ("slot" in header):
        raise FormatError(
            f"{path} has the columns {', '.join(header) or 'of an empty file'}; a mapping has population, neuron and core, and with the "
            f"places of the cores also chip and slot. {WAY_OUT}"
        )


def _take(where: str, row: dict[str, str], complete: bool, listed: dict[str, dict[int, int]], places: dict[int, tuple[int, int]]) -> None:
    """Add a row: the core of a neuron, and the place of that core."""
    if not complete:
        raise FormatError(f"{where}: it has not as many values as the file has columns.")
    values = {name: _whole(where, name, row[name]) for name in COLUMNS[1:] if row.get(name, "").strip()}
    cores = listed.setdefault(row["population"].strip(), {})
    if "neuron" not in values or ("core" not in values and "chip" in values) or ("chip" in values) != ("slot" in values):
        raise FormatError(f"{where}: a value is missing. A row names a neuron and its core; chip and slot go together.")
    if values["neuron"] in cores:
        raise FormatError(f"{where}: neuron {values['neuron']} of {row['population']} has a core already. Name each neuron once.")
    core = cores[values["neuron"]] = values.get("core", LEFT)
    if "chip" in values and places.setdefault(core, (values["chip"], values["slot"])) != (values["chip"], values["slot"]):
        raise FormatError(f"{where}: core {core} lies elsewhere in a row above. A core has one chip and one slot.")


def _whole(where: str, name: str, text: str) -> int:
    word = text.strip()
    if not word.isdecimal() or len(word) > 10 or int(word) >= LARGEST:
        raise FormatError(f"{where}: {name} is {word!r}; it must be a whole number from 0.")
    return int(word)


def _filled(cores: dict[int, int]) -> NDArray[np.int64]:
    most = max(cores, default=-1) + 1
    if most > max(1_000_000, 1000 * len(cores)):  # a wrong number must not take all memory
        raise FormatError(f"The mapping names a neuron {most - 1:,}, and {len(cores):,} neurons in all. Number neurons from 0.")
    found = np.full(most, LEFT, np.int64)
    found[list(cores)] = list(cores.values())
    return found


def _read_json(path: Path) -> Given:
    document = read_json(path, "a mapping", WAY_OUT)
    try:
        if document["format"] != FORMAT:
            raise FormatError(f"{path} is no mapping. {WAY_OUT}")
        if document["version"] != VERSION:
            raise FormatError(f"{path} has format version {document['version']!r}; this spikeloom reads {VERSION}. Update spikeloom.")
        core_of = {str(name): _listed(path, cores) for name, cores in document["populations"].items()}
        places = {_number(path, row["core"]): (_number(path, row["chip"]), _number(path, row["slot"])) for row in document.get("cores", [])}
    except DAMAGE as error:
        raise FormatError(f"{path} is not a mapping, or is damaged ({type(error).__name__}: {error}). {WAY_OUT}") from error
    return Given(core_of, places, where=str(path))


def _listed(path: Path, cores: list[Any]) -> NDArray[np.int64]:
    return np.array([LEFT if core is None else _number(path, core) for core in cores], np.int64)


def _number(path: Path, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise FormatError(f"{path} has {value!r} where a whole number from 0 belongs.")
    return value
