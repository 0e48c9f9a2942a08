"""The base of the sections of results.json, and the numbers in them: finite, not negative, and of plausible size."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, SerializerFunctionWrapHandler, Strict, model_serializer

__all__ = ["MESH", "MOST", "Amount", "Fraction", "Labels", "PerSample", "Place", "Positive", "Rate", "SamplesByClasses", "Section", "Whole"]

MOST = 1e30
"""No figure of a run is larger."""
MESH = 1 << 14
"""No mesh has more columns or rows of tiles."""


Int = NDArray[np.int64]
Amount = Annotated[Annotated[int, Strict()] | Annotated[float, Strict()], Field(ge=0, le=MOST)]
"""A count, energy, time or share; never negative. Integers stay integers."""
Rate = Annotated[float, Field(ge=0.0, le=MOST)]
Whole = Annotated[int, Field(ge=0, lt=1 << 63)]
Positive = Annotated[int, Field(ge=1, lt=1 << 63)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Place = Annotated[int, Field(ge=0, lt=MESH)]


def _of_dimensions(dimensions: int, least: int = 0) -> PlainValidator:
    """Validate integers >= `least` with the given number of dimensions; return them as read-only 64-bit integers."""

    def check(value: Any) -> Int:
        array = np.asarray(value)
        if array.ndim != dimensions or array.dtype.kind not in "iu" or (array.size and array.min() < least):
            raise ValueError(f"it must be whole numbers from {least} in {dimensions} dimensions")
        whole = np.array(array, np.int64)
        whole.setflags(write=False)
        return whole

    return PlainValidator(check)


_LISTS = PlainSerializer(lambda array: array.tolist(), when_used="json")
Labels = Annotated[Int, _of_dimensions(1, -(1 << 62)), _LISTS]
"""Classes; negative values mark samples without a class."""
PerSample = Annotated[Int, _of_dimensions(1), _LISTS]
SamplesByClasses = Annotated[Int, _of_dimensions(2), _LISTS]


class Section(BaseModel):
    """A part of results.json; entries of later versions are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _as_made(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write only what was given, so that an older file stays the same when read and written."""
        given = self.model_fields_set | (self.model_extra or {}).keys()
        return {name: value for name, value in handler(self).items() if name in given}
