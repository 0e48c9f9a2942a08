"""The .loom file: round trip, damage of every kind, and the graph of cores."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from budget import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from netgen import Labelled, float_network, samples
from safetensors.numpy import save
from spikeloom.compile import compile_network, load, summary
from spikeloom.compile.deployed import OLDEST, VERSION, DeployedNetwork
from spikeloom.errors import FormatError, OutputError
from spikeloom.runtime import run


@pytest.fixture(scope="module")
def deployed() -> DeployedNetwork:
    return compile_network(float_network(6, sizes=(40, 30, 10)))


def test_round_trip_keeps_everything(deployed: DeployedNetwork, tmp_path: Path) -> None:
    again = load(deployed.save(tmp_path / "model.loom"))
    assert again.digest == deployed.digest
    assert summary.summary(again) == summary.summary(deployed)
    data = Labelled(values=samples(deployed.network, 1, 20), labels=np.zeros(20, np.int64))
    assert run(again, data).sops_per_sample == run(deployed, data).sops_per_sample


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10**7), flip=st.integers(1, 255))
def test_any_flipped_byte_is_an_error_or_harmless(deployed: DeployedNetwork, tmp_path: Path, position: int, flip: int) -> None:
    content = bytearray(deployed.save(tmp_path / "good.loom").read_bytes())
    content[position % len(content)] ^= flip
    (tmp_path / "bad.loom").write_bytes(content)
    try:
        assert load(tmp_path / "bad.loom").digest == deployed.digest  # whitespace in the header
    except FormatError as error:
        assert "bad.loom" in str(error)


@pytest.mark.parametrize("part", [0, 1, 7, 8, 100, 2000])
def test_truncated_files_are_refused(deployed: DeployedNetwork, tmp_path: Path, part: int) -> None:
    content = deployed.save(tmp_path / "good.loom").read_bytes()
    for size in (part, len(content) - 1 - part):
        (tmp_path / "cut.loom").write_bytes(content[:size])
        with pytest.raises(FormatError, match=r"cut\.loom is not a \.loom file, or is truncated"):
            load(tmp_path / "cut.loom")


def test_foreign_newer_and_older_files_are_named(tmp_path: Path) -> None:
    arrays = {"a": np.zeros(3)}
    (tmp_path / "foreign.loom").write_bytes(save(arrays))
    with pytest.raises(FormatError, match="not a deployed network"):
        load(tmp_path / "foreign.loom")
    (tmp_path / "newer.loom").write_bytes(save(arrays, metadata={"format": "spikeloom.loom", "version": str(VERSION + 1)}))
    with pytest.raises(FormatError, match=rf"version '{VERSION + 1}'.*Update spikeloom\."):
        load(tmp_path / "newer.loom")
    (tmp_path / "older.loom").write_bytes(save(arrays, metadata={"format": "spikeloom.loom", "version": str(OLDEST - 1)}))
    with pytest.raises(FormatError, match=rf"version '{OLDEST - 1}'.*Compile the network again\."):
        load(tmp_path / "older.loom")
    with pytest.raises(FormatError, match="Cannot read the deployed network"):
        load(tmp_path / "missing.loom")


def test_core_graph_is_networkx(deployed: DeployedNetwork) -> None:
    graph = deployed.core_graph()
    assert isinstance(graph, nx.DiGraph)
    assert graph.number_of_nodes() == deployed.mapping.cores
    total = sum(d["messages_per_step"] for *_, d in graph.edges(data=True)) + sum(
        d["input_messages_per_step"] for _, d in graph.nodes(data=True)
    )
    assert total == pytest.approx(deployed.mapping.messages_per_step)
    nx.parse_graphml("\n".join(nx.generate_graphml(graph)))


def test_summary_is_json_with_the_promised_keys(deployed: DeployedNetwork) -> None:
    document = json.loads(json.dumps(summary.summary(deployed)))
    for key in ("neurons", "synapses", "cores", "cores_bound", "messages_per_step", "messages_bound", "hops_per_message"):
        assert isinstance(document[key], (int, float))


def test_an_output_that_cannot_be_written_leaves_nothing(deployed: DeployedNetwork, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="Cannot write"):
        deployed.save(tmp_path / "file" / "model.loom")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
