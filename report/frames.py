"""Results as rows of plain values, for data frames and parquet files: numbers at full precision, in the units given in their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checked import checked
from ..errors import UsageError, unknown_name
from ..files import write_atomically
from . import compare
from .document import Document
from .format import clean
from .sizes import Core

__all__ = ["KINDS", "OF_SEVERAL", "frame", "records", "records_of_runs", "to_frame", "write_parquet"]

KINDS = ("layers", "cores", "energy", "latency", "stages", "samples")
OF_SEVERAL = ("runs", "seeds")
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


def records_of_runs(runs: Sequence[tuple[str, Document]], kind: str) -> Rows:
    """Return a row per run, or per setting with mean, standard deviation (n - 1) and n over its seeds: runs or seeds.

    Raises:
        UsageError: an unknown kind.
    """
    if kind not in OF_SEVERAL:
        raise unknown_name("table of several runs", kind, OF_SEVERAL)
    document = compare.document(compare.rows([(name, clean(results)) for name, results in runs]))
    return [_flat(row) for row in document[kind]]


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with a column for each number."""
    made: dict[str, Any] = {}
    for name, value in row.items():
        if name == "interval":
            made |= dict(zip(("accuracy_lowest", "accuracy_highest"), value or (None, None), strict=True))
        elif isinstance(value, dict):
            made |= {f"{name}_{part}": one for part, one in value.items()}
        elif value is None and name in compare.SPREAD and "seeds" in row:
            made |= dict.fromkeys((f"{name}_mean", f"{name}_standard_deviation", f"{name}_n"))
        else:
            made[name] = value
    return made


def frame(results: Document, kind: str) -> Any:
    """Return the rows of one kind as a pandas DataFrame.

    Raises:
        UsageError: as for `records`, or pandas is not installed.
    """
    return _frame(records(results, kind), "take records(), the same rows as dictionaries")


@checked(results="Pass a dictionary of results by name, such as spikeloom.load_results(PATH) returns.")
def to_frame(results: Mapping[str, Document], kind: str = "runs") -> Any:
    """Return several runs as a pandas DataFrame: a row per run, or per setting over its seeds; needs pandas, the extra `frames`.

    Args:
        results: what `spikeloom.run` or `spikeloom.load_results` returned, by name.
        kind: runs, with figures per sample in SI units; or seeds, where runs that differ in their seed alone are one row, each figure
            having columns for its mean, its standard deviation (n - 1) and n.

    Raises:
        UsageError: an unknown kind, or pandas is not installed.

    Example:
        >>> spikeloom.report.to_frame({"dense": dense, "sparse": sparse}, "seeds")  # doctest: +SKIP
    """
    return _frame(records_of_runs(list(results.items()), kind), "write them with report.write(results, 'runs.json')")


def _frame(rows: Rows, otherwise: str) -> Any:
    try:
        import pandas  # pyright: ignore[reportMissingImports, reportMissingModuleSource, reportMissingTypeStubs]
    except ImportError as error:
        raise UsageError(f"to_frame needs pandas, which is not installed. Run: pip install 'spikeloom[frames]'; or {otherwise}.") from error
    return pandas.DataFrame(rows)  # pyright: ignore


def write_parquet(rows: Rows, path: Path) -> Path:
    """Write rows as a parquet file, atomically; columns whose values are dictionaries become structs.

    Raises:
        UsageError: there are no rows, or pyarrow is not installed.
        OutputError: the file cannot be written.
    """
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed. Run: pip install 'spikeloom[parquet]'; or take csv or json."
        ) from error
    if not rows:
        raise UsageError("These results have no rows in that table, so there are no columns to write. Choose another table.")
    return write_atomically(path, lambda place: parquet.write_table(pyarrow.Table.from_pylist(rows), place))  # pyright: ignore


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
