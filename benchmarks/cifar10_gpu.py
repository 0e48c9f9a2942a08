"""CIFAR-10 with 6conv2fc on a GPU: epoch time beside the reference's way, then Grad R at 5 % connectivity and STDS at 1 %, in little time.

    python benchmarks/cifar10_gpu.py --data-dir DIR --out runs/cifar10            # on the GPU machine, again until it says that all is done
    python benchmarks/cifar10_gpu.py --out runs/cifar10 --deploy --samples 500    # anywhere: compiles and runs what was trained

A call ends within --time-limit (450 s), and all calls together within --total (900 s). It first measures the speed of training by
`train_speed.py` (once for each batch size; `speed.json`). From that follows how many epochs the rest of the time allows for each run
(`plan.json`; or --epochs). Then it trains the runs in turn. A run stops after the epoch that passes the limit, and continues on the same
schedule in the next call. Exit code 5: there is more to do. The whole is tried on a CPU, at small width and on the first images of
each file, by

    python benchmarks/cifar10_gpu.py --data-dir DIR --out runs/cifar10-trial --trial 16 --device cpu --width 8 --epochs 3 \\
        --batch-size 16 --speed-batches 16
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from spikeloom.compile import compile_network
from spikeloom.data.dataset import data_folder
from spikeloom.errors import PausedError, SpikeloomError
from spikeloom.files import write_bytes, write_json
from spikeloom.runtime import run
from spikeloom.train import TrainedRun, fit, load_dataset
from spikeloom.train.distributed import choose_device
from spikeloom.train.finished import SETTINGS
from spikeloom.train.progress import ProgressCallback

RUNS = {"dense": ("dense", 0.0), "grad-r-5": ("grad-r", 0.95), "stds-1": ("stds", 0.99), "upr-1": ("upr", 0.99)}
LIMIT = {"cuda": 60.0, "cpu": 15.0}  # seconds of measuring one batch size
FINISH = {"cuda": 60.0, "cpu": 5.0}  # seconds to evaluate and to write a finished run, which a call keeps in hand
SLACK = 1.3  # validation and checkpoints beside the steps of an epoch
MORE_TO_DO = 5
FOLDER, RECORD = "cifar-10-batches-bin", 3073  # a label and 32 x 32 x 3 bytes


def trial_data(options: argparse.Namespace) -> Path:
    """Write the first images of each file of CIFAR-10's binary layout into the output folder; return the data folder."""
    target = Path(options.out) / "data"
    source = data_folder(options.data_dir) / FOLDER
    (target / FOLDER).mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*_batch*.bin")):
        write_bytes(target / FOLDER / path.name, path.read_bytes()[: options.trial * RECORD])
    return target


def speed(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure training speed, once for each batch size: as published (16) and that of the runs, beside the reference's way."""
    path = Path(options.out) / "speed.json"
    lines: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    for batch in (int(b) for b in options.speed_batches.split(",")):
        if any(line["batch_size"] == batch for line in lines):
            continue
        command = [sys.executable, str(Path(__file__).parent / "train_speed.py"), "--data", "cifar10", "--net", "6conv2fc"]
        command += ["--width", str(options.width), "--batch-size", str(batch), "--device", options.device, "--precision", options.precision]
        command += ["--rounds", "3", "--steps", "20" if options.device == "cuda" else "4", "--time-limit", str(LIMIT[options.device])]
        command += ["--data-dir", str(options.data_dir)] if options.data_dir else []
        print(" ".join(command[1:]), flush=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
            sys.exit(1)
        lines.append(json.loads(done.stdout))
        print(json.dumps(lines[-1]), flush=True)
        write_json(path, lines)
    return lines


def spent(options: argparse.Namespace, more: float = 0.0) -> float:
    """Return the seconds of the calls so far, with `more` of this one, which are noted."""
    path = Path(options.out) / "spent.json"
    before = float(json.loads(path.read_text())["seconds"]) if path.exists() else 0.0
    if more:
        write_json(path, {"seconds": before + more})
    return before + more


def epochs_of(options: argparse.Namespace, lines: list[dict[str, Any]], begun: float) -> int:
    """Return how many epochs each run has: as asked, as planned by an earlier call, or as many as the time that is left allows."""
    path = Path(options.out) / "plan.json"
    if options.epochs is not None:
        return int(options.epochs)
    if path.exists():
        return int(json.loads(path.read_text())["epochs"])
    runs = len(options.runs.split(","))
    left = options.total - spent(options) - (time.monotonic() - begun)
    each = next((line["spikeloom"] for line in lines if line["batch_size"] == options.batch_size), lines[-1]["spikeloom"])
    epochs = max(2, int((left / runs - 2 * FINISH[options.device]) / (SLACK * each)))
    write_json(path, {"epochs": epochs, "seconds_an_epoch": each, "seconds_left": left})
    print(f"{left:.0f} s are left: {epochs} epochs for each of {runs} runs, at {each:.1f} s an epoch of training steps.", flush=True)
    return epochs


def train(name: str, options: argparse.Namespace, seconds: float) -> TrainedRun:
    """Train one run, or go on with it, for so many seconds.

    Raises:
        PausedError: it is not finished.
    """
    method, sparsity = RUNS[name]
    folder = Path(options.out) / name
    return fit(
        "6conv2fc",
        "cifar10",
        method=method,
        sparsity=sparsity,
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=options.lr,
        net_options={"width": options.width},
        augment="published",
        device=options.device,
        precision=options.precision,
        seed=options.seed,
        data_dir=options.data_dir,
        out=folder,
        resume=(folder / SETTINGS).exists(),  # a call may have been killed after it made the folder
        time_limit=seconds,
        progress=_progress(name),
    )


def _progress(name: str) -> ProgressCallback:
    def report(epoch: int, epochs: int, batch: int, batches: int, metrics: dict[str, float], left: float) -> None:
        if batch == batches:
            shown = "  ".join(f"{k} {v:.4g}" for k, v in metrics.items())
            print(f"{name} epoch {epoch}/{epochs}  {shown}  {left:.0f} s left", flush=True)

    return report


def work(options: argparse.Namespace) -> int:
    """Measure and train until the time of this call is over; return the exit code."""
    begun = time.monotonic()
    try:
        return _work(options, begun)
    finally:
        print(f"{spent(options, time.monotonic() - begun):.0f} s of {options.total:.0f} s are spent.")


def _work(options: argparse.Namespace, begun: float) -> int:
    end = begun + options.time_limit - FINISH[options.device]
    options.epochs = epochs_of(options, speed(options), begun)
    for name in options.runs.split(","):
        left = end - time.monotonic()
        if left <= 0:
            print(f"{name} waits for the next call.")
            return MORE_TO_DO
        try:
            trained = train(name, options, left)
        except PausedError as error:
            print(error)
            return MORE_TO_DO
        seconds = sorted(trained.epoch_seconds)[len(trained.epoch_seconds) // 2]
        print(f"{name}: sparsity {trained.sparsity:.2%}, test accuracy {trained.accuracy:.2%}, {seconds:.1f} s an epoch")
    print("All runs are done.")
    return 0


def deploy(options: argparse.Namespace) -> int:
    """Compile and run what was trained; print a Markdown table."""
    print("| run | sparsity | float | deployed | SOPs | cores | compile s | run s |\n|" + "---|" * 8, flush=True)
    for name in options.runs.split(","):
        folder = Path(options.out) / name
        begun = time.monotonic()
        try:
            deployed = compile_network(folder)
        except SpikeloomError as error:
            print(f"| {name} | cannot be deployed: {error} |" + " |" * 6, flush=True)
            continue
        deployed.save(folder / "model.loom")
        compiled = time.monotonic()
        results = run(deployed, load_dataset("cifar10", options.data_dir).test, samples=options.samples, data_name="cifar10")
        results.save(folder / "results.json")
        summary = json.loads((folder / "train.json").read_text())
        cells = [
            name,
            f"{summary['sparsity']:.2%}",
            f"{summary['accuracy']:.2%}",
            f"{results.accuracy:.2%}",
            f"{results.sops_per_sample:,.0f}",
        ]
        cells += [str(results.mapping.cores), f"{compiled - begun:.1f}", f"{time.monotonic() - compiled:.1f}"]
        print("| " + " | ".join(cells) + " |", flush=True)
    return 0


def main() -> int:
    """Do the next piece of work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="runs/cifar10")
    parser.add_argument("--data-dir", default=None, help="folder of the data sets, e.g. one with cifar-10-batches-bin")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--precision", default=None, help="default: bf16 on cuda, float32 on cpu")
    parser.add_argument("--time-limit", type=float, default=450.0, help="seconds of one call")
    parser.add_argument("--total", type=float, default=900.0, help="seconds of all calls, from which the number of epochs follows")
    parser.add_argument("--runs", default="grad-r-5,stds-1", help="some of " + ", ".join(RUNS))
    parser.add_argument("--epochs", type=int, default=None, help="of each run; default: as many as the time allows")
    parser.add_argument("--width", type=int, default=256, help="channels; 256 is the published network")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trial", type=int, default=None, help="take only so many images of each of the six files")
    parser.add_argument("--speed-batches", default="16,128", help="batch sizes whose speed is measured")
    parser.add_argument("--deploy", action="store_true", help="compile and run what was trained")
    parser.add_argument("--samples", type=int, default=500, help="test images that the deployed networks run")
    options = parser.parse_args()
    options.precision = options.precision or ("bf16" if options.device == "cuda" else "float32")
    Path(options.out).mkdir(parents=True, exist_ok=True)
    try:
        choose_device("cpu" if options.deploy else options.device)
        if options.trial:
            options.data_dir = trial_data(options)
        load_dataset("cifar10", options.data_dir)  # what is missing is said before anything is measured
        return deploy(options) if options.deploy else work(options)
    except SpikeloomError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
