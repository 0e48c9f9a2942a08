"""A program as a user writes it: `tests/project/test_typed.py` checks its types in strict mode against the installed package."""

from pathlib import Path

import numpy as np
import spikeloom
from numpy.typing import NDArray
from spikeloom.compile import Calibration
from spikeloom.hwmodels import Chip
from spikeloom.runtime import BackendOptions


def deploy(folder: Path, values: NDArray[np.uint8], labels: NDArray[np.int64]) -> spikeloom.Results:
    """From training to a report."""
    trained = spikeloom.train.fit("digits", method="grad-r", sparsity=0.9, epochs=2, hidden=(40,), out=folder / "run")
    chip: Chip = spikeloom.hwmodels.load("loihi2")
    network = spikeloom.compile_network(trained, chip=chip, calibration=Calibration(values, labels))
    cores: int = network.mapping.cores
    path: Path = network.save(folder / "model.loom")
    results = spikeloom.run(spikeloom.load(path), (values, labels), samples="first:20", check=True, options=BackendOptions(threads=2))
    spikeloom.report.write({"first": results, "again": spikeloom.load_results(folder)}, folder / "compare.html")
    joules: float = results.energy.joules_per_sample
    accuracy = results.accuracy
    print(cores, joules, f"{accuracy:.1%}" if accuracy is not None else "no labels", results.layers[0].name)
    return results


def samples() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The test samples of a data set."""
    try:
        test = spikeloom.load_dataset("digits").test
    except spikeloom.errors.DataError as error:
        raise SystemExit(str(error)) from error
    return test.values, test.labels


if __name__ == "__main__":
    deploy(Path("runs"), *samples())
