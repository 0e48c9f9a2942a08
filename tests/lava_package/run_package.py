"""Run as a program, in a process of its own that has Lava: connects exported packages to a source and sinks, and records every spike.

    python run_package.py JOBS.json

JOBS.json lists jobs: `folder` and `package` of an export; `events`, a .npy of what arrives at s_in, (inputs, steps); `out`, an .npz for
the spikes by port, (neurons, steps); `settings` of the process; `tag`, the run configuration's.
"""

# pyright: reportMissingImports=false
# Lava is optional: these types are checked where it is installed.

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def record(job: dict[str, Any]) -> None:
    """Run one job."""
    sys.path.insert(0, job["folder"])
    module: Any = importlib.import_module(job["package"])  # before Lava
    conditions, configs, sinks, sources = (
        importlib.import_module(f"lava.{name}")
        for name in ("magma.core.run_conditions", "magma.core.run_configs", "proc.io.sink", "proc.io.source")
    )
    events = np.load(job["events"])
    network = module.Network(**job["settings"])
    source = sources.RingBuffer(data=events)
    source.s_out.connect(network.s_in)
    recorded: dict[str, Any] = {}
    for port in network.out_ports:
        recorded[port.name] = sinks.RingBuffer(shape=port.shape, buffer=events.shape[1])
        port.connect(recorded[port.name].a_in)
    network.run(condition=conditions.RunSteps(num_steps=events.shape[1]), run_cfg=configs.Loihi2SimCfg(select_tag=job["tag"]))
    spikes = {name: sink.data.get() for name, sink in recorded.items()}
    network.stop()
    np.savez(job["out"], allow_pickle=False, **spikes)
    assert not {"spikeloom", "numba", "torch"} & {name.partition(".")[0] for name in sys.modules}


if __name__ == "__main__":
    for each in json.loads(Path(sys.argv[1]).read_text()):
        record(each)
