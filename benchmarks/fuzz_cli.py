"""The command line at random: words, values and surroundings, for docs/results/robustness.md.

    python benchmarks/fuzz_cli.py --minutes 30 --log fuzz_cli.jsonl     again: goes on with inputs not yet tried
    python benchmarks/fuzz_cli.py --log fuzz_cli.jsonl --table
    python benchmarks/fuzz_cli.py --only 1234                           one input again, with all it said

Words that the commands have, with values that make no sense, damaged and missing files, devices, folders, names of other encodings; at
any moment SIGTERM, SIGINT, SIGHUP or a closed terminal; standard output closed, full or a broken pipe; no HOME, a full disk, a full
/dev/shm, folders that may not be written to. Wrong is: a traceback; an exit code that README.md does not have; one without a line of
ours or of the usage; a temporary file, a process or a half-written file left; more than a minute after a signal.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/data"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/formats"))
sys.path.insert(0, str(Path(__file__).parent))

import forked

CODES = (0, 1, 2, 3, 4, 5, 130)
NUMBERS = [
    *["0", "-1", "1", "2", "3", "7", "0.5", "0.95", "1.0", "1e-300", "1e308", "nan", "inf", "-inf", "-0", "1e400"],
    *[str(2**31), str(2**63), str(-(2**63)), str(2**64), "9" * 5000, "0x10", "1_0", "²", "٤", "1,2", "8,hidden1=4", ",", "1,,2"],
]
TEXTS = [
    *[
        "",
        " ",
        "\n",
        "é",
        "日本",
        "\udcff\udcfe",
        "..",
        "x" * 300,
        "x" * 5000,
        "-",
        "=",
        "a=b",
        "=b",
        "none",
        "true",
        "%s",
        "{0}",
        "[bold]",
        "[/x]",
    ],
    *["--help", "-T", "--json", "\x1b[31m", "a.b.c=1", "net.hidden=", "\u202e", "ternary", "best", "ce", "tet", "bf16", "cuda", "auto"],
]
NAMES = [
    *[
        "digits",
        "mnist",
        "fc",
        "dense",
        "grad-r",
        "esl",
        "stds",
        "upr",
        "deep-r",
        "soft-deep-r",
        "lava",
        "truenorth",
        "netx",
        "loihi",
        "loihi2",
    ],
    *["native", "torch", "onnx", "graphml", "nir", "html", "md", "text", "json", "current", "rate", "events", "host", "graded", "codebook"],
]
FILES = [
    *["run", "run/model.loom", "run/model.onnx", "run/results.json", "run/settings.json", "crossbars.loom", "model.nir", "model.net"],
    *["ann.onnx", "chip.toml", "recipe.toml", "values.npy", "labels.npy", "empty", "text.txt", "folder", "dangling", "loop", "missing/x/y"],
    *[
        "damaged.loom",
        "damaged.onnx",
        "damaged.nir",
        "damaged.json",
        "[bold]x[/y].loom",
        "sp ace é.onnx",
        "/dev/null",
        "/dev/zero",
        "/dev/full",
    ],
    *[
        "/",
        ".",
        "/proc/self/mem",
        "/proc/self/environ",
        "/nonexistent",
        "n" * 300,
        "run/model.loom/x",
        "out",
        "out.loom",
        "out.json",
        "big.loom",
    ],
]
VALID = [
    shlex.split(line)
    for line in """
train --data digits --epochs 1 --hidden 8 -T 2 --out out
train --recipe recipe.toml --out out
train --data digits --epochs 2 --hidden 8 -T 2 --out run --resume
train --data digits --method grad-r --sparsity 0.9 --epochs 2 --weight-bits 4 --out out
compile run
compile run --out out.loom --json
compile model.nir -T 4
compile model.net
compile run --target truenorth --mode codebook --out out.loom
compile run --explain --dump-dir out
compile run --stop-after quantise
run run/model.loom
run run/model.loom --check --out out.json
run run/model.loom --data values.npy --labels labels.npy
run run/model.loom --backend torch --samples 3
run crossbars.loom --backend truenorth --samples 2
report run
report run --format md
report run run/results.json --format json
report . --out out.html
estimate run
estimate run --rate 0.1
convert ann.onnx --data digits --out out -T 4 --samples 5
export run --to nir --out out.nir
export run/model.loom --to graphml
hw list
hw show loihi2
hw check chip.toml
hw list --json
doctor
doctor --no-cuda --json
--version
--help
train --help
sweep --data digits --methods dense --sparsities 0.5 --epochs 1 --set net.hidden=8 --out out --no-deploy
""".splitlines()
]  # the first is empty: no words at all
SAYING = ("spikeloom: ", "Usage: ", "Error: ", "Try ", "Shell ")  # ours, and those of the command line's library
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SLOW = 20.0  # seconds after which a command, however large its work, is sent SIGTERM


# --- what is asked -------------------------------------------------------------------------------------------------------


def options() -> dict[str, list[str]]:
    """The options of each command, as the command line itself has them."""
    import typer.main
    from spikeloom.cli.entry import app

    root: Any = typer.main.get_command(app)
    found: dict[str, list[str]] = {"": [o for p in root.params for o in p.opts]}
    for name, command in root.commands.items():
        found[name] = [o for p in command.params for o in [*p.opts, *p.secondary_opts] if o.startswith("-")]
    return found


def fields() -> list[str]:
    """Options of methods, networks, data sets and readers, as --set takes them."""
    from dataclasses import fields as fields_of

    from spikeloom import formats, registry
    from spikeloom.data import sets as datasets
    from spikeloom.train import methods, networks
    from spikeloom.train.settings import TrainSettings

    found = [f.name for f in fields_of(TrainSettings)]
    for prefix, package in (("method.", methods), ("net.", networks), ("data.", datasets), ("", formats)):
        for name in registry.names(package):
            kind: Any = getattr(registry.load(package, "part", name), "Options", None)
            found += [] if kind is None else [prefix + f.name for f in fields_of(kind)]
    return sorted(set(found))


@dataclass
class Words:
    """Makes command lines."""

    known: dict[str, list[str]]
    settings: list[str]

    def value(self, rng: Random) -> str:
        """A value of some kind."""
        return rng.choice(rng.choice((NUMBERS, NUMBERS, TEXTS, NAMES, FILES)))

    def line(self, rng: Random) -> list[str]:
        """A command that makes sense, with a few changes; now and then words alone."""
        if rng.random() < 0.05:
            return [rng.choice([*self.known, self.value(rng)]) for _ in range(rng.randint(0, 5))]
        words = list(rng.choice(VALID))
        for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3))):
            self._change(words, rng)
        return words

    def _change(self, words: list[str], rng: Random) -> None:
        of = self.known.get(words[0] if words else "", []) or self.known[""]
        match rng.randrange(7):
            case 0 | 1 if len(words) > 1:
                words[rng.randrange(1, len(words))] = self.value(rng)
            case 2 | 3:
                words += [rng.choice(of), self.value(rng)]
            case 4:
                words += ["--set", f"{rng.choice(self.settings)}={self.value(rng)}"]
            case 5 if words:
                del words[rng.randrange(len(words))]
            case _:
                words.insert(rng.randrange(len(words) + 1), rng.choice([*of, self.value(rng)]))


# --- where it runs -------------------------------------------------------------------------------------------------------


def make_world(world: Path) -> None:
    """Write the files that the words name, in a process of its own."""
    program = f"import sys; sys.path[:0] = {sys.path!r}; import fuzz_cli; fuzz_cli.write_world({str(world)!r})"
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def write_world(place: str) -> None:
    """Write one real file of each kind, and some that are not."""
    import fuzzed
    import mutate
    import numpy as np
    import test_conversion
    from spikeloom.compile import compile_network
    from spikeloom.data.dataset import load_dataset
    from spikeloom.runtime import run
    from spikeloom.train import fit

    world, rng = Path(place), Random(0)
    world.mkdir()
    fit("digits", method="grad-r", sparsity=0.5, epochs=4, hidden=(16,), timesteps=2, out=world / "run")
    deployed = compile_network(world / "run")
    deployed.save(world / "run" / "model.loom")
    test = load_dataset("digits", None, {}).test
    run(deployed, test, check=True).save(world / "run" / "results.json")
    compile_network(world / "run", target="truenorth", mode="codebook").save(world / "crossbars.loom")
    np.save(world / "values.npy", test.values[:20])
    np.save(world / "labels.npy", test.labels[:20])
    fuzzed.write_nir(world)
    fuzzed.write_netx(world)
    fuzzed.write_chip(world)
    (world / "recipe.toml").write_text(fuzzed.RECIPE.replace("epochs = 4", "epochs = 1"))
    test_conversion.mlp(np.random.default_rng(0), world / "ann.onnx")
    for name, whole in (("loom", "run/model.loom"), ("onnx", "run/model.onnx"), ("nir", "model.nir"), ("json", "run/results.json")):
        (world / f"damaged.{name}").write_bytes(mutate.damage((world / whole).read_bytes(), rng))
    shutil.copy(world / "run/model.loom", world / "sp ace é.onnx")
    (world / "[bold]x[").mkdir()
    shutil.copy(world / "run/model.loom", world / "[bold]x[" / "y].loom")
    (world / "empty").touch()
    (world / "text.txt").write_text("nothing\n")
    (world / "folder").mkdir()
    (world / "dangling").symlink_to("nowhere")
    (world / "loop").symlink_to("loop")
    with (world / "big.loom").open("wb") as sparse:
        sparse.truncate(1 << 36)


def around(rng: Random, folder: Path) -> tuple[forked.Surroundings, str]:
    """Choose surroundings; return them with their name."""
    place = forked.Surroundings(folder, {"TMPDIR": str(folder.parent / "tmp"), "SPIKELOOM_DATA": None, "COLUMNS": None, "NO_COLOR": None})
    kind = rng.choice(
        ["plain"] * 6
        + ["closed", "full", "pipe", "terminal", "terminal", "stderr", "no home", "ascii", "latin", "narrow", "disk", "shm", "nobody"]
    )
    match kind:
        case "closed" | "full" | "pipe" | "terminal":
            place.stdout = kind
            place.stderr = rng.choice(("file", kind))
        case "stderr":
            place.stderr = rng.choice(("closed", "full", "pipe"))
        case "no home":
            place.environment["HOME"] = rng.choice((None, "/nonexistent", "/dev/null", "/proc"))
        case "ascii" | "latin":
            place.encoding = "ascii" if kind == "ascii" else "latin-1"
        case "narrow":
            place.environment |= {"COLUMNS": rng.choice(("1", "0", "-1", "x", "9" * 30)), "NO_COLOR": "1", "TERM": rng.choice(("dumb", ""))}
        case "disk":
            room = rng.choice((0, 4, 16, 64, 256)) << 12
            place.prepare = lambda: _full_disk(folder, room)
        case "shm":
            place.prepare = lambda: _mounted(Path("/dev/shm"), 4096, ())
        case "nobody":
            place.prepare = lambda: _as_nobody(folder, rng.random() < 0.5)
        case _:
            pass
    return place, kind


def _mounted(place: Path, size: int, copied: tuple[Path, ...]) -> None:
    """Put a small file system over a folder, for this process alone."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None):
        os._exit(forked.NOT_BEGUN)
    if libc.mount(b"none", os.fsencode(place), b"tmpfs", 0, f"size={size}".encode()):
        os._exit(forked.NOT_BEGUN)


def _full_disk(folder: Path, room: int) -> None:
    """Let the working folder and the temporary one be in file systems with little room."""
    held = folder.parent / "held"
    shutil.copytree(folder, held, symlinks=True, ignore=lambda _, names: [n for n in names if n == "big.loom"])
    needs = sum((p.lstat().st_size + 8191) // 4096 * 4096 for p in held.rglob("*"))
    _mounted(folder, needs + room + 65536, ())
    shutil.copytree(held, folder, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(held)
    os.chdir(folder)
    _mounted(folder.parent / "tmp", max(room, 4096), ())


def _as_nobody(folder: Path, writable: bool) -> None:
    for path in (folder.parent, folder.parent / "tmp"):
        path.chmod(0o777)
    folder.chmod(0o777 if writable else 0o555)
    os.environ["HOME"] = "/nonexistent"
    ET.tostring(ET.Element("x"), "us-ascii")  # what is imported late: nobody may not read the folder of the interpreter here
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


# --- one input -----------------------------------------------------------------------------------------------------------


def attempt(words: Words, number: int, seed: int, world: Path, scratch: Path) -> tuple[str, dict[str, Any]]:
    """Run one input; return what it ended in, and what there is to say of it."""
    rng = Random(f"cli {seed} {number}")
    line = words.line(rng)
    shutil.rmtree(scratch, ignore_errors=True)
    folder = scratch / "work"
    (scratch / "tmp").mkdir(parents=True)
    shutil.copytree(world, folder, symlinks=True, ignore=lambda _, names: [n for n in names if n == "big.loom"])
    with (folder / "big.loom").open("wb") as sparse:
        sparse.truncate(1 << 36)
    place, kind = around(rng, folder)
    after, number_of = (rng.expovariate(1.0), rng.choice(SIGNALS)) if rng.random() < 0.3 else (SLOW, signal.SIGTERM)
    began = time.monotonic()
    child = forked.start([w for w in line if "\0" not in w], place, scratch / "said")
    code, sent = child.wait(after), 0
    if code is None and child.terminal is not None and number_of == signal.SIGHUP:
        child.hang_up()
        sent = signal.SIGHUP
    elif code is None:
        os.kill(child.pid, number_of)
        sent = number_of
    code = child.wait(60.0) if code is None else code
    hung = code is None
    if code == forked.NOT_BEGUN:
        return "not begun", {"number": number, "line": line, "kind": kind, "sent": int(sent), "code": code, "seconds": 0.0}
    if hung:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(60.0)
    child.hang_up()
    wrong = "hang" if hung else _wrong(child, code, sent, kind, scratch, place)
    told = {"number": number, "line": line, "kind": kind, "sent": int(sent), "code": code, "seconds": round(time.monotonic() - began, 2)}
    if wrong:
        told |= {"wrong": wrong, "stderr": child.output("stderr")[-1800:], "stdout": child.output("stdout")[-300:]}
    return wrong or ("signal" if sent else f"exit {code}"), told


def _wrong(child: forked.Child, code: int | None, sent: int, kind: str, scratch: Path, place: forked.Surroundings) -> str:
    """Name what is wrong with how a command ended, or return nothing."""
    said, codes = child.output("stderr"), (*CODES, -sent, 128 + sent) if sent else CODES
    told = any(line.startswith(SAYING) for line in said.splitlines()) or "absent" in child.output("stdout")  # doctor says it in its table
    reader_gone = place.stdout in ("pipe", "terminal")
    left = [] if kind in ("disk", "nobody") else [p.name for p in scratch.rglob("*") if _temporary(p.name)]
    checks = {
        "traceback": "Traceback" in said and "Exception ignored in" not in said,  # a Ctrl-C within a library of C
        "warning": re.search(r"\wWarning: ", said) is not None,  # of a library; ours begin with the word
        f"exit code {code}": code not in codes,
        "no message": bool(code and code > 0 and place.stderr == "file" and not told and not reader_gone),
        "process left": _alive(child.pid),
        f"left {left[:3]}": bool(left),
        f"half-written {_half_written(scratch / 'work')}": kind not in ("disk", "nobody") and bool(_half_written(scratch / "work")),
    }
    return next((name for name, found in checks.items() if found), "")


def _temporary(name: str) -> bool:
    return name.startswith((".probe-", "spikeloom-", "loom-")) or re.fullmatch(r"\..+-[a-z0-9_]{8}(\.\w+)?", name) is not None


def _alive(group: int) -> bool:
    for _ in range(50):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    return True


def _half_written(folder: Path) -> str:
    """Name a JSON document or a .loom that a command left and that is not whole."""
    for path in folder.rglob("*.json"):
        if path.name != "damaged.json" and path.is_file():
            try:
                json.loads(path.read_bytes())
            except ValueError:
                return path.name
    for path in folder.rglob("*.loom"):
        if path.is_file() and path.name not in ("damaged.loom", "big.loom"):
            size = path.stat().st_size
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
            if size < 8 + length:
                return path.name
    return ""


def main() -> int:
    """Try inputs until the minutes are over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--only", type=int)
    asked = parser.parse_args()
    done: list[dict[str, Any]] = (
        [json.loads(line) for line in asked.log.read_text().splitlines()] if asked.log and asked.log.exists() else []
    )
    if not asked.table:
        done += _try(asked, max((d["number"] + 1 for d in done if d["seed"] == asked.seed), default=0))
    for name, count in sorted(
        Counter(
            d.get("wrong") or ("not begun" if d["code"] == forked.NOT_BEGUN else "signal" if d["sent"] else f"exit {d['code']}")
            for d in done
        ).items()
    ):
        print(f"{name:40} {count:,}")
    bad = sum("wrong" in d for d in done)
    print(f"{len(done):,} inputs, {bad} of them wrong")
    return int(bad > 0)


def _try(asked: argparse.Namespace, first: int) -> list[dict[str, Any]]:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    forked.warm()
    words, found = Words(options(), fields()), list[dict[str, Any]]()
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base, prefix="cli-") as folder:
        Path(folder).chmod(0o755)
        world, number = Path(folder) / "world", first if asked.only is None else asked.only
        make_world(world)
        end = time.monotonic() + 60 * asked.minutes
        while time.monotonic() < end:
            _, told = attempt(words, number, asked.seed, world, Path(folder) / "scratch")
            found.append(told | {"seed": asked.seed})
            if asked.log is not None:
                with asked.log.open("a") as file:
                    file.write(json.dumps(found[-1]) + "\n")
            if "wrong" in told or asked.only is not None:
                print(json.dumps(told, indent=1), file=sys.stderr, flush=True)
            if asked.only is not None:
                break
            number += 1
    return found


if __name__ == "__main__":
    sys.exit(main())
