"""The deployed network: integers, their place on the chip, and records about both. `model.loom` stores all of it in one file.

The file is a safetensors container (arrays plus a JSON header; nothing in it is ever executed): the document under the
metadata key `document`, a SHA-256 over document and arrays under `sha256`, the format version under `version`.

Files of the previous version can be read, too: `UPGRADES` turns a document of each version into one of the next. When you raise
VERSION, add a step there and files of the old version to tests/older (docs/versioning.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Mapping as MappingType
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..checked import checked
from ..display import chain, short, table
from ..errors import DAMAGE, DoesNotFitError, FormatError, NetworkError
from ..files import require_readable, sha256, write_bytes
from ..hwmodels.chip import Chip
from ..network.archive import Arrays, arrays_of, document_of, rebuild
from ..network.model import Network, Population
from ..network.neurons import is_integer
from .crossbar.artefact import Crossbars, restore
from .crossbar.route import routed
from .mapping.build import RESOURCES, Mapping
from .mapping.loads.load import Wiring
from .mapping.place import traffic
from .mapping.system import entries, joint_places
from .passes.balance import check_balance
from .pipeline import PassRecord

FORMAT = "spikeloom.loom"
VERSION = 8
Document = dict[str, Any]
UPGRADES: dict[int, Callable[[Document], Document]] = {
    7: lambda document: document | {"crossbars": None},  # 8 brought networks on crossbars
}
OLDEST = min(UPGRADES)
ARRAYS = ("core_of", "slot_of", "tile_of", "chip_of", "load", "rates")
_MAPPING_FIGURES = ("cores_bound", "messages_per_step", "messages_bound", "hops_per_message", "strategy", "changes")


@dataclass(frozen=True)
class DeployedNetwork:
    """An integer network on the cores of a chip.

    `drift`: spike mismatch per layer: the number of spikes that differ from the float network on the calibration samples, divided by the
    float network's spikes.
    """

    network: Network
    chip: Chip
    mapping: Mapping
    target: str
    passes: tuple[PassRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    drift: MappingType[str, float] = field(default_factory=dict[str, float])
    crossbars: Crossbars | None = None

    def __repr__(self) -> str:
        network, cores = self.network, f"{self.mapping.cores:,} core{'s' * (self.mapping.cores != 1)}"
        return (
            f"<DeployedNetwork {chain([p.size for p in network.populations])}: {network.synapses:,} synapses on {cores} of "
            f"{short(self.chip.name)}, {network.timesteps} time steps, {network.input.encoding} input>"
        )

    def _repr_html_(self) -> str:
        """Show the layers and their cores in a notebook."""
        rows = [
            (p.name, p.count, sum(self.network.synapses_of(q) for q in self.network.inputs_of(p.name)), self._cores_said(p))
            for p in self.network.spiking
        ]
        return table(repr(self), ("layer", "neurons", "synapses", "cores"), rows)

    def _cores_said(self, population: Population) -> int | str:
        return len(np.unique(self.cores_of(population.name))) if population.place == "chip" else "on the host"

    @cached_property
    def wiring(self) -> Wiring:
        """The chip's synapses in global numbering, for counting messages."""
        wiring = Wiring.of(self.network, self.mapping.rates, labelled=self.chip.shared_lists is not None).stored_on(self.chip)
        return wiring if self.crossbars is None else routed(wiring, self.crossbars)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """The (column, row) of every core on the joint mesh of all chips: (cores, 2)."""
        return joint_places(self.chip, self.mapping.tile_of, self.mapping.chip_of)

    def cores_of(self, population: str) -> NDArray[np.int64]:
        """Return the core of each neuron of an on-chip population that was not removed."""
        start = 0
        for p in self.network.on_chip:
            if p.name == population:
                return self.mapping.core_of[start : start + p.count]
            start += p.count
        raise KeyError(population)

    def core_graph(self) -> nx.DiGraph[int]:
        """Return the graph of cores: nodes with chip, tile and load, edges with expected messages per time step."""
        between, entering = traffic(self.wiring, self.mapping.core_of)
        graph: nx.DiGraph[int] = nx.DiGraph(chip=self.chip.name, timesteps=self.network.timesteps)
        for core in range(self.mapping.cores):
            column, row = (int(c) for c in self.mapping.tile_of[core])
            load = {name: int(value) for name, value in zip(RESOURCES, self.mapping.load[core], strict=True)}
            graph.add_node(
                core, chip=int(self.mapping.chip_of[core]), column=column, row=row, input_messages_per_step=float(entering[core]), **load
            )
        for a, b, messages in zip(*(part.tolist() for part in entries(between)), strict=True):
            graph.add_edge(a, b, messages_per_step=messages)
        return graph

    @cached_property
    def digest(self) -> str:
        """The SHA-256 stored in the file, of all that it holds: how long the passes took, too, so that a second compilation has another."""
        return _digest(_text(self), _arrays(self))

    @checked()
    def save(self, path: Path | str) -> Path:
        """Write one `.loom` file, atomically.

        Raises:
            OutputError: the folder cannot be written to.
        """
        header = {"format": FORMAT, "version": str(VERSION), "document": _text(self), "sha256": self.digest}
        return write_bytes(Path(path), save(_arrays(self), metadata=header))

    @checked()
    def to_lava(self, *, period: int | Literal["sample"] | None = "sample", first_step: int = 1, name: str | None = None) -> Any:
        """Return a hierarchical process of Intel's Lava, to be connected to processes of your own: `s_in`, `s_out`, `spikes_LAYER`.

        Its class has `encode` (from samples to what arrives at `s_in`), `spike_counts` (from what `s_out` sent to classes) and `LATENCY`.
        Call it before you import Lava itself, whose import Python 3.11 and later need repaired. `spikeloom export --to lava` writes the
        same process as a package.

        Args:
            period: time steps from one sample to the next, at which all neurons are set to zero; "sample": the time steps that the
                network was compiled for; None: one sample without end.
            first_step: time step at which the first sample starts to arrive at `s_in`.
            name: of the process.

        Raises:
            BackendError: this interpreter has no Lava, or cannot import it.
            NetworkError: Lava cannot compute the network exactly; the population or projection, the limit and a way out are named.
            UsageError: a period or first step below 1, or samples longer than Lava's 32-bit integers hold.
        """
        from ..formats.lava import to_lava

        return to_lava(self.network, period=period, first_step=first_step, name=name)


@checked(path="Name a model.loom that spikeloom compile wrote.")
def load(path: Path | str) -> DeployedNetwork:
    """Read a `.loom` file, of this format version or of the one before.

    Raises:
        FormatError: the file is missing, truncated, damaged, of another format, newer or too old; the message says which.
    """
    path = Path(path)
    way_out = f"Name a file in it, such as {path / 'model.loom'}." if path.is_dir() else "Write one with spikeloom compile."
    require_readable(path, "the deployed network", way_out)
    try:
        with safe_open(str(path), framework="numpy") as handle:
            header: dict[str, str] = handle.metadata() or {}
            arrays: Arrays = {k: handle.get_tensor(k) for k in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, *DAMAGE) as error:
        raise FormatError(f"{path} is not a .loom file, or is truncated ({error}). Compile the network again.") from error
    version = _check_header(path, header, arrays)
    try:
        document: Document = json.loads(header["document"])
        for before in range(version, VERSION):
            document = UPGRADES[before](document)
        return _rebuild(document, arrays)
    except (FormatError, NetworkError, *DAMAGE) as error:
        raise FormatError(f"{path} is damaged: {error}. Compile the network again.") from error
    except DoesNotFitError as error:
        raise FormatError(f"{path} does not fit its chip: {error} Compile the network again.") from error


def _check_header(path: Path, header: dict[str, str], arrays: Arrays) -> int:
    """Return the format version of an intact file."""
    if header.get("format") != FORMAT:
        raise FormatError(f"{path} is a safetensors file, but not a deployed network. Name a model.loom that spikeloom compile wrote.")
    version = header.get("version", "")
    number = int(version) if version.isdecimal() and len(version) < 10 else VERSION + 1
    if not OLDEST <= number <= VERSION:
        way_out = "Compile the network again." if number < OLDEST else "Update spikeloom."
        raise FormatError(f"{path} has format version {version!r}; this spikeloom reads {OLDEST} to {VERSION}. {way_out}")
    if header.get("sha256") != _digest(header.get("document", ""), arrays):
        raise FormatError(f"{path} is damaged: its checksum does not match its content. Compile the network again.")
    return number


def _digest(document: str, arrays: Arrays) -> str:
    parts = [sha256(document.encode())]
    parts += [f"{name}:{a.dtype}:{a.shape}:{sha256(np.ascontiguousarray(a).tobytes())}" for name, a in sorted(arrays.items())]
    return sha256("\n".join(parts).encode())


def _text(deployed: DeployedNetwork) -> str:
    return json.dumps(_document(deployed), sort_keys=True)


def _arrays(deployed: DeployedNetwork) -> Arrays:
    arrays: Arrays = {f"mapping.{n}": getattr(deployed.mapping, n) for n in ARRAYS}
    arrays |= {} if deployed.crossbars is None else deployed.crossbars.arrays()
    return {k: np.ascontiguousarray(v) for k, v in (arrays | arrays_of(deployed.network)).items()}


def _document(deployed: DeployedNetwork) -> Document:
    return document_of(deployed.network) | {
        "target": deployed.target,
        "chip": deployed.chip.model_dump(),
        "crossbars": None if deployed.crossbars is None else deployed.crossbars.mode,
        "mapping": _mapping_document(deployed.mapping),
        "passes": [asdict(r) for r in deployed.passes],
        "warnings": list(deployed.warnings),
        "drift": dict(deployed.drift),
    }


def _mapping_document(mapping: Mapping) -> Document:
    """Return the figures of a mapping; its objective only where it is not messages, as in files from before there were others."""
    figures = {n: getattr(mapping, n) for n in _MAPPING_FIGURES}
    return figures if mapping.objective == "messages" else figures | {"objective": mapping.objective}


def _rebuild(document: Document, arrays: Arrays) -> DeployedNetwork:
    network = rebuild(document, arrays)
    if not network.is_integer or any(not is_integer(p.neuron) for p in network.spiking):
        raise FormatError("the network holds float weights or neurons")
    chip = Chip.model_validate(document["chip"])
    check_balance(network, chip.limit("max_delay"))
    mapping = _mapping(document["mapping"], arrays, network, chip)
    passes = TypeAdapter(tuple[PassRecord, ...]).validate_python(document["passes"])
    drift = TypeAdapter(dict[str, float]).validate_python(document["drift"])
    crossbars = None
    if document["crossbars"] is not None:
        neurons = sum(p.count for p in network.on_chip)
        outside = [p for p in network.senders if p not in network.on_chip]
        sizes = sum(p.count for p in outside), neurons, sum(p.size for p in outside)
        crossbars = restore(str(document["crossbars"]), arrays, *sizes)
    said = tuple(map(str, document["warnings"]))
    return DeployedNetwork(network, chip, mapping, str(document["target"]), passes, said, drift, crossbars)


def _mapping(document: dict[str, Any], arrays: Arrays, network: Network, chip: Chip) -> Mapping:
    figures = {n: document[n] for n in _MAPPING_FIGURES if n != "changes"}
    figures |= {} if "objective" not in document else {"objective": str(document["objective"])}  # left out where it is messages
    changes = tuple(map(str, document["changes"]))
    core_of, slot_of, tile_of, chip_of, load_, rates = (arrays[f"mapping.{n}"] for n in ARRAYS)
    cores = len(slot_of)
    shapes_fit = core_of.shape == (sum(p.count for p in network.on_chip),) and tile_of.shape == (cores, 2) and load_.shape == (cores, 4)
    slots_fit = (
        chip_of.shape == (cores,) and (chip_of == slot_of // chip.limit("cores")).all() and 0 <= chip_of.min() <= chip_of.max() < chip.chips
    )
    if not shapes_fit or not slots_fit or core_of.min() < 0 or core_of.max() >= cores:
        raise FormatError("the mapping does not belong to the network")
    return Mapping(core_of, slot_of, tile_of, chip_of, load_, rates, **figures, changes=changes)
