"""Runs over several processes, in threads and under torchrun: the results of one, the errors of any, and nobody who waits in vain."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import Labelled, float_network, samples, seeds
from numpy.typing import NDArray
from spikeloom.compile import compile_network
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.errors import BackendError, MismatchError, NetworkError, UsageError
from spikeloom.runtime import run, shards
from spikeloom.runtime.backends import lava, native
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.counts import Tally
from spikeloom.runtime.results import Results
from test_runtime import tiny_cores


@dataclass
class Table:
    """What the threads of a test meet at."""

    size: int
    barrier: threading.Barrier = field(init=False)
    places: dict[int, Any] = field(default_factory=dict[int, Any])
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.size, timeout=600)


@dataclass(frozen=True)
class Thread:
    """A process of a run, as a thread."""

    rank: int
    table: Table

    @property
    def size(self) -> int:
        return self.table.size

    def _all(self, mine: Any) -> list[Any]:
        self.table.places[self.rank] = mine
        self.table.barrier.wait()
        found = [self.table.places[r] for r in range(self.size)]
        self.table.barrier.wait()
        return found

    def add(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(np.sum(self._all(values), axis=0, dtype=np.int64))

    def exchange(self, message: bytes) -> list[bytes]:
        return self._all(message)

    def stop(self) -> None:
        self.table.stop.set()

    def stopped(self) -> bool:
        return self.table.stop.is_set()


def in_threads(size: int, work: Any) -> list[Any]:
    """Return what each of `size` processes came to: a value, or the exception that it raised."""
    table = Table(size)

    def one(rank: int) -> Any:
        try:
            return work(Thread(rank, table))
        except Exception as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


def figures(results: Results | dict[str, Any]) -> dict[str, Any]:
    """Everything but the time, the place and who drew the raster."""
    document = dict(results.document() if isinstance(results, Results) else results)
    for name in ("wall_seconds", "samples_per_second", "provenance", "raster"):
        document.pop(name)
    return document


@settings(max_examples=examples(10), deadline=None)
@given(
    seeds,
    st.integers(2, 4),
    st.integers(4, 90),
    st.sampled_from(["rate", "graded", "host"]),
    st.booleans(),
    st.sampled_from(["native", "torch", "onnx"]),
)
def test_shards_find_what_one_process_finds(seed: int, size: int, count: int, encoding: str, check: bool, backend: str) -> None:
    """Whatever the sizes of the shards: every figure, and the raster of the first sample."""
    try:
        network = compile_network(float_network(seed, sizes=(30, 25, 12, 6)), chip=tiny_cores(), encoding=encoding)  # pyright: ignore[reportArgumentType]
    except NetworkError:
        return  # a random network may have a dead layer
    rng = np.random.default_rng(seed)
    data = Labelled(samples(network.network, seed, count), rng.integers(0, 6, count))
    options = BackendOptions(threads=1, by_step=bool(rng.random() < 0.5))
    alone = run(network, data, backend=backend, check=check, seed=seed, options=options)
    found = in_threads(size, lambda peers: run(network, data, backend=backend, check=check, seed=seed, options=options, peers=peers))
    for rank, results in enumerate(found):
        assert isinstance(results, Results), results
        assert figures(results) == figures(alone)
        assert results.raster == (alone.raster if rank == 0 else None)
        assert results.provenance.processes == size


def trained() -> tuple[DeployedNetwork, Labelled]:
    network = compile_network(float_network(6, sizes=(40, 30, 10)), encoding="rate")
    return network, Labelled(samples(network.network, 1, 300), np.zeros(300, np.int64))


def wrong_in(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the native simulator flip a spike in one process."""
    real = native.simulate

    def simulate(network: Any, events: Any, options: Any) -> Any:
        recording = real(network, events, options)
        if threading.current_thread().name == f"rank_{rank}":
            recording.spikes["layer1"][0, 2, 3] ^= True
        return recording

    monkeypatch.setattr(native, "simulate", simulate)


def test_a_mismatch_of_one_is_the_end_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = trained()
    wrong_in(1, monkeypatch)
    found = in_threads(3, lambda peers: _named(peers.rank, lambda: run(network, data, check=True, peers=peers)))
    assert all(isinstance(error, MismatchError) for error in found), found
    assert "layer layer1, sample 100, step 2, neuron 3" in str(found[1])
    assert found[1].of_process is None
    for rank in (0, 2):
        assert str(found[rank]) == f"Process 1: {found[1]}" and found[rank].of_process == 1


def _named(rank: int, work: Any) -> Any:
    threading.current_thread().name = f"rank_{rank}"
    return work()


def test_others_stop_at_their_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that fails at once does not let the others run to their end."""
    network, data = trained()
    batches: list[int] = []
    failed = threading.Event()
    real = native.simulate

    def simulate(*arguments: Any) -> Any:
        if threading.current_thread().name == "rank_0":
            raise ValueError("no luck")
        failed.wait(10)
        batches.append(1)
        return real(*arguments)

    @dataclass(frozen=True)
    class Telling(Thread):
        def stop(self) -> None:
            super().stop()
            failed.set()

    monkeypatch.setattr(native, "simulate", simulate)
    monkeypatch.setattr(native, "BATCH", 10)
    found = in_threads(2, lambda peers: _named(peers.rank, lambda: run(network, data, peers=Telling(peers.rank, peers.table))))
    assert isinstance(found[0], ValueError)
    assert isinstance(found[1], BackendError) and "Process 0 failed with ValueError: no luck" in str(found[1])
    assert len(batches) <= 1, "of 15"


def test_a_process_that_dies_is_no_riddle() -> None:
    class Dead(shards.Alone):
        def exchange(self, message: bytes) -> list[bytes]:
            raise ConnectionError("closed by peer")

    with pytest.raises(BackendError, match=r"Another process of this run died \(closed by peer\)"):
        shards.together(Dead(size=2), lambda: None)

    def fail() -> None:
        raise UsageError("mine")

    with pytest.raises(UsageError, match="mine"):
        shards.together(Dead(size=2), fail)


def test_fewer_samples_than_processes() -> None:
    assert [shards.part(11, shards.Alone(r, 3)) for r in range(3)] == [(0, 3), (3, 7), (7, 11)]
    with pytest.raises(UsageError, match="There are 2 samples for 3 processes"):
        shards.part(2, shards.Alone(0, 3))


def test_a_tally_with_something_new_is_not_added_up_by_guess() -> None:
    tally = Tally(trained()[0])
    tally.width = 8.0  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="The field width of a tally, a float"):
        shards.add_up(tally, shards.Alone(0, 2))


# --- torchrun --------------------------------------------------------------------------------------------------------


def torchrun(*words: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    start += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    settings_ = os.environ | {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    return subprocess.run([*start, *map(str, words)], capture_output=True, text=True, timeout=600, env=settings_, check=False)


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("spikeloom: ")]


@pytest.mark.chain
def test_torchrun_finds_what_one_process_finds(spikeloom: Any, digits_run: Path, tmp_path: Path) -> None:
    words = ("run", digits_run / "model.loom", "--data", "digits", "--samples", 201, "--check", "--json", "--out")
    done = torchrun("-m", "spikeloom", *words, tmp_path / "two.json")
    assert done.returncode == 0, done.stderr
    assert spikeloom(*words, tmp_path / "one.json").code == 0
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert json.loads(done.stdout) == two, "the first process prints, and no other"
    assert figures(two) == figures(one) and two["raster"] == one["raster"]
    assert two["provenance"]["processes"] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.json", "two.json"]


@pytest.mark.chain
@pytest.mark.skipif(lava.available() is not None, reason="Lava is not installed")
def test_torchrun_with_lava(digits_run: Path, tmp_path: Path) -> None:
    """The share of the cores that each process takes by itself is nothing that Lava could refuse."""
    words = ("run", digits_run / "model.loom", "--data", "digits", "--samples", 9, "--backend", "lava", "--check", "--out")
    done = torchrun("-m", "spikeloom", *words, tmp_path / "two.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "two.json").read_text())["check"]["samples"] == 9


BROKEN = """
import os, signal, sys
from spikeloom import cli
from spikeloom.runtime.backends import native
real = native.simulate
def simulate(*arguments):
    recording = real(*arguments)
    if os.environ["RANK"] == "1":
        {what}
    return recording
native.simulate = simulate
cli.main()
"""


def test_what_processes_say_to_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process by itself, over the same store and collectives."""
    from spikeloom.train.peers import joined

    names = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with joined() as peers:
        values = np.array([[1, -(2**62)], [3, 4]])
        assert (peers.add(values) == values).all()
        assert not peers.stopped()
        peers.stop()
        assert peers.stopped()
        assert peers.exchange(b"mine") == [b"mine"]
        assert not peers.stopped(), "a request is for one exchange"
        assert peers.exchange(b"") == [b""]


@pytest.mark.slow
def test_torchrun_ends_with_the_mismatch_of_any_process(digits_run: Path, tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(BROKEN.format(what="recording.spikes['hidden1'][3, 2, 1] ^= True"))
    done = torchrun(script, "run", digits_run / "model.loom", "--data", "digits", "--samples", 200, "--check", "--out", tmp_path / "r.json")
    assert done.returncode != 0
    assert any("layer hidden1, sample 103, step 2, neuron 1" in line and "Process 1: " in line for line in said(done)), done.stderr
    assert "exitcode  : 4" in done.stderr
    assert not (tmp_path / "r.json").exists()


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_run(digits_run: Path, tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(BROKEN.format(what="os.kill(os.getpid(), signal.SIGKILL)"))
    done = torchrun(script, "run", digits_run / "model.loom", "--data", "digits", "--out", tmp_path / "r.json")
    assert done.returncode != 0
    assert not (tmp_path / "r.json").exists()


@pytest.mark.slow
def test_a_process_that_is_killed_is_noticed_without_a_launcher(digits_run: Path, tmp_path: Path) -> None:
    """Two processes of our own, as a batch system starts them: the one that is left ends by itself."""
    script = tmp_path / "broken.py"
    script.write_text(BROKEN.format(what="os.kill(os.getpid(), signal.SIGKILL)"))
    port = free_port()
    started = [_by_hand(rank, port, script, "run", digits_run / "model.loom", "--data", "digits") for rank in range(2)]
    ended = [process.communicate(timeout=600)[1] for process in started]
    assert started[1].returncode == -signal.SIGKILL
    assert started[0].returncode == 1
    assert "Another process of this run died" in ended[0]


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def _by_hand(rank: int, port: int, *words: object) -> subprocess.Popen[str]:
    names = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | names
    )


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ({"WORLD_SIZE": "2"}, "RANK or WORLD_SIZE is not a number"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR and MASTER_PORT not set"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "RANK is 2 of 2"),
    ],
)
def test_half_an_environment_is_refused(
    spikeloom: Any, digits_run: Path, monkeypatch: pytest.MonkeyPatch, names: dict[str, str], text: str
) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    ended = spikeloom("run", digits_run / "model.loom", "--data", "digits")
    assert ended.code == 2 and text in ended.err
