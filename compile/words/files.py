"""Words in files: an .npz with the arrays, and beside it a JSON manifest that says what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ...checked import checked
from ...errors import DAMAGE, FormatError
from ...files import read_json, require_readable, sha256, write_atomically, write_json
from ...network.model import Network
from ...network.neurons import is_integer
from ..deployed import DeployedNetwork
from .encode import encode_words
from .layout import CoreWords, EntryFormat, Sender, SynapseWords

__all__ = ["load_words", "save_words"]

FORMAT, VERSION = "spikeloom.words", 2
WITHOUT_BASES = 1  # the version before lists were shared, which is written where none are
WAY_OUT = "Write it with spikeloom export model.loom --to words."
Arrays = dict[str, NDArray[Any]]


@checked(network="Pass what spikeloom.compile_network or spikeloom.load returned.")
def save_words(network: DeployedNetwork, path: Path | str) -> Path:
    """Write the words of every core as .npz, and its manifest as .json beside it, each atomically: docs/words.md describes both.

    Args:
        network: a network on cores that store synapses in words.
        path: the .npz; the manifest has the same name with the suffix .json.

    Returns:
        The path of the .npz.

    Raises:
        UsageError, DoesNotFitError: see `encode_words`.
        OutputError: the folder cannot be written to.
    """
    path = Path(path)
    words = encode_words(network)
    arrays = _arrays(words, network)
    if network.chip.shared_lists is None:
        del arrays["list_base"]
    written = write_atomically(path, _writer(arrays))
    write_json(manifest_of(path), _manifest(words, network, written))
    return written


@checked(path="Name the .npz that spikeloom export --to words wrote.")
def load_words(path: Path | str) -> SynapseWords:
    """Read the words of every core from an .npz and its manifest; nothing in either is executed.

    Args:
        path: the .npz; the manifest is beside it.

    Returns:
        The words; `decode_words` returns their synapses.

    Raises:
        FormatError: a file that is missing, damaged, of another format or newer, or an .npz that its manifest does not belong to.
    """
    path = Path(path)
    require_readable(path, "the words", WAY_OUT)
    manifest = read_json(manifest_of(path), "the manifest of words", WAY_OUT)
    try:
        if manifest["format"] != FORMAT:
            raise FormatError(f"{manifest_of(path)} is no manifest of words. {WAY_OUT}")
        if manifest["version"] not in (WITHOUT_BASES, VERSION):
            raise FormatError(
                f"{manifest_of(path)} has format version {manifest['version']}; this spikeloom reads {VERSION}. Update spikeloom."
            )
        if sha256(path.read_bytes()) != manifest["sha256"]:
            raise FormatError(f"{path} is damaged, or is not the file of its manifest: the checksum does not match. {WAY_OUT}")
        with np.load(path, allow_pickle=False) as held:
            arrays: Arrays = {name: held[name] for name in held.files}
        return _rebuilt(manifest, arrays)
    except (OSError, BadZipFile, *DAMAGE) as error:
        raise FormatError(f"{path} and its manifest do not hold words, or are damaged ({error}). {WAY_OUT}") from error


def manifest_of(path: Path) -> Path:
    """Return the path of the manifest of an .npz."""
    return path.with_suffix(".json")


def _writer(arrays: Arrays) -> Callable[[Path], None]:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]

    return write


def _arrays(words: SynapseWords, network: DeployedNetwork) -> Arrays:
    cores = words.cores

    def joined(parts: list[NDArray[Any]], kind: type) -> NDArray[Any]:
        return np.concatenate([np.zeros(0, kind), *parts]).astype(kind)

    def ends(sizes: list[int]) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    return {
        "words": joined([c.words for c in cores], np.uint64),
        "core_words": ends([len(c.words) for c in cores]),
        "list_source": joined([c.sources for c in cores], np.int64),
        "list_start": joined([c.starts for c in cores], np.int64),
        "list_words": joined([c.lengths for c in cores], np.int64),
        "list_base": joined([c.bases for c in cores], np.int64),
        "core_lists": ends([len(c.sources) for c in cores]),
        "core_neuron": joined([c.neurons for c in cores], np.int64),
        "core_neurons": ends([len(c.neurons) for c in cores]),
        "source_neuron": joined([s.neurons for s in words.senders], np.int64),
        "bias": joined([p.biases[p.living] for p in network.network.on_chip], np.int64),
    }


def _manifest(words: SynapseWords, network: DeployedNetwork, path: Path) -> dict[str, Any]:
    mapping, chip = network.mapping, network.chip
    return {
        "format": FORMAT,
        "version": WITHOUT_BASES if network.chip.shared_lists is None else VERSION,
        "arrays": path.name,
        "sha256": sha256(path.read_bytes()),
        "network": network.digest,
        "chip": {"name": chip.name, "digest": chip.digest},
        "word_bits": words.word_bits,
        "words": words.count,
        "timesteps": network.network.timesteps,
        "input": {"encoding": network.network.input.encoding, "levels": network.network.input.levels},
        "populations": _populations(words, network.network),
        "cores": [
            {
                "core": number,
                "chip": int(mapping.chip_of[number]),
                "slot": int(mapping.slot_of[number]) % chip.limit("cores"),
                "tile": mapping.tile_of[number].tolist(),
                "words": len(core.words),
                "formats": [f._asdict() for f in core.formats],
            }
            for number, core in enumerate(words.cores)
        ],
    }


def _populations(words: SynapseWords, network: Network) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for sender in words.senders:
        population = network.population(sender.name)
        registers = asdict(population.neuron) if population.neuron is not None and is_integer(population.neuron) else None
        rows.append(
            {
                "name": sender.name,
                "on_chip": sender.on_chip,
                "first_source": sender.first,
                "neurons": len(sender.neurons),
                "shape": list(population.shape),
                "neuron": registers,
            }
        )
    return rows


def _rebuilt(manifest: dict[str, Any], arrays: Arrays) -> SynapseWords:
    senders: list[Sender] = []
    for row in manifest["populations"]:
        first, size = int(row["first_source"]), int(row["neurons"])
        neurons = arrays["source_neuron"][first : first + size]
        senders.append(Sender(str(row["name"]), first, neurons.astype(np.int64), bool(row["on_chip"])))
    cores = tuple(_core(number, row, arrays) for number, row in enumerate(manifest["cores"]))
    word_bits = int(manifest["word_bits"])
    if not 1 <= word_bits <= 64:
        raise ValueError(f"words of {word_bits} bits")
    return SynapseWords(str(manifest["chip"]["name"]), word_bits, tuple(senders), cores)


def _core(number: int, row: dict[str, Any], arrays: Arrays) -> CoreWords:
    def part(name: str, ends: str) -> NDArray[Any]:
        first, last = arrays[ends][number : number + 2].tolist()
        found = arrays[name][first:last]
        if found.ndim != 1 or len(found) != last - first:
            raise ValueError(f"{name} of core {number} is not there")
        return found

    formats = tuple(_format(f) for f in row["formats"])
    words = part("words", "core_words")
    lists = (part(name, "core_lists").astype(np.int64) for name in ("list_source", "list_start", "list_words"))
    sources, starts, lengths = lists
    bases = part("list_base", "core_lists").astype(np.int64) if "list_base" in arrays else np.zeros(len(sources), np.int64)
    if words.dtype != np.uint64 or (lengths < 0).any() or (starts < 0).any() or (starts + lengths > len(words)).any():
        raise ValueError(f"a list of core {number} lies outside its words")
    return CoreWords(words, formats, sources, starts, lengths, part("core_neuron", "core_neurons").astype(np.int64), bases)


def _format(row: dict[str, Any]) -> EntryFormat:
    found = EntryFormat(str(row["layout"]), *(int(row[name]) for name in EntryFormat._fields[1:]))
    widths = found.prefix_bits, found.index_field_bits, found.index_bits, found.weight_bits
    if found.layout not in ("sparse", "runlength", "dense") or min(widths) < 0 or max(widths) > 48 or found.weight_bits < 1:
        raise ValueError(f"a format that is none: {json.dumps(row)}")
    if found.synapses_per_entry < 1 or found.id_bits < 0:
        raise ValueError(f"a format whose prefix is too narrow: {json.dumps(row)}")
    return found
