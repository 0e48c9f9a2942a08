"""Results as rows of plain values, for a data frame: numbers at full precision, in the units given in their names."""

from __future__ import annotations

from typing import Any

from ..errors import UsageError, unknown_name
from ..report.document import Document
from ..report.sizes import Core

__all__ = ["KINDS", "records", "to_frame"]

KINDS = ("layers", "cores", "energy", "latency", "stages", "samples")
Rows = list[dict[str, Any]]


def records(results: Document, kind: str) -> Rows:
    """Return the rows of one kind, one dictionary per row.

    Raises:
        UsageError: an unknown kind, or samples requested of results without predictions.
    """
    if kind not in KINDS:
        raise unknown_name("table of rows", kind, KINDS)
    if kind == "samples":
        return _samples(results)
    if kind == "cores":
        return [_core(core) for core in results.cores]
    if kind in ("energy", "latency"):
        found = results.energy if kind == "energy" else results.latency
        return [part.model_dump() | {"model": found.model} for part in found.components]
    return [one.model_dump() for one in (results.layers if kind == "layers" else results.stages)]


def to_frame(results: Document, kind: str) -> Any:
    """Return the rows of one kind as a pandas DataFrame.

    Raises:
        UsageError: as for `records`, or pandas is not installed.
    """
    rows = records(results, kind)
    try:
        import pandas  # pyright: ignore[reportMissingImports, reportMissingModuleSource, reportMissingTypeStubs]
    except ImportError as error:
        raise UsageError(
            "to_frame needs pandas, which is not installed. Run: pip install 'spikeloom[frames]'; or take records(), the same rows as "
            "dictionaries."
        ) from error
    return pandas.DataFrame(rows)  # pyright: ignore


def _core(core: Core) -> dict[str, Any]:
    """Return a core's row with a column for each number; `populations`: by name, how many neurons of each are on it."""
    row = core.model_dump()
    (column, line), shares = row.pop("tile"), row.pop("utilisation")
    populations = row.pop("populations")
    used = {f"utilisation_{limit}": share for limit, share in shares.items()}
    return row | {"tile_column": column, "tile_row": line} | used | {"populations": populations}


def _samples(results: Document) -> Rows:
    if results.predictions is None or results.output_counts is None:
        raise UsageError("The results hold no predictions: they are of a version that did not keep them. Run the network again.")
    ids = range(len(results.predictions)) if results.sample_ids is None else results.sample_ids.tolist()
    labels = [None] * len(results.predictions) if results.labels is None else results.labels.tolist()
    counts = ({f"output_count_{c}": spikes for c, spikes in enumerate(row)} for row in results.output_counts.tolist())
    columns = zip(ids, labels, results.predictions.tolist(), counts, strict=True)
    return [{"sample": i, "label": label, "prediction": found, **spikes} for i, label, found, spikes in columns]
