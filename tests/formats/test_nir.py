"""NIR in and out: the reader against NIR's equations, the habits of frameworks, and back again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from extras import library
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import Labelled, conv_network, float_network, samples, seeds
from nirgen import DT, Evaluator, Generator, Sketch, nir
from spikeloom import runtime
from spikeloom.compile import compile_network
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import FormatError, NetworkError, SpikeloomError, UsageError
from spikeloom.formats.nir.reader import Options, from_document
from spikeloom.formats.nir.reader import read as read_file
from spikeloom.formats.nir.writer import Options as WriterOptions
from spikeloom.formats.nir.writer import graph_of, write
from spikeloom.network import reference
from spikeloom.network.model import LIF, Convolution, InputSpec, Network, Threshold

LEVELS, STEPS = 8, 7
ABOVE_ONE = float(np.nextafter(1.0, 2.0))


def read(graph: Any, **options: Any) -> Network:
    chosen: dict[str, Any] = {"dt": DT, "timesteps": STEPS, "input": "events", "levels": LEVELS} | options
    return from_document(graph.to_dict(), Options(**chosen))


def chain(*nodes: Any) -> Any:
    """A graph of nodes one after the other, named n0, n1, ..., with an Input of its first node's size before and an Output after."""
    names = {"input": nodes[0], **{f"n{i}": node for i, node in enumerate(nodes[1:])}}
    names["output"] = nir.Output(np.array([1]))
    order = list(names)
    return nir.NIRGraph(names, list(pairwise(order)), type_check=False)


def lif(size: int | tuple[int, ...], tau: float = 2.0, r: float = 1.0, dt: float = 1e-4) -> Any:
    full = lambda value: np.full(size, value)  # noqa: E731
    return nir.LIF(tau=full(tau * dt), r=full(r), v_leak=full(0.0), v_threshold=full(1.0), v_reset=full(0.0))


def events(shape: tuple[int, ...], seed: int, count: int = 3) -> np.ndarray[Any, np.dtype[np.uint8]]:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, LEVELS + 1, (count, STEPS, *shape)) * (rng.random((count, STEPS, *shape)) < 0.6)).astype(np.uint8)


def check_equal(sketch: Sketch, network: Network, seed: int) -> None:
    """Hold every layer's spikes against NIR's equations."""
    values = events(sketch.shapes["input"], seed)
    spikes = reference.simulate_float(network, values)
    for n, sample in enumerate(values):
        expected = Evaluator(sketch).run(sample / LEVELS)
        for name, raster in spikes.items():
            if name in sketch.nodes:  # parts of a layer have names of their own; those that receive from them are held against it
                assert np.array_equal(raster[n], expected[name].reshape(STEPS, -1) != 0), name


def check_same(network: Network, again: Network, values: Any) -> None:
    """The same spikes of every population that leads to the output, and the same weights of every projection between them."""
    a, b = reference.simulate_float(network, values), reference.simulate_float(again, values)
    left_out = [name for name in a if name not in b]
    assert all(p.target in left_out for p in network.projections if p.source in left_out)
    assert list(b) == [name for name in a if name not in left_out]
    for name, raster in b.items():
        assert np.array_equal(raster, a[name]), name
    for p in network.projections:
        if p.target in left_out or not p.synapses.unrolled().data.any():  # taps that fall beside the map
            continue
        beside = [q for q in again.projections if (q.source, q.target, q.lag) == (p.source, p.target, p.lag)]
        assert any(np.array_equal(p.synapses.unrolled().to_dense(), q.synapses.unrolled().to_dense()) for q in beside), p.name
    assert (network.timesteps, network.votes, network.input) == (again.timesteps, again.votes, again.input)


@settings(max_examples=examples(40), deadline=None)
@given(seeds)
def test_random_graphs_step_as_nir_defines(seed: int) -> None:
    sketch = Generator(seed).make()
    check_equal(sketch, read(sketch.graph()), seed)


def test_the_generator_draws_what_is_read() -> None:
    """Of 150 graphs some have each primitive, loops, and layers of several time constants."""
    sketches = [Generator(seed).make() for seed in range(150)]
    kinds = {type(node).__name__ for sketch in sketches for node in sketch.nodes.values()}
    linear = {"Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten", "Delay"}
    assert kinds >= linear | {"Input", "Output", "Threshold", "IF", "LIF", "CubaLIF"}
    assert any(sketch.back for sketch in sketches)
    networks = [read(sketch.graph()) for sketch in sketches]
    assert any(
        len(n.spiking) > len([k for k in s.nodes if k in {p.name for p in n.spiking}]) for n, s in zip(networks, sketches, strict=True)
    )
    rates = [reference.simulate_float(n, events(s.shapes["input"], 0)) for n, s in zip(networks, sketches, strict=True)]
    assert sum(0.02 < r[n.populations[-1].name].mean() < 0.98 for r, n in zip(rates, networks, strict=True)) > 50


# --- back again -------------------------------------------------------------------------------------------------------


@settings(max_examples=examples(25), deadline=None)
@given(seeds, st.booleans(), st.sampled_from(["above", "reached"]))
def test_networks_of_training_come_back(seed: int, temporal: bool, spike_when: Any) -> None:
    for network in (conv_network(seed, temporal=temporal), float_network(seed, v_reset=-0.5)):
        again = from_document(graph_of(network, WriterOptions(spike_when=spike_when)).to_dict())
        check_same(network, again, samples(network, seed, 2))
        for p in network.spiking:
            q = again.population(p.name)
            assert p.neuron == q.neuron and np.array_equal(p.living, q.living) and np.array_equal(p.biases, q.biases)


@settings(max_examples=examples(25), deadline=None)
@given(seeds)
def test_networks_that_were_read_come_back(seed: int) -> None:
    """Synaptic currents, neurons without a leak, lags and loops."""
    network = read(Generator(seed).make().graph())
    try:
        graph = graph_of(network, WriterOptions(dt=DT))
    except NetworkError as error:  # weights that all came out as zero
        assert "No way leads from the input" in str(error)
        return
    again = from_document(graph.to_dict())
    check_same(network, again, events(network.populations[0].shape, seed))


NETWORKS = {
    "fc": ((8, 8), {"hidden": (12,)}),
    "6conv2fc": ((3, 8, 8), {"width": 2, "votes": 2}),
    "vggsnn": ((2, 16, 16), {"width": 2}),
    "resnet19": ((3, 8, 8), {"width": 2}),
    "sew-resnet18": ((3, 8, 8), {"width": 2}),
    "sew-resnet18 and": ((3, 8, 8), {"width": 2, "connect": "and"}),
    "sew-resnet18 iand": ((3, 8, 8), {"width": 2, "connect": "iand"}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_training_goes_out_and_back(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from graphgen import dataset_of, samples, warmed_up
    from spikeloom import registry
    from spikeloom.train import export, networks

    torch.manual_seed(1)
    module = registry.load(networks, "network", name.split(maxsplit=1)[0])
    shape, chosen = NETWORKS[name]
    model = module.build(shape, 4, 3, registry.options_of(module, chosen, name), temporal=False)
    with torch.no_grad():
        model.train()(samples(model, 8))
    dataset = dataset_of(warmed_up(model, 1), 3)
    network = export.network(export.fold(model), None, dataset, (), {"net": name})
    lively = (replace(p, neuron=replace(p.neuron, v_threshold=0.125)) if isinstance(p.neuron, LIF) else p for p in network.populations)
    network = replace(network, populations=tuple(lively))
    path = write(network, tmp_path / "model.nir")
    nir.read(path)  # NIR's own checks
    again = read_file(path)
    check_same(network, again, dataset.train.values)
    assert again.provenance == network.provenance
    assert len(again.populations) == len(network.populations) and len(again.projections) == len(network.projections)
    spikes = reference.simulate_float(network, dataset.train.values)
    assert sum(raster.any() for raster in spikes.values()) > len(spikes) // 2 and spikes["output"].any()


def test_convolutions_stay_taps() -> None:
    network = conv_network(5)
    again = from_document(graph_of(network).to_dict())
    kinds = {(p.source, p.target): type(p.synapses) for p in network.projections}
    for p in again.projections:
        if kinds[p.source, p.target] is Convolution and p.target != "output":
            assert isinstance(p.synapses, Convolution), p.name
    by_ends = {(p.source, p.target): p.synapses for p in again.projections if not p.name.endswith("_2")}
    assert by_ends["left", "right"] is by_ends["pool", "right"]  # a sum of spikes through one convolution


def test_integers_are_not_written() -> None:
    from netgen import integer_network

    with pytest.raises(NetworkError, match=r"holds a chip's integers.*without --weight-bits"):
        graph_of(integer_network(1))


# --- equations --------------------------------------------------------------------------------------------------------


def test_time_constants_leaks_and_resets() -> None:
    node = nir.LIF(tau=np.array([3e-4]), r=np.array([2.0]), v_leak=np.array([0.5]), v_threshold=np.array([1.0]), v_reset=np.array([-0.25]))
    network = read(chain(nir.Input(np.array([2])), nir.Linear(np.ones((3, 2), np.float32)), node), dt=1e-4)
    made = network.populations[-1]
    assert made.neuron == LIF(3.0, float(np.nextafter(1.0, 2.0)), -0.25, decay_input=True)
    assert made.bias is not None and (made.bias == 0.75).all() and made.shape == (3,)
    assert (network.projections[0].synapses.data == 2.0).all()


def test_an_input_that_does_not_decay_leaves_the_leak_s_drive_to_the_time_constant() -> None:
    """With r = tau the input enters whole, and v_leak, counted from the reset, by a tau-th of it a step."""
    node = nir.LIF(tau=np.array([3e-4]), r=np.array([3.0]), v_leak=np.array([0.5]), v_threshold=np.array([1.0]), v_reset=np.array([-0.25]))
    network = read(chain(nir.Input(np.array([2])), nir.Linear(np.ones((3, 2), np.float32)), node), dt=1e-4)
    made = network.populations[-1]
    assert made.neuron == LIF(3.0, float(np.nextafter(1.0, 2.0)), -0.25, decay_input=False)
    assert made.bias is not None and (made.bias == 0.25).all()
    assert (network.projections[0].synapses.data == 1.0).all()


def test_each_group_of_a_convolution_receives_from_its_own_channels() -> None:
    """Four maps in two groups of two, from two channels each."""
    weight = np.arange(1, 9, dtype=np.float32).reshape(4, 2, 1, 1)
    conv = nir.Conv2d((1, 1), weight, 1, 0, 1, 2, np.zeros(4, np.float32))
    network = read(chain(nir.Input(np.array([4, 1, 1])), conv, lif((4, 1, 1))), dt=1e-4)
    gain = network.projections[0].synapses.unrolled().to_dense()
    assert np.array_equal(gain, [[1, 2, 0, 0], [3, 4, 0, 0], [0, 0, 5, 6], [0, 0, 7, 8]])


def test_the_threshold_is_passed_or_reached() -> None:
    graph = chain(nir.Input(np.array([1])), nir.Linear(np.ones((1, 1), np.float32)), nir.IF(np.full(1, 1e4), np.full(1, 1.0), np.zeros(1)))
    ones = np.full((1, STEPS, 1), LEVELS, np.uint8)
    for spike_when, expected in (("above", [0, 1, 0, 1, 0, 1, 0]), ("reached", [1] * STEPS)):
        network = read(graph, dt=1e-4, spike_when=spike_when)
        assert reference.simulate_float(network, ones)["n1"][0, :, 0].astype(int).tolist() == expected


def test_thresholds_and_resistances_of_each_neuron_fold_into_weights() -> None:
    node = lif(2)
    node.v_threshold, node.r = np.array([2.0, 4.0]), np.array([1.0, 3.0])
    network = read(chain(nir.Input(np.array([1])), nir.Affine(np.ones((2, 1), np.float32), np.ones(2, np.float32)), node), dt=1e-4)
    assert network.projections[0].synapses.data.tolist() == [0.5, 0.75]
    assert network.populations[-1].bias is not None and network.populations[-1].bias.tolist() == [0.5, 0.75]


def test_max_pools_and_gates_are_thresholds() -> None:
    ones = nir.Conv2d((4, 4), np.ones((1, 1, 2, 2), np.float32), 2, 0, 1, 1, np.zeros(1))
    graph = chain(nir.Input(np.array([1, 4, 4])), lif((1, 4, 4)), ones, nir.Threshold(np.full((1, 2, 2), 0.5)))
    network = read(graph, dt=1e-4)
    assert network.populations[-1].neuron == Threshold(float(np.nextafter(0.5, 1.0)))


# --- habits -----------------------------------------------------------------------------------------------------------


def snntorch_like() -> Any:
    """Its recurrent layers are subgraphs, parameters one number, no v_reset in older files."""
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([3])), "lif": lif(3, 10.0, 10.0), "w_rec": nir.Linear(np.eye(3)), "output": nir.Output(np.array([3]))},
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )
    one = np.float32
    last = nir.LIF(tau=one(5e-4), r=one(5.0), v_leak=one(0.0), v_threshold=one(1.0))
    nodes = {"input": nir.Input(np.array([4])), "0": nir.Affine(np.ones((3, 4)), np.ones(3)), "1": inner}
    nodes |= {"2": nir.Affine(np.ones((2, 3)), np.zeros(2)), "3": last, "output": nir.Output(np.array([2]))}
    order = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(order)), type_check=False)


def norse_like() -> Any:
    """Its neurons have parameters for each neuron in float32, names with dots, and a synaptic current."""
    full = lambda value: np.full(3, value, np.float32)  # noqa: E731
    cuba = nir.CubaLIF(
        tau_syn=full(2e-4), tau_mem=full(4e-4), r=full(1), v_leak=full(0), v_threshold=full(1), v_reset=full(0), w_in=full(2)
    )
    nodes = {
        "input": nir.Input(np.array([4])),
        "seq.0": nir.Linear(np.ones((3, 4), np.float32)),
        "seq.1": cuba,
        "output": nir.Output(np.array([3])),
    }
    return nir.NIRGraph(nodes, [("input", "seq.0"), ("seq.0", "seq.1"), ("seq.1", "output")])


def sinabs_like() -> Any:
    """Its maps have shapes, pools are sums, convolutions no input_shape, an input with a batch."""
    conv = nir.Conv2d(None, np.ones((2, 1, 3, 3), np.float32), (1, 1), (1, 1), (1, 1), 1, np.zeros(2, np.float32))
    fire = nir.IF(r=np.full((2, 4, 4), 1e4), v_threshold=np.full((2, 4, 4), 1.0), v_reset=np.zeros((2, 4, 4)))
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    last = nir.IF(r=np.array([1e4]), v_threshold=np.array([1.0]))
    return chain(
        nir.Input(np.array([1, 1, 4, 4])), conv, fire, pool, nir.Flatten({"input": None}, 0, -1), nir.Linear(np.ones((3, 8))), last
    )


def lava_like() -> Any:
    """Its axes are flattened with a batch, delays stand between layers, and metadata is everywhere."""
    conv = nir.Conv2d((4, 4), np.ones((1, 1, 2, 2)), 2, 0, 1, 1, np.zeros(1))
    conv.metadata = {"layer": "conv", "bits": 8}
    flatten = nir.Flatten({"input": np.array([1, 2, 2])}, 1, -1)
    return chain(
        nir.Input(np.array([1, 4, 4])), conv, lif((1, 2, 2)), flatten, nir.Delay(np.full(4, 2e-4)), nir.Linear(np.ones((2, 4))), lif(2)
    )


def rockpool_like() -> Any:
    """No Input and no Output, a Linear with a recurrent one beside it."""
    nodes = {
        "0_Linear": nir.Linear(np.ones((3, 4))),
        "1_LIF": lif(3),
        "1_rec": nir.Linear(np.eye(3)),
        "2_Linear": nir.Linear(np.ones((2, 3))),
    }
    edges = [("0_Linear", "1_LIF"), ("1_LIF", "1_rec"), ("1_rec", "1_LIF"), ("1_LIF", "2_Linear"), ("2_Linear", "3_LIF")]
    return nir.NIRGraph(nodes | {"3_LIF": lif(2)}, edges, type_check=False)


HABITS: list[tuple[Callable[[], Any], dict[str, Any], list[tuple[str, str, int]]]] = [
    (
        snntorch_like,
        {"1.lif": LIF(10.0, 1.0, decay_input=False), "3": LIF(5.0, 1.0, decay_input=False)},
        [("1.lif", "1.lif", 1), ("1.lif", "3", 0), ("input", "1.lif", 0)],
    ),
    (norse_like, {"seq.1": LIF(4.0, 1.0, tau_syn=2.0)}, [("input", "seq.1", 0)]),
    (
        sinabs_like,
        {"n1": LIF(np.inf, 1.0, decay_input=False), "n5": LIF(np.inf, 1.0, decay_input=False)},
        [("input", "n1", 0), ("n1", "n5", 0)],
    ),
    (lava_like, {"n1": LIF(2.0, 1.0), "n5": LIF(2.0, 1.0)}, [("input", "n1", 0), ("n1", "n5", 2)]),
    (
        rockpool_like,
        {"1_LIF": LIF(2.0, 1.0), "3_LIF": LIF(2.0, 1.0)},
        [("1_LIF", "1_LIF", 1), ("1_LIF", "3_LIF", 0), ("input", "1_LIF", 0)],
    ),
]


@pytest.mark.parametrize(("make", "neurons", "edges"), HABITS, ids=[h[0].__name__ for h in HABITS])
def test_habits_of_frameworks(make: Any, neurons: dict[str, Any], edges: list[tuple[str, str, int]]) -> None:
    network = from_document(make().to_dict(), Options(timesteps=3, spike_when="reached"))
    assert {p.name: p.neuron for p in network.spiking} == neurons
    assert sorted((p.source, p.target, p.lag) for p in network.projections) == edges
    assert network.timesteps == 3 and network.input == InputSpec()


def test_files_of_snntorch(tmp_path: Path) -> None:
    torch, snn = pytest.importorskip("torch"), library("snntorch")
    from snntorch.export_nir import export_to_nir  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    full = torch.full
    layers = [
        torch.nn.Linear(6, 5),
        snn.Leaky(beta=full((5,), 0.5), threshold=torch.ones(5), init_hidden=True, reset_mechanism="zero", reset_delay=False),
        torch.nn.Linear(5, 3, bias=False),
        snn.Synaptic(
            alpha=full((3,), 0.5),
            beta=full((3,), 0.75),
            threshold=torch.ones(3),
            init_hidden=True,
            reset_mechanism="zero",
            reset_delay=False,
        ),
    ]
    for layer in layers[::2]:
        layer.weight.data = torch.randint(-4, 9, layer.weight.shape) / 8
    layers[0].bias.data = torch.randint(-4, 9, layers[0].bias.shape) / 8
    nir.write(tmp_path / "model.nir", export_to_nir(torch.nn.Sequential(*layers), torch.rand(1, 6), ignore_dims=[0]))
    network = read_file(tmp_path / "model.nir", Options(timesteps=STEPS, input="events", levels=LEVELS))
    values = events((6,), 1)
    with torch.no_grad():
        for layer in layers[1::2]:
            layer.reset_mem() if hasattr(layer, "reset_mem") else layer.reset_hidden()
        spikes = [torch.nn.Sequential(*layers)(torch.from_numpy(values[:, t] / LEVELS).float()) for t in range(STEPS)]
    expected = torch.stack(spikes, 1).numpy() > 0
    assert np.array_equal(reference.simulate_float(network, values)["3"], expected) and expected.any()


def test_snntorchs_default_reset(tmp_path: Path) -> None:
    """snn.Leaky with nothing said of its reset: the threshold is taken off a step late."""
    torch, snn = pytest.importorskip("torch"), library("snntorch")
    from snntorch.export_nir import export_to_nir  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    cell = snn.Leaky(beta=torch.full((5,), 0.875), threshold=torch.ones(5), init_hidden=True)
    layers = torch.nn.Sequential(torch.nn.Linear(8, 5, bias=False), cell)
    layers[0].weight.data = torch.randint(-34, 67, (5, 8)) / 64
    nir.write(tmp_path / "model.nir", export_to_nir(layers, torch.rand(1, 8), ignore_dims=[0]))
    values = (np.random.default_rng(0).random((20, 32, 8)) < 0.4).astype(np.uint8)
    cell.reset_mem()
    with torch.no_grad():
        expected = torch.stack([layers(torch.from_numpy(values[:, t]).float()) for t in range(32)], 1).numpy() > 0
    network = read_file(tmp_path / "model.nir", Options(timesteps=32, input="events", reset="subtract-late"))
    assert np.array_equal(reference.simulate_float(network, values)["1"], expected) and expected.any()


def test_spikes_of_spikingjelly(tmp_path: Path) -> None:
    """Its exporter's files, in float64, with `reached`: IF, LIF with and without a decaying input, CUBALIF, pools and maps."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("nirtorch")
    from spikingjelly.activation_based import functional, layer, neuron, nir_exchange

    torch.manual_seed(3)
    parts = [layer.Conv2d(1, 4, 3, padding=1), neuron.IFNode(), layer.AvgPool2d(2), layer.Conv2d(4, 4, 3, 2, 1), neuron.LIFNode(tau=4.0)]
    parts += [
        layer.Flatten(),
        layer.Linear(16, 10),
        neuron.CUBALIFNode(),
        layer.Linear(10, 5, bias=False),
        neuron.LIFNode(decay_input=False),
    ]
    model = torch.nn.Sequential(*parts)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randint(-3, 6, p.shape) / 8)
    values = np.random.default_rng(0).integers(0, LEVELS + 1, (5, 1, 8, 8)).astype(np.uint8)
    real = torch.from_numpy(values).double() / LEVELS
    nir_exchange.export_to_nir(model, real.float(), save_path=tmp_path / "model.nir")
    network = read_file(tmp_path / "model.nir", Options(timesteps=STEPS, levels=LEVELS, spike_when="reached"))
    functional.reset_net(model)
    with torch.no_grad():
        expected = torch.stack([model.double()(real) for _ in range(STEPS)], 1).numpy() > 0
    spikes = reference.simulate_float(network, values)[network.populations[-1].name]
    assert np.array_equal(spikes, expected) and expected.any()


def test_files_of_ours_run_in_spikingjelly(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("nirtorch")
    from spikingjelly.activation_based import nir_exchange

    network = float_network(7, sizes=(12, 20, 5), density=0.8, timesteps=6)
    path = write(network, tmp_path / "model.nir", WriterOptions(dt=1e-3, spike_when="reached"))
    model = nir_exchange.import_from_nir(path, dt=1e-3, dtype=torch.float64)
    values, state, sent = samples(network, 7, 8), None, list[Any]()
    real = torch.from_numpy(values.astype(np.float64) * network.input.scale)
    with torch.no_grad():
        for _ in range(network.timesteps):
            spikes, state = model(real, state)
            sent.append(spikes)
    expected = torch.stack(sent, 1).numpy() > 0
    assert np.array_equal(reference.simulate_float(network, values)["layer2"], expected) and expected.any()


# --- deployed -----------------------------------------------------------------------------------------------------------


@settings(max_examples=examples(12), deadline=None)
@given(seeds)
def test_deployed_as_the_reference(seed: int) -> None:
    """What is read is compiled and runs natively to the integer reference's spikes: loops, currents that decay, neurons without a leak."""
    network = read(Generator(seed).make().graph())
    values = events(network.populations[0].shape, seed, 6)
    labels = np.zeros(6, np.int64)
    try:
        deployed = compile_network(network, calibration=Calibration(values.reshape(6, -1), labels), effort="fast")
    except NetworkError as error:  # thresholds that nothing reaches, gates of levels that are no spikes', loops too short for the chip
        assert any(said in str(error) for said in ("no live synapse", "cannot be reached", "closes the loop", "zero after", "gate")), error
        return
    checked = runtime.run(deployed, Labelled(values, labels), check=True).check
    assert checked is not None and checked.equal


def test_a_synaptic_current_keeps_its_spikes_on_the_chip() -> None:
    rng = np.random.default_rng(4)
    cuba = lambda n: nir.CubaLIF(*(np.full(n, v) for v in (4e-4, 8e-4, 2.0, 0.0, 1.0, 0.0, 4.0)))  # noqa: E731
    first, second = rng.normal(0.1, 0.3, (30, 12)).astype(np.float32), rng.normal(0.05, 0.3, (8, 30)).astype(np.float32)
    graph = chain(nir.Input(np.array([12])), nir.Affine(first, np.full(30, 0.05, np.float32)), cuba(30), nir.Linear(second), cuba(8))
    network = read(graph, dt=1e-4)
    assert [p.name for p in network.populations] == ["input", "n1.bias", "n1", "n3"]
    values = events((12,), 5, 40)
    deployed = compile_network(network, calibration=Calibration(values.reshape(40, -1), np.zeros(40, np.int64)), effort="fast")
    assert [p.neuron.du for p in deployed.network.on_chip if p.name in ("n1", "n3")] == [1023, 1023]  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    assert max(deployed.drift.values()) < 0.15
    checked = runtime.run(deployed, Labelled(values, np.zeros(40, np.int64)), check=True).check
    assert checked is not None and checked.equal


# --- what cannot be meant ---------------------------------------------------------------------------------------------


def refused(graph: Any, kind: type[SpikeloomError], match: str, **options: Any) -> None:
    with pytest.raises(kind, match=match):
        read(graph, **{"dt": 1e-4} | options)


def test_a_soft_reset_cannot_be_said() -> None:
    network = float_network(3)
    last = network.populations[-1]
    assert isinstance(last.neuron, LIF)
    network = network.with_population(replace(last, neuron=replace(last.neuron, soft_reset=True)))
    with pytest.raises(NetworkError, match="soft reset"):
        graph_of(network, WriterOptions())


def test_what_no_chip_can_do_is_refused_by_name() -> None:
    entry, matrix = nir.Input(np.array([2])), nir.Linear(np.ones((2, 2), np.float32))
    readout = nir.LI(tau=np.full(2, 1e-3), r=np.ones(2), v_leak=np.zeros(2))
    refused(chain(entry, matrix, lif(2), matrix, readout), NetworkError, r"n3 \(LI\) does not spike.*readout")
    refused(chain(entry, matrix, lif(2), matrix), NetworkError, r"Output output receives numbers.*readout")
    refused(chain(entry, matrix, lif(2, tau=0.5)), NetworkError, r"n1: tau is 5e-05 s, 0\.5 steps.*--dt of at most 5e-05")
    refused(chain(entry, matrix, lif(2), nir.Delay(np.full(2, 1.5e-4)), matrix, lif(2)), NetworkError, "n2 delays by 0.00015")
    backwards = lif(2)
    backwards.v_reset = np.full(2, 2.0)
    refused(chain(entry, matrix, backwards), NetworkError, "n1: v_threshold must be above v_reset")
    many = lif(100)
    many.tau = np.linspace(1e-3, 2e-3, 100)
    refused(chain(entry, nir.Linear(np.ones((100, 2))), many), NetworkError, "100 different time constants")
    with pytest.raises(UsageError, match="how many time steps"):
        from_document(chain(entry, matrix, lif(2)).to_dict())


def test_a_readout_gets_neurons_where_they_are_asked_for() -> None:
    entry, matrix = nir.Input(np.array([2])), nir.Linear(np.ones((2, 2), np.float32))
    readout = nir.LI(tau=np.full(2, 1e-3), r=np.ones(2), v_leak=np.full(2, 0.5))
    made = read(chain(entry, matrix, lif(2), matrix, readout), dt=1e-4, readout=2.0, spike_when="reached").populations[-1]
    assert (made.name, made.neuron) == ("n3", LIF(10.0, 2.5, 0.5))
    made = read(chain(entry, matrix, lif(2), matrix), dt=1e-4, readout=2.0, spike_when="reached").populations[-1]
    assert (made.name, made.neuron) == ("output", LIF(np.inf, 2.0, decay_input=False))


def test_a_readout_acts_on_the_output_only() -> None:
    """An LI before neurons is their synaptic current; the threshold is the output's, and refused where that spikes."""
    entry, matrix = nir.Input(np.array([2])), nir.Linear(np.ones((2, 2), np.float32))
    inner = nir.LI(tau=np.full(2, 4 * DT), r=np.full(2, 2.0), v_leak=np.zeros(2))
    network = read(chain(entry, inner, matrix, lif(2, dt=DT)))
    assert [(p.name, p.neuron) for p in network.spiking] == [("n2", LIF(2.0, ABOVE_ONE, tau_syn=4.0))]
    assert (network.projections[0].synapses.unrolled().to_dense() == 0.5).all()
    with pytest.raises(UsageError, match=r"readout is a threshold for an Output that receives numbers; .* receives the spikes of n2"):
        read(chain(entry, inner, matrix, lif(2, dt=DT)), readout=2.0)
    readout = nir.LI(tau=np.full(2, 8 * DT), r=np.ones(2), v_leak=np.zeros(2))
    network = read(chain(entry, matrix, lif(2, dt=DT), inner, matrix, readout), readout=2.0, spike_when="reached")
    assert [(p.name, p.neuron) for p in network.spiking] == [("n1", LIF(2.0)), ("n4", LIF(8.0, 2.0, tau_syn=4.0))]
    with pytest.raises(NetworkError, match=r"n4 \(LI\) does not spike.*readout"):
        read(chain(entry, matrix, lif(2, dt=DT), inner, matrix, readout))


LEAKS = st.sampled_from([0.0, 0.5])


@settings(max_examples=examples(20), deadline=None)
@given(seeds, st.sampled_from([1, 2, 4, 8]), LEAKS, LEAKS, st.booleans())
def test_a_current_before_neurons_steps_as_nir_defines(seed: int, tau: int, before: float, rest: float, reset: bool) -> None:
    """Affine - LI - Affine - LIF in plain loops: constants before the LI rise with it, those behind it are there at once."""
    rng = np.random.default_rng(seed)
    whole = lambda *shape: rng.integers(-4, 9, shape).astype(np.float32) / 4  # noqa: E731
    first, second = nir.Affine(whole(3, 2), np.full(3, before, np.float32)), nir.Affine(whole(4, 3), whole(4))
    filters = nir.LI(tau=np.full(3, tau * DT), r=np.ones(3), v_leak=np.full(3, rest))
    network = read(chain(nir.Input(np.array([2])), first, filters, second, lif(4, dt=DT)), reset="subtract" if reset else "zero")
    values = events((2,), seed)
    spikes = reference.simulate_float(network, values)["n3"]
    for sample, found in zip(values / LEVELS, spikes, strict=True):
        i, v = np.full(3, rest), np.zeros(4)
        for x, row in zip(sample, found, strict=True):
            i = i + (rest - i + first.weight @ x + first.bias) / tau
            v = v + (second.weight @ i + second.bias - v) / 2
            assert np.array_equal(row, v > 1)
            v = np.where(v > 1, v - 1 if reset else 0.0, v)


def test_currents_that_no_neuron_has_are_refused() -> None:
    entry, matrix = nir.Input(np.array([2])), nir.Linear(np.ones((2, 2), np.float32))
    inner = nir.LI(tau=np.full(2, 4 * DT), r=np.ones(2), v_leak=np.zeros(2))
    several = nir.LI(tau=np.array([4 * DT, 8 * DT]), r=np.ones(2), v_leak=np.zeros(2))
    cuba = nir.CubaLIF(*(np.full(2, n) for n in (2 * DT, 4 * DT, 1.0, 0.0, 1.0, 0.0, 1.0)))
    for graph, says in (
        (
            chain(entry, inner, matrix, inner, matrix, lif(2, dt=DT)),
            r"n2 \(LI\) does not spike and comes before other.*one LI before each",
        ),
        (chain(entry, nir.I(np.ones(2)), lif(2, dt=DT)), r"n0 \(I\) does not spike and comes before other neurons"),
        (
            chain(entry, several, matrix, lif(2, dt=DT)),
            r"n0 \(LI\) filters .* 2 different .* 4\.\.8 steps.*one tau for all of n0",
        ),
        (chain(entry, inner, matrix, cuba), "n2 has a synaptic current of its own"),
    ):
        with pytest.raises(NetworkError, match=says):
            read(graph, readout=1.0, reset="subtract-late")


def test_a_file_cannot_say_which_reset_and_ours_does() -> None:
    graph = chain(nir.Input(np.array([2])), nir.Linear(np.full((2, 2), 1.5, np.float32)), lif(2, tau=4.0, r=4.0, dt=DT))
    unsaid = read(graph)
    assert unsaid.reading is not None and any("--set reset=subtract" in w for w in unsaid.reading.warnings)
    soft = read(graph, reset="subtract")
    assert soft.reading is not None and not soft.reading.warnings
    values = events((2,), 3)
    spikes, v = reference.simulate_float(soft, values)["n1"], np.zeros((len(values), 2))
    for t in range(STEPS):
        v = v + (4 * 1.5 * (values[:, t] / LEVELS).sum(axis=1, keepdims=True) - v) / 4
        assert np.array_equal(spikes[:, t], v > 1)
        v = v - (v > 1)
    assert not np.array_equal(spikes, reference.simulate_float(unsaid, values)["n1"])
    deployed = compile_network(unsaid, calibration=Calibration(values.reshape(len(values), -1), np.zeros(len(values), np.int64)))
    assert unsaid.reading.warnings[0] in deployed.warnings
    again = from_document(graph_of(soft, WriterOptions(DT, reset="subtract")).to_dict())
    assert again.reading is None
    check_same(soft, again, values)
    with pytest.raises(NetworkError, match=r"--set reset=subtract is for networks of which no layer does"):
        graph_of(read(graph, reset="zero"), WriterOptions(reset="subtract"))


@settings(max_examples=examples(12), deadline=None)
@given(seeds, st.sampled_from([1.0, 2.0, 4.0, np.inf]), st.booleans())
@example(322, 1.0, False)  # no input reaches the threshold
def test_a_threshold_taken_off_late_steps_as_snntorch_defines(seed: int, tau: float, decaying: bool) -> None:
    """v <- b v + x - c s(t - 1)  (snnTorch 1.0, Leaky with its default reset_delay) in plain loops."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-4, 12, (3, 2)).astype(np.float32) / 4
    cell: Any = nir.IF(*(np.full(3, n) for n in (1 / DT, 1.0, 0.0))) if np.isinf(tau) else lif(3, tau, 1.0 if decaying else tau, dt=DT)
    network = read(chain(nir.Input(np.array([2])), nir.Linear(weight), cell), reset="subtract-late")
    values, gain = events((2,), seed), 1 / tau if decaying and np.isfinite(tau) else 1.0
    spikes = reference.simulate_float(network, values)["n1"]
    v, s = np.zeros((len(values), 3)), np.zeros((len(values), 3), np.bool_)
    for t in range(STEPS):
        v = (1 - 1 / tau) * v + gain * (values[:, t] / LEVELS) @ weight.T - s
        s = v > 1
        assert np.array_equal(spikes[:, t], s)
    labels = np.zeros(len(values), np.int64)
    try:
        deployed = compile_network(network, calibration=Calibration(values.reshape(len(values), -1), labels))
    except NetworkError as refused:
        assert "cannot be reached" in str(refused) and not spikes.any()
        return
    checked = runtime.run(deployed, Labelled(values, labels), check=True).check
    assert checked is not None and checked.equal


@settings(max_examples=examples(12), deadline=None)
@given(seeds, st.sampled_from([1.5, 2.0, 4.0]))
def test_a_late_reset_does_not_pass_through_a_synaptic_current(seed: int, tau_syn: float) -> None:
    """i <- a i + W s,  v <- b v + i - c s(t - 1)  (snnTorch 1.0, Synaptic with its default reset_delay) in plain loops."""
    weight = np.random.default_rng(seed).integers(-4, 12, (3, 2)).astype(np.float32) / 4
    cuba = nir.CubaLIF(*(np.full(3, n) for n in (tau_syn * DT, 4 * DT, 4.0, 0.0, 1.0, 0.0, 1.0)))
    network = read(chain(nir.Input(np.array([2])), nir.Linear(weight), cuba), reset="subtract-late")
    values, neuron = events((2,), seed), network.populations[-1].neuron
    assert isinstance(neuron, LIF) and neuron.tau_syn == tau_syn and neuron.decay_input
    matrix = network.inputs_of("n1")[0].synapses.operator(np.float64)
    spikes = reference.simulate_float(network, values)["n1"]
    i, v, s = (np.zeros((len(values), 3)) for _ in range(3))
    for t in range(STEPS):
        i = (1 - 1 / tau_syn) * i + (matrix @ (values[:, t] / LEVELS).T).T
        v = (1 - 1 / 4) * v + i / 4 - s
        near = np.abs(v - 1) < 1e-9
        s = v > 1
        assert np.array_equal(spikes[:, t] | near, s | near)
        s = spikes[:, t].astype(np.float64)


def test_time_constants_that_do_not_fit_the_step_name_one_that_does() -> None:
    """Sinabs writes no dt: R of its IF is 1. Others write time constants in steps."""
    entry, matrix = nir.Input(np.array([2])), nir.Linear(np.ones((2, 2), np.float32))
    spiking = nir.IF(r=np.ones(2), v_threshold=np.ones(2), v_reset=np.zeros(2))
    for cell, says in (
        (spiking, r"R = 1,.* try --dt 1\."),
        (lif(2, tau=10.0, dt=1.0), r"time constants of the file, 10, .*: try --dt 1\."),
    ):
        network = from_document(chain(entry, matrix, cell).to_dict(), Options(timesteps=STEPS, input="events", reset="zero"))
        assert network.reading is not None
        assert re.search(says, network.reading.warnings[0]) and re.search(says, network.reading.if_silent)
        with pytest.raises(NetworkError, match=says):
            compile_network(network)
        fitting = from_document(chain(entry, matrix, cell).to_dict(), Options(dt=1.0, timesteps=STEPS, input="events", reset="zero"))
        assert fitting.reading is not None and not fitting.reading.warnings
    slow = from_document(chain(entry, matrix, lif(2, tau=200.0)).to_dict(), Options(timesteps=STEPS))
    assert slow.reading is not None and "try a longer --dt (0.002857 makes it last one of them)" in slow.reading.if_silent


def test_what_does_not_fit_is_named() -> None:
    entry, matrix = nir.Input(np.array([2])), nir.Linear(np.ones((2, 2), np.float32))
    refused(chain(entry, matrix, lif(3)), FormatError, r"n1 \(LIF\) has the shape \(3,\); what arrives has \(2,\)")
    refused(chain(entry, nir.Linear(np.ones((2, 5))), lif(2)), FormatError, r"n0 \(Linear\) takes 5 values; \(2,\) arrive")
    loop = nir.NIRGraph(
        {"input": entry, "a": matrix, "b": matrix, "lif": lif(2), "output": nir.Output(np.array([2]))}, [], type_check=False
    )
    loop.edges = [("input", "a"), ("a", "b"), ("b", "a"), ("b", "lif"), ("lif", "output")]
    refused(loop, FormatError, "loop that no neuron interrupts")
    loop.edges = [("input", "a"), ("a", "lif"), ("lif", "outptu")]
    refused(loop, FormatError, "names the node 'outptu', which there is not. Did it mean 'output'")
    loop.edges = [("input", "a"), ("input", "a"), ("a", "lif"), ("lif", "output")]
    refused(loop, FormatError, "input -> a stands there twice")
    refused(chain(entry, matrix, lif(2), nir.Conv2d(None, np.ones((1, 1, 3, 3)), 1, 0, 1, 1, np.zeros(1)), lif(2)), FormatError, "n2")


# --- the command line -----------------------------------------------------------------------------------------------------


def test_the_chain_from_a_file(spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    graph = chain(
        nir.Input(np.array([8, 8])),
        nir.Flatten({"input": np.array([8, 8])}, 0, -1),
        nir.Affine(rng.normal(0.02, 0.2, (20, 64)).astype(np.float32), np.zeros(20, np.float32)),
        lif(20),
        nir.Linear(rng.normal(0.1, 0.4, (10, 20)).astype(np.float32)),
        lif(10),
    )
    path = tmp_path / "model.nir"
    nir.write(path, graph)
    assert "Say it with --timesteps" in spikeloom("compile", path).err
    ended = spikeloom("compile", path, "--data", "digits", "--timesteps", 6, "--dt", "1e-4", "--set", "spike_when=reached")
    assert ended.code == 0, ended.err
    ran = spikeloom("run", tmp_path / "model.loom", "--check", "--samples", 50, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["network"]["timesteps"] == 6
    wrong = spikeloom("compile", path, "-T", 6, "--set", "spike_wen=reached")
    assert wrong.code == 2 and "Did you mean 'spike_when'" in wrong.err


def test_export_and_what_it_refuses(spikeloom: Callable[..., Any], digits_run: Path, tmp_path: Path) -> None:
    refused_ = spikeloom("export", digits_run, "--to", "nir", "--out", tmp_path / "a.nir")
    assert refused_.code == 1 and "chip's integers" in refused_.err and not (tmp_path / "a.nir").exists()
    assert spikeloom("export", digits_run / "model.loom", "--to", "nir").code == 2
    write(float_network(3), tmp_path / "b.nir")
    ended = spikeloom("export", tmp_path / "b.nir", "--to", "nir", "--out", tmp_path / "c.nir", "--dt", "5e-5")
    assert ended.code == 0 and Path(ended.out.strip()) == tmp_path / "c.nir"
    wrong = spikeloom("export", tmp_path / "b.nir", "--to", "nir", "--set", "foo=1")
    assert wrong.code == 2 and "no option of nir or of .nir files called 'foo'" in wrong.err
    unknown = spikeloom("compile", digits_run, "--dt", "5e-5")
    assert unknown.code == 2 and "takes no dt: its neurons count in time steps" in unknown.err
