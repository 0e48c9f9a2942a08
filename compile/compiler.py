"""From a network to a deployed network: read, run the passes, check the target's rules, partition, place, check the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast, get_args

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from .. import formats
from ..checked import check_fields, checked
from ..data.dataset import Dataset
from ..data.given import Form, collect
from ..data.samples import samples_of
from ..errors import DAMAGE, DoesNotFitError, FormatError, UsageError
from ..fed import CALIBRATION_SAMPLES, Data, OwnSamples
from ..hwmodels import chip as chips
from ..hwmodels.chip import Chip
from ..network import reference, zoo
from ..network.model import Encoding, Network
from ..subset import choose
from . import modules, pipeline, sources
from .api import Calibration, CompileOptions
from .chain import with_plug_ins
from .deployed import DeployedNetwork
from .files.mapping import Pins, Placed, given_of
from .mapping.api import Effort, Objective, check_effort, check_objective
from .mapping.build import RESOURCES
from .mapping.build import Mapping as CoreMapping
from .mapping.progress import Progress, quiet
from .modules import Batch, Graph, Module
from .passes.balance import check_balance
from .pipeline import PipelineResult
from .sources import Source
from .targets import api as targets
from .targets.api import Target

MAX_SYNAPSES = 200_000_000
ENCODINGS = tuple(e for e in get_args(Encoding) if e != "direct")


class RunFolder(Protocol):
    """Anything that has a run folder, such as the result of `train.fit`."""

    @property
    def folder(self) -> Path:
        """The folder that holds model.onnx."""
        ...


@dataclass(frozen=True)
class Compilation:
    """A network and how to compile it; the fields are the arguments of `compile_network` with the same names."""

    source: Network | Path | str | RunFolder | Module | Graph
    target: str = "lava"
    chip: str | Path | Chip | None = None
    encoding: Encoding | None = None
    weight_bits: int | str = 8
    granularity: str = "layer"
    calibration: Calibration | OwnSamples | Path | str | None = None
    seed: int = 0
    max_chips: int | None = None
    mode: str | None = None
    reader: Mapping[str, Any] | None = None
    data: Data | Dataset | OwnSamples | Path | str | None = None
    value_range: tuple[float, float] | None = None
    sample: Batch | None = None
    timesteps: int | None = None
    events: bool = False
    mapping: Placed | None = None
    pin: Pins | None = None
    objective: Objective = "messages"

    def __post_init__(self) -> None:
        check_fields(self)

    def run_passes(self, *, stop_after: str | None = None, dump_dir: Path | None = None, progress: Progress = quiet) -> PipelineResult:
        """Run only the passes, up to `stop_after`, without mapping; the errors are those of `compile_network`."""
        return self._run_passes(*self._begin(), stop_after, dump_dir, progress)

    def deploy(self, *, effort: Effort = "default", dump_dir: Path | None = None, progress: Progress = quiet) -> DeployedNetwork:
        """Do what `compile_network` does."""
        check_effort(effort)
        target, read, options = begun = self._begin()
        result = self._run_passes(*begun, None, dump_dir, progress)
        network, chip = result.network, options.chip
        target.check(network, chip)
        check_size(network)
        rates = result.rates or {p.name: np.ones(p.size) for p in network.populations}  # unknown: assume that all spike at every step
        mapped = target.map(network, rates, options, effort, progress)
        _check_limits(mapped.mapping, chip)
        self._check_kept(options, network, mapped.mapping)
        check_balance(network, chip.limit("max_delay"))
        if read.fed is not None:
            network = replace(network, stages=(*network.stages, *sources.stages(read.network, network, read.fed, self.seed)))
        return DeployedNetwork(network, chip, mapped.mapping, self.target, result.records, result.warnings, result.drift, mapped.crossbars)

    def _begin(self) -> tuple[Target, Source, CompileOptions]:
        """Return the target, the network as read, and the options of its passes."""
        target = targets.find(self.target)
        chip = self._chip(target)
        read = self._read()
        if self.encoding is not None and self.encoding not in ENCODINGS:
            raise UsageError(f"There is no encoding called {self.encoding!r}. Known: {', '.join(ENCODINGS)}.")
        calibrating, span = self.calibration, self.value_range
        if span is None and modules.is_module(self.source):
            span = modules.range_of(read.network)
        samples = read.calibration if calibrating is None else _calibrating(calibrating, read.network, span)
        given = given_of(self.mapping, self.pin)
        check_objective(self.objective, chip)
        if given is not None and self.objective != "messages":
            raise UsageError(
                f"--objective {self.objective} searches for a mapping, and --mapping and --pin give one. Leave the one or the others out."
            )
        how = (self.encoding, self.weight_bits, samples, self.seed, self.granularity, self.mode, given)
        return target, read, CompileOptions(chip, *how, None if samples is not None else read.calibrated, self.objective)

    def _check_kept(self, options: CompileOptions, network: Network, mapping: CoreMapping) -> None:
        """Refuse a target that does not heed what is said of the mapping."""
        if options.given is not None and not options.given.settled(network, options.chip).kept_by(mapping.core_of):
            raise UsageError(f"The target {self.target} does not keep to a given mapping. Leave --mapping and --pin out.")
        if mapping.objective != options.objective:
            raise UsageError(f"The target {self.target} maps its cores in one way, not for {options.objective}. Leave --objective out.")

    def _read(self) -> Source:
        """Return the network of the source."""
        given = modules.Given(self.sample, self.timesteps, self.events)
        data = None if self.data is None else _data(self.data, self.value_range)
        if modules.is_module(self.source):
            return modules.read_module(self.source, given.with_options(self.reader or {}), data)
        if modules.is_graph(self.source):
            return modules.read_graph(self.source, self.reader or {}, given, data)
        if self.sample is not None or self.events:
            raise UsageError("sample and events are for a module of torch, which does not say the shape of its samples. Leave them out.")
        options = dict(self.reader or {}) | ({} if self.timesteps is None else {"timesteps": self.timesteps})
        return _read(cast("Network | Path | str | RunFolder", self.source), options, data)

    def _chip(self, target: Target) -> Chip:
        given = str(self.chip) if isinstance(self.chip, Path) else self.chip
        model = given if isinstance(given, Chip) else chips.load(given or target.chips[0])
        if isinstance(given, str) and not given.endswith(".toml") and given not in target.chips:
            others = targets.of_chip(given)
            way = f": that needs the target {others[0]}." if others else "."
            raise UsageError(f"The target {self.target} does not run on {given}{way} It runs on: {', '.join(target.chips)}.")
        return model if self.max_chips is None else model.limited_to(self.max_chips)

    def _run_passes(
        self, target: Target, read: Source, options: CompileOptions, stop_after: str | None, dump_dir: Path | None, progress: Progress
    ) -> PipelineResult:
        passes = with_plug_ins(target.passes(options), options)
        result = pipeline.run(read.network, passes, stop_after=stop_after, dump_dir=dump_dir, progress=progress)
        if result.rates is None and options.calibrated is not None:
            return replace(result, rates=options.calibrated.spread(result.network))
        return result


@checked(
    source="Name a run folder, a model.onnx or a model.nir, or pass what spikeloom.train.fit returned, or your torch.nn.Module.",
    sample="Give an array or a tensor (N, ...), such as x[:1].",
    target="Name one, such as lava or truenorth.",
    chip="Name a chip that spikeloom.hwmodels.names() lists, or the path of a chip file.",
    calibration="Give an array (N, ...), a pair (samples, labels), or a torch Dataset.",
    data="Name a data set or a file, or give a pair (samples, labels) or a torch Dataset.",
    mapping="Name a file that save_mapping wrote, or give by layer the core of each neuron.",
    pin="Give by layer the cores that it is pinned to, such as {'hidden1': range(8)}.",
)
def compile_network(
    source: Network | Path | str | RunFolder | Module | Graph,
    *,
    sample: Batch | None = None,
    timesteps: int | None = None,
    events: bool = False,
    target: str = "lava",
    chip: str | Path | Chip | None = None,
    encoding: Encoding | None = None,
    weight_bits: int | str = 8,
    granularity: str = "layer",
    calibration: Calibration | OwnSamples | Path | str | None = None,
    effort: Effort = "default",
    seed: int = 0,
    max_chips: int | None = None,
    dump_dir: Path | str | None = None,
    mode: str | None = None,
    reader: Mapping[str, Any] | None = None,
    data: Data | Dataset | OwnSamples | Path | str | None = None,
    value_range: tuple[float, float] | None = None,
    mapping: Placed | None = None,
    pin: Pins | None = None,
    objective: Objective = "messages",
    progress: Progress = quiet,
) -> DeployedNetwork:
    """Compile a network onto a chip.

    Args:
        source: a run folder, the result of `train.fit`, a network file (model.onnx, model.nir), "zoo:NAME" for a network of the
            package (docs/zoo.md), a `Network`, a `torch.nn.Module` of SpikingJelly, snnTorch or Norse layers (docs/modules.md), or a
            `nir.NIRGraph`.
        sample: for a module, a batch of samples on which the network's spikes are compared with the module's: (N, ...), or with `events`
            (T, N, ...). The first samples of `data` if None.
        timesteps: time steps per sample, where the source does not give them.
        events: whether a module's samples have a value for each time step.
        target: what to compile for: `lava`, `truenorth`, `netx` or `xylo`.
        chip: chip name, path of a chip TOML, or a `Chip`; the target's first if None.
        encoding: how samples enter: current, graded, rate or host, or events for samples that contain their own time steps; if None,
            the chip's first that suits the network.
        weight_bits: 2..8 or `ternary`, also per layer as in `8,hidden1=4`, for a float network; one trained in integers keeps its own.
        granularity: `layer`: one weight exponent per layer; `channel`: up to four per layer, chosen per channel.
        calibration: a few hundred training samples: an array (N, ...), a pair (samples, labels), a torch Dataset, or anything else
            that `spikeloom.data.as_dataset` takes; those in the run folder if None.
        effort: how much work goes into partition and placement: fast, default or best.
        seed: of the rate code during calibration, of the partition and of the placement.
        max_chips: the largest number of chips to use; all of the chip's system if None.
        dump_dir: folder for the network after each pass.
        mode: for the target truenorth: ternary, codebook (if None) or exact.
        reader: options of the file's reader by name, such as {"dt": 1e-4, "timesteps": 8} for a NIR file.
        data: the network's data: the name of a data set, a file, or samples as for `calibration`, with labels. It settles what another
            tool's file leaves open (time steps, levels), calibrates where no `calibration` is given, and measures the accuracy of a
            float network as read and after quantisation.
        value_range: the range of float samples in `calibration` and `data`, (0, 1), or (0, levels) for whole numbers.
        mapping: the core of each neuron: a file that `save_mapping` wrote (.csv, .json), a .loom, a deployed network, or by layer the core
            of each of its neurons, -1 for one that is left to the mapper. Every limit is checked, and the mapping is priced like any other.
        pin: by layer the cores that its neurons are on, such as {"hidden1": range(8)} or {"hidden1": "0-7"}; other layers have cores of
            their own.
        objective: what the mapping makes small: `messages`, or `latency` or `energy`, the modelled time or dynamic energy of a step under
            the chip's own model at the rates of the calibration samples; on as many chips as the mapping for messages takes.
        progress: called now and then with the current stage (a pass, filling cores, refinement, placement) and the share completed.

    Returns:
        The deployed network; `.save("model.loom")` writes it.

    Raises:
        UsageError: an unknown target, chip, encoding, effort or objective, an objective that the chip's model does not price, or a
            mapping of layers or cores that do not exist.
        FormatError: a damaged file, one of another format, or one of a newer version.
        NetworkError: a layer that could never work, or a layer of a module that cannot be imported; it is named.
        MismatchError: a module whose network does not produce the same spikes; the first layer that differs is named.
        DoesNotFitError: layer, limit, need and a way out.
    """
    made = Compilation(
        source,
        target=target,
        chip=chip,
        encoding=encoding,
        weight_bits=weight_bits,
        granularity=granularity,
        calibration=calibration,
        seed=seed,
        max_chips=max_chips,
        mode=mode,
        reader=reader,
        data=data,
        value_range=value_range,
        sample=sample,
        timesteps=timesteps,
        events=events,
        mapping=mapping,
        pin=pin,
        objective=objective,
    )
    return made.deploy(effort=effort, dump_dir=None if dump_dir is None else Path(dump_dir), progress=progress)


def _data(data: Data | Dataset | OwnSamples | Path | str, value_range: tuple[float, float] | None) -> Data:
    """Return the network's data, ready to be loaded."""
    if isinstance(data, Data):
        return data
    return samples_of(data, options={} if value_range is None else {"value_range": value_range})


def _calibrating(given: Calibration | OwnSamples | Path | str, network: Network, value_range: tuple[float, float] | None) -> Calibration:
    """Return calibration samples as integers, recordings as frames; evenly spaced, no more than calibration uses."""
    if isinstance(given, Calibration):
        return given
    if isinstance(given, str | Path):
        held: Any = _data(given, value_range).load(network.takes).train
    else:
        form = Form(levels=network.takes.levels, value_range=value_range, name="the calibration samples").known(network.takes)
        held = collect(given, form, whole=False)
    chosen = choose(CALIBRATION_SAMPLES, len(held.values)).indices()
    values = np.asarray(held.values[chosen])
    reference.check_values(network, values)
    labels = np.zeros(len(values), np.int64) if held.labels is None else held.labels[chosen]  # calibration does not read them
    return Calibration(values.reshape(len(values), -1), labels)


def _read(source: Network | Path | str | RunFolder, given: Mapping[str, Any] | None, data: Data | None) -> Source:
    if not isinstance(source, Network):
        return read_source(source, given, data)
    if given:
        raise UsageError(f"The network is read already; {', '.join(given)} would be for the reader of its file. Leave it out.")
    return Source(source, None) if data is None else sources.feed(source, data)


def read_source(source: Path | str | RunFolder, given: Mapping[str, Any] | None = None, data: Data | None = None) -> Source:
    """Read a run folder or a network file, with calibration samples from `data` or from the same folder.

    Args:
        given: options of the reader by name; a reader with options takes them as its second argument.
        data: the network's data; see `compile.sources`.

    Raises:
        UsageError: no such file, a suffix that no reader knows, or an option that its reader does not have.
    """
    reader, path = reader_of(source)
    read = sources.read(reader, path, given or {}, data)
    if data is not None:
        return read
    name = zoo.name_of(source)
    if name is not None:
        return replace(read, calibrated=sources.of_zoo(name)[1])
    return replace(read, calibration=_calibration(path.parent / "calibration.safetensors"))


def reader_of(source: Path | str | RunFolder) -> tuple[Any, Path]:
    """Return the module that reads a source, and the file.

    Raises:
        UsageError: no such file, a suffix that no reader knows, or an unknown network of the zoo.
    """
    path = Path(source) if isinstance(source, (str, Path)) else source.folder
    name = zoo.name_of(source)
    if name is not None:
        path = sources.of_zoo(name)[0]
    if path.is_dir():
        path = path / "model.onnx"
    if not path.exists() and (path.parent / "train.json").exists():
        raise UsageError(
            f"The run {path.parent} trained a module that model.onnx cannot hold (train.json says why). Compile the trained module itself: "
            f"compile_network(module, ...), or spikeloom compile FILE.py:NAME --weights {path.parent / 'model.safetensors'}."
        )
    if not path.exists():
        raise UsageError(
            f"There is no network at {path}. Name a run folder of spikeloom train, a model.onnx or a .nir file, "
            f"or zoo:NAME for a trained network of the package (spikeloom zoo)."
        )
    readers = formats.readers()
    for reader in readers.values():
        if path.suffix in reader.SUFFIXES:
            return reader, path
    raise UsageError(f"{path} has the suffix {path.suffix!r}, which no reader knows. Readers: {', '.join(readers)}.")


def _calibration(path: Path) -> Calibration | None:
    if not path.exists():
        return None
    try:
        tensors = load_file(path)
        return Calibration(tensors["values"].reshape(len(tensors["values"]), -1), tensors["labels"])
    except (SafetensorError, OSError, *DAMAGE) as error:
        raise FormatError(f"{path} does not hold calibration samples, or is truncated ({error}). Train again, or remove it.") from error


def check_size(network: Network, limit: int = MAX_SYNAPSES) -> None:
    """Refuse a network with more synapses than can be mapped one by one.

    Raises:
        DoesNotFitError: the message names the largest layer.
    """
    total = network.synapses
    if total > limit:
        largest = max(network.projections, key=network.synapses_of)
        raise DoesNotFitError(
            f"The network has {total:,} synapses, most of them in layer {largest.target} ({network.synapses_of(largest):,}); the compiler "
            f"holds {limit:,}, which take {8 * limit / 1e9:.1f} GB and several times that while cores are filled. "
            f"Train with a higher sparsity or fewer channels."
        )


def _check_limits(mapping: CoreMapping, chip: Chip) -> None:
    """Check the finished mapping against every limit once more, independently of the partitioner."""
    for core, load in enumerate(mapping.load):
        for name, need in zip(RESOURCES, load, strict=True):
            if need > chip.limit(name):
                raise DoesNotFitError(
                    f"Core {core} needs {int(need):,} {name.replace('_', ' ')}; {chip.name} allows {chip.limit(name):,}. "
                    f"Try a higher sparsity or another --chip."
                )
    if len(set(mapping.slot_of.tolist())) != mapping.cores:
        raise DoesNotFitError("Two cores were placed on one slot of the mesh.")
