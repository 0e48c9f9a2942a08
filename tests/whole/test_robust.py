"""Nothing that is read is executed; a full disk, a folder that cannot be one and a kill leave what was there."""

from __future__ import annotations

import ast
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
import spikeloom
from safetensors.numpy import load_file
from spikeloom.compile import load
from spikeloom.errors import OutputError
from spikeloom.files import owned, write_bytes
from spikeloom.runtime import load_results
from spikeloom.train import fit

ROOT = Path(spikeloom.__file__).parent
PACKAGES = ("train", "compile", "runtime", "hwmodels", "sweep", "cli")
EXECUTING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
TRAIN = """
import sys
from spikeloom.train import fit
fit('digits', method='grad-r', sparsity=0.8, epochs={epochs}, hidden=(24,), out=sys.argv[1], resume={resume})
"""
FULL = """
import resource, signal, sys
from pathlib import Path
from spikeloom.compile import load
from spikeloom.errors import OutputError
from spikeloom.files import write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk, the write fails
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    write_bytes(Path(sys.argv[1]), bytes(1 << 20))
except OutputError as error:
    sys.exit(f"OutputError: {error}")
"""


def sources() -> list[Path]:
    return [*ROOT.glob("*.py"), *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]


def loads_objects(tree: ast.Module) -> list[str]:
    """What in a source could execute what a file holds."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in EXECUTING]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] in EXECUTING:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in ("torch.load", "torch.save", "eval", "exec") or given.get("allow_pickle", "False") != "False":
                found.append(ast.unparse(node))
            if called in ("np.load", "numpy.load") and "allow_pickle" not in given and "mmap_mode" not in given:
                found.append(ast.unparse(node))
    return found


def test_nothing_that_is_read_can_execute() -> None:
    found = {str(path): loads_objects(ast.parse(path.read_text())) for path in sources()}
    assert len(found) > 150
    assert not {path: calls for path, calls in found.items() if calls}
    for evil in ("import pickle", "from pickle import loads", "torch.load(f)", "np.load(f, allow_pickle=True)", "np.load(f)"):
        assert loads_objects(ast.parse(evil))


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    kept = tmp_path / "model.loom"
    kept.write_bytes(b"old")
    ended = subprocess.run([sys.executable, "-c", FULL, str(kept)], capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 1
    assert "OutputError: Cannot write" in ended.stderr
    assert kept.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [kept]


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="Cannot write"):
        write_bytes(tmp_path / "file" / "run" / "model.loom", b"new")
    with pytest.raises(OutputError, match="Cannot write"):
        write_bytes(Path("/proc/spikeloom/model.loom"), b"new")  # read-only for root, too


def test_one_process_works_in_a_run_folder(tmp_path: Path) -> None:
    with owned(tmp_path / "run"):
        code = TRAIN.format(epochs=1, resume=False)
        ended = subprocess.run([sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True, check=False, timeout=600)
        assert "InUseError: Another process is at work in" in ended.stderr
        assert not list((tmp_path / "run").iterdir())
    fit("digits", epochs=1, hidden=(4,), timesteps=2, out=tmp_path / "run")


def train_with_kills(folder: Path, kills: int, rng: Random, epochs: int = 4) -> int:
    """Train, killed up to `kills` times at random moments and resumed each time; return how often it was killed."""
    killed = 0
    while True:
        script = TRAIN.format(epochs=epochs, resume=any((folder / n).exists() for n in ("settings.json", "checkpoint.safetensors")))
        child = subprocess.Popen([sys.executable, "-c", script, str(folder)], stderr=subprocess.PIPE)
        if killed < kills:
            began = time.monotonic()
            while child.poll() is None and not (folder / "settings.json").exists() and time.monotonic() - began < 60:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 1.0))
            child.kill()
        said = child.communicate()[1]
        if child.returncode == 0:
            return killed
        assert child.returncode == -signal.SIGKILL, said.decode()
        killed += 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_training_that_is_killed_goes_on_to_the_same_bits(seed: int, tmp_path: Path) -> None:
    assert train_with_kills(tmp_path / "whole", 0, Random(seed)) == 0
    assert train_with_kills(tmp_path / "killed", 4, Random(seed)) > 0
    for name in ("model.safetensors", "checkpoint.safetensors"):
        whole, killed = load_file(tmp_path / "whole" / name), load_file(tmp_path / "killed" / name)
        assert {k: v.tobytes() for k, v in whole.items()} == {k: v.tobytes() for k, v in killed.items()}


def _compiled(run: Path) -> None:
    load(run / "killed.loom")


def _run(run: Path) -> None:
    assert load_results(run / "killed.json").samples == 359


def _swept(run: Path) -> None:
    cells = json.loads((run / "sweep/sweep.json").read_text())["cells"]
    assert cells and not any("error" in cell for cell in cells)


SWEEP = ("--data", "digits", "--set", "net.hidden=30", "--epochs", "12", "--methods", "dense,esl", "--sparsities", "0.5", "--out", "sweep")
KILLED = {
    "compile": (("compile", ".", "--out", "killed.loom"), "killed.loom", _compiled),
    "run": (("run", "model.loom", "--data", "digits", "--check", "--out", "killed.json"), "killed.json", _run),
    "sweep": (("sweep", *SWEEP), "sweep/sweep.json", _swept),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", KILLED)
def test_commands_that_are_killed_leave_what_loads(command: str, digits_run: Path, tmp_path: Path) -> None:
    """Whatever is there after a kill at any moment loads; the command, repeated, goes on to a whole result."""
    words, written, check = KILLED[command]
    run = Path(shutil.copytree(digits_run, tmp_path / "run"))
    rng, began = Random(0), time.monotonic()
    subprocess.run([sys.executable, "-m", "spikeloom", *words], cwd=run, check=True, capture_output=True)
    check(run)
    whole, killed = time.monotonic() - began, 0
    for _ in range(10):
        shutil.rmtree(run / "sweep", ignore_errors=True)
        (run / written).unlink(missing_ok=True)
        child = subprocess.Popen([sys.executable, "-m", "spikeloom", *words], cwd=run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.2, 1.0) * whole)
        child.kill()
        killed += child.wait() == -signal.SIGKILL
        if (run / written).exists():
            check(run)
        subprocess.run([sys.executable, "-m", "spikeloom", *words], cwd=run, check=True, capture_output=True)
        check(run)
    assert killed >= 5
