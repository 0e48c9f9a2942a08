"""What several tests share: the command line in this process, and one small run folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from spikeloom import cli


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


class _PlainRoot:
    """The repository is a package, but may lie in a folder whose name cannot be one: to pytest it is a folder like others."""

    @pytest.hookimpl
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Return a plain folder for the repository, and leave the others to pytest."""
        return pytest.Dir.from_parent(parent, path=path) if path == parent.config.rootpath else None  # pyright: ignore[reportArgumentType]


def pytest_configure(config: pytest.Config) -> None:
    """Register the hook for all folders: one in this file alone would see no more than those below."""
    config.pluginmanager.register(_PlainRoot())
    if hasattr(config, "workerinput"):  # a test process a core: torch's own threads would take the cores from each other
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background; the processes that tests interrupt would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start each test from the same global random numbers of torch, so that no module's first weights depend on the tests before it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)


@pytest.fixture
def spikeloom(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run the command line with the given words, in this process."""

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["spikeloom", *map(str, words)])
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = capfd.readouterr()
        return Ended(code, out, err)

    return run


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network trained in integers on the built-in digits, compiled; trained once for all workers, and copied."""
    own = tmp_path_factory.mktemp("runs")
    first = own.parent.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (first / "digits.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (first / "digits-run" / "model.loom").exists():
            shutil.rmtree(first / "digits-run", ignore_errors=True)
            _train_digits(first / "digits-run")
    shutil.copytree(first / "digits-run", own / "digits")
    return own / "digits"


def _train_digits(folder: Path) -> None:
    from spikeloom.compile import compile_network
    from spikeloom.train import fit

    fit("digits", method="grad-r", sparsity=0.8, epochs=10, hidden=(64,), weight_bits=8, out=folder)
    compile_network(folder).save(folder / "model.loom")


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The data folder, where SPIKELOOM_DATA names one with MNIST."""
    folder = os.environ.get("SPIKELOOM_DATA")
    if not folder or not (Path(folder) / "MNIST" / "raw").is_dir():
        pytest.skip("SPIKELOOM_DATA names no folder with MNIST/raw")
    return Path(folder)
