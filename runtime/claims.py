"""The accuracy that the record of a zoo network claims, compared with what comes out here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..compile.loading import compile_of_zoo
from ..data.samples import samples_of
from ..errors import DataError, MismatchError
from ..network import zoo
from ..subset import choose
from .simulator import run

__all__ = ["Claim", "measured"]


@dataclass(frozen=True)
class Claim:
    """What was claimed and what came out: test samples that are predicted right, of `samples`."""

    name: str
    samples: int
    claimed: int
    right: int

    @property
    def holds(self) -> bool:
        """Whether exactly as many samples are predicted right as claimed."""
        return self.right == self.claimed

    def require(self) -> None:
        """Refuse a claim that does not hold.

        Raises:
            MismatchError: the message has both figures.
        """
        if not self.holds:
            raise MismatchError(
                f"{zoo.PREFIX}{self.name} predicts {self.right:,} of {self.samples:,} test samples right; its record claims "
                f"{self.claimed:,}. Check that the data set is the published one, and install spikeloom again."
            )


def measured(name: str, data_dir: Path | None = None, *, whole: bool = True) -> Claim:
    """Compile a network of the zoo as its record says, run it on its test samples, and count right predictions.

    Args:
        whole: all test samples, rather than the evenly spread ones for which the record also has a count.

    Raises:
        UsageError: an unknown name.
        DataError: its data set is not there, or has other test samples than those it was run on.
        FormatError: a damaged file or record.
    """
    deployed, claim = compile_of_zoo(name), zoo.entry(name).deployed
    said = deployed.network.provenance
    options: dict[str, Any] = {key.removeprefix("data."): json.loads(value) for key, value in said.items() if key.startswith("data.")}
    test = samples_of(said["data"], folder=data_dir, options=options).load(deployed.network.takes).test
    if len(test) != claim.samples:
        raise DataError(
            f"{zoo.PREFIX}{name} was run on {claim.samples:,} test samples of {said['data']}; there are {len(test):,} here, so the figures "
            f"cannot be compared. Run it for those of your samples: spikeloom run {zoo.PREFIX}{name}."
        )
    samples, claimed = (claim.samples, claim.right) if whole else (claim.subset.samples, claim.subset.right)
    results = run(deployed, test, samples=None if whole else samples)
    chosen = choose(None if whole else samples, len(test)).indices()
    right = int((np.asarray(results.predictions) == np.asarray(test.labels)[chosen]).sum())
    return Claim(name, len(chosen), claimed, right)
