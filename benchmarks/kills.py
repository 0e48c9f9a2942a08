"""SIGKILL at random moments over train, sweep, compile and run of the digits, for docs/results/robustness.md.

    python benchmarks/kills.py -n 1000 --log kills.jsonl      again: goes on with kills not yet tried
    python benchmarks/kills.py --log kills.jsonl --table

Each command is a fork of one process that has everything imported, so that a kill costs a second and falls into the work, not into the
imports; it is killed at a moment between its start and the time that it takes whole. Then: everything that lies there loads; no process is
left; and the command, repeated or resumed, ends with the results of one that was left alone: weights and checkpoint byte by byte, the
deployed network's checksum, counts, predictions and rows. Only the kills that struck are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import forked

TRAIN = shlex.split("train --data digits --method grad-r --sparsity 0.8 --epochs 3 --hidden 16 -T 4 --seed 1 --out out")
SWEEP = shlex.split("sweep --data digits --methods dense,esl --sparsities 0.5 --epochs 3 --set net.hidden=16 --set timesteps=4 --out out")
COMPILE = shlex.split("compile run --out run/killed.loom")
RUN = shlex.split("run run/model.loom --check --out run/killed.json")
SEVERAL = [*SWEEP, "--jobs", "2"]
ENDS = 30.0  # seconds in which whatever a killed command started must be gone
CLOCKS = (
    "seconds",
    "wall",
    "created",
    "when",
    "date",
    "command",
    "time_s",
    "throughput",
    "per_second",
    "epoch_seconds",
    "timings",
    "folder",
    "elapsed",
)


@dataclass(frozen=True)
class Command:
    """What is killed.

    Args:
        words: the command.
        again: the words that go on where it was killed.
        result: what it came to, from its folder, without clocks.
        whole: reads what may lie there after a kill; raises where something does not load.
    """

    words: list[str]
    again: Callable[[Path], list[str]]
    result: Callable[[Path], Any]
    whole: Callable[[Path], None]


def _tensors(path: Path) -> dict[str, str]:
    from safetensors.numpy import load_file
    from spikeloom.files import sha256

    return {name: sha256(array.tobytes()) for name, array in load_file(path).items()}


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_clocks(v) for k, v in value.items() if not any(word in str(k) for word in CLOCKS)}
    return [_without_clocks(v) for v in value] if isinstance(value, list) else value


def _trained(folder: Path) -> Any:
    run = folder / "out"
    return [_tensors(run / f"{name}.safetensors") for name in ("model", "checkpoint", "calibration")]


def _train_again(folder: Path) -> list[str]:
    return [*TRAIN, *(["--resume"] if (folder / "out" / "settings.json").exists() else [])]


def _loads(folder: Path) -> None:
    """Load every file that a reader of ours or JSON is for."""
    from spikeloom.compile import load
    from spikeloom.formats.onnx import read
    from spikeloom.runtime import load_results
    from spikeloom.train.checkpoint import read as read_checkpoint

    readers: dict[str, Callable[[Path], object]] = {"model.onnx": read, "checkpoint.safetensors": read_checkpoint}
    for path in folder.rglob("*"):
        if not path.is_file() or path.name.startswith("."):
            continue
        if path.suffix == ".loom":
            load(path)
        elif path.name.startswith("results") and path.suffix == ".json":
            load_results(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".safetensors" and path.name not in readers:
            _tensors(path)
        elif path.name in readers:
            readers[path.name](path)


def _compiled(folder: Path) -> Any:
    path = folder / "run" / "killed.loom"
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    return [_tensors(path), _without_clocks(json.loads(header["document"]))]


def _results(folder: Path) -> Any:
    return _without_clocks(json.loads((folder / "run" / "killed.json").read_text()))


def _swept(folder: Path) -> Any:
    cells = json.loads((folder / "out" / "sweep.json").read_text())["cells"]
    return [_without_clocks(cells), [_tensors(p) for p in sorted((folder / "out").rglob("model.safetensors"))]]


COMMANDS = {
    "train": Command(TRAIN, _train_again, _trained, _loads),
    "compile": Command(COMPILE, lambda _: COMPILE, _compiled, _loads),
    "run": Command(RUN, lambda _: RUN, _results, _loads),
    "sweep": Command(SWEEP, lambda _: SWEEP, _swept, _loads),
    "sweep --jobs 2": Command(SEVERAL, lambda _: SEVERAL, _swept, _loads),
}
SHARES = {"train": 40, "compile": 25, "run": 25, "sweep": 9, "sweep --jobs 2": 1}  # of 100 kills


def make_world(world: Path) -> None:
    """Train and compile a small network, in a process of its own."""
    words = shlex.split("--data digits --method grad-r --sparsity 0.5 --epochs 4 --hidden 16 -T 4 --weight-bits 8 --out")
    for line in (["train", *words, str(world / "run")], ["compile", str(world / "run")]):
        subprocess.run([sys.executable, "-m", "spikeloom", *line], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def in_a_fork(work: Callable[[], Any]) -> Any:
    """Do something in a fork, since this process keeps itself free of threads; return what it returned, as JSON."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as stream:
                try:
                    json.dump({"done": work()}, stream)
                except Exception as error:
                    json.dump({"error": f"{type(error).__name__}: {error}"}, stream)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        found = json.loads(stream.read())
    os.waitpid(child, 0)
    if "error" in found:
        raise RuntimeError(found["error"])
    return found["done"]


def whole_run(words: list[str], folder: Path) -> float:
    """Run a command to its end; return the seconds."""
    began = time.monotonic()
    child = forked.start(words, forked.Surroundings(folder, memory=16.0), folder / "said")
    code = child.wait(300.0)
    if code != 0:
        raise RuntimeError(f"{words} ended with {code}: {child.output('stderr')[-1000:]}")
    return time.monotonic() - began


def gone(group: int) -> list[str]:
    """Wait until no process of a session is left; return those that stay."""
    end, left = time.monotonic() + ENDS, ["?"]
    while left and time.monotonic() < end:
        left = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    if fields[0] != "Z" and (int(fields[2]) == group or int(fields[3]) == group):
                        left.append(f"{entry.name} {(entry / 'cmdline').read_bytes()[:80]!r}")
                except OSError:
                    continue
        time.sleep(0.05)
    return left


def kill(name: str, number: int, seed: int, took: float, expected: Any, world: Path, scratch: Path) -> dict[str, Any]:
    """Kill a command once and go on with it; return what happened."""
    command, rng = COMMANDS[name], Random(f"kill {seed} {number}")
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(world, scratch)
    struck, shared, began = 0, set(os.listdir("/dev/shm")), time.monotonic()  # noqa: PTH208
    tries = rng.randint(1, 8 if name.startswith("sweep") else 24)  # what goes on is killed, too
    told: dict[str, Any] = {"command": name, "number": number, "seed": seed}
    for _ in range(tries):
        child = forked.start(command.again(scratch), forked.Surroundings(scratch, memory=16.0), scratch / "said")
        if child.wait(rng.uniform(0.0, took)) is None:
            if rng.random() < 0.5:
                try:
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:  # so early that it leads no group yet
                    os.kill(child.pid, signal.SIGKILL)
            else:  # the first process alone: those that it started have to notice
                os.kill(child.pid, signal.SIGKILL)
            struck += child.wait(30.0) == -signal.SIGKILL
        left = gone(child.pid)
        if left:
            return told | {"struck": struck, "wrong": f"processes left: {left[:2]}"}
        try:
            in_a_fork(lambda: command.whole(scratch))
        except RuntimeError as error:
            return told | {"struck": struck, "wrong": f"does not load: {error}"}
    temporary = [p.name for p in scratch.rglob(".*") if p.is_file()]
    try:
        whole_run(command.again(scratch), scratch)
        found = in_a_fork(lambda: command.result(scratch))
    except RuntimeError as error:
        return told | {"struck": struck, "wrong": f"does not go on: {error}"}
    told |= {"struck": struck, "temporary": len(temporary), "seconds": round(time.monotonic() - began, 2)}
    if found != expected:
        told["wrong"] = f"another result: {_first_difference(found, expected)}"
    new = [n for n in set(os.listdir("/dev/shm")) - shared if n.startswith(("psm_", "sem.", "torch_"))]  # noqa: PTH208
    return told | ({"wrong": f"shared memory left: {new[:3]}"} if new else {})


def _first_difference(found: Any, expected: Any, where: str = "") -> str:
    if type(found) is type(expected) and isinstance(found, dict | list) and len(found) == len(expected):
        keys: Any = found if isinstance(found, dict) else range(len(found))
        for key in keys:
            there = expected.get(key) if isinstance(expected, dict) else expected[key]
            if found[key] != there:
                return _first_difference(found[key], there, f"{where}/{key}")
    return f"{where}: {str(found)[:100]} instead of {str(expected)[:100]}"


def _kills(asked: argparse.Namespace, first: int, enough: int) -> list[dict[str, Any]]:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    forked.warm()
    done, number, struck = list[dict[str, Any]](), first, 0
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    end = time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory(dir=base, prefix="kills-") as folder:
        world, scratch = Path(folder) / "world", Path(folder) / "scratch"
        make_world(world)
        known: dict[str, tuple[float, Any]] = {}
        while struck < enough and time.monotonic() < end:
            name = asked.command or Random(f"which {asked.seed} {number}").choices(list(SHARES), list(SHARES.values()))[0]
            if name not in known:
                took = float("inf")
                for _ in range(2):  # the first may compile kernels, and kills spread over its time would miss most later runs
                    shutil.rmtree(scratch, ignore_errors=True)
                    shutil.copytree(world, scratch)
                    took = min(took, whole_run(COMMANDS[name].words, scratch))
                known[name] = took, in_a_fork(lambda n=name: COMMANDS[n].result(scratch))
            told = kill(name, number, asked.seed, *known[name], world, scratch)
            struck, number = struck + told["struck"], number + 1
            done.append(told)
            if asked.log is not None:
                with asked.log.open("a") as file:
                    file.write(json.dumps(told) + "\n")
            if "wrong" in told:
                print(json.dumps(told), file=sys.stderr, flush=True)
    return done


def main() -> int:
    """Kill, go on, compare; print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1000, help="kills that strike, those of the log included")
    parser.add_argument("--minutes", type=float, default=600.0, help="after which no further one is begun")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", choices=list(COMMANDS))
    parser.add_argument("--log", type=Path)
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    done: list[dict[str, Any]] = (
        [json.loads(line) for line in asked.log.read_text().splitlines()] if asked.log and asked.log.exists() else []
    )
    if not asked.table:
        first = max((d["number"] + 1 for d in done if d["seed"] == asked.seed), default=0)
        done += _kills(asked, first, asked.n - sum(d["struck"] for d in done))
    print("| command | kills that struck | tries | wrong |")
    print("|---|---|---|---|")
    for name in COMMANDS:
        own = [d for d in done if d["command"] == name]
        print(f"| {name} | {sum(d['struck'] for d in own):,} | {len(own):,} | {sum('wrong' in d for d in own)} |")
    wrong = Counter(d["wrong"].split(":")[0] for d in done if "wrong" in d)
    print(f"\n{sum(d['struck'] for d in done):,} kills struck; wrong: {dict(wrong) or 'none'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
