"""A trained network inside an application in Lava: a camera, the network, and a process that decides.

python examples/lava_application/application.py RUN_FOLDER        needs Lava in this Python: docs/lava.md
"""

from __future__ import annotations

import sys
from pathlib import Path

import spikeloom

SAMPLES = 30


def main(run: str) -> None:
    """Show test images of the digits to the network; print what was decided, and how often it was right."""
    deployed = spikeloom.compile.load(Path(run) / "model.loom")
    network = deployed.to_lava()  # before Lava is imported
    from lava.magma.core.run_conditions import RunSteps  # pyright: ignore[reportMissingImports]
    from lava.magma.core.run_configs import Loihi2SimCfg  # pyright: ignore[reportMissingImports]
    from processes.ends import Camera, Decider

    test = spikeloom.load_dataset("digits").test
    camera = Camera(frames=network.encode(test.values[:SAMPLES]))
    decider = Decider(classes=network.OUTPUTS, samples=SAMPLES, period=network.TIMESTEPS, first_step=1 + network.LATENCY)
    camera.s_out.connect(network.s_in)
    network.s_out.connect(decider.s_in)

    network.run(condition=RunSteps(num_steps=SAMPLES * network.TIMESTEPS + network.LATENCY), run_cfg=Loihi2SimCfg())
    decisions = decider.decisions.get().astype(int)
    network.stop()
    print("decided:", *decisions)
    print(f"right: {(decisions == test.labels[:SAMPLES]).sum()} of {SAMPLES}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart")
