"""Exported Lava packages spike as the integer reference does, run in a process of their own between a source and sinks."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from netgen import graph_network, integer_conv_network, integer_network, samples, seeds
from numpy.typing import NDArray
from spikeloom.compile.passes.balance import Balance
from spikeloom.errors import BackendError, NetworkError, OutputError
from spikeloom.formats.lava import process, to_lava, write_integers
from spikeloom.formats.lava.exported import encoding as exported_encoding
from spikeloom.formats.lava.writer import package_name
from spikeloom.network import reference
from spikeloom.network.model import InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime.backends import lava

PROGRAM = Path(__file__).parents[1] / "lava_package" / "run_package.py"
needs_lava = pytest.mark.skipif(lava.available() is not None, reason=lava.available() or "")
NUMBERS = itertools.count()


@dataclass(frozen=True)
class Job:
    """A network, its events (samples, timesteps, inputs), and how its package is run."""

    network: Network
    events: NDArray[Any]
    pause: int = 0  # steps between samples
    late: int = 0  # steps before the first sample
    endless: bool = False
    tag: str = "fixed_pt"


def balanced(network: Network) -> Network:
    """Give the projections the delays that the compiler would give them."""
    return Balance(63).run(network).network


def check(*jobs: Job) -> None:
    """Export and run all jobs in one process; compare every spike of every layer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        described = [described_in(folder, job) for job in jobs]
        (folder / "jobs.json").write_text(json.dumps(described))
        run(PROGRAM, str(folder / "jobs.json"))
        for job, description in zip(jobs, described, strict=True):
            compare(job, description)


def described_in(folder: Path, job: Job) -> dict[str, Any]:
    """Export a job's network, write what arrives at its s_in, and return what the program is told."""
    package = f"exported_{next(NUMBERS)}"
    path = write_integers(job.network, folder / package)
    count, timesteps, inputs = job.events.shape
    latency = job.network.arrivals()[job.network.populations[-1].name]
    period = timesteps + job.pause
    arriving = np.zeros((job.late + count * period + latency + 64, inputs), np.int32)
    for sample in range(count):
        start = job.late + sample * period
        arriving[start : start + timesteps] = job.events[sample]
    np.save(folder / f"{package}.npy", arriving.T)
    how = {"period": None if job.endless else period, "first_step": 1 + job.late}
    files = {"events": str(folder / f"{package}.npy"), "out": str(folder / f"{package}.npz")}
    return {"folder": str(path), "package": package, "settings": how, "tag": job.tag, **files}


def run(program: Path, *words: str, cwd: Path | None = None) -> str:
    """Run a program that uses Lava; end all of its processes if it takes too long. Returns what it printed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, str(program), *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=cwd, start_new_session=True
    ) as child:
        try:
            out, err = child.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            raise
    assert child.returncode == 0, err
    return out


def compare(job: Job, description: dict[str, Any]) -> None:
    """Compare what the sinks recorded with the reference; silence where no sample is."""
    expected = reference.simulate(job.network, job.events)
    depth = job.network.arrivals()
    count, timesteps, _ = job.events.shape
    with np.load(description["out"]) as recorded:
        for population in job.network.spiking:
            is_output = population is job.network.populations[-1]
            spikes = recorded["s_out" if is_output else f"spikes_{population.name}"].T != 0
            kept = np.ones(population.size, np.bool_) if is_output else population.living
            first = job.late + depth[population.name]
            assert not spikes[:first].any(), population.name
            for sample in range(count):
                start = first + sample * (timesteps + job.pause)
                np.testing.assert_array_equal(
                    spikes[start : start + timesteps], expected[population.name][sample][:, kept], err_msg=population.name
                )


# --- every kind of network -------------------------------------------------------------------------------------------


def graph_job(seed: int, encoding: str = "rate") -> Job:
    """Delays, lags, loops and biases; samples back to back, or with pauses."""
    network = balanced(graph_network(seed, hidden=3, encoding=encoding, lags=True, backward=seed % 3, slack=True))
    return Job(network, reference.encode(network, samples(network, seed)), pause=seed % 4, late=seed % 3)


def layers_job(seed: int, encoding: str) -> Job:
    """Layers with a skip, payloads once or at every step, hard or soft reset."""
    network = balanced(integer_network(seed, layers=3, encoding=encoding))
    for p in network.spiking:
        if isinstance(p.neuron, IntegerLIF) and seed % 2:
            network = network.with_population(replace(p, neuron=replace(p.neuron, soft_reset=True)))
    return Job(network, reference.encode(network, samples(network, seed)), tag="floating_pt" if seed % 3 == 0 else "fixed_pt")


def conv_job(seed: int, *, dead: bool = True) -> Job:
    """Convolutions, pooling, removed neurons (some of the output, too), threshold units, biases per channel, several neurons per class."""
    network = balanced(integer_conv_network(seed, temporal=seed % 2 == 0))
    output = network.populations[-1]
    if dead:
        network = network.with_population(replace(output, alive=np.arange(output.size) % 3 > 0))
    return Job(network, reference.encode(network, samples(network, seed, 3)))


def endless_job(seed: int) -> Job:
    """One sample of many steps without a reset."""
    network = replace(balanced(graph_network(seed, hidden=2, encoding="events", lags=True, backward=1, slack=True)), timesteps=40)
    events = (np.random.default_rng(seed).random((1, 40, network.populations[0].size)) < 0.3).astype(np.uint8)
    return Job(network, events, late=2, endless=True)


@pytest.mark.chain
@needs_lava
@settings(max_examples=examples(8), deadline=None)
@example(3)
@given(seeds)
def test_random_networks_spike_as_the_reference(seed: int) -> None:
    encoding = ("graded", "current", "rate", "events")[seed % 4]
    check(graph_job(seed, "graded" if seed % 2 else "rate"), conv_job(seed), endless_job(seed), layers_job(seed, encoding))


@needs_lava
def test_a_network_spikes_as_the_reference_in_every_layer() -> None:
    job = layers_job(15, "graded")  # soft resets, and a run configuration that asks for floating point
    check(job)
    assert all(0.01 < s.mean() < 0.99 for s in reference.simulate(job.network, job.events).values())


@pytest.mark.chain
@needs_lava
def test_nine_bits_extreme_registers_and_a_population_without_synapses() -> None:
    """Lava runs only what is connected: the rest of the network must run although nothing reaches the output."""
    weights = np.array([[255] * 4, [-256] * 4, [127] * 4, [-128] * 4, [0] * 4], np.int32)
    first, second = IntegerLIF(-1, 0, 131071), IntegerLIF(4095, 4095, 0)
    back = np.array([[1, 0, 1, 0, -200], [0, -1, 1, 1, 255]], np.int32)
    network = Network(
        (Population("x", (4,), None), Population("a", (5,), first), Population("b", (2,), second), Population("c", (2,), second)),
        (
            Projection("xa", "x", "a", Synapses.from_dense(weights), 1, 9),
            Projection("ab", "a", "b", Synapses.from_dense(back), 0, 9),
            Projection("bc", "b", "c", Synapses.from_dense(np.zeros((2, 2), np.int32)), 0, 8),
        ),
        6,
        InputSpec(255, 1 / 255, "graded"),
    )
    events = np.full((2, 6, 4), 255, np.uint8)
    events[1, ::2, 2:] = 1
    apart = replace(network, projections=network.projections[:2])
    check(Job(network, events), Job(apart, events))


# --- the digits, and what a user does ---------------------------------------------------------------------------------


@pytest.mark.chain
@needs_lava
def test_the_digits_and_the_example(digits_run: Path, tmp_path: Path, spikeloom: Callable[..., Any]) -> None:
    from spikeloom import load_dataset
    from spikeloom.compile import load

    folder = tmp_path / "digits"
    done = spikeloom("export", digits_run / "model.loom", "--to", "lava", "--out", folder)
    assert (done.code, done.out.strip()) == (0, str(folder)), done.err
    network, values = load(digits_run / "model.loom").network, load_dataset("digits").test.values[:40]
    events = reference.encode(network, values)
    check(Job(network, events))
    np.save(tmp_path / "samples.npy", values)
    said = run(folder / "example.py", str(tmp_path / "samples.npy")).splitlines()
    counts = reference.class_counts(reference.simulate(network, events)["output"], network.votes)
    assert said == [f"sample {i}: class {c.argmax()}, output spikes {c.tolist()}" for i, c in enumerate(counts)]


@pytest.mark.parametrize("encoding", ["graded", "current", "rate", "events"])
def test_samples_enter_as_the_chip_s(encoding: str) -> None:
    network = integer_network(4, encoding=encoding)
    values = samples(network, 2)
    ours = reference.encode(network, values, seed=7)
    theirs = exported_encoding.encode(values, encoding=encoding, timesteps=network.timesteps, largest=network.input.levels, seed=7)
    np.testing.assert_array_equal(theirs, ours.reshape(-1, ours.shape[-1]).T)


def test_spike_counts_are_the_reference_s() -> None:
    spikes = np.random.default_rng(1).random((3, 5, 8)) < 0.4  # samples, time steps, outputs
    recorded = np.concatenate([np.ones((4, 8)), spikes.reshape(-1, 8), np.ones((2, 8))]).T
    found = exported_encoding.spike_counts(recorded, timesteps=5, latency=4, neurons_per_class=2)
    np.testing.assert_array_equal(found, reference.class_counts(spikes, 2))


@pytest.mark.parametrize("values", [[[0.5]], [[256]], [[-1]]])
def test_samples_out_of_range_are_refused(values: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
        exported_encoding.encode(values, encoding="graded", timesteps=2, largest=255)


# --- the folder ------------------------------------------------------------------------------------------------------


def test_names_of_a_network_never_reach_the_source(tmp_path: Path) -> None:
    """A .loom may come from anyone: its names are text of theirs, and nothing of it is executed."""
    evil = ['x"""\nimport os; os.system("touch owned")\n#', "a\n'''", "a_____", "a\r\nraise SystemExit", "class"]
    network = balanced(integer_network(9, layers=4))
    renamed = dict(zip([p.name for p in network.populations], evil, strict=True))
    network = replace(
        network,
        populations=tuple(replace(p, name=renamed[p.name]) for p in network.populations),
        projections=tuple(
            replace(p, name=p.name + evil[0], source=renamed[p.source], target=renamed[p.target]) for p in network.projections
        ),
        provenance={"command": evil[0]},
    )
    folder = write_integers(network, tmp_path / "named")
    for path in folder.rglob("*"):
        if path.suffix in (".py", ".md", ".toml"):
            assert "import os;" not in path.read_text() and "SystemExit\n" not in path.read_text()
    assert "self.spikes_a_2 = OutPort" in (folder / "named/network.py").read_text()


def test_the_same_network_gives_the_same_files_and_others_stay(tmp_path: Path) -> None:
    network = balanced(integer_network(9))
    one, two = write_integers(network, tmp_path / "a/net"), write_integers(network, tmp_path / "b/net")
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert [str(f) for f in files if len(f.parts) == 1] == ["README.md", "example.py", "pyproject.toml"]
    assert all((one / f).read_bytes() == (two / f).read_bytes() for f in files)
    (one / "mine.py").write_text("kept")
    write_integers(network, one)
    assert (one / "mine.py").read_text() == "kept"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(OutputError, match="holds other files"):
        write_integers(balanced(integer_network(9)), tmp_path)
    with pytest.raises(OutputError, match="thesis"):
        write_integers(balanced(integer_network(9)), tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("runs/x/model.lava", "model_lava"),
        ("lava", "lava_network"),
        ("3D", "network_3d"),
        ("class", "class_network"),
        ("json", "json_network"),
        ("é", "network"),
    ],
)
def test_the_package_is_called_like_its_folder(folder: str, name: str) -> None:
    assert package_name(Path(folder)) == name


# --- refusals --------------------------------------------------------------------------------------------------------


def small(**changes: Any) -> Network:
    """Two neurons on three inputs; `changes` to its neurons' population."""
    weights = Synapses.from_dense(np.full((2, 3), changes.pop("weight", 9), np.int32))
    population = dataclasses.replace(Population("a", (2,), IntegerLIF()), **changes)
    return Network(
        (Population("x", (3,), None), population), (Projection("xa", "x", "a", weights, 0, 9),), 4, InputSpec(255, 1 / 255, "graded")
    )


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (small(place="host"), "Layer a runs on the host.*--encoding current"),
        (small(weight=300), r"Projection 'xa' has weights beyond the integers -256\.\.255"),
        (small(bias=np.array([1 << 19, 0], np.int32)), "Population 'a' has biases beyond 13 bits"),
        (replace(small(), projections=(replace(small().projections[0], exponent=20),)), "population 'a' may add up.*32 bits"),
        (replace(small(), input=InputSpec()), "not compiled"),
    ],
)
def test_what_lava_cannot_hold_is_refused_by_name(network: Network, message: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=message):
        write_integers(network, tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_crossbars_are_refused(tmp_path: Path) -> None:
    from spikeloom.network.model import CrossbarLIF

    with pytest.raises(NetworkError, match=r"'a' is not of integer neurons.*--target lava"):
        write_integers(small(neuron=CrossbarLIF()), tmp_path / "net")


# --- to_lava ---------------------------------------------------------------------------------------------------------


def test_to_lava_without_lava(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "missing", lambda: ["lava", "asteval"])
    with pytest.raises(BackendError, match=r"needs lava, asteval.*Install with: pip.*spikeloom export model\.loom --to lava"):
        to_lava(small())


IN_PYTHON = """
import multiprocessing
import sys
multiprocessing.set_start_method("fork")  # as other libraries do; Lava sets it again
import numpy as np
import spikeloom
from spikeloom.errors import UsageError
from spikeloom.network import reference

deployed = spikeloom.compile.load(sys.argv[1])
process = deployed.to_lava()  # before Lava is imported
assert type(deployed.to_lava(period=None, name="again")) is type(process)
for wrong in ({"period": 0}, {"first_step": 0}):
    try:
        deployed.to_lava(**wrong)
    except UsageError as error:
        print(error)

from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi1SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

values = spikeloom.load_dataset("digits").test.values[:12]
arriving = np.pad(process.encode(values), ((0, 0), (0, process.LATENCY)))
source, sink = Source(data=arriving), Sink(shape=(process.OUTPUTS,), buffer=arriving.shape[1])
source.s_out.connect(process.s_in)
process.s_out.connect(sink.a_in)
process.run(condition=RunSteps(num_steps=arriving.shape[1]), run_cfg=Loihi1SimCfg(select_tag="fixed_pt"))
counts = process.spike_counts(sink.data.get())
process.stop()
expected = reference.simulate(deployed.network, reference.encode(deployed.network, values))["output"]
assert (counts == reference.class_counts(expected)).all() and counts.any()
print("equal")
"""


@pytest.mark.chain
@needs_lava
def test_to_lava_in_python(digits_run: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(IN_PYTHON)
    said = run(tmp_path / "program.py", str(digits_run / "model.loom"), cwd=tmp_path).splitlines()
    assert len(said) == 3 and all("at least 1" in line for line in said[:2]) and said[2] == "equal"


@pytest.mark.chain
@needs_lava
def test_the_application(digits_run: Path) -> None:
    from spikeloom import load_dataset
    from spikeloom import run as run_network

    program = Path(__file__).parents[2] / "examples/lava_application/application.py"
    decided, right = run(program, str(digits_run)).splitlines()
    test = load_dataset("digits").test
    expected = run_network(digits_run / "model.loom", test, samples="first:30").predictions
    assert expected is not None
    assert decided == f"decided: {' '.join(map(str, expected))}"
    assert right == f"right: {np.count_nonzero(expected == test.labels[:30])} of 30"


@pytest.mark.chain
@needs_lava
def test_values_that_the_network_does_not_take_are_reported(tmp_path: Path) -> None:
    """An exception would leave Lava waiting for ever: they are rounded and limited, and a message says so once."""
    network = small()
    write_integers(network, tmp_path / "tiny")
    program = """
import numpy as np
from tiny import Network
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.source import RingBuffer

network, source = Network(), RingBuffer(data=np.full((3, 4), 300.4))
source.s_out.connect(network.s_in)
network.run(condition=RunSteps(num_steps=6), run_cfg=Loihi2SimCfg(select_tag="floating_pt"))
network.stop()
"""
    (tmp_path / "tiny/program.py").write_text(program)
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path / "tiny", env=environment, capture_output=True, text=True, timeout=600, check=True
    )
    said = [line for line in done.stderr.splitlines() if "s_in" in line]
    assert len(said) == 1 and "from 300.4 to 300.4; the network takes whole numbers from 0 to 255" in said[0]
