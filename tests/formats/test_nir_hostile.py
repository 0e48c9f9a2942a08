"""NIR files from anybody: whatever is wrong with them ends in an error of ours that names it, within bounds of memory."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from nirgen import Generator, nir
from spikeloom import hdf5, hdf5_worker
from spikeloom.errors import DoesNotFitError, FormatError, SpikeloomError
from spikeloom.formats.nir import signals
from spikeloom.formats.nir.reader import Options, from_document, read

OPTIONS = Options(timesteps=3)


def model() -> Any:
    full = lambda value: np.full(3, value)  # noqa: E731
    cell = nir.LIF(tau=full(2e-4), r=full(1.0), v_leak=full(0.0), v_threshold=full(1.0), v_reset=full(0.0))
    return nir.NIRGraph.from_list(nir.Input(np.array([4])), nir.Affine(np.ones((3, 4)), np.ones(3)), cell, nir.Output(np.array([3])))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    nir.write(tmp_path / "model.nir", model())
    return tmp_path / "model.nir"


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Let the program that reads HDF5 run here: a process of its own takes half a second each time."""

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", command[2:])
        code = hdf5_worker.main()
        return subprocess.CompletedProcess(command, code, "", capsys.readouterr().err)

    monkeypatch.setattr(hdf5.subprocess, "run", run)


def put(file: Any, name: str, value: Any) -> None:
    if name in file:
        del file[name]
    file[name] = value


def external_link(file: Any) -> None:
    put(file, "node/nodes/lif/tau", h5py.ExternalLink("/etc/passwd", "/"))


def soft_link(file: Any) -> None:
    put(file, "node/nodes/lif/tau", h5py.SoftLink("/node/nodes/lif/r"))


def cycle(file: Any) -> None:
    file["node/nodes/again"] = file["node"]


def other_storage(file: Any) -> None:
    del file["node/nodes/lif/tau"]
    file["node/nodes/lif"].create_dataset("tau", (3,), "f8", external=[("/etc/passwd", 0, 24)])


def virtual(file: Any) -> None:
    del file["node/nodes/lif/tau"]
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(3,))
    file["node/nodes/lif"].create_virtual_dataset("tau", layout)


def references(file: Any) -> None:
    del file["node/nodes/lif/tau"]
    file["node/nodes/lif"].create_dataset("tau", data=np.array([file["node"].ref] * 3, dtype=h5py.ref_dtype))


def ragged(file: Any) -> None:
    del file["node/nodes/lif/tau"]
    file["node/nodes/lif"].create_dataset("tau", (3,), dtype=h5py.vlen_dtype(np.float64))


def compound(file: Any) -> None:
    put(file, "node/nodes/lif/tau", np.zeros(3, [("a", "f8"), ("b", "i4")]))


def complex_numbers(file: Any) -> None:
    put(file, "node/nodes/lif/tau", np.ones(3, np.complex128))


def huge(file: Any) -> None:
    """An array that is declared and never stored: it would take 8 TB."""
    del file["node/nodes/affine/weight"]
    file["node/nodes/affine"].create_dataset("weight", (10**6, 10**6), "f8", chunks=(1000, 1000), compression="gzip")


def many_zeros(file: Any) -> None:
    """16 GB of zeros in 16 MB."""
    del file["node/nodes/affine/weight"]
    file["node/nodes/affine"].create_dataset("weight", (2**31,), "f8", chunks=(2**20,), fillvalue=0.0)
    file["node/nodes/affine/weight"][:8] = 1.0


def no_graph(file: Any) -> None:
    del file["node"]


def no_type(file: Any) -> None:
    del file["node/nodes/lif/type"]


def no_field(file: Any) -> None:
    del file["node/nodes/lif/tau"]


def not_a_number(file: Any) -> None:
    put(file, "node/nodes/affine/weight", np.full((3, 4), np.nan))


def infinite(file: Any) -> None:
    put(file, "node/nodes/lif/tau", np.full(3, np.inf))


def words(file: Any) -> None:
    put(file, "node/nodes/lif/tau", "long")


def text_edges(file: Any) -> None:
    put(file, "node/edges", "input lif")


def triples(file: Any) -> None:
    put(file, "node/edges", np.array([["input", "affine", "lif"]], dtype=h5py.string_dtype()))


def unknown(file: Any) -> None:
    put(file, "node/nodes/lif/type", "Izhikevich")


def empty(file: Any) -> None:
    put(file, "node/nodes/affine/weight", np.zeros((3, 0)))


def big_shape(file: Any) -> None:
    put(file, "node/nodes/input/shape", np.array([2**40]))


def odd_shape(file: Any) -> None:
    put(file, "node/nodes/input/shape", np.array([-4]))


def long_name(file: Any) -> None:
    file["node/nodes"].move("lif", "l" * 5000)


DAMAGE: list[tuple[Callable[[Any], None], str]] = [
    (external_link, "link to elsewhere"),
    (soft_link, "link to elsewhere"),
    (cycle, "contains itself|more than"),
    (other_storage, "in another file"),
    (virtual, "in another file"),
    (references, "only numbers and text"),
    (ragged, "only numbers and text"),
    (compound, "only numbers and text"),
    (complex_numbers, "only numbers and text"),
    (huge, "declares 8,000,000,000,000 bytes"),
    (many_zeros, "declares 17,179,869,184 bytes"),
    (no_graph, "no NIR file"),
    (no_type, "'lif' has no type"),
    (no_field, r"lif \(LIF\) has no tau"),
    (not_a_number, r"weight of the node affine \(Affine\) holds values that are not finite"),
    (infinite, r"tau of the node lif \(LIF\) holds values that are not finite"),
    (words, r"tau of the node lif \(LIF\) is <U4"),
    (text_edges, "not a pair of names"),
    (triples, "not a pair of names"),
    (unknown, "'Izhikevich', which cannot be read"),
    (empty, r"weight of the node affine \(Affine\)"),
    (big_shape, "shape of the node input"),
    (odd_shape, "shape of the node input"),
    (long_name, "longer than 200"),
]


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(("damage", "said"), DAMAGE, ids=[d[0].__name__ for d in DAMAGE])
def test_damage_is_named(path: Path, damage: Callable[[Any], None], said: str) -> None:
    assert read(path, OPTIONS).neurons == 3
    with h5py.File(path, "a") as file:
        damage(file)
    with pytest.raises(FormatError, match=said) as caught:
        read(path, OPTIONS)
    assert str(path) in str(caught.value)


def test_files_that_are_none(tmp_path: Path, path: Path) -> None:
    content = path.read_bytes()
    for name, broken in (("empty", b""), ("text", b"hello"), ("cut", content[: len(content) // 2])):
        (tmp_path / f"{name}.nir").write_bytes(broken)
        with pytest.raises(FormatError, match="is not a NIR file, or is damaged"):
            read(tmp_path / f"{name}.nir", OPTIONS)
    with pytest.raises(FormatError, match="Cannot read the network"):
        read(tmp_path / "missing.nir", OPTIONS)
    os.mkfifo(tmp_path / "pipe.nir")
    with pytest.raises(FormatError, match="not a plain file"):
        read(tmp_path / "pipe.nir", OPTIONS)


@pytest.mark.parametrize("seed", range(5))
def test_flipped_bytes_never_crash(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for position in rng.integers(0, len(content), 6).tolist():
        content[position] ^= int(rng.integers(1, 256))
    path.write_bytes(content)
    try:
        read(path, OPTIONS)
    except SpikeloomError as error:
        assert str(path) in str(error)


MUTATIONS: list[Any] = [
    None,
    "text",
    b"bytes",
    -1,
    0,
    1e300,
    np.array([]),
    np.zeros((2, 0)),
    np.array(np.nan),
    np.array([1, 2, 3]),
    np.full((2, 3, 4, 5, 6), 0.5),
    np.array([2**62, 2**62]),
    np.array(["a", "b"]),
    np.array([True]),
    [("input", "output")],
    {},
    {"type": "LIF"},
    {"type": "NIRGraph", "nodes": {}, "edges": []},
]


def places(document: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Every field of every node, and the nodes, edges and metadata."""
    found = [(document, key) for key in document]
    for value in document.values():
        if isinstance(value, dict):
            found += places(value)
    return found


@settings(max_examples=examples(250), deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**32), st.integers(1, 3))
def test_mutated_graphs_are_read_or_refused(seed: int, draws: int, count: int) -> None:
    """No crash, no error but ours, whatever the fields hold."""
    random = Random(draws)
    document = copy.deepcopy(Generator(seed).make().graph().to_dict())
    for _ in range(count):
        owner, key = random.choice(places(document))
        kind = random.random()
        if kind < 0.2:
            del owner[key]
        elif kind < 0.8 or key != "edges":
            owner[key] = copy.deepcopy(random.choice(MUTATIONS))
        else:
            edges = list(owner[key]) if isinstance(owner[key], list) else []
            owner[key] = [*edges, random.choice(edges or [("a", "b")])][random.choice((0, 1)) :]
    try:
        from_document(document, Options(timesteps=3, dt=2.0**-10))
    except SpikeloomError as error:
        assert str(error).startswith("the NIR graph")


def test_a_note_of_ours_is_not_trusted_either() -> None:
    for note in ("{", "[]", '{"timesteps": 5}', '{"timesteps": 1e9, "levels": 1, "votes": 1, "dt": 1, "input": "static"}', "[" * 100_000):
        document = model().to_dict() | {"metadata": {"spikeloom": note}}
        with pytest.raises(FormatError, match="note of spikeloom"):
            from_document(document, OPTIONS)


def test_chains_that_would_not_fit_into_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scale for each element has a convolution multiplied out: 4 x 64 x 64 x 9 synapses, fewer at the rim."""
    monkeypatch.setattr(signals, "MAX_UNROLLED", 100_000)
    wide = nir.Conv2d((64, 64), np.ones((4, 1, 3, 3), np.float32), 1, 1, 1, 1, np.zeros(4))
    scale = nir.Scale((np.arange(4 * 64 * 64) / 7.0 + 1.0).reshape(4, 64, 64))
    nodes = {"input": nir.Input(np.array([1, 64, 64])), "a": wide, "s": scale, "lif": nir.IF(np.full(1, 1e4), np.ones(1), np.zeros(1))}
    edges = [("input", "a"), ("a", "s"), ("s", "lif"), ("lif", "output")]
    graph = nir.NIRGraph(nodes | {"output": nir.Output(np.array([1]))}, edges, type_check=False)
    with pytest.raises(DoesNotFitError, match="144,400 synapses when multiplied out"):
        from_document(graph.to_dict(), OPTIONS)
