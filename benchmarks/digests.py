"""Digests of some twenty small networks as deployed, and of what a run of them finds: a refactoring leaves every line as it was.

    python benchmarks/digests.py > before; (change the code); python benchmarks/digests.py | diff before -

All inputs, targets and chips, convolutions and graphs with delays. What says only when it was,
or how long it took, is left out.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from cases import cases
from netgen import Labelled, samples
from spikeloom import runtime
from spikeloom.compile import compile_network
from spikeloom.compile.pipeline import Calibration

LEFT_OUT = ("date", "spikeloom", "artefact_sha256", "samples_per_second")  # beside all that ends in `seconds`


def timeless(value: Any) -> Any:
    """Return a document without what differs from run to run."""
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        return {k: timeless(v) for k, v in found.items() if k not in LEFT_OUT and not k.endswith("seconds")}
    return [timeless(v) for v in cast("list[Any]", value)] if isinstance(value, list) else value


def digest(document: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> str:
    """Return a short digest of a document and arrays."""
    made = hashlib.sha256(json.dumps(timeless(document), sort_keys=True, default=str).encode())
    for name, array in sorted(arrays.items()):
        made.update(f"{name}{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return made.hexdigest()[:16]


def deployed_digest(path: Path) -> str:
    """Return the digest of a .loom file, times left out."""
    with safe_open(str(path), framework="numpy") as handle:
        header = handle.metadata()
        return digest(json.loads(header["document"]), {k: handle.get_tensor(k) for k in handle.keys()})  # noqa: SIM118


def main() -> None:
    """Print a line a network."""
    with TemporaryDirectory() as folder:
        for case in cases():
            values = samples(case.network, 3, 24)
            labels = np.arange(24) % case.network.classes
            calibration = None if case.network.is_integer else Calibration(values, labels)
            deployed = compile_network(case.network, calibration=calibration, **case.options)
            path = deployed.save(Path(folder) / "model.loom")
            results = runtime.run(path, Labelled(values, labels))
            document = {k: v for k, v in results.document().items() if k != "labels"}  # what was written before there were any
            print(
                f"{case.name:24} loom {deployed_digest(path)}  results {digest(document, {})}  {deployed.mapping.cores} cores",
                flush=True,
            )


if __name__ == "__main__":
    main()
