"""Images per second of the native simulator on a compiled network, against scipy CSR and onnxruntime in the same run.

python benchmarks/runtime_speed.py runs/mnist/model.loom --data mnist
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

from spikeloom.compile import load, reference
from spikeloom.runtime.backends import native, onnx
from spikeloom.runtime.backends._base import BackendOptions
from spikeloom.runtime.backends._latency import one_sample
from spikeloom.train import load_dataset


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the median time of `work` after one call that does not count."""
    work()
    times: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def main() -> None:
    """Print images per second of each engine, and the native one's ratio to it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("network")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    network = load(options.network).network
    events = reference.encode(network, load_dataset(options.data).test.values[: options.samples])
    engines: dict[str, Callable[[], object]] = {
        "native, 2 threads": lambda: native.simulate(network, events, BackendOptions(threads=2)),
        "native, 1 thread": lambda: native.simulate(network, events, BackendOptions(threads=1)),
        "scipy CSR int64 (the integer reference)": lambda: reference.simulate(network, events),
        "onnxruntime": lambda: onnx.simulate(network, events, BackendOptions()),
    }
    times = {name: seconds(work, options.rounds) for name, work in engines.items()}
    runner = one_sample(network)
    first = next(iter(times.values()))
    print(
        f"{len(events)} samples, T {network.timesteps}, medians of {options.rounds}\n\n| engine | images/s | time / first |\n|---|---|---|"
    )
    for name, taken in times.items():
        print(f"| {name} | {len(events) / taken:,.0f} | {taken / first:.1f} |")
    if runner is not None:
        each = [seconds(partial(runner.run, one), 9) for one in events[:100]]
        print(f"\none sample at a time, prepared once: median {statistics.median(each) * 1e6:.0f} us, slowest {max(each) * 1e6:.0f} us")


if __name__ == "__main__":
    main()
