"""Layers, connections, pools and gates: their arithmetic, counts and shapes, on random small graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from budget import examples
from graphgen import random_network, samples, single_threaded  # noqa: F401  # pyright: ignore[reportUnusedImport]
from hypothesis import given, settings
from hypothesis import strategies as st
from spikeloom.errors import UsageError
from spikeloom.train.connections import INPUT, Connection
from spikeloom.train.layers import And, MaxPool, SpikingLayer, SpikingNetwork
from spikeloom.train.neurons import FusedLIFNode
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)


def test_a_layer_is_lif_of_the_sum_of_its_connections() -> None:
    """Two connections, one from two sources; each computed here step by step from torch's own operators."""
    torch.manual_seed(0)
    first, second = conv(2, 4, 3), conv(2, 4, 1, 1, 0)
    norm = nn.BatchNorm2d(4)
    layer = SpikingLayer([Connection(("a", "b"), (2, 6, 6), first, norm), Connection(("b",), (2, 6, 6), second)])
    spikes = {name: (torch.rand(5, 3, 2, 6, 6) < 0.4).float() for name in "ab"}
    summed = first((spikes["a"] + spikes["b"]).flatten(0, 1))
    mean, var = summed.mean((0, 2, 3), keepdim=True), summed.var((0, 2, 3), unbiased=False, keepdim=True)
    current = (summed - mean) / torch.sqrt(var + norm.eps) + second(spikes["b"].flatten(0, 1))
    expected = FusedLIFNode()(current.unflatten(0, (5, 3)))
    assert 0.01 < expected.mean().item() < 0.9
    assert (layer(spikes) != expected).float().mean() < 1e-3  # equal to rounding


@pytest.mark.parametrize("temporal", [False, True])
def test_the_input_is_computed_once_or_step_by_step(temporal: bool) -> None:
    torch.manual_seed(0)
    op = conv(1, 5)
    connection = Connection((INPUT,), (1, 6, 6), op, nn.BatchNorm2d(5))
    output = Connection(("conv1",), (5, 6, 6), nn.Linear(180, 3, bias=False))
    layers = {"conv1": SpikingLayer([connection], None if temporal else 4), "output": SpikingLayer([output])}
    model = SpikingNetwork(layers, (1, 6, 6), 4, 3, temporal=temporal)
    seen: list[tuple[int, ...]] = []
    op.register_forward_hook(lambda _, inputs, __: seen.append(tuple(inputs[0].shape)))
    x = torch.rand(2, 6, 6)
    frames = x[:, None].expand(2, 4, 6, 6)
    spikes = model.populations(frames if temporal else x)
    assert seen == [(8, 1, 6, 6) if temporal else (2, 1, 6, 6)]
    assert spikes["conv1"].shape == (4, 2, 5, 6, 6) and model(frames if temporal else x).shape == (4, 2, 3)
    other = SpikingNetwork(layers, (1, 6, 6), 4, 3, temporal=temporal)
    other.eval()
    model.eval()
    assert torch.equal(other(frames if temporal else x), model(frames if temporal else x))


def test_frames_keep_their_order() -> None:
    """A neuron that fires in the step of its input alone tells which frame came when."""
    linear = nn.Linear(3, 3, bias=False)
    nn.init.eye_(linear.weight)
    nn.init.constant_(linear.weight, 0.0)
    linear.weight.data.fill_diagonal_(2.0)
    model = SpikingNetwork({"output": SpikingLayer([Connection((INPUT,), (3,), linear)])}, (3,), 5, 3, temporal=True)
    x = (torch.rand(4, 5, 3) < 0.5).float()
    assert torch.equal(model(x), x.transpose(0, 1))


@pytest.mark.parametrize("static", [False, True])
def test_dropout_silences_the_same_neurons_at_every_step(static: bool) -> None:
    torch.manual_seed(0)
    connection = Connection(("a",), (2, 5, 5), None, dropout=0.3)
    s = torch.ones(2, 2, 5, 5) if static else torch.ones(7, 2, 2, 5, 5)
    x = connection(s)
    assert x.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    if not static:
        assert torch.equal(x, x[:1].expand_as(x)) and not torch.equal(x[0, 0], x[0, 1])
    assert torch.equal(connection.eval()(s), s)


@settings(max_examples=examples(30), deadline=None)
@given(st.integers(0, 2**31))
def test_pools_and_ands_are_those_of_bits(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = int(torch.randint(2, 4, (), generator=generator))
    spikes = {name: (torch.rand(3, 2, 4, 7, 9, generator=generator) < 0.4).float() for name in "abc"}
    bits = {name: s.numpy() > 0 for name, s in spikes.items()}
    gate = And(("a", "b"), (4, 7, 9), ("c",))(spikes)
    assert np.array_equal(gate.numpy() > 0, bits["a"] & bits["b"] & ~bits["c"])
    pool = MaxPool("a", (4, 7, 9), size)
    pooled = pool(spikes).numpy() > 0
    rows, columns = 7 // size, 9 // size
    windows = bits["a"][..., : rows * size, : columns * size].reshape(3, 2, 4, rows, size, columns, size)
    assert np.array_equal(pooled, windows.any((4, 6))) and pooled.shape[2:] == pool.shape


def test_gradients_reach_everything() -> None:
    """Through shortcuts, a max pool, an AND: each weight, scale and shift, and gate has one that is not zero."""
    torch.manual_seed(0)
    other = SpikingLayer([Connection(("conv2",), (4, 8, 8), conv(4, 6), nn.BatchNorm2d(6))])
    model = small(conv4=other, both=And(("conv3",), (6, 8, 8), ("conv4",)), pool=MaxPool("both", (6, 8, 8), 2))
    model.add_gates()
    nn.init.uniform_(model.weights()["conv3"], -0.5, 1.0)
    nn.init.uniform_(model.weights()["output"], -0.5, 1.0)
    model(samples(model, 8) * 3).square().mean().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all()) or not bool(p.grad.any())] == []


@settings(max_examples=examples(40), deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    pool=st.integers(1, 3),
)
def test_positions_count_unrolled_synapses(size: tuple[int, int], kernel: tuple[int, int], stride: int, padding: int, pool: int) -> None:
    """Against the convolution of a map of ones with each tap alone: a tap gives a pool^2 at each output that it reaches."""
    op = nn.Conv2d(1, 1, kernel, stride, padding, bias=False)
    try:
        connection = Connection(("a",), (1, *size), op, pool=pool)
    except UsageError:
        sides = [(side // pool + 2 * padding - k) // stride + 1 for side, k in zip(size, kernel, strict=True)]
        assert min(sides) < 1 or min(size) < pool
        return
    positions = connection.positions
    assert positions.dtype == torch.int64 and positions.shape == (1, 1, *kernel)
    for y in range(kernel[0]):
        for x in range(kernel[1]):
            nn.init.zeros_(op.weight)
            op.weight.data[0, 0, y, x] = 1
            assert round(connection(torch.ones(1, 1, 1, *size)).sum().item() * pool**2) == int(positions[0, 0, y, x])


def test_positions_of_linear_layers() -> None:
    plain = Connection(("a",), (2, 4, 4), nn.Linear(32, 3, bias=False))
    pooled = Connection(("a",), (2, 4, 4), nn.Linear(8, 3, bias=False), pool=2)
    assert plain.positions.tolist() == [[1]] and pooled.positions.tolist() == [[4]]


def small(**changes: object) -> SpikingNetwork:
    shapes = (1, 8, 8)
    units: dict[str, SpikingLayer | MaxPool | And] = {
        "conv1": SpikingLayer([Connection((INPUT,), shapes, conv(1, 4), nn.BatchNorm2d(4))], 3),
        "conv2": SpikingLayer([Connection(("conv1",), (4, 8, 8), conv(4, 4), nn.BatchNorm2d(4)), Connection(("conv1",), (4, 8, 8))]),
        "conv3": SpikingLayer([Connection(("conv2", "conv1"), (4, 8, 8), conv(4, 6))]),
        "pool": MaxPool("conv3", (6, 8, 8), 2),
        "output": SpikingLayer([Connection(("pool",), (6, 4, 4), nn.Linear(96, 6, bias=False))]),
    }
    order = [*list(units)[:3], *(name for name in changes if name not in units), "pool", "output"]
    units |= changes  # pyright: ignore[reportAssignmentType,reportOperatorIssue]
    return SpikingNetwork({name: units[name] for name in order}, shapes, 3, 3, votes=2)


def test_what_trains_is_told_apart() -> None:
    model = small()
    assert list(model.weights()) == ["conv1", "conv2", "conv3", "output"]
    assert {n: tuple(w.shape) for n, w in model.weights().items()}["conv3"] == (6, 4, 3, 3)
    assert len(model.others()) == 4 and model.gates() == {}
    gates = model.add_gates()
    assert {n: tuple(g.shape) for n, g in gates.items()} == {"conv2": (4, 8, 8), "conv3": (6, 8, 8)}  # conv1 takes the sample
    assert gates == model.gates() == model.add_gates() and len(model.others()) == 4
    every = [*model.weights().values(), *gates.values(), *model.others().values()]
    assert len({id(p) for p in every}) == len(every) == len(list(model.parameters()))
    assert not model.supports_integers and not model.is_integer


def test_several_convolutions_into_a_layer_have_names_of_their_own() -> None:
    both = [Connection(("conv1",), (4, 8, 8), conv(4, 4)), Connection(("conv1",), (4, 8, 8), conv(4, 4, 1, 1, 0))]
    model = small(conv2=SpikingLayer(both))
    assert list(model.weights()) == list(model.positions()) == ["conv1", "conv2", "conv2_2", "conv3", "output"]
    assert model.weights()["conv2_2"] is both[1].op.weight  # pyright: ignore[reportOptionalMemberAccess]


def test_a_closed_gate_silences_its_neurons_alone() -> None:
    torch.manual_seed(0)
    model, x = small().eval(), torch.rand(5, 8, 8) * 4
    before = model.populations(x)["conv1"]
    gate = model.add_gates(["conv1"])["conv1"]
    assert torch.equal(model.populations(x)["conv1"], before) and before[:, :, 2, 3].any()
    gate.data[2, 3] = 0
    after = model.populations(x)["conv1"]
    assert not after[:, :, 2, 3].any()
    gate.data[2, 3] = 1
    assert torch.equal(model.populations(x)["conv1"], before)


def test_votes_are_averaged_side_by_side() -> None:
    model, x = small().eval(), torch.rand(5, 8, 8) * 4
    spikes = model.populations(x)["output"]
    assert spikes.shape == (3, 5, 6)
    assert torch.equal(model(x), torch.stack([spikes[..., 2 * c : 2 * c + 2].mean(-1) for c in range(3)], -1))


@pytest.mark.parametrize("wide", [False, True])
def test_bfloat16_autocast_trains(wide: bool) -> None:
    torch.manual_seed(0)
    model = random_network(3) if wide else small()
    nn.init.uniform_(model.weights()["output"], -1, 1.5)
    x, optimiser = samples(model, 8) * 3, torch.optim.Adam(model.parameters(), 3e-2)
    losses: list[float] = []
    for _ in range(6):
        with torch.autocast("cpu", torch.bfloat16):
            output = model(x)
        assert output.dtype == torch.float32
        loss = (output.mean(0) - torch.eye(model.classes)[torch.arange(8) % model.classes]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert all(torch.as_tensor(layer.neuron.v).dtype == torch.float32 for _, layer in model.named_layers())
    assert losses[-1] < losses[0]


def test_channels_last_gives_the_same_spikes() -> None:
    model, x = small().double().eval(), torch.rand(5, 1, 8, 8).double() * 4
    plain = model.populations(x)
    last = model.to(memory_format=torch.channels_last).populations(x.contiguous(memory_format=torch.channels_last))  # pyright: ignore[reportCallIssue]
    assert all(torch.equal(plain[n], last[n]) for n in plain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool": MaxPool("conv3", (6, 9, 8), 2)}, "takes spikes of shape"),
        ({"conv3": SpikingLayer([Connection(("conv4",), (4, 8, 8), conv(4, 6))])}, "'conv4'"),
        ({"conv1": SpikingLayer([Connection((INPUT,), (1, 8, 8), conv(1, 4))], 2)}, "repeats its input 2 times"),
        ({"output": SpikingLayer([Connection(("pool",), (6, 4, 4), nn.Linear(96, 5, bias=False))])}, "3 classes times 2 votes"),
    ],
)
def test_graphs_that_do_not_fit_are_refused(changes: dict[str, SpikingLayer], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small(**changes)


def test_names_are_distinct() -> None:
    twin = {"a": Connection((INPUT,), (2,), nn.Linear(2, 2, bias=False)), "b": Connection(("x",), (2,), nn.Linear(2, 2, bias=False))}
    both = SpikingLayer([twin["b"], Connection(("x",), (2,), nn.Linear(2, 2, bias=False))])
    with pytest.raises(UsageError, match="distinct"):
        SpikingNetwork({"x": SpikingLayer([twin["a"]], 2), "y": both, "y_2": SpikingLayer([twin["b"]])}, (2,), 2, 2)


def parts() -> list[tuple[str, object]]:
    return [
        ("input alone", lambda: Connection((INPUT, "a"), (2, 4, 4))),
        ("too small", lambda: Connection(("a",), (2, 4, 4), pool=5)),
        ("too small", lambda: Connection(("a",), (8,), pool=2)),
        ("kernel", lambda: Connection(("a",), (3, 4, 4), conv(2, 4))),
        ("kernel", lambda: Connection(("a",), (2, 2, 2), conv(2, 4, 3, 1, 0))),
        ("groups", lambda: Connection(("a",), (2, 4, 4), nn.Conv2d(2, 4, 3, groups=2))),
        ("groups", lambda: Connection(("a",), (2, 4, 4), nn.Conv2d(2, 4, 3, stride=(1, 2)))),
        ("linear layer takes", lambda: Connection(("a",), (2, 4, 4), nn.Linear(31, 2))),
        ("cannot be folded", lambda: Connection(("a",), (2, 4, 4), None, nn.BatchNorm2d(2))),
        ("not both", lambda: SpikingLayer([Connection((INPUT,), (2,)), Connection(("a",), (2,))])),
        ("give it the shapes", lambda: SpikingLayer([Connection(("a",), (2,)), Connection(("a",), (3,))])),
        ("Max pooling", lambda: MaxPool("a", (2, 3, 3), 4)),
        ("AND", lambda: And((), (2,), ("a",))),
    ]


@pytest.mark.parametrize(("message", "make"), parts())
def test_parts_that_do_not_fit_are_refused(message: str, make: object) -> None:
    with pytest.raises(UsageError, match=message):
        make()  # pyright: ignore[reportCallIssue]


def is_binary(spikes: dict[str, Tensor]) -> bool:
    return all(set(s.unique().tolist()) <= {0.0, 1.0} for s in spikes.values())


@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 2**31))
def test_random_graphs_spike_in_zeros_and_ones(seed: int) -> None:
    model = random_network(seed)
    x = samples(model, 2)
    assert is_binary(model.populations(x)) and {n: tuple(s.shape[2:]) for n, s in model.populations(x).items()} == {
        n: tuple(u.shape) for n, u in model.units()
    }
