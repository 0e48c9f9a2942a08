"""Energy models per operation: the cost of an accumulate and of a multiply-accumulate, independent of the chip."""

from __future__ import annotations

import tomllib
from importlib import resources

from pydantic import BaseModel, ConfigDict

from .chip import Quantity

__all__ = ["OperationsModel", "load", "names"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OperationEnergy(_Strict):
    """Energy of one operation (`unit` pJ). `mac` is absent if no number has been published."""

    ac: Quantity
    mac: Quantity | None = None


class OperationsModel(_Strict):
    """One file of `operations`."""

    name: str
    title: str
    description: str
    note: str
    energy: OperationEnergy


def names() -> list[str]:
    """List the models that come with Spikeloom."""
    folder = resources.files(f"{__package__}.operations")
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def load(name: str) -> OperationsModel:
    """Load a model by a name that `names` lists."""
    content = resources.files(f"{__package__}.operations").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return OperationsModel.model_validate(tomllib.loads(content))
