"""Networks that are written as files of netx: read again they spike the same, and what a file has no place for is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from conftest import Command
from hypothesis import given, settings
from netgen import sparse_integers
from netxgen import random_chain, seeds, spikes_of
from spikeloom.compile import compile_network
from spikeloom.errors import NetworkError, UsageError
from spikeloom.formats import onnx as model_onnx
from spikeloom.formats.netx import reader, writer
from spikeloom.network.model import LIF, InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from test_handover import same


@settings(max_examples=examples(8), deadline=None)
@given(seeds)
def test_what_is_written_is_read_again_and_spikes_the_same(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    path = tmp_path_factory.mktemp("net") / "chain.net"
    network = random_chain(seed)
    again = reader.read(writer.write_integers(network, path))
    expected, found = spikes_of(network, seed), spikes_of(again, seed)
    assert all((expected[name] == found[name]).all() for name in expected)
    assert (again.populations, again.input, again.votes, again.timesteps) == (network.populations, network.input, network.votes, 9)
    assert same(reader.read(writer.write_integers(again, path)), again)  # windows have become kernels, and names netx's


def test_equal_networks_round_trip_to_the_same_integers(tmp_path: Path) -> None:
    network = random_chain(3)
    flat = [p for p in network.projections if isinstance(p.synapses, Synapses)]
    again = reader.read(writer.write_integers(network, tmp_path / "chain.net"))
    read = [p for p in again.projections if isinstance(p.synapses, Synapses)]
    assert [(p.exponent, p.weight_bits, p.lag) for p in read] == [(p.exponent, p.weight_bits, p.lag) for p in flat]
    assert all((a.synapses.unrolled().to_dense() == b.synapses.unrolled().to_dense()).all() for a, b in zip(flat, read, strict=True))


def test_exponents_and_removed_neurons_are_written_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    alive = np.array([True, False, True, True])
    populations = (
        Population("in", (5,), None),
        Population("a", (4,), IntegerLIF(4095, 100, 90), alive=alive, bias=np.full(4, 6400, np.int32)),
    )
    out = Population("b", (3,), IntegerLIF(4095, 0, 60))
    first = [
        Projection("p", "in", "a", sparse_integers(rng, (4, 5), 1.0, 60), 1, 8),
        Projection("q", "in", "a", sparse_integers(rng, (4, 5), 1.0, 9), 0, 8),
    ]
    last = Projection("r", "a", "b", Synapses.from_dense(rng.integers(-30, 31, (3, 4)).astype(np.int32) * 4), -2, 8)
    network = Network((*populations, out), (*first, last), 8, InputSpec(1, 1.0, "events"))
    again = reader.read(writer.write_integers(network, tmp_path / "n.net"))
    expected, found = spikes_of(network, 0), spikes_of(again, 0)
    assert expected["a"].any() and all((expected[name] == found[name]).all() for name in expected)


def one_layer(neuron: Any = None, **projection: Any) -> Network:
    values: dict[str, Any] = {
        "synapses": Synapses.from_dense(np.array([[3, -2], [1, 1]], np.int32)),
        "exponent": 0,
        "weight_bits": 8,
    } | projection
    populations = (Population("in", (2,), None), Population("hidden", (2,), neuron or IntegerLIF()))
    return Network(populations, (Projection("p", "in", "hidden", **values),), 4)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (one_layer(exponent=-1), "p has the exponent -1.*--target netx"),
        (one_layer(exponent=7), r"hidden has weights of -256\.\.384"),
        (one_layer(LIF(), weight_bits=None), "hidden has no integer neurons"),
        (one_layer(synapses=Synapses.from_dense(np.full((2, 2), -3, np.int32))), "no positive weight"),
        (one_layer(lag=63), "63 steps late"),
    ],
)
def test_what_a_file_has_no_place_for_is_refused(network: Network, says: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=says):
        writer.write_integers(network, tmp_path / "n.net")
    assert not list(tmp_path.iterdir())


def test_branches_and_odd_biases_are_refused(tmp_path: Path) -> None:
    network = one_layer()
    odd = network.with_population(replace(network.population("hidden"), bias=np.array([100, 64], np.int32)))
    with pytest.raises(NetworkError, match="bias of 100; netx holds multiples of 64"):
        writer.write_integers(odd, tmp_path / "n.net")
    last = Population("out", (2,), IntegerLIF())
    branches = [Projection(f"to{s}", s, "out", network.projections[0].synapses, 0, 8) for s in ("in", "hidden")]
    with pytest.raises(NetworkError, match="out receives input from in: netx runs layers one after another"):
        writer.write_integers(
            replace(network, populations=(*network.populations, last), projections=(*network.projections, *branches)), tmp_path / "n"
        )


# The chain


def float_digits() -> Network:
    rng = np.random.default_rng(0)
    populations = [Population("in", (8, 8), None), Population("hidden", (20,), LIF(), bias=rng.normal(0, 0.1, 20).astype(np.float32))]
    weights = [Synapses.from_dense(rng.normal(0.1, 0.4, shape).astype(np.float32)) for shape in ((20, 64), (10, 20))]
    projections = Projection("p", "in", "hidden", weights[0]), Projection("q", "hidden", "out", weights[1])
    network = Network((*populations, Population("out", (10,), LIF())), projections, 8, InputSpec(16, 1 / 16))
    return replace(network, provenance={"data": "digits"})


def goes_out_and_comes_back(spikeloom: Command, model: Path, folder: Path, encoding: str) -> None:
    """Export, compile what was exported, and run both."""
    done = spikeloom("export", model, "--to", "netx", "--out", folder / "x.net")
    assert (done.code, done.out.strip()) == (0, str(folder / "x.net"))
    assert spikeloom("compile", folder / "x.net", "--encoding", encoding, "--out", folder / "again.loom").code == 0
    runs = [json.loads(spikeloom("run", path, "--samples", 40, "--check", "--json").out) for path in (model, folder / "again.loom")]
    assert runs[0]["accuracy"] == runs[1]["accuracy"]
    spikes = [[layer["spikes_per_sample"] for layer in run["layers"]] for run in runs]
    assert spikes[0] and spikes[0] == spikes[1]


def test_integers_of_training_go_out_and_come_back(spikeloom: Command, digits_run: Path, tmp_path: Path) -> None:
    goes_out_and_comes_back(spikeloom, digits_run / "model.loom", tmp_path, "current")
    assert spikeloom("export", digits_run / "model.loom", "--to", "netz").code == 2


@pytest.mark.parametrize("encoding", ["current", "rate"])
def test_a_float_network_goes_out_and_comes_back(spikeloom: Command, tmp_path: Path, encoding: str) -> None:
    model_onnx.write(float_digits(), tmp_path / "model.onnx")
    assert spikeloom("compile", tmp_path, "--encoding", encoding).code == 0
    refused = spikeloom("export", tmp_path / "model.loom", "--to", "netx")
    assert refused.code == 1 and "--target netx" in refused.err
    assert spikeloom("compile", tmp_path, "--target", "netx", "--encoding", encoding).code == 0
    goes_out_and_comes_back(spikeloom, tmp_path / "model.loom", tmp_path, encoding)


def test_granularity_and_modes_are_not_for_netx() -> None:
    with pytest.raises(UsageError, match="no exponents"):
        compile_network(one_layer(), target="netx", granularity="channel")
    with pytest.raises(UsageError, match="no modes"):
        compile_network(one_layer(), target="netx", mode="exact")
