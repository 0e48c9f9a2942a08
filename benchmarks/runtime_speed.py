"""Speed of the native simulator against every other engine that is found, and against the adds that this machine can do.

    python benchmarks/runtime_speed.py [--densities 0.01,0.05,1] [--engines native,scipy] [--samples N] [--rounds 3] [--tries 1]
    python benchmarks/runtime_speed.py --conv                                  a pruned 6Conv2FC instead
    python benchmarks/runtime_speed.py --network runs/mnist/model.loom         a compiled network instead

784-800-10, T 8, random 8-bit weights; 11.6 % of the inputs spike in a step, and a few percent of the neurons. Each engine runs in a process
of its own, on one thread (`runtime_peers.py`); `make bench-peers` installs those that are not there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime_peers import LEAST_SECONDS, MISSING, names  # first: it limits threads before numpy is imported

import runtime_own  # isort: skip
from peers import clock  # isort: skip
from peers.case import make_case  # isort: skip
from spikeloom.compile import load  # isort: skip
from spikeloom.network import reference  # isort: skip
from spikeloom.errors import SpikeloomError  # isort: skip
from spikeloom.files import write_json  # isort: skip
from spikeloom.runtime.backends import native, onnx  # isort: skip
from spikeloom.runtime.backends.api import BackendOptions  # isort: skip

HERE = Path(__file__).resolve().parent
SAMPLES = 4096  # of a case; the slow engines run the first of them
TIME_LIMIT = 1200


@dataclass
class Table:
    """What the engines gave: (engine, density) -> the fastest line; and why others gave nothing."""

    lines: dict[tuple[str, float], dict[str, Any]] = field(default_factory=dict[tuple[str, float], dict[str, Any]])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    failed: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, engine: str, density: float, line: dict[str, Any]) -> None:
        """Keep a line if it is faster than what is there."""
        held = self.lines.get((engine, density))
        if held is None or line["samples_per_second"] > held["samples_per_second"]:
            self.lines[engine, density] = line


def main() -> int:
    """Measure what the options ask for."""
    options = _arguments()
    try:
        if options.network:
            compiled_network(options)
            return 0
        if options.conv:
            import runtime_conv

            return _written(options.json, runtime_conv.report(options.samples or 64, options.rounds))
        return engines(options)
    except SpikeloomError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def engines(options: argparse.Namespace) -> int:
    """Print the table of the engines and what is measured of the native one alone; return 1 if an engine failed."""
    with tempfile.TemporaryDirectory(prefix="loom-speed-") as folder:
        cases: dict[float, Path] = {}
        expected: dict[float, Any] = {}
        for density in options.densities:
            case = make_case(density, options.samples or SAMPLES)
            cases[density] = Path(folder) / f"case-{density}.npz"
            case.save(cases[density])
            expected[density] = runtime_own.output_spikes(case).cumsum()
        table = measure_all(cases, options)
        print_table(table, options.densities, expected)
        own = runtime_own.report(cases, options.rounds)
    _written(options.json, {"engines": list(table.lines.values()), "missing": table.missing, "failed": table.failed, **own})
    return 1 if table.failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--densities", type=_shares, default=[0.01, 0.05, 1.0])
    parser.add_argument("--engines", type=_engines, default=sorted(names(), key=lambda name: (name != "native", name)))
    parser.add_argument("--samples", type=int, default=None, help="each engine's own number if not given")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is taken")
    parser.add_argument(
        "--tries", type=int, default=1, help="processes per engine, of which the fastest counts: for a machine that is not quiet"
    )
    parser.add_argument(
        "--clock",
        choices=sorted(clock.KINDS),
        default="wall",
        help="cpu: seconds of work (not of Lava and Brian2), for a machine that is not quiet",
    )
    parser.add_argument("--json", type=Path, default=None, help="write everything to this file, too")
    parser.add_argument("--conv", action="store_true", help="a 6Conv2FC with 1 %% of its weights")
    parser.add_argument("--network", default=None, help="a compiled network: images a second")
    parser.add_argument("--data", default="mnist", help="of --network")
    options = parser.parse_args()
    if min(options.rounds, options.tries, options.samples or 1) < 1:
        parser.error("--rounds, --tries and --samples must be at least 1")
    clock.choose(options.clock)
    return options


def _shares(text: str) -> list[float]:
    shares = [float(part) for part in text.split(",")]
    if not all(0.0 < share <= 1.0 for share in shares):
        raise argparse.ArgumentTypeError(f"{text}: densities lie above 0 and at most at 1")
    return shares


def _engines(text: str) -> list[str]:
    unknown = set(text.split(",")) - set(names())
    if unknown:
        raise argparse.ArgumentTypeError(f"no engines {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    return text.split(",")


def _written(path: Path | None, result: dict[str, Any]) -> int:
    if path is not None:
        write_json(path, result)
    return 0


def measure_all(cases: dict[float, Path], options: argparse.Namespace) -> Table:
    """Run every engine on every case, try after try, so that each engine's lie apart in time."""
    table = Table()
    for _ in range(options.tries):
        for engine in options.engines:
            for density, path in cases.items():
                if engine not in table.missing and engine not in table.failed:
                    _measure(table, engine, density, path, options)
    return table


def _measure(table: Table, engine: str, density: float, path: Path, options: argparse.Namespace) -> None:
    print(f"{engine} at {density:.0%} ...", file=sys.stderr, flush=True)
    command = [sys.executable, str(HERE / "runtime_peers.py"), engine, str(path), "--rounds", str(options.rounds), "--clock", options.clock]
    command += ["--samples", str(options.samples)] if options.samples else []
    try:
        done = subprocess.run(command, env=_environment(engine), capture_output=True, text=True, check=False, timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        table.failed[engine] = f"more than {TIME_LIMIT} s at {density:.0%}"
        return
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"engine"')]
    if done.returncode == MISSING:
        table.missing[engine] = done.stderr.strip().splitlines()[-1]
    elif done.returncode or not lines:
        table.failed[engine] = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    else:
        table.add(engine, density, json.loads(lines[-1]) | {"density": density})


def _environment(engine: str) -> dict[str, str]:
    """Return the environment of a child: with .peers/ENGINE before all else, where `make bench-peers` put it."""
    folder = HERE.parent / ".peers" / engine
    paths = [str(folder)] if folder.is_dir() else []
    paths += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    return os.environ | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})


def print_table(table: Table, densities: list[float], expected: dict[float, Any]) -> None:
    """Print a row an engine, fastest first at the first density."""
    head = [f"samples/s at {d:.0%}" for d in densities] + [f"native / engine at {d:.0%}" for d in densities]
    print("| engine | " + " | ".join(head) + " | peak MiB | output spikes that differ |")
    print("|---" * (len(head) + 3) + "|")
    engines = sorted(
        {e for e, _ in table.lines}, key=lambda e: -table.lines.get((e, densities[0]), {"samples_per_second": 0})["samples_per_second"]
    )
    for engine in engines:
        lines = [table.lines.get((engine, d)) for d in densities]
        rates = [_rounded(line["samples_per_second"]) if line else "" for line in lines]
        ratios = [_ratio(table, d, line) for d, line in zip(densities, lines, strict=True)]
        peak = max(line["peak_mib"] for line in lines if line)
        differ = [
            f"{line['output_spikes'] - int(expected[d][line['samples'] - 1]):+d}" for d, line in zip(densities, lines, strict=True) if line
        ]
        print(f"| {engine} | " + " | ".join([*rates, *ratios]) + f" | {peak:,.0f} | {_differences(differ)} |")
    for name, why in (table.missing | table.failed).items():
        print(f"\n{name}: {why}")


def _rounded(rate: float) -> str:
    """Write a rate in three digits."""
    digits = max(0, len(str(int(rate))) - 3)
    return f"{round(rate, -digits):,.0f}"


def _ratio(table: Table, density: float, line: dict[str, Any] | None) -> str:
    ours = table.lines.get(("native", density))
    if line is None or ours is None:
        return ""
    ratio = ours["samples_per_second"] / line["samples_per_second"]
    return f"{ratio:.1f}" if ratio < 20 else f"{ratio:,.0f}"


def _differences(found: list[str]) -> str:
    return "none" if set(found) == {"+0"} else " / ".join(found)


def compiled_network(options: argparse.Namespace) -> None:
    """Print images per second of a compiled network on a data set, in this process."""
    from spikeloom.train import load_dataset

    network = load(options.network).network
    events = reference.encode(network, load_dataset(options.data).test.evenly(options.samples or 2048).values)
    engines: dict[str, Callable[[], object]] = {
        "native, 2 threads": lambda: native.simulate(network, events, BackendOptions(threads=2)),
        "native, 1 thread": lambda: native.simulate(network, events, BackendOptions(threads=1)),
        "scipy CSR int64 (the integer reference)": lambda: reference.simulate(network, events),
        "onnxruntime": lambda: onnx.simulate(network, events, BackendOptions()),
    }
    times = {name: statistics.median(runtime_own.seconds(work, options.rounds, LEAST_SECONDS)) for name, work in engines.items()}
    first = next(iter(times.values()))
    print(
        f"{len(events)} samples, T {network.timesteps}, medians of {options.rounds}\n\n| engine | images/s | time / first |\n|---|---|---|"
    )
    for name, taken in times.items():
        print(f"| {name} | {len(events) / taken:,.0f} | {taken / first:.1f} |")
    single = runtime_own.latency(network, events[:100])
    if single is not None:
        median, slowest = single
        print(f"\none sample at a time, prepared once: median {median * 1e6:.0f} us, slowest {slowest * 1e6:.0f} us")


if __name__ == "__main__":
    sys.exit(main())
