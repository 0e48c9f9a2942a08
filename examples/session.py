"""Digits classified step by step: a session takes a frame at each time step, and can be asked at any moment.

python examples/session.py RUN_FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import spikeloom

SAMPLES = 100


def main(run: str) -> None:
    """Present the test samples one by one; stop early where a class leads by two output spikes, and compare with whole presentations."""
    session = spikeloom.session(Path(run) / "model.loom")
    test = spikeloom.load_dataset("digits").test
    early, whole, steps = list[bool](), list[bool](), list[int]()
    for number, (sample, label) in enumerate(zip(test.values[:SAMPLES], test.labels[:SAMPLES], strict=True)):
        session.reset(sample=number)
        for _ in range(session.network.timesteps):
            session.step(sample)  # returns session.spikes: by population, (neurons,) booleans
            first, second = np.sort(session.counts)[:-3:-1]
            if first >= second + 2:
                break
        early.append(session.prediction == label)
        steps.append(session.steps)
        if number == 0:
            hidden, spikes = next(iter(session.spikes.items()))
            print(f"step {session.steps} of sample 0: {spikes.sum()} spikes in {hidden}, v of the first {session.v[hidden][:3]}")
        session.present(sample, sample=number)  # the same from the beginning, for all time steps
        whole.append(session.prediction == label)
    print(f"all {session.network.timesteps} steps: {np.mean(whole):.0%} of {len(whole)} samples")
    print(f"{np.mean(steps):.1f} steps on average: {np.mean(early):.0%}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart")
