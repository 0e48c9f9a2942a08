"""No exception of a library's reaches a user: odd but valid networks through every target, backend, writer and reader that is found.

What comes out is right, or an error of ours that names what the user named.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from conftest import Command
from netgen import Labelled
from nirgen import nir
from numpy.typing import NDArray
from spikeloom import formats, hdf5, hdf5_worker, registry, runtime
from spikeloom.compile import compile_network, targets
from spikeloom.compile.compiler import read_source
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import NetworkError, SpikeloomError
from spikeloom.formats import onnx as model_onnx
from spikeloom.network import reference
from spikeloom.network.model import LIF, InputSpec, Network, Population, Projection, Synapses, Threshold
from spikeloom.runtime import backends

STEPS = 5
ENTRY = Population("in", (4,), None)
Weights = NDArray[np.float32]


def layer(name: str, size: int, bias: float | None = None, threshold: float = 1.0) -> Population:
    return Population(name, (size,), LIF(v_threshold=threshold), bias=None if bias is None else np.full(size, bias, np.float32))


def dense(targets_: int, sources: int, value: float | None = None) -> Synapses:
    rng = np.random.default_rng(targets_ * 31 + sources)
    return Synapses.from_dense(
        (rng.normal(0.4, 0.5, (targets_, sources)) if value is None else np.full((targets_, sources), value)).astype("f4")
    )


def empty(targets_: int, sources: int) -> Synapses:
    return Synapses(np.zeros(targets_ + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), (targets_, sources))


def network(populations: list[Population], projections: list[tuple[str, str, Synapses, int]], steps: int = STEPS) -> Network:
    made = tuple(Projection(f"{s}_{t}_{lag}", s, t, w, lag=lag) for s, t, w, lag in projections)
    return Network((ENTRY, *populations), made, steps, InputSpec(1, 1.0, "events"))


def named(*names: str) -> Network:
    first, second = names
    return network([layer(first, 3), layer(second, 2)], [("in", first, dense(3, 4), 0), (first, second, dense(2, 3), 0)])


ODD: dict[str, Callable[[], Network]] = {
    "a constant beside the input": lambda: network(
        [layer("pace", 1, 3.0), layer("out", 2)], [("in", "out", dense(2, 4), 0), ("pace", "out", dense(2, 1), 0)]
    ),
    "a constant alone": lambda: network([layer("pace", 2, 3.0), layer("out", 2)], [("pace", "out", dense(2, 2, 0.8), 0)]),
    "no projection at all": lambda: network([layer("out", 2, 3.0)], []),
    "neither projection nor bias": lambda: network([layer("quiet", 2), layer("out", 2)], [("in", "out", dense(2, 4), 0)]),
    "a gate without inputs": lambda: network(
        [Population("gate", (2,), Threshold(1.0)), layer("out", 2)], [("in", "out", dense(2, 4), 0), ("gate", "out", dense(2, 2), 0)]
    ),
    "weights of zero": lambda: network(
        [layer("mid", 3, 0.7), layer("out", 2)], [("in", "mid", dense(3, 4, 0.0), 0), ("mid", "out", dense(2, 3, 0.9), 0)]
    ),
    "no weights": lambda: network([layer("mid", 3, 3.0), layer("out", 2)], [("in", "mid", empty(3, 4), 0), ("mid", "out", dense(2, 3), 0)]),
    "a single neuron": lambda: network([layer("out", 1)], [("in", "out", dense(1, 4), 0)]),
    "no output spikes": lambda: network(
        [layer("mid", 3), layer("out", 2, None, 50.0)], [("in", "mid", dense(3, 4), 0), ("mid", "out", dense(2, 3), 0)]
    ),
    "a single time step": lambda: replace(named("mid", "out"), timesteps=1),
    "a layer that receives from itself": lambda: network(
        [layer("loop", 3), layer("out", 2)],
        [("in", "loop", dense(3, 4), 0), ("loop", "loop", dense(3, 3), 2), ("loop", "out", dense(2, 3), 0)],
    ),
    "two ways of different delays": lambda: network(
        [layer("mid", 3), layer("out", 2)], [("in", "mid", dense(3, 4), 0), ("mid", "out", dense(2, 3), 0), ("in", "out", dense(2, 4), 2)]
    ),
    "nobody alive": lambda: network(
        [replace(layer("mid", 3), alive=np.zeros(3, np.bool_)), layer("out", 2, 3.0)],
        [("in", "mid", dense(3, 4), 0), ("mid", "out", dense(2, 3), 0)],
    ),
    "names that suffixes make equal": lambda: named("a", "a_out"),
    "names of any letters": lambda: named("größe / 1", "a b.c+2"),
}


def frames(count: int, steps: int) -> NDArray[np.uint8]:
    return (np.random.default_rng(7).random((count, steps, 4)) < 0.6).astype(np.uint8)


def labelled(made: Network) -> Labelled:
    return Labelled(frames(6, made.timesteps), np.zeros(6, np.int64))


@cache
def deployed(odd: str, target: str) -> DeployedNetwork | SpikeloomError:
    made = ODD[odd]()
    values = labelled(made)
    try:
        return compile_network(made, target=target, calibration=Calibration(values.values.reshape(6, -1), values.labels), effort="fast")
    except SpikeloomError as error:
        return error


def check_names(error: SpikeloomError, made: Network) -> None:
    """A refusal names what the user named."""
    known = {p.name for p in made.populations} | {p.name for p in made.projections}
    for kind, rest in re.findall(r"\b([Ll]ayer|[Pp]rojection|[Pp]opulation) (?=(\S.*))", str(error)):
        said = rest.removeprefix("called ").lstrip("'\"")
        assert any(said.startswith(name) for name in known) or re.match(r"(is|of|has|that|with|beside|runs)\b", said), (kind, str(error))


@pytest.mark.parametrize("target", registry.names(targets))
@pytest.mark.parametrize("odd", ODD)
def test_every_target_compiles_or_refuses(odd: str, target: str) -> None:
    found = deployed(odd, target)
    if isinstance(found, SpikeloomError):
        check_names(found, ODD[odd]())


def slow_where_it_starts_a_process(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.slow) if name == "lava" else name


@pytest.mark.parametrize("backend", [slow_where_it_starts_a_process(name) for name in registry.names(backends) if name != "reference"])
@pytest.mark.parametrize("target", ["lava", "truenorth"])
def test_every_backend_is_right_or_refuses(backend: str, target: str) -> None:
    ran = 0
    for odd, make in ODD.items():
        found = deployed(odd, target)
        if isinstance(found, SpikeloomError):
            continue
        try:
            result = runtime.run(found, labelled(make()), backend=backend, check=True)
        except SpikeloomError as error:
            check_names(error, make())
            assert error.exit_code != 4, (odd, str(error))
            continue
        assert result.check is not None and result.check.equal, odd
        ran += 1
    assert ran or (backend, target) in {
        ("truenorth", "lava"),
        ("onnx", "truenorth"),
        ("lava", "truenorth"),
        ("xylosim", "lava"),
        ("xylosim", "truenorth"),
    }


@pytest.mark.parametrize("odd", ODD)
def test_the_hand_over_steps_as_the_reference(odd: str, tmp_path: Path) -> None:
    from spikeloom.runtime.backends import onnx

    made = ODD[odd]()
    values = labelled(made).values
    try:
        content = model_onnx.to_bytes(made)
    except NetworkError as error:
        assert any(p.lag for p in made.projections) or "Give the layers other names" in str(error), error
        check_names(error, made)
        return
    found = onnx.step_through(onnx.session(content, 1), values, made.timesteps)
    expected = reference.simulate_float(made, values)
    assert all(np.array_equal(found[name], raster) for name, raster in expected.items())
    again = model_onnx.from_bytes(content)
    assert again.populations == made.populations and len(again.projections) == len(made.projections)


def read_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Let the program that reads HDF5 run in this process: one of its own takes half a second each time."""

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", command[2:])
        code = hdf5_worker.main()
        return subprocess.CompletedProcess(command, code, "", capsys.readouterr().err)

    monkeypatch.setattr(hdf5.subprocess, "run", run)


@pytest.mark.parametrize("writer", sorted(formats.writers()))
def test_every_writer_writes_what_its_reader_takes_or_refuses(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read_here(monkeypatch, capsys)
    module: Any = formats.writers()[writer]
    written = 0
    for number, (odd, make) in enumerate(ODD.items()):
        path = tmp_path / f"{number}{module.SUFFIXES[0]}"
        try:
            if hasattr(module, "write_integers"):
                found = deployed(odd, "netx" if writer == "netx" else "lava")
                if isinstance(found, SpikeloomError):
                    continue
                made = found.network
                module.write_integers(made, path)
            else:
                made = make()
                module.write(made, path)
        except SpikeloomError as error:
            check_names(error, make())
            continue
        written += 1
        if not hasattr(module, "read"):  # a Lava package: tests/formats/test_lava_export.py runs it
            continue
        again, values = read_source(path, {}).network, labelled(make()).values
        simulate = reference.simulate if made.is_integer and made.projections else reference.simulate_float
        last = simulate(made, values)[made.populations[-1].name], simulate(again, values)[again.populations[-1].name]
        assert np.array_equal(*last), odd
    assert written


def test_graphs_of_cores_are_written() -> None:
    for odd in ODD:
        found = deployed(odd, "lava")
        if not isinstance(found, SpikeloomError):
            assert "\n".join(nx.generate_graphml(found.core_graph())), odd


@pytest.fixture
def current_behind_a_bias(tmp_path: Path) -> Path:
    """A NIR file in which a constant enters a synaptic current: it becomes a neuron that the user never wrote."""
    rng = np.random.default_rng(2)
    cuba = lambda n: nir.CubaLIF(*(np.full(n, v) for v in (4e-4, 8e-4, 2.0, 0.0, 1.0, 0.0, 4.0)))  # noqa: E731
    weights = [rng.normal(0.2, 0.4, shape).astype(np.float32) for shape in ((6, 4), (3, 6))]
    nodes = [nir.Input(np.array([4])), nir.Affine(weights[0], np.full(6, 0.1, np.float32)), cuba(6), nir.Linear(weights[1]), cuba(3)]
    names = ["in", "w", "n", "x", "o", "out"]
    graph = nir.NIRGraph(dict(zip(names, [*nodes, nir.Output(np.array([3]))], strict=True)), list(itertools.pairwise(names)))
    nir.write(tmp_path / "cuba.nir", graph)
    return tmp_path / "cuba.nir"


def test_a_population_without_projections_runs_in_onnxruntime(spikeloom: Command, current_behind_a_bias: Path, tmp_path: Path) -> None:
    loom = tmp_path / "c.loom"
    done = spikeloom("compile", current_behind_a_bias, "-T", 6, "--set", "input=events", "--out", loom)
    assert done.code == 0, done.err
    np.save(tmp_path / "x.npy", (np.random.default_rng(0).random((5, 6, 4)) < 0.5).astype(np.uint8))
    np.save(tmp_path / "y.npy", np.zeros(5, np.int64))
    ran = spikeloom("run", loom, "--data", tmp_path / "x.npy", "--labels", tmp_path / "y.npy", "--backend", "onnx", "--check")
    assert ran.code == 0 and "every spike is equal" in ran.out, ran.err


@pytest.mark.parametrize("target", ["netx", "truenorth"])
def test_a_refusal_names_the_layer_that_the_user_wrote(
    spikeloom: Command, current_behind_a_bias: Path, tmp_path: Path, target: str
) -> None:
    done = spikeloom("compile", current_behind_a_bias, "-T", 6, "--set", "input=events", "--target", target, "--out", tmp_path / "c.loom")
    said = " ".join(done.err.split())
    assert done.code in (1, 3) and re.search(r"(Layer|input to) n\b", said), said
    assert "n.bias" not in said and not re.search(r"\bone (has|hears)", said)
