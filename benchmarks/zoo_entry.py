"""Make an entry of the zoo from a run: zoo/NAME.onnx, and zoo/NAME.toml with how it was trained, deployed, and what came out.

    python benchmarks/zoo_entry.py runs/mine mnist-gradr-2.25 [--chip loihi2] [--weight-bits 8]

The run folder is one of `spikeloom train`. The network is compiled with the run's calibration samples and run on the whole test set; then
the file is compiled as users will, without them, and must give the same integers.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from spikeloom import __version__, runtime
from spikeloom.compile import Calibration, Compilation, DeployedNetwork
from spikeloom.compile.loading import compile_of_zoo
from spikeloom.data.dataset import load_dataset
from spikeloom.data.samples import samples_of
from spikeloom.fed import CALIBRATION_SAMPLES
from spikeloom.files import sha256, write_bytes, write_text
from spikeloom.formats import onnx
from spikeloom.network import Network, zoo
from spikeloom.subset import choose
from spikeloom.sweep.grid import training_command
from spikeloom.train.settings import TrainSettings

SUBSET = 500
CLIP = re.compile(r"^(.+): exponent .*weights clipped at (\d+)% of the largest")


def main() -> None:
    """Make the entry that the command line names."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("run", type=Path)
    words.add_argument("name")
    words.add_argument("--target", default="lava")
    words.add_argument("--chip", default="loihi2")
    words.add_argument("--weight-bits", default="8")
    words.add_argument("--net", metavar="FILE.py:NAME", help="the module that was trained, if it is no network by name")
    words.add_argument("--layers", help="what the table calls its layers, such as C16-MP2-10")
    words.add_argument("--before", type=Path, action="append", default=[], help="run that it started from, the earliest first; repeatable")
    words.add_argument("--init", help="what the run started from, where it can be had: zoo:NAME")
    words.add_argument("--data-dir", type=Path)
    given = words.parse_args()
    make(given.run, given.name, {"target": given.target, "chip": given.chip, "weight_bits": given.weight_bits}, given)


def make(run: Path, name: str, how: dict[str, str], given: argparse.Namespace) -> None:
    """Write the two files of an entry, and check them."""
    data_dir: Path | None = given.data_dir
    asked = Compilation(run, calibration=_calibration(run, data_dir), **how)  # pyright: ignore[reportArgumentType]
    passed, deployed = asked.run_passes(), asked.deploy()
    clips = {m[1]: int(m[2]) / 100 for r in passed.records if r.name == "quantise" for c in r.changes if (m := CLIP.match(c))}
    rates = {population: float(f"{float(np.mean(rate)):.4g}") for population, rate in (passed.rates or {}).items()}
    document = _training(run, name, given) | {"deployed": how | _ran(deployed, data_dir) | {"clips": clips, "rates": rates}}
    network = onnx.read(run / "model.onnx")
    network = replace(network, provenance={k: v for k, v in network.provenance.items() if k != "data.folder"})
    content = onnx.to_bytes(network)
    write_bytes(zoo.FOLDER / f"{name}.onnx", content)
    write_text(zoo.FOLDER / f"{name}.toml", _toml({"sha256": sha256(content), "weights_left": weights_left(network)} | document))
    if not _same(compile_of_zoo(name).network, deployed.network):
        raise SystemExit(f"{name}: compiled without calibration samples it has other integers. The entry cannot be used.")
    print(zoo.entry(name).model_dump_json(indent=1), len(content), "bytes")
    write_page()


def _calibration(run: Path, data_dir: Path | None) -> Calibration | None:
    """Return the samples that a run folder has lost: those that training writes there."""
    if (run / "calibration.safetensors").exists():
        return None
    settings = TrainSettings.read(json.loads((run / "settings.json").read_text()))
    train = load_dataset(settings.data, data_dir, settings.data_options).train
    chosen = choose(CALIBRATION_SAMPLES, len(train)).indices()
    return Calibration(np.asarray(train.values[chosen]).reshape(len(chosen), -1), np.asarray(train.labels[chosen]))


def write_page() -> None:
    """Write the table of docs/zoo.md from the records."""
    page = zoo.FOLDER.parent / "docs/zoo.md"
    lines = page.read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.startswith("|---"))
    end = next(i for i, line in enumerate(lines) if i > at and not line.startswith("|"))
    write_text(page, "".join([*lines[: at + 1], *(_row(zoo.entry(name)) for name in zoo.names()), *lines[end:]]))


def _row(entry: zoo.Entry) -> str:
    trained, deployed = entry.training, entry.deployed
    cells = [f"`{entry.name}`", trained.data, trained.network, trained.method, str(trained.seed), f"{trained.connectivity:g} %"]
    cells += [f"{trained.accuracy:.2f} %", f"{deployed.accuracy:.2f} %", f"{deployed.samples:,}"]
    return f"| {' | '.join([*cells, f'{entry.path.stat().st_size / 1000:.0f} KB'])} |\n"


def _training(run: Path, name: str, given: argparse.Namespace) -> dict[str, Any]:
    settings = TrainSettings.read(json.loads((run / "settings.json").read_text()))
    *before, command = _commands([*given.before, run], name, given)
    found = json.loads((run / "train.json").read_text())
    network = onnx.read(run / "model.onnx")
    kept = weights_left(network)
    sizes = given.layers or ("-".join(str(p.size) for p in network.populations) if settings.net == "fc" else settings.net)
    return {
        "training": {
            **({"before": before} if before else {}),
            "command": command,
            "method": settings.method,
            "data": settings.data,
            "network": sizes,
            "seed": settings.seed,
            "accuracy": round(100 * found["stages"][0]["accuracy"], 2),
            "weights": round(kept / found["connectivity"]),
            "connectivity": round(100 * found["connectivity"], 2),
            "version": found.get("spikeloom", __version__),
        }
    }


def _commands(runs: list[Path], name: str, given: argparse.Namespace) -> list[str]:
    """Return the commands that train a chain of runs, each from the weights of the one before; the first from --init, if it started so."""
    commands: list[str] = []
    init: str | None = given.init
    for number, run in enumerate(runs, 1):
        settings = TrainSettings.read(json.loads((run / "settings.json").read_text()))
        if (settings.init is None) != (init is None):
            raise SystemExit(f"{run} started from {settings.init}; say what that is to others with --init or --before.")
        if given.net is not None:
            settings = replace(settings, net=given.net, net_options={})
        out = Path("runs") / (name if number == len(runs) else f"{name}-{number}")
        commands.append(training_command(replace(settings, threads=None, data_dir=None, init=init), out))
        init = str(out)
    return commands


def weights_left(network: Network) -> int:
    """Count the weights that are not 0; a tap of a convolution is one."""
    return sum(p.synapses.weights for p in network.without_zeros().projections)


def _ran(deployed: DeployedNetwork, data_dir: Path | None) -> dict[str, Any]:
    said = deployed.network.provenance
    options = {key.removeprefix("data."): json.loads(value) for key, value in said.items() if key.startswith("data.")}
    test = samples_of(said["data"], folder=data_dir, options=options).load(deployed.network.takes).test
    results = runtime.run(deployed, test, check=len(test) <= SUBSET)
    right = np.asarray(results.predictions) == np.asarray(test.labels)
    chosen = choose(min(SUBSET, len(test)), len(test))
    subset = {"samples": chosen.samples, "right": int(right[chosen.indices()].sum())}
    return {"accuracy": round(100 * float(right.mean()), 2), "samples": len(test), "subset": subset}


def _same(a: Network, b: Network) -> bool:
    pairs = list(zip(a.projections, b.projections, strict=True))
    equal = all(np.array_equal(p.synapses.to_dense(), q.synapses.to_dense()) and p.exponent == q.exponent for p, q in pairs)
    return equal and a.populations == b.populations


def _toml(document: dict[str, Any], above: str = "") -> str:
    lines = [f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}" for key, value in document.items() if not isinstance(value, dict)]
    for key, value in document.items():
        if isinstance(value, dict):
            place = f"{above}{_key(key)}"
            lines += ["", f"[{place}]", _toml(value, f"{place}.").rstrip("\n")]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


if __name__ == "__main__":
    main()
