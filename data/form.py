"""How the numbers of samples are read: integers 0..levels, floats of a stated range, and recordings of events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DAMAGE, DataError, UsageError
from ..fed import Known
from .events import Binning, bin_events

__all__ = ["WAYS", "Form", "array_of", "frames_of", "levels_of"]

WAYS = (
    "Give a pair (samples, labels) of arrays or tensors, a torch Dataset or DataLoader, an iterable of pairs (sample, label), or name a "
    "data set or a file."
)


@dataclass(frozen=True)
class Form:
    """How user-supplied samples are read.

    Args:
        levels: the integer that stands for 1; None: taken from the network. True stands for 1, whatever the levels.
        value_range: of floats, (0, 1), or (0, levels) where they hold whole numbers; None: floats are refused.
        timesteps: the number of frames into which recordings of events are divided.
        name: of the samples, for messages.
    """

    levels: int | None = None
    value_range: tuple[float, float] | None = None
    timesteps: int | None = None
    name: str = "the samples"

    def __post_init__(self) -> None:
        if self.levels is not None and not 1 <= self.levels <= 255:
            raise UsageError(f"levels is {self.levels}; it must lie in 1..255.")
        if self.value_range is not None and tuple(self.value_range) not in ((0, 1), (0, self.most)):
            raise UsageError(
                f"value_range is {tuple(self.value_range)}; it must be (0, 1), or (0, {self.most}) for whole numbers. Bring "
                f"other samples to 0..1, and take their factor and offset into the first layer, whose weights are trained with them."
            )
        if self.timesteps is not None and self.timesteps < 1:
            raise UsageError(f"timesteps is {self.timesteps}; it must be at least 1.")

    def known(self, known: Known) -> Form:
        """Return this with unset options filled in from the network."""
        return replace(self, levels=self.levels or known.levels, timesteps=self.timesteps or known.timesteps)

    @property
    def title(self) -> str:
        """The name as the start of a sentence."""
        return f"{self.name[:1].upper()}{self.name[1:]}"

    @property
    def most(self) -> int:
        """The largest integer that a sample may hold."""
        return self.levels or 255


def frames_of(sample: Any, data: Any, form: Form) -> NDArray[Any]:
    """Return a sample as an array; events as frames (T, polarities, height, width)."""
    names = getattr(getattr(sample, "dtype", None), "names", None)
    if names is None:
        return array_of(sample, form)
    sensor = getattr(data, "sensor_size", None)
    if form.timesteps is None or sensor is None or not {"x", "t", "p"} <= set(names) or ("y" not in names and sensor[1] != 1):
        raise UsageError(
            f"{form.title} are recordings with the fields {', '.join(names)}. Say timesteps=T (--set data.timesteps=T), and give a data "
            f"set with sensor_size, whose events have x, y, t and p; or turn them into frames first, e.g. with tonic.transforms.ToFrame."
        )
    width, height, polarities = (int(n) for n in sensor)
    nothing = np.zeros(len(sample), np.int64)  # a row of channels (SHD) has no y, and one polarity says nothing
    x, y, t, p = (np.asarray(sample[name]).astype(np.int64) if name in names else nothing for name in ("x", "y", "t", "p"))
    p = nothing if polarities == 1 else p
    for what, found, most in (("x", x, width), ("y", y, height), ("p", p, polarities)):
        if found.size and not 0 <= found.min() <= found.max() < most:
            raise DataError(f"{form.title} have {what} from {found.min()} to {found.max()}; the sensor has 0..{most - 1}.")
    binning = Binning(timesteps=form.timesteps, clip=form.levels or 1, by="time")
    flat = bin_events(t, (p * height + y) * width + x, polarities * height * width, binning)
    return flat.reshape(form.timesteps, polarities, height, width)


def array_of(values: Any, form: Form) -> NDArray[Any]:
    """Return a numeric array from an array, a tensor on any device, an image or a list."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu().numpy()
        made = np.asarray(values)
    except (RuntimeError, *DAMAGE) as error:
        raise UsageError(f"{form.title} are no array: {error}. {WAYS}") from error
    if made.dtype.kind not in "biuf":
        raise UsageError(f"{form.title} are of the kind {made.dtype}, not numbers of one shape. {WAYS}")
    return made


def levels_of(values: NDArray[Any], form: Form) -> NDArray[np.uint8]:
    """Return samples as integers 0..levels."""
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(form.levels or 1)
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if values.dtype.kind == "f":
        return _rounded(values, float(low), float(high), form)
    if low < 0 or high > form.most:
        raise DataError(f"{form.title} hold {low}..{high}; they are integers 0..{form.most}. Say levels= if another integer stands for 1.")
    return values.astype(np.uint8, copy=False)


def _rounded(values: NDArray[Any], low: float, high: float, form: Form) -> NDArray[np.uint8]:
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{form.title} hold values that are not finite. Remove them.")
    if form.value_range is None:
        raise UsageError(
            f"{form.title} are {values.dtype} from {low:g} to {high:g}, and nothing says what stands for 1. Say value_range=(0, 1) (--set "
            f"data.value_range=0,1), or give "
            f"integers 0..{form.most}."
        )
    most = float(form.value_range[1])
    if low < 0.0 or high > most:
        raise DataError(
            f"{form.title} hold values from {low:g} to {high:g}; their range is said to be 0 to {most:g}. A chip's input has no sign: "
            f"leave out a normalisation of the samples, and let the first layer learn it."
        )
    scaled = values * (form.most / most) if most == 1.0 else values
    if most != 1.0 and (scaled != np.rint(scaled)).any():
        raise DataError(f"{form.title} hold values that are no whole numbers; their range is said to be 0 to {most:g}. Round them.")
    return np.rint(scaled).astype(np.uint8)
