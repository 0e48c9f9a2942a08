"""The xylosim worker:  python main.py FOLDER.  Needs numpy and xylosim, but not Spikeloom.

Reads FOLDER/job.npz, runs every sample on xylosim's model of the chip (version 2, Xylo Audio 2) and writes arrays beside it: hidden.npy
and output.npy, (samples, steps, neurons) uint8, and with the states hidden_u.npy, hidden_v.npy, output_u.npy, output_v.npy, int16.
Exit codes: 0 done, 1 failed, 4 xylosim is missing.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

MISSING = 4


def synapses(kind: Any, weights: Any) -> list[list[Any]]:
    """Return the synapses of each source, from (sources, targets) weights."""
    return [[kind(int(target), 0, int(row[target])) for target in np.flatnonzero(row)] for row in weights]


def make(v2: Any, job: Any) -> tuple[Any, Any]:
    """Return the chip, and its synapses, which have to be kept: it only points at them."""
    kept = [synapses(v2.XyloSynapse, job[f"weights_{group}"]) for group in ("in", "rec", "out")]

    def register(name: str) -> list[int]:
        return [int(value) for value in job[name]]

    chip = v2.XyloLayer(
        synapses_in=kept[0],
        synapses_rec=kept[1],
        synapses_out=kept[2],
        aliases=[[] for _ in kept[1]],
        threshold=register("hidden_threshold"),
        threshold_out=register("output_threshold"),
        has_bias=True,
        bias=register("hidden_bias"),
        bias_out=register("output_bias"),
        weight_shift_inp=int(job["shifts"][0]),
        weight_shift_rec=int(job["shifts"][1]),
        weight_shift_out=int(job["shifts"][2]),
        dash_mem=register("hidden_dash_mem"),
        dash_mem_out=register("output_dash_mem"),
        dash_syns=[[value] for value in register("hidden_dash_syn")],
        dash_syns_out=[[value] for value in register("output_dash_syn")],
        name="network",
    )
    return chip, kept


def run(folder: Path, v2: Any) -> None:
    """Run the job of a folder."""
    with np.load(folder / "job.npz", allow_pickle=False) as file:
        job = {name: file[name] for name in file.files}
    chip, kept = make(v2, job)
    samples, steps, _ = job["events"].shape
    sizes = {"hidden": len(job["hidden_threshold"]), "output": len(job["output_threshold"])}
    states = bool(job["states"])
    arrays: dict[str, Any] = {name: np.zeros((samples, steps, size), np.uint8) for name, size in sizes.items()}
    if states:
        arrays |= {f"{name}_{state}": np.zeros((samples, steps, size), np.int16) for name, size in sizes.items() for state in "uv"}
    for k, events in enumerate(job["events"]):
        chip.reset_all()
        arrays["output"][k] = np.array(chip.evolve(events.tolist()), np.uint8).reshape(steps, -1)
        arrays["hidden"][k] = np.array(chip.rec_recurrent_spikes, np.uint8).reshape(steps, -1)
        if states:
            recorded = {
                "hidden_u": chip.rec_i_syn,
                "hidden_v": chip.rec_v_mem,
                "output_u": chip.rec_i_syn_out,
                "output_v": chip.rec_v_mem_out,
            }
            for name, values in recorded.items():
                arrays[name][k] = np.array(values, np.int16).reshape(-1, steps).T
    del kept
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)


def main() -> int:
    """Run the job of the folder that the command line names; return the exit code."""
    try:
        v2 = importlib.import_module("xylosim.v2")
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return MISSING
    run(Path(sys.argv[1]), v2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
