"""What the commands ask about files of other tools: options of their readers and writers, and the data that they are fed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..compile.pipeline import Calibration

__all__ = ["fed", "named"]


def named(flags: Mapping[str, Any], chosen: list[str]) -> dict[str, Any]:
    """Return options by name: the flags that were given, and NAME=VALUE words, which go before them."""
    given = {name: value for name, value in flags.items() if value is not None}
    for word in chosen:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {word} is not of the form NAME=VALUE.")
        given[name.strip()] = value.strip()
    return given


def fed(source: Path, data: str, data_dir: Path | None, given: dict[str, Any]) -> tuple[dict[str, Any], Calibration]:
    """What a data set says of a file that does not know what it is fed, and training samples; what was given goes before it."""
    from ..compile.compiler import reader_of
    from ..compile.pipeline import Calibration
    from ..train.data import CALIBRATION_SAMPLES, load_dataset

    if not hasattr(reader_of(source)[0], "Options"):
        raise UsageError(
            f"{source} knows the data that it was trained on; --data is for files that do not, such as a model.nir. Leave it out."
        )
    dataset = load_dataset(data, data_dir)
    split = dataset.train.evenly(CALIBRATION_SAMPLES)
    kind = "events" if dataset.temporal else "static"
    said = {"levels": dataset.levels, "input": kind, "data": data} | ({"timesteps": dataset.timesteps} if dataset.temporal else {})
    return said | given, Calibration(split.values.reshape(len(split), -1), split.labels)
