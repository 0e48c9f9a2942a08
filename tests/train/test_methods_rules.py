"""What is peculiar to a method: regrowth, starts from trained weights, densities, channels that close, layers that die."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from spikeloom import registry
from spikeloom.errors import UsageError
from spikeloom.train import methods
from spikeloom.train.connections import Connection
from spikeloom.train.flat import Flat, largest, largest_of, share_out, smallest_value, split
from spikeloom.train.layers import And, MaxPool, SpikingLayer, SpikingNetwork, Unit
from spikeloom.train.subject import ModuleWeights
from test_methods import conv_network, fake_gradients, flat, linear_network, method_of, run, settings_of, taps
from torch import Tensor, nn

REGROWING = ["grad-r", "deep-r", "soft-deep-r", "stds", "esl"]


@pytest.mark.parametrize("name", REGROWING)
def test_pruned_synapses_regrow(name: str) -> None:
    model = conv_network()
    options: dict[str, Any] = {"temperature": 0.1, "l1": 0.1} if "deep" in name else {}
    method = method_of(name, model, 0.5, **options)
    run(method, model, 40)
    method.end_epoch(40 / 60)
    run(method, model, 15, begin=40)
    numbers = method.end_epoch(55 / 60)
    assert numbers["regrown"] > 10 and numbers["pruned"] > 10


@pytest.mark.parametrize("name", ["grad-r", "stds"])
def test_a_synapse_regrows_where_its_gradient_asks(name: str) -> None:
    model = linear_network(50, 40, 7)
    method = method_of(name, model, 0.5)
    run(method, model, 40)
    method.end_epoch(40 / 60)
    few = (flat(model) == 0).nonzero().view(-1)[:20]
    sign = method.sign if name == "grad-r" else torch.where(method.theta < 0, -1, 1)
    wish = torch.zeros(2280)
    wish[few] = -sign[few].float()
    for _ in range(120):
        begin = 0
        for weight in model.weights().values():
            weight.grad = wish[begin : begin + weight.numel()].view(weight.shape).clone()
            begin += weight.numel()
        method.step(1e-2, 1.0)
    method.end_epoch(1.0)
    assert int((flat(model)[few] != 0).sum()) == 20
    assert method.is_final(1.0)


def test_too_sparse_is_lifted() -> None:
    model = linear_network(50, 40, 7)
    method = method_of("grad-r", model, 0.5)
    method.theta -= 1.0  # everything dead
    assert method.end_epoch(1.0)["regrown"] == 0  # counted from the epoch's start, when all were alive
    assert method.sparsity() == round(0.5 * method.size) / method.size


@pytest.mark.parametrize("name", ["grad-r", "stds", "deep-r", "soft-deep-r", "esl"])
def test_a_trained_start_keeps_its_zeros_at_first_and_may_regrow_them(name: str) -> None:
    model = conv_network()
    dead = torch.rand(flat(model).numel(), generator=torch.Generator().manual_seed(1)) < 0.9
    begin = 0
    with torch.no_grad():
        for weight in model.weights().values():
            weight[dead[begin : begin + weight.numel()].view(weight.shape)] = 0
            begin += weight.numel()
    before, share = flat(model).clone(), float(dead.double().mean())
    options: dict[str, Any] = {} if name in ("grad-r", "stds") else {"start": "magnitude"}
    method = method_of(name, model, share, **options)
    torch.testing.assert_close(flat(model), before, rtol=0, atol=1e-6)
    assert torch.equal(flat(model) == 0, dead)
    for step in range(300):
        fake_gradients(model, step)
        method.step(1e-3, (step + 1) / 300)
    numbers = method.end_epoch(1.0)
    assert int((flat(model) == 0).sum()) == int(dead.sum())
    assert numbers["regrown"] == numbers["pruned"] > 0
    if name == "grad-r":  # drawn signs: regrown synapses of both
        fresh = flat(model)[dead & (flat(model) != 0)]
        assert 0.2 < float((fresh > 0).double().mean()) < 0.8


def test_grad_r_comes_back_from_a_sparser_start() -> None:
    """Asked for less sparsity than the trained weights have, the zeros fall along the same ramp."""
    model = linear_network(50, 40, 7)
    with torch.no_grad():
        for weight in model.weights().values():
            weight[:, ::2] = 0
    method = method_of("grad-r", model, 0.2)
    assert (method.zeros_at(0.0), method.zeros_at(1.0)) == (1140, 456)
    run(method, model, 60)
    method.end_epoch(1.0)
    assert int((flat(model) == 0).sum()) == 456


def test_open_control_needs_half() -> None:
    with pytest.raises(UsageError, match=r"0\.5"):
        method_of("grad-r", linear_network(50, 40, 7), 0.4, control="open")


def test_a_layer_that_died_is_named() -> None:
    method = method_of("grad-r", linear_network(50, 40, 7), control="open")
    method.theta[-7 * 40 :] = -10.0
    method._write_weights()
    with pytest.raises(UsageError, match=r"output \(40 -> 7\)"):
        method.end_epoch(1.0)


@pytest.mark.parametrize(
    ("name", "sparsity", "options", "remedy"),
    [
        ("grad-r", 0.9, {"control": "open", "alpha": 2.0}, "Lower method.alpha, 2 now"),
        ("stds", 0.9, {"control": "open", "width": 30.0}, "Lower method.width, 30 now"),
        ("upr", 0.0, {"control": "open", "penalty": 10.0}, "Lower method.penalty, 10 now"),
    ],
)
def test_where_the_sparsity_follows_from_an_option_that_one_is_named(name: str, sparsity: float, options: Any, remedy: str) -> None:
    model = linear_network(50, 40, 7)
    method = method_of(name, model, sparsity, **options)
    run(method, model, 60)
    with pytest.raises(UsageError, match=remedy):
        method.end_epoch(1.0)


def test_closed_control_leaves_no_layer_without_a_synapse() -> None:
    for name in ("grad-r", "stds"):
        model = linear_network(50, 40, 7)
        method = method_of(name, model)
        method.theta[-7 * 40 :] *= 1e-3
        method.end_epoch(1.0)
        assert [int((w != 0).sum()) for w in model.weights().values()] == [227, 1]


@pytest.mark.parametrize("floor", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rescale", [True, False])
def test_a_floor_keeps_its_share_of_every_layer(floor: float, rescale: bool) -> None:
    """A convolution that drifts down faster than a large linear layer beside it, as one does whose scale a norm takes out of the loss."""
    model = conv_network(normed="conv2")
    method = method_of("grad-r", model, 0.9, floor=floor, rescale=rescale)
    least = [max(1, int(floor * share)) for share in share_out(method.flat, round(0.1 * method.size), "erk")]
    for step in range(60):
        method.theta[method.flat.layers[0].part] -= 0.02
        fake_gradients(model, step)
        method.step(1e-3, step / 60)
        if step % 10 == 9:
            live = method.flat.alive_by_layer()
            assert all(n >= at_least for n, at_least in zip(live, least, strict=True))
    method.end_epoch(1.0)
    live = method.flat.alive_by_layer()
    assert sum(live) == round(0.1 * method.size) and live[0] == least[0]


@pytest.mark.parametrize("rescale", [True, False])
def test_layers_whose_scale_is_free_are_scaled_back(rescale: bool) -> None:
    """What drift takes from a layer before batch normalisation changes no output, so that no gradient would give it back."""
    model = conv_network(normed="conv2")
    method = method_of("grad-r", model, 0.9, rescale=rescale)
    first = method.flat.units()
    for step in range(10):
        for layer in method.flat:
            layer.weight.grad = torch.zeros_like(layer.weight)
        method.theta *= 0.97  # drift that no gradient stops
        method.step(1e-3, step / 60)
    now = (method.flat.units() / first).tolist()
    live = [n / layer.size for n, layer in zip(method.flat.alive_by_layer(), method.flat, strict=True)]
    assert (now[1] > 1.5 * max(now[0], now[2], now[3])) == rescale
    assert (live[1] > 1.3 * max(live[0], live[2], live[3])) == rescale


def test_channels_are_scaled_each_for_itself_and_dead_weights_stay() -> None:
    model = conv_network(normed="conv2")
    method = method_of("grad-r", model, 0.5, rescale=True)
    part = method.flat.layers[1].part
    theta = method.theta[part].view(9, -1)
    theta[0] *= 0.6
    theta[1] = -0.5  # a dead channel
    theta[2, 1:] = -0.5
    theta[2, 0] = 1e-6  # one that has just come alive
    before = theta.clone()
    method._rescale()  # pyright: ignore[reportPrivateUsage]
    means = torch.where(theta > 0, theta, 0).sum(1) / (theta > 0).sum(1)
    unit = method.units[1]
    torch.testing.assert_close(means[[0, *range(3, 9)]], unit.expand(7))
    assert torch.equal(theta[before <= 0], before[before <= 0]) and float(theta[2, 0]) == float(before[2, 0] * 2)


def test_where_normalisation_follows_in_a_module_of_one_s_own() -> None:
    inside = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.BatchNorm2d(5))
    module = nn.ModuleDict({"body": inside, "head": nn.Linear(5, 2)})
    weights = ModuleWeights(module)
    assert weights.normalised() == {"body.0": (inside[0], inside[1])}
    inside.eval()
    assert weights.normalised() == {}  # the running statistics do not follow the weights
    inside.train()
    assert ModuleWeights(module, exempt=["body.0"]).normalised() == {}


@pytest.mark.parametrize("biased", [False, True])
def test_scaling_a_channel_changes_no_output_in_training_or_evaluation(biased: bool) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=biased), nn.BatchNorm2d(4, momentum=1.0), nn.Flatten(), nn.Linear(64, 5)).double()
    method = method_of("grad-r", ModuleWeights(module), 0.5, rescale=True)  # pyright: ignore[reportArgumentType]
    x, conv = torch.randn(8, 3, 6, 6, dtype=torch.float64), method.flat.layers[0]
    method.theta[conv.part].view(4, -1).mul_(torch.tensor([0.7, 1.4, 0.9, 1.0], dtype=torch.float64).view(4, 1))
    method._write_weights()  # pyright: ignore[reportPrivateUsage]

    def outputs() -> list[Tensor]:
        return [module.train()(x).detach(), module.eval()(x).detach()]

    before, old = outputs(), conv.values().clone()
    module.train()
    method._rescale()  # pyright: ignore[reportPrivateUsage]
    method._write_weights()  # pyright: ignore[reportPrivateUsage]
    evaluated, trained = module.eval()(x).detach(), module.train()(x).detach()
    assert not torch.allclose(conv.values(), old, rtol=0.05)
    torch.testing.assert_close(evaluated, before[1], rtol=1e-3, atol=1e-3)  # but for the norm's eps
    torch.testing.assert_close(trained, before[0], rtol=1e-3, atol=1e-3)


def test_soft_deep_r_is_not_deep_r() -> None:
    """The same first graph; then dormant synapses walk back where Deep R draws them evenly."""
    models = [conv_network(), conv_network()]
    deep, soft = (method_of(n, m, 0.7, temperature=0.02, l1=0.008) for n, m in zip(("deep-r", "soft-deep-r"), models, strict=True))
    assert torch.equal(flat(models[0]), flat(models[1]))
    highest = soft.theta.clone()
    for method, model in zip((deep, soft), models, strict=True):
        run(method, model, 50)
        method.end_epoch(50 / 60)
    assert not torch.equal(flat(models[0]) != 0, flat(models[1]) != 0)
    was_dormant = highest <= 0
    fresh = was_dormant & (soft.theta > 0)
    assert float(highest[fresh].mean()) > 0.5 * float(highest[was_dormant].mean()) > float(highest[was_dormant].min())
    assert deep.theta.min() == 0 > soft.theta.min() >= soft.lowest() - 1e-7


@pytest.mark.parametrize("network", [conv_network, lambda: linear_network(300, 200, 10)])
@pytest.mark.parametrize("live", [60, 500, 1500])
def test_densities_add_up(network: Any, live: int) -> None:
    model = network()
    whole = Flat(model.weights(), model.positions())
    for density in ("er", "erk", "uniform"):
        counts = share_out(whole, live, density)
        assert sum(counts) == live
        assert all(1 <= c <= layer.size for c, layer in zip(counts, whole, strict=True))
    uniform = share_out(whole, live, "uniform")
    assert all(abs(c - live * layer.size / whole.size) <= 1 for c, layer in zip(uniform, whole, strict=True))


def test_erdos_renyi_densities() -> None:
    model = conv_network()
    whole = Flat(model.weights(), model.positions())
    shapes = [w.shape for w in model.weights().values()]
    sums = {"er": [(s[0] + s[1]) * s[2:].numel() for s in shapes], "erk": [sum(s) for s in shapes]}
    for density, shares in sums.items():
        for count, share in zip(share_out(whole, 100, density), shares, strict=True):
            assert abs(count - 100 * share / sum(shares)) <= 1
    assert split(95, [1.0, 1.0, 1.0], [10, 50, 50]) == [10, 43, 42]  # the first is full, the others share the rest
    assert split(110, [5.0, 1.0, 1.0], [10, 50, 50]) == [10, 50, 50]
    assert split(3, [100.0, 1e-9, 1e-9], [10, 50, 50]) == [1, 1, 1]


def test_esl_rewires_at_least_so_often_however_short_the_training() -> None:
    for steps, every, expected in ((100, 1000, 20), (400, 10, 39), (5, 1000, 4)):
        model = linear_network(30, 20, 5)
        method = method_of("esl", model, 0.5, every=every)
        rewired = set[int]()
        for step in range(steps):
            fake_gradients(model, step)
            method.step(1e-2, (step + 1) / steps)
            rewired.add(method.rewired)
        assert abs(len(rewired - {0}) - expected) <= 0.3 * expected, steps


@pytest.mark.parametrize("growth", ["random", "gradient", "momentum"])
def test_esl_grows_what_it_says(growth: str) -> None:
    model = linear_network(40, 30, 5)
    method = method_of("esl", model, 0.8, growth=growth, every=7, rewirings=1, share=0.5)
    run(method, model, 6, total=100)
    before = flat(model) != 0
    fake_gradients(model, 7)
    method.step(1e-2, 0.07)
    grown = (flat(model) != 0) & ~before
    assert int(grown.sum()) > 50
    gradient = torch.cat([w.grad.view(-1) for w in model.weights().values() if w.grad is not None])
    wish = {"gradient": gradient.abs(), "momentum": method.mean.abs()}
    for name, values in wish.items():
        stronger = float(values[grown].mean()) > 1.5 * float(values[~before].mean())
        assert stronger == (name == growth) or growth == "momentum"  # the last gradient is a part of the momentum


def test_upr_closes_channels() -> None:
    model = conv_network()
    method = method_of("upr", model, 0.6)
    run(method, model, 20)
    scores = method.gate_score
    scores.fill_(1.0)
    scores[: 2 * 16] = -1.0  # channels 0 and 1 of conv2 closed everywhere
    scores[2 * 16 : 3 * 16 - 1] = -1.0  # channel 2 at all positions but one
    method.freeze()
    _, first, second, _ = model.weights().values()
    assert bool((first[:2] == 0).all()) and bool((second[:, :2] == 0).all())
    assert bool((first[2] != 0).any()) and bool((second[:, 2] != 0).any())
    assert int((flat(model) == 0).sum()) == round(0.6 * flat(model).numel())
    gates = model.gates()["conv2"]
    assert not gates.requires_grad
    assert torch.equal(gates.detach().view(-1), (scores[: 9 * 16] > 0).float())


def test_upr_opens_channels_again_rather_than_prune_too_much() -> None:
    model = conv_network()
    method = method_of("upr", model, 0.5)
    method.gate_score.copy_(-1.0 - torch.arange(method.gate_score.numel()) / 1000)
    method.freeze()
    assert int((flat(model) == 0).sum()) == round(0.5 * flat(model).numel())
    first, second = (gate.detach().flatten(1).amax(1).tolist() for gate in model.gates().values())
    assert first == [1.0] * 9 or first == sorted(first, reverse=True)  # the best channels are open, not the worst
    assert second[0] == 1.0 and second[-1] == 0.0


def test_upr_without_a_sparsity_lets_the_penalty_decide() -> None:
    shares: list[float] = []
    for penalty in (1e-6, 2e-4, 6e-4):
        model = conv_network()
        method = method_of("upr", model, 0.0, penalty=penalty, search=0.8)
        run(method, model, 48)
        assert torch.equal(flat(model) != 0, (method.score > 0) & (method.mask > 0))
        method.end_epoch(0.8)
        shares.append(method.sparsity())
    assert shares[0] < shares[1] < shares[2]


def test_upr_s_closed_control_closes_as_many_masks_as_asked_for() -> None:
    """At the end of the search the mask is a > 0, but for what every layer keeps."""
    model = linear_network(53, 47, 11)
    method = method_of("upr", model, 0.9, search=0.5)
    run(method, model, 59, total=120)
    assert abs(int((method.score <= 0).sum()) - 0.9 * 3008) < 0.05 * 3008
    run(method, model, 1, begin=59, total=120)
    assert method.hard == 1 and float((method.score[flat(model) != 0] > 0).double().mean()) > 0.95


def test_upr_energies_are_the_paper_s() -> None:
    method = method_of("upr", conv_network())
    assert method.energies == [64, 16, 16, 1]
    assert method.gates.energies == [5 * 9, 10]


@pytest.mark.parametrize("count", [0, 1, 7, 499, 500])
def test_choices_are_exact_among_equals(count: int) -> None:
    values = torch.cat([torch.zeros(300), torch.arange(200.0)])
    chosen = largest(values, count)
    assert int(chosen.sum()) == count
    assert count == 0 or float(values[chosen].sum()) == float(values.sort(descending=True).values[:count].sum())
    odd = torch.arange(500) % 2 == 1
    some = largest_of(values, odd, min(count, 250))
    assert int(some.sum()) == min(count, 250) and not bool((some & ~odd).any())
    assert count == 0 or float(smallest_value(values, count)) == float(values.sort().values[count - 1])


def test_unrolled_synapses_are_counted_exactly() -> None:
    """Counts above 2^24, where float32 would lose ones."""
    weight = torch.nn.Parameter(torch.ones(300, 200, 3, 3))
    whole = Flat({"conv": weight}, {"conv": taps(20)})
    alive = whole.alive()
    alive[4] = False
    assert whole.synapses(alive) == 60_000 * int(taps(20).sum()) - 400


def test_settings_of_the_seed_decide_nothing_for_what_draws_nothing() -> None:
    results: list[torch.Tensor] = []
    for seed in (0, 1):
        model: SpikingNetwork = conv_network()
        method = method_of("stds", model, seed=seed)
        run(method, model, 20)
        results.append(flat(model))
    assert torch.equal(*results) and math.isclose(settings_of().sparsity, 0.9)


def residual_network() -> SpikingNetwork:
    """first, then a, and b beside a, into a pool; c takes the pool of b and, as a shortcut, d; then a linear layer."""
    torch.manual_seed(0)

    def conv(sources: list[str], inputs: int, outputs: int, side: int, pool: int = 1) -> Connection:
        return Connection(sources, (inputs, side, side), torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), pool=pool)

    units: dict[str, Unit] = {
        "first": SpikingLayer([conv(["input"], 2, 2, 8)], 4),
        "a": SpikingLayer([conv(["first"], 2, 4, 8)]),
        "b": SpikingLayer([conv(["a"], 4, 4, 8)]),
        "both": And(["a"], (4, 8, 8), ["b"]),
        "pooled": MaxPool("b", (4, 8, 8), 2),
        "c": SpikingLayer([conv(["pooled"], 4, 5, 4), conv(["a", "b"], 4, 5, 8, pool=2), conv(["both"], 4, 5, 8, pool=2)]),
        "output": SpikingLayer([Connection(["c"], (5, 4, 4), torch.nn.Linear(80, 10, bias=False))]),
    }
    return SpikingNetwork(units, (2, 8, 8), 4, 10)


def test_upr_follows_pools_shortcuts_and_gates() -> None:
    model = residual_network()
    method = method_of("upr", model, 0.3)
    # c has taps from the pool of b, from a + b averaged by 2 and from (a and not b) averaged by 2: e_w leaves the pooling out.
    e_w = {"first": 64, "a": 64, "b": 64, "c": 16, "c_2": 16, "c_3": 16, "output": 1}
    assert dict(zip(model.weights(), method.energies, strict=True)) == e_w
    assert list(model.gates()) == ["a", "b", "c"]
    assert method.gates.energies == [9 * 4 + 9 * 5 + 9 * 5, 9 * 5 + 9 * 5 + 9 * 5, 10]
    method.gate_score.fill_(1.0)
    method.gate_score[:64] = -1.0  # channel 0 of a
    method.gate_score[4 * 64 + 64 : 4 * 64 + 128] = -1.0  # channel 1 of b
    method.freeze()
    w = {name: weight.detach() for name, weight in model.weights().items()}

    def dead(columns: torch.Tensor) -> list[bool]:
        return [not bool(columns[:, i].any()) for i in range(columns.shape[1])]

    assert dead(w["a"].transpose(0, 1)) == [True, False, False, False]
    assert dead(w["b"]) == [True, False, False, False] and dead(w["b"].transpose(0, 1)) == [False, True, False, False]
    assert dead(w["c"]) == [False, True, False, False]
    assert dead(w["c_2"]) == [False] * 4  # the other source still spikes
    assert dead(w["c_3"]) == [True, False, False, False]  # a never spikes; b silent lets the AND through
    output = model(torch.rand(3, 2, 8, 8))
    assert bool(torch.isfinite(output).all())


@pytest.mark.parametrize("name", ["deep-r", "soft-deep-r", "esl"])
def test_a_sparse_start_follows_trained_weights(name: str) -> None:
    """Unless asked otherwise, a training that starts from a run begins with its largest weights."""
    module = registry.load(methods, "method", name)

    def first(init: str | None, start: str) -> Tensor:
        model = conv_network()
        module.build(model, settings_of(method=name, sparsity=0.8, init=init), module.Options(start=start))
        return flat(model) != 0

    assert torch.equal(first("a run", "auto"), first("a run", "magnitude"))
    assert torch.equal(first(None, "auto"), first("a run", "random"))
    assert not torch.equal(first(None, "auto"), first("a run", "auto"))
