"""Quantities of chip files: a number with its unit, its source and its status, in the unit that a key demands."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

__all__ = ["Count", "CountOrNone", "Milliwatts", "Nanoseconds", "Picojoules", "Quantity", "Status", "Strict", "measured_in", "whole"]

Status = Literal["published", "derived", "assumed"]


class Strict(BaseModel):
    """A table of a chip file: no key that the schema does not know.

    `later`: optional keys that were added after files had been written; where they are not given they are left out of what is written, so
    that files without them stay the same, and earlier versions read them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_later(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in write(self).items() if value is not None or key not in self.later}


class Quantity(Strict):
    """A number with its unit, its source and its status (published, derived or assumed)."""

    value: float = Field(ge=0, allow_inf_nan=False)
    unit: str
    source: str = Field(min_length=3)
    status: Status


def measured_in(unit: str) -> AfterValidator:
    """Refuse a quantity in any other unit: units are not converted, so 0.08 nJ would be read as 0.08 pJ."""

    def check(quantity: Quantity) -> Quantity:
        if quantity.unit.split(" per ")[0] != unit:
            raise ValueError(f"its unit is {quantity.unit!r}; write the value in {unit}")
        return quantity

    return AfterValidator(check)


def whole(least: int) -> AfterValidator:
    """Refuse a quantity that is not a whole number or is below `least`."""

    def check(quantity: Quantity) -> Quantity:
        if quantity.value % 1 or quantity.value < least:
            raise ValueError(f"its value is {quantity.value:g}; it must be a whole number of at least {least}")
        return quantity

    return AfterValidator(check)


Picojoules = Annotated[Quantity, measured_in("pJ")]
Milliwatts = Annotated[Quantity, measured_in("mW")]
Nanoseconds = Annotated[Quantity, measured_in("ns")]
Count = Annotated[Quantity, whole(1)]
CountOrNone = Annotated[Quantity, whole(0)]
