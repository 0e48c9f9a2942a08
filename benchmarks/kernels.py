"""What the kernels in LLVM's vectors buy over plain numba: each alone, and whole runs. Ratios of processor time, measured in turns.

python benchmarks/kernels.py [--turns 15] [--form avx512] [--cpu avx2] [--without all] [--layouts]

Each kernel alone: both forms in one process, in turns, on data of the case that it is for. Whole runs: a process for each form, asked
for one run at a time, in turns. The median of the ratios is printed. `--cpu avx2`: numba compiles everything for a processor with AVX2.
`--without strip,draw`: whole runs in which these kernels alone are plain, one at a time; each compiles for a minute.
`--layouts`: masked additions of a bit a lane and of a byte a lane, and the small convolution with its maps in both layouts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

LEAST = 0.004  # seconds of a turn, of the processor: others may use the machine meanwhile
CPUS = {"avx2": {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx2"}}
Pair = tuple[str, str, Callable[[], object], Callable[[], object]]


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds of a call, of as many as take LEAST."""
    begun, calls = time.process_time(), 0
    while time.process_time() - begun < LEAST:
        work()
        calls += 1
    return (time.process_time() - begun) / calls


def ratio(plain: Callable[[], float], vector: Callable[[], float], turns: int) -> tuple[float, float, float]:
    """Return the median of the ratios of neighbouring turns, and the least of each; the first turn does not count."""
    times = [(plain(), vector()) for _ in range(turns + 1)][1:]
    return statistics.median(p / v for p, v in times), min(p for p, _ in times), min(v for _, v in times)


# --- Each kernel alone -----------------------------------------------------------------------------------------------------------------


def _around(kernel: Any, call: Callable[..., None]) -> Any:
    """Compile a loop over the rows of a matrix around a kernel."""
    from spikeloom.jit import variant

    return variant(call, f"{call.__name__}_{id(kernel)}", kernel=kernel)


kernel: Any = None  # what the loops below call, see `_around`


def _sum_rows(indptr: Any, places: Any, weights: Any, most: int, source: Any, size: int, out: Any, pitch: int) -> None:
    for j in range(indptr.size - 1):
        kernel(source, 0, places, weights, indptr[j], indptr[j + 1], most, size, out, 0, pitch)


def _transpose_tiles(source: Any, out: Any, few: Any) -> None:
    for t in range(8):
        for i in range(0, 768, 64):
            kernel(source, t * 784 + i, 8 * 784, out, i * 576 + t * 64, 576, few)


def _strips(source: Any, out: Any) -> None:
    for t in range(8):
        for c in range(0, 16, 8):
            kernel(source, c * 512 + t * 64, 512, out, t * 16 + c, 128)


def _add_rows(indptr: Any, places: Any, weights: Any, lines: Any, acc: Any) -> None:
    for j in range(indptr.size - 1):
        kernel(lines, places, weights, indptr[j], indptr[j + 1], acc, 8 * j)


def _draw_sample(line: Any, some: Any, out: Any) -> None:
    for t in range(8):
        for i in range(0, 768, 64):
            kernel(line, some, i, t, 5, 0, 7, 0, out, i)


def flat_pairs(plain: Any, vector: Any) -> Iterator[Pair]:
    """Yield the kernels of flat layers on the hidden layer of 784-800-10, a block of 64 samples and 8 steps."""
    import numpy as np
    from peers.case import ACTIVE, make_case
    from peers.native import network_of
    from spikeloom.runtime.native.kernels.limits import STATE
    from spikeloom.runtime.native.program import prepare

    rng = np.random.default_rng(0)
    source = np.append((rng.random(784 * 512) < ACTIVE).astype(np.uint8), np.zeros(64, np.uint8))
    for density in (0.01, 0.05, 1.0):
        layer = prepare(network_of(make_case(density, 64))).layers[0]  # pyright: ignore[reportOptionalMemberAccess]
        a, out = layer.arriving[0], np.zeros(512, np.int32)
        given = (a.indptr, a.first, a.weights, a.most, source, 512, out, 0)
        first, second = (partial(_around(k.sum_pairs, _sum_rows), *given) for k in (plain, vector))
        yield "sum_pairs", f"784-800-10, {density:.0%}", first, second
        if layer.halving is not None:
            spikes, sums, state = np.zeros(800 * 512, np.uint8), np.zeros((2, 800), np.int64), np.zeros(STATE, np.uint8)
            head = (source, a.first, a.weights, a.indptr, 0, 800, layer.halving, layer.alive, 8, 8, state, spikes, 0, sums)
            yield "run_fused", f"784-800-10, {density:.0%}", partial(plain.run_fused, *head), partial(vector.run_fused, *head)


def other_pairs(plain: Any, vector: Any) -> Iterator[Pair]:
    """Yield neurons, transpositions, the rate code and single samples."""
    import numpy as np
    from peers.case import ACTIVE, make_case
    from peers.native import network_of
    from spikeloom.runtime.native.kernels.lanes import BYTES, SAMPLES, STEPS
    from spikeloom.runtime.native.kernels.limits import STATE_ROWS
    from spikeloom.runtime.native.program import prepare

    rng = np.random.default_rng(0)
    total, state, counts = (
        rng.integers(-300, 300, (8, 512)).astype(np.int32),
        np.zeros((STATE_ROWS, 512), np.int32),
        np.zeros((2, 512), np.uint8),
    )
    for what, dv, simple in (("simple neurons", 2048, 1), ("any decay", 1096, 0)):
        for packing, lie in ((BYTES, "bytes"), (SAMPLES, "bits of samples"), (STEPS, "bits of steps")):
            registers, pitch = np.array([0, 6, 0, 4096 - dv, 200 << 6, 0, simple], np.int32), 64 if packing == SAMPLES else 512
            given = (total, 512, state, registers, np.zeros(4096, np.uint8), 0, pitch, 8, packing, counts)
            yield "run_lanes", f"512 lanes, {what}, {lie}", partial(plain.run_lanes, *given), partial(vector.run_lanes, *given)
    events, few = (rng.random(64 * 8 * 784) < ACTIVE).astype(np.uint8), np.zeros(64, np.uint8)
    stream = np.zeros(784 * 576, np.uint8)

    def loops(name: str, call: Callable[..., None], *given: Any) -> tuple[Callable[[], object], Callable[[], object]]:
        first, second = (partial(_around(getattr(k, name), call), *given) for k in (plain, vector))
        return first, second

    yield "count_and_transpose", "64 samples of 784 inputs", *loops("count_and_transpose", _transpose_tiles, events, stream, few)
    yield "strip", "64 samples of 16 outputs", *loops("strip", _strips, np.zeros(8192, np.uint8), np.zeros(8192, np.uint8))
    values = rng.integers(0, 256, 768)
    line, some = (np.maximum(65536 * values - 1, 0) // 255).astype(np.uint16), values > 0
    yield "draw", "a sample of 768 pixels, 8 steps", *loops("draw", _draw_sample, line, some, np.zeros(768, np.uint8))
    program = prepare(network_of(make_case(0.05, 1)), few=True)
    a = program.layers[0].arriving[0]  # pyright: ignore[reportOptionalMemberAccess]
    lines, acc = np.append(events[: 784 * 8], np.zeros(64, np.uint8)), np.zeros(6400, np.int32)
    places = a.first // (program.rows("input") * a.unit) * 8  # pyright: ignore[reportOptionalMemberAccess]
    yield "add_eight", "a single sample, 5 %", *loops("add_eight", _add_rows, a.indptr, places, a.weights, lines, acc)


def map_pairs(plain: Any, vector: Any) -> Iterator[Pair]:
    """Yield the sums of bits of a convolution of 32 channels, 10 % of 3 x 3 taps: 29 a row."""
    import numpy as np

    rng, taps = np.random.default_rng(0), 29
    source, weights = rng.integers(0, 256, (1 << 14) + 4096).astype(np.uint8), rng.integers(-127, 128, 32 * taps).astype(np.int16)
    indptr, places = np.arange(33) * taps, rng.integers(0, 1 << 14, 32 * taps)
    out = np.zeros(8 * 1024, np.int32)
    for name, case, pitch in (
        ("sum_bits", "32 channels of 16 x 16, 8 samples", 0),
        ("sum_step_bits", "32 channels of 16 x 16, 8 steps", 512),
    ):
        given = (indptr, places, weights, 258, source, 2048, out, pitch)
        first, second = (partial(_around(getattr(k, name), _sum_rows), *given) for k in (plain, vector))
        yield name, case, first, second


# --- Whole runs ------------------------------------------------------------------------------------------------------------------------


def small_convolution() -> Any:
    """Return 2 x 16 x 16 - 16 c3 - pool 2 - 32 c3 - 10 with a tenth of its taps, 8 steps."""
    import numpy as np
    from spikeloom.network.model import Convolution, InputSpec, IntegerLIF, Network, Population, Projection

    rng, neuron = np.random.default_rng(0), IntegerLIF(4095, 2048, 100)

    def weights(*shape: int) -> Any:
        return (rng.integers(-127, 128, shape) * (rng.random(shape) < 0.1)).astype(np.float32)

    c1 = Convolution.from_dense(weights(16, 2, 3, 3), (2, 16, 16), padding=1)
    c2 = Convolution.from_dense(weights(32, 16, 3, 3), c1.target_shape, padding=1, pool=2)
    c3 = Convolution.from_dense(weights(10, 32, 8, 8), c2.target_shape)
    made = [replace(c, taps=replace(c.taps, data=c.taps.data.astype(np.int64))) for c in (c1, c2, c3)]
    names = ("input", "conv1", "conv2", "output")
    populations = (
        Population("input", (2, 16, 16), None),
        *(Population(n, c.target_shape, neuron) for n, c in zip(names[1:], made, strict=True)),
    )
    projections = tuple(Projection(f"p{i}", names[i], names[i + 1], c, weight_bits=8) for i, c in enumerate(made))
    return Network(populations, projections, 8, InputSpec(1, 1.0, "rate"))


def whole_runs() -> dict[str, Callable[[], object]]:
    """Return the runs by name, one thread each."""
    import numpy as np
    from peers.case import make_case
    from peers.native import network_of, prepare
    from spikeloom.network.model import InputSpec, IntegerLIF
    from spikeloom.runtime.backends import native
    from spikeloom.runtime.backends.api import BackendOptions
    from spikeloom.runtime.encoding import encode
    from spikeloom.runtime.native.latency import one_sample

    cases = {density: make_case(density, 1024) for density in (0.01, 0.05, 1.0)}
    runs: dict[str, Callable[[], object]] = {f"784-800-10, {d:.0%}, 1,024 samples": prepare(case) for d, case in cases.items()}
    options, events = BackendOptions(threads=1), cases[0.01].events
    runs["the same, 1%, every spike returned"] = partial(native.simulate, network_of(cases[0.01]), events, options)
    slow = network_of(cases[0.05])
    others = tuple(
        replace(p, neuron=IntegerLIF(4095, 1096, p.neuron.vth)) if isinstance(p.neuron, IntegerLIF) else p for p in slow.populations
    )
    few = BackendOptions(threads=1, rasters=False)
    runs["the same, 5%, neurons that are not simple"] = partial(native.simulate, replace(slow, populations=others), cases[0.05].events, few)
    single = one_sample(network_of(cases[0.05]))
    runs["784-800-10, 5%, a single sample"] = partial(single.run, cases[0.05].events[0])  # pyright: ignore[reportOptionalMemberAccess]
    rated, rng = replace(network_of(cases[0.01]), input=InputSpec(255, 1 / 255, "rate")), np.random.default_rng(0)
    runs["the rate code of 1,024 samples of 784 pixels"] = partial(encode, rated, rng.integers(0, 256, (1024, 784)).astype(np.uint8))
    maps = small_convolution()
    events = (rng.random((64, 8, 512)) < 0.1).astype(np.uint8)
    runs["a small convolution, 64 samples"] = partial(native.simulate, maps, events, few)
    one = one_sample(maps)
    runs["a small convolution, a single sample"] = partial(one.run, events[0])  # pyright: ignore[reportOptionalMemberAccess]
    return runs


def serve(without: str) -> None:
    """Print the names of the runs, then for each name that is read the seconds of a run."""
    if without:  # before anything is compiled that calls it
        from spikeloom.runtime.native.kernels import api

        setattr(api, without, getattr(api.kernels("plain"), without))
    runs = whole_runs()
    for run in runs.values():
        run()
    print(json.dumps(list(runs)), flush=True)
    for line in sys.stdin:
        print(seconds(runs[line.strip()]), flush=True)


class Child:
    """A process that runs what it is asked for with the kernels of a form."""

    def __init__(self, form: str, without: str = "", cache: str | None = None) -> None:
        """Start it and wait until its kernels are compiled; `without`: the kernel that is plain, kept in a cache of its own."""
        words = [sys.executable, __file__, "--serve", *(["--without", without] if without else [])]
        environment = os.environ | {"SPIKELOOM_KERNELS": form} | ({"NUMBA_CACHE_DIR": cache} if cache else {})
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.names: list[str] = json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def seconds(self, name: str) -> float:
        """Return the seconds of a run."""
        assert self.process.stdin is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return float(self._line())

    def end(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def report(form: str, turns: int) -> None:
    """Print both tables."""
    from spikeloom.runtime.native.kernels.api import kernels

    plain, vector = kernels("plain"), kernels(form)  # pyright: ignore[reportArgumentType]
    print(f"| kernel | case | plain us | {form} us | ratio |\n|---|---|---|---|---|")
    for pairs in (flat_pairs, other_pairs, map_pairs):
        for name, case, first, second in pairs(plain, vector):
            found = ratio(partial(seconds, first), partial(seconds, second), turns)
            print(f"| `{name}` | {case} | {found[1] * 1e6:,.1f} | {found[2] * 1e6:,.1f} | {found[0]:.1f} |", flush=True)
    children = [Child("plain"), Child(form)]
    print(f"\n| whole run, one thread | plain ms | {form} ms | ratio |\n|---|---|---|---|")
    for name in children[0].names:
        first, second = (partial(child.seconds, name) for child in children)
        found = ratio(first, second, turns)
        print(f"| {name} | {found[1] * 1e3:,.3f} | {found[2] * 1e3:,.3f} | {found[0]:.1f} |", flush=True)
    for child in children:
        child.end()


def report_layouts(turns: int) -> None:
    """Print what a byte a lane buys over a bit a lane, alone and in a network of maps, which takes eight times the memory."""
    import numpy as np
    from runtime_own import masked_adds
    from spikeloom.runtime.native.kernels.choose import FORM

    adds = masked_adds()
    bits, bytes_ = (partial(seconds, adds[f"a {size} a lane"]) for size in ("bit", "byte"))
    print(f"| {FORM} | bits / bytes, time |\n|---|---|\n| masked additions, first cache | {ratio(bits, bytes_, turns)[0]:.2f} |")
    network = small_convolution()
    events = (np.random.default_rng(1).random((64, 8, 512)) < 0.1).astype(np.uint8)
    bits = partial(seconds, _in_layout(network, events, 0))
    for lanes in (8, 16, 32, 64):
        found = ratio(bits, partial(seconds, _in_layout(network, events, lanes)), turns)
        print(f"| a small convolution, bits of 8 samples / bytes of {lanes} | {found[0]:.2f} |", flush=True)


def _in_layout(network: Any, events: Any, lanes: int) -> Callable[[], object]:
    """Return a run of a network of maps with a byte a lane, so many samples a block; 0: as the simulator does it, with bits."""
    import queue

    import numpy as np
    from spikeloom.runtime.native import program as laying
    from spikeloom.runtime.native.kernels.lanes import BYTES
    from spikeloom.runtime.native.worker import Worker

    program = laying.prepare(network)
    assert program is not None
    if lanes:
        empty = replace(program, lanes=lanes, packing=BYTES, layers=())
        layers = tuple(laying._layer(network, p, empty) for p in network.spiking)  # pyright: ignore[reportPrivateUsage]
        program = replace(empty, layers=layers)
    worker, spikes = Worker(program), {"output": np.zeros((len(events), network.timesteps, 16), np.bool_)}

    def run() -> None:
        blocks: queue.SimpleQueue[range] = queue.SimpleQueue()
        blocks.put(range(len(events)))
        worker.run(blocks, events, spikes)

    return run


def report_without(names: list[str], form: str, turns: int) -> None:
    """Print what each kernel buys in the runs in which it buys most."""
    whole = Child(form)
    print(f"| without the vectors of | {form}: most | then |\n|---|---|---|")
    for name in names:
        with tempfile.TemporaryDirectory() as cache:
            child = Child(form, name, cache)
            found = [(ratio(partial(child.seconds, run), partial(whole.seconds, run), turns)[0], run) for run in whole.names]
            child.end()
        first, second = sorted(found, reverse=True)[:2]
        print(f"| `{name}` | {first[1]}: {first[0]:.2f} | {second[1]}: {second[0]:.2f} |", flush=True)
    whole.end()


def main() -> None:
    """Print the tables, or serve as a child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--form", help="of the kernels, instead of the best that there is")
    parser.add_argument("--cpu", choices=CPUS, help="what numba compiles for")
    parser.add_argument("--without", default="", help="kernels that are plain one at a time, or all")
    parser.add_argument("--layouts", action="store_true", help="bits and bytes a lane")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.without)
    if options.cpu and not os.environ.get("NUMBA_CPU_NAME"):
        os.environ.update(CPUS[options.cpu])
        os.execv(sys.executable, [sys.executable, *sys.argv])
    if options.layouts:
        return report_layouts(options.turns)
    from spikeloom.runtime.native.kernels.api import Kernels
    from spikeloom.runtime.native.kernels.choose import forms

    form = options.form or forms()[-1]
    if options.without:
        names = [field.name for field in fields(Kernels)] if options.without == "all" else options.without.split(",")
        return report_without(names, form, options.turns)
    return report(form, options.turns)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    main()
