"""results.json: reading and writing. Its types are in `report/document.py`: counts and figures per sample, units in the names."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr, ValidationError

from ..checked import checked
from ..display import short, table
from ..errors import FormatError, UsageError
from ..files import read_json, write_json
from ..report import frames
from ..report.document import FORMAT, VERSION, Document, Probed
from . import arrays
from .arrays import ProbeArrays

__all__ = ["FORMAT", "VERSION", "Results", "gather", "load"]


class Results(Document):
    """The results of one run, to read, save and compare; `report/document.py` describes every entry.

    Two results are equal if they would be written as the same document.
    """

    _probes: ProbeArrays = PrivateAttr(default_factory=lambda: ProbeArrays({}))

    @property
    def probes(self) -> ProbeArrays:
        """What the probes of the run recorded, by name: `results.probes["hidden1.v"]`, (samples, timesteps, neurons)."""
        return self._probes

    def with_probes(self, probes: ProbeArrays) -> Self:
        """Return these results with the arrays of their probes."""
        made = self.model_copy()
        made._probes = probes
        return made

    def __eq__(self, other: object) -> bool:
        return self.document() == other.document() if isinstance(other, Results) else NotImplemented

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def document(self, most: int | None = None) -> dict[str, Any]:
        """Return the results as a dictionary of JSON values; arrays of more than `most` numbers are left out."""
        unused = {"probed"} if self.probed is None else set[str]()
        return self.model_dump(mode="json", exclude=set(self._large(most)) | unused)

    def _large(self, most: int | None) -> dict[str, Any]:
        """Return the arrays of more than `most` numbers, by name."""
        held = {name: getattr(self, name) for name in _ARRAYS}
        return {name: array for name, array in held.items() if array is not None and most is not None and array.size > most}

    @property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """How many samples of each class (rows) were predicted as each class (columns): (classes, classes).

        Raises:
            UsageError: the results hold no labels or no predictions, or a label that is no class.
        """
        labels, counts, predictions = self._labelled()
        classes = counts.shape[1]
        return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)

    @property
    def accuracy_by_class(self) -> NDArray[np.float64]:
        """The fraction of each class's samples predicted correctly, (classes,); NaN where a class has no samples.

        Raises:
            UsageError: see `confusion_matrix`.
        """
        matrix = self.confusion_matrix
        samples = matrix.sum(axis=1)
        return np.where(samples, matrix.diagonal() / np.maximum(samples, 1), np.nan)

    @checked()
    def top_k(self, k: int) -> float:
        """Return the share of samples whose label is among the k classes with most output spikes; `top_k(1)` is the accuracy.

        Classes with equally many output spikes are ordered by index, lowest first.

        Raises:
            UsageError: k is not in 1..classes, or see `confusion_matrix`.
        """
        labels, counts, _ = self._labelled()
        if not 1 <= k <= counts.shape[1]:
            raise UsageError(f"k is {k}; it must lie in 1..{counts.shape[1]}, the number of classes.")
        own = counts[np.arange(len(labels)), labels][:, None]
        before = (counts > own) | ((counts == own) & (np.arange(counts.shape[1]) < labels[:, None]))
        return float((before.sum(axis=1) < k).mean())

    def _labelled(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return labels, output counts and predictions."""
        if self.labels is None or self.output_counts is None or self.predictions is None:
            raise UsageError(
                "The results hold no labels: run samples with labels, (values, labels); results of earlier versions did not keep them."
            )
        classes = self.output_counts.shape[1]
        if self.labels.min() < 0 or self.labels.max() >= classes:
            raise UsageError(
                f"The labels run from {self.labels.min()} to {self.labels.max()}; the network has the classes 0..{classes - 1}. "
                f"Run the samples of these classes alone."
            )
        return self.labels, self.output_counts, self.predictions

    @checked()
    def records(self, kind: str = "layers") -> list[dict[str, Any]]:
        """Return rows of plain values, numbers at full precision, in the units given in their names.

        Args:
            kind: layers, cores, energy, latency, stages, or samples (number, label, prediction and output spikes of each).

        Raises:
            UsageError: an unknown kind, or samples requested of results without predictions.
        """
        return frames.records(self, kind)

    @checked()
    def to_frame(self, kind: str = "layers") -> Any:
        """Return the rows of `records` as a pandas DataFrame; needs pandas, the extra `frames`.

        Raises:
            UsageError: see `records`, or pandas is not installed.
        """
        return frames.frame(self, kind)

    def __repr__(self) -> str:
        right = "no labels, " if self.accuracy is None else f"{self.accuracy:.2%} of "
        checked = ", equal to the reference" if self.check is not None and self.check.equal else ""
        return (
            f"<Results of {short(self.data)} on {short(self.chip.name)}: {right}{self.samples:,} samples, "
            f"{self.sops_per_sample:,.0f} SOPs and {self.energy.joules_per_sample:.3g} J per sample{checked}>"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Show the figures of the run and of its layers in a notebook."""
        rows = [(n.name, n.neurons, n.synapses, float(n.spike_rate), float(n.sops_per_sample)) for n in self.layers]
        return table(repr(self), ("layer", "neurons", "synapses", "spikes per neuron and step", "SOPs per sample"), rows)

    def with_commands(self, before: list[str], data_options: Mapping[str, str] | None = None) -> Results:
        """Return the results with the commands that trained and compiled the network, and the options of the data, for the report."""
        known = {name: value for name, value in (("before", before), ("data_options", dict(data_options or {}))) if value}
        return self.model_copy(update={"provenance": self.provenance.model_copy(update=known)}) if known else self

    @checked()
    def save(self, path: Path | str) -> Path:
        """Write results.json, atomically; before it, arrays of more than `arrays.INLINE` numbers into a safetensors file beside it, and
        what probes recorded into another, results-probes.safetensors."""
        place = Path(path)
        said = arrays.write(place, self._large(arrays.INLINE))
        document = self.document(arrays.INLINE) | ({} if said is None else {"arrays": said})
        if self.probed is None:
            arrays.beside(place, "probes").unlink(missing_ok=True)
        else:
            units = {probe.name: probe.unit for probe in self.probed.probes}
            document["probed"] |= self.probes.write(place, self.probed.sample_ids, units)
        return write_json(place, document)

    @checked()
    def write_report(self, path: Path | str) -> Path:
        """Write the HTML page of these results, atomically."""
        from ..report import html

        return html.write(self, Path(path))


_ARRAYS = ("predictions", "output_counts", "sample_ids", "labels")


@checked(path="Name a results.json or a run folder.")
def load(path: Path | str) -> Results:
    """Read a results.json, or the results of a run folder (see `gather`).

    Raises:
        FormatError: missing, damaged, foreign or newer.
    """
    if Path(path).is_dir():
        return gather(Path(path))
    document = read_json(Path(path), "results of spikeloom run", "Run the network first, or name its run folder.")
    if not isinstance(document, dict) or document.get("format") != FORMAT:  # pyright: ignore[reportUnknownMemberType]
        raise FormatError(f"{path} does not hold results of spikeloom run. Run the network again.")
    if document.get("version") != VERSION:
        raise FormatError(f"{path} has format version {document.get('version')!r}; this spikeloom reads {VERSION}. Update spikeloom.")
    try:
        found: dict[str, Any] = {name: value for name, value in document.items() if name != "arrays"}
        results = Results.model_validate(found | arrays.read(Path(path), document.get("arrays")))
    except ValidationError as error:
        raise FormatError(f"{path} is damaged: {_fault(error)}. Run the network again.") from error
    return results if results.probed is None else _with_file(results, Path(path), results.probed)


def _with_file(results: Results, path: Path, probed: Probed) -> Results:
    """Return results that read what their probes recorded from the file beside `path`."""
    names = tuple(probe.name for probe in probed.probes)
    held = ProbeArrays({}, arrays.beside(path, "probes"), names, probed.sha256 or "")
    where = {"file", "sha256"}  # of this file alone, so that results read are equal to those written
    kept = {name: getattr(probed, name) for name in probed.model_fields_set - where} | (probed.model_extra or {})
    return results.model_copy(update={"probed": Probed(**kept)}).with_probes(held)


def _fault(error: ValidationError) -> str:
    """Name the wrong key, and what it must be."""
    first = error.errors()[0]
    *above, last = first["loc"] or ("",)
    key, said = (above, "it must be a number") if last in ("int", "float") else ((*above, last), first["msg"].removeprefix("Value error, "))
    return f"{'.'.join(map(str, key))}: {said}"


def gather(folder: Path) -> Results:
    """Read the results of a run folder: those of the native run, with the checks by other backends of the same compiled network.

    Raises:
        FormatError: there are none, or one is damaged.
    """
    paths = sorted(folder.glob("results*.json"), key=lambda p: (p.name != "results.json", p.name))
    if not paths:
        hint = shlex.join(["spikeloom", "run", f"{folder}/model.loom", "--data", "NAME"])
        raise FormatError(f"{folder} holds no results.json. Run the network first: {hint}.")
    main, *others = (load(path) for path in paths)
    same = [o for o in others if o.provenance.artefact_sha256 == main.provenance.artefact_sha256]
    stages = [*main.stages, *(s for o in same for s in o.stages if s.name == f"deployed ({o.backend})" and o.backend != main.backend)]
    checks = [r.check for r in (main, *same) if r.check]
    return main.model_copy(update={"stages": stages, "check": next(iter(checks), None), "checks": checks})
