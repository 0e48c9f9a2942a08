"""`prune`: every method as a torch optimizer in a loop of one's own, on modules that are none of ours."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spikeloom import registry
from spikeloom.errors import NetworkError, SpikeloomWarning, UsageError
from spikeloom.train import PruningOptimizer, fit, load_dataset, methods, prune
from spikeloom.train.loop import Trainer
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from test_methods import linear_network, settings_of
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot
from torch.nn.utils import clip_grad_norm_, parametrizations
from torch.nn.utils.prune import random_unstructured
from torch.optim import lr_scheduler

NAMES = registry.names(methods)
PRUNING = [name for name in NAMES if name != "dense"]
STEPS = 40
Batch = tuple[Tensor, Tensor]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """More would only wait for each other on networks this small, for which oneDNN, too, takes longer to plan than to compute."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.backends.mkldnn.flags(enabled=False):
        yield
    torch.set_num_threads(count)


def mlp(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(20, 30), nn.LayerNorm(30), nn.ReLU(), nn.Linear(30, 5))


def cnn(seed: int = 0) -> nn.Sequential:
    """Every kind of layer that is pruned."""
    torch.manual_seed(seed)
    flat = nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.ReLU(), nn.ConvTranspose1d(4, 4, 3, padding=1), nn.Unflatten(2, (4, 5)))
    maps = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Unflatten(1, (1, 6)), nn.Conv3d(1, 3, (2, 1, 1)))
    return nn.Sequential(nn.Unflatten(1, (1, 20)), flat, maps, nn.Flatten(), nn.Linear(90, 5))


def batches(count: int = STEPS, seed: int = 5) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(16, 20, generator=generator), torch.randint(0, 5, (16,), generator=generator)) for _ in range(count)]


def train(module: nn.Module, optimizer: torch.optim.Optimizer, data: list[Batch]) -> None:
    for x, y in data:
        cross_entropy(module(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()


def asked(name: str, sparsity: float = 0.8) -> float:
    return 0.0 if name == "dense" else sparsity


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def zeros(module: nn.Module) -> tuple[int, int]:
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d)
    weights = [m.weight for m in module.modules() if isinstance(m, kinds)]
    return sum(int((w == 0).sum()) for w in weights), sum(w.numel() for w in weights)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("network", [mlp, cnn])
def test_the_sparsity_asked_for_comes_out(name: str, network: Any) -> None:
    module = network()
    if name == "upr" and network is cnn:
        with pytest.raises(UsageError, match="Use grad-r or stds"):
            prune(module, name, 0.8, total_steps=STEPS)
        return
    biases = [p.detach().clone() for n, p in module.named_parameters() if n.endswith("bias")]
    optimizer = prune(module, name, asked(name), total_steps=STEPS, lr=1e-2)
    train(module, optimizer, batches())
    assert optimizer.finish() is module
    found, size = zeros(module)
    assert found == round(asked(name) * size)
    assert optimizer.sparsity() == found / size == pytest.approx(1 - optimizer.connectivity().overall)
    layers = {n: m for n, m in module.named_modules() if n in optimizer.connectivity().layers}
    assert len(layers) == (2 if network is mlp else 5)
    for n, m in layers.items():
        assert optimizer.connectivity().layers[n] == int((m.weight != 0).sum()) / m.weight.numel()
    trained = [p for n, p in module.named_parameters() if n.endswith("bias")]
    assert not any(torch.equal(a, b) for a, b in zip(biases, trained, strict=True))
    alive = [m.weight != 0 for m in layers.values()]
    train(module, optimizer, batches(5))  # on with what is left
    assert all(torch.equal(a, m.weight != 0) for a, m in zip(alive, layers.values(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_steps_are_those_of_our_own_loop(name: str, tmp_path: Path) -> None:
    """The same bits as `fit`'s loop, on its network, its batches and its learning rates, epochs' ends included."""
    data = load_dataset("digits")
    ours, theirs = linear_network(64, 33, 10), linear_network(64, 33, 10)
    recipe = settings_of(method=name, sparsity=asked(name), epochs=4, batch_size=50, lr=1e-2, schedule="warmup-cosine", seed=3)
    method = registry.load(methods, "method", name)
    trainer = Trainer(recipe, data, ours, method.build(ours, recipe, method.Options()), tmp_path, None)
    optimizer = prune(theirs, name, recipe.sparsity, total_steps=48, lr=1e-2, seed=3, steps_per_epoch=12)
    values = torch.tensor(data.train.values).reshape(len(data.train), -1).float() / data.levels
    labels = torch.tensor(data.train.labels)
    warmth = lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 10))
    for step in range(48):
        x, y = values[20 * step : 20 * step + 20], labels[20 * step : 20 * step + 20]
        loss = trainer.step(x, y, 1e-2 * min(1.0, (step + 1) / 10), min((step + 1) / 48, 1.0))
        if (step + 1) % 12 == 0:
            trainer.method.end_epoch((step + 1) / 48)
        functional.reset_net(theirs)
        own = trainer.loss(theirs(x), y)
        own.backward()
        optimizer.step()
        optimizer.zero_grad()
        warmth.step()
        assert torch.equal(own.detach(), loss)
        assert same(ours, theirs), step


@pytest.mark.parametrize("name", NAMES)
def test_a_state_continues_to_the_same_bits(name: str) -> None:
    """Saved half way with `torch.save`, scheduler and all, and loaded by `weights_only`; and again after `finish`."""
    whole, data = mlp(), batches()
    optimizer = prune(whole, name, asked(name), total_steps=STEPS, lr=1e-2, steps_per_epoch=7)
    schedule = lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    file = io.BytesIO()
    for i, batch in enumerate(data):
        if i == 23:
            torch.save({"model": whole.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, file)
        train(whole, optimizer, [batch])
        schedule.step()
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = mlp(seed=9)
    other = prune(resumed, name, asked(name), total_steps=STEPS, lr=1e-2, steps_per_epoch=7)
    plan = lr_scheduler.CosineAnnealingLR(other, STEPS)
    resumed.load_state_dict(saved["model"])
    other.load_state_dict(saved["optimizer"])
    plan.load_state_dict(saved["schedule"])
    assert other.steps == 23
    for batch in data[23:]:
        train(resumed, other, [batch])
        plan.step()
    assert same(whole, resumed)
    optimizer.finish()
    other.finish()
    third = mlp(seed=3)
    last = prune(third, name, asked(name), total_steps=STEPS, lr=1e-2, steps_per_epoch=7)
    third.load_state_dict(whole.state_dict())
    last.load_state_dict(optimizer.state_dict())
    for module, each in ((whole, optimizer), (resumed, other), (third, last)):
        train(module, each, data[:3])
    assert same(whole, resumed) and same(whole, third)
    with pytest.raises(UsageError, match="finished, and the state is from before"):
        last.load_state_dict(saved["optimizer"])


def test_states_of_something_else_are_refused() -> None:
    module = mlp()
    optimizer = prune(module, "grad-r", 0.8, total_steps=STEPS)
    state = optimizer.state_dict()
    with pytest.raises(UsageError, match="not that of a pruning optimizer"):
        optimizer.load_state_dict(torch.optim.Adam(module.parameters()).state_dict())
    with pytest.raises(UsageError, match="seed = 0, not 1"):
        prune(mlp(), "grad-r", 0.8, total_steps=STEPS, seed=1).load_state_dict(state)
    with pytest.raises(UsageError, match=r"options = .*0\.5"):
        prune(mlp(), "grad-r", 0.8, total_steps=STEPS, method_options={"ramp": 0.4}).load_state_dict(state)
    with pytest.raises(UsageError, match="another module"):
        prune(cnn(), "grad-r", 0.8, total_steps=STEPS).load_state_dict(state)
    with pytest.raises(UsageError, match="takes no further parameters"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})


def test_accumulated_gradients_are_one_step() -> None:
    a, b = mlp(), mlp()
    each, together = (prune(m, "grad-r", 0.8, total_steps=3) for m in (a, b))
    for x, y in batches(3):
        for part in range(2):
            (cross_entropy(a(x[8 * part : 8 * part + 8]), y[8 * part : 8 * part + 8]) / 2).backward()
        each.step()
        each.zero_grad(set_to_none=False)
        gradients = torch.autograd.grad(
            sum(cross_entropy(b(x[8 * p : 8 * p + 8]), y[8 * p : 8 * p + 8]) / 2 for p in range(2)),  # type: ignore[arg-type]
            list(b.parameters()),
        )
        for p, g in zip(b.parameters(), gradients, strict=True):
            p.grad = g
        together.step()
    assert each.steps == together.steps == 3
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_no_gradient_is_no_step_and_zeroed_gradients_are_one() -> None:
    module = mlp()
    optimizer = prune(module, "grad-r", 0.8, total_steps=STEPS)
    before = state_of(module)
    optimizer.step()
    assert optimizer.steps == 0 and all(torch.equal(before[n], t) for n, t in module.state_dict().items())
    train(module, optimizer, batches(1))
    assert all(p.grad is None for p in module.parameters())
    cross_entropy(module(batches(1)[0][0]), batches(1)[0][1]).backward()
    optimizer.zero_grad(set_to_none=False)
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())
    optimizer.step()
    assert optimizer.steps == 2


def test_a_closure_is_called_once_with_gradients_on() -> None:
    plain, closed = mlp(), mlp()
    first, second = (prune(m, "stds", 0.5, total_steps=4, lr=1e-2) for m in (plain, closed))
    train(plain, first, batches(4))
    calls = []
    for x, y in batches(4):

        def closure(x: Tensor = x, y: Tensor = y) -> float:
            second.zero_grad()
            loss = cross_entropy(closed(x), y)
            loss.backward()
            calls.append(1)
            return float(loss.detach())

        with torch.no_grad():
            assert second.step(closure) > 0
    assert len(calls) == 4 and same(plain, closed)


def test_a_scaler_leaves_steps_out_whose_gradients_overflow() -> None:
    plain, scaled, data = mlp(), mlp(), batches(6)
    first, second = (prune(m, "grad-r", 0.8, total_steps=6, lr=1e-2) for m in (plain, scaled))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4, growth_interval=1000)
    train(plain, first, data[:2] + data[3:])
    for i, (x, y) in enumerate(data):
        loss = cross_entropy(scaled(x), y)
        scaler.scale(loss * (float("inf") if i == 2 else 1.0)).backward()
        scaler.step(second)
        scaler.update()
        second.zero_grad()
        assert second.steps == (i + 1 if i < 2 else i)
    assert scaler.get_scale() == 2.0**3
    for a, b in zip(plain.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_clipping_and_a_scheduler_reach_every_parameter() -> None:
    module = cnn()
    optimizer = prune(module, "grad-r", 0.8, total_steps=STEPS, lr=1e-2)
    assert [group["name"] for group in optimizer.param_groups] == ["pruned weights", "other parameters"]
    assert {id(p) for g in optimizer.param_groups for p in g["params"]} == {id(p) for p in module.parameters()}
    schedule = lr_scheduler.OneCycleLR(optimizer, 1e-2, STEPS, cycle_momentum=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch's, of a scheduler before its optimizer
        for x, y in batches():
            (1e6 * cross_entropy(module(x), y)).backward()
            assert float(clip_grad_norm_(module.parameters(), 1.0)) > 1.0
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    frozen = state_of(module)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.finish()
    train(module, optimizer, batches(2))
    pruned_or_other = [n for n, p in module.named_parameters() if not torch.equal(frozen[n], p)]
    assert pruned_or_other == []


SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.5),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 1e-4, 1e-2, 2, cycle_momentum=False),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 1e-2, 8, cycle_momentum=False),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.LinearLR(o), lr_scheduler.CosineAnnealingLR(o, 5)], [3]),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_set_the_rate_that_the_weights_move_by(name: str) -> None:
    """The rates are those that Adam would be given; the weights, those of an optimizer whose rates are set by hand."""
    scheduled, by_hand, plain = mlp(), mlp(), mlp()
    first, second = (prune(m, "stds", 0.5, total_steps=8, lr=1e-2) for m in (scheduled, by_hand))
    adam = torch.optim.Adam(plain.parameters(), lr=1e-2)
    schedules = [SCHEDULERS[name](first), SCHEDULERS[name](adam)]
    rates: list[float] = []
    for batch in batches(8):
        rates.append(adam.param_groups[0]["lr"])
        assert [group["lr"] for group in first.param_groups] == [rates[-1]] * 2
        for group in second.param_groups:
            group["lr"] = rates[-1]
        train(scheduled, first, [batch])
        train(by_hand, second, [batch])
        adam.step()
        for schedule in schedules:
            schedule.step(*([1.0] if name == "ReduceLROnPlateau" else []))
    assert len(set(rates)) > 1 and same(scheduled, by_hand)


def test_exempt_layers_frozen_ones_and_others_left_to_another_optimizer() -> None:
    module = cnn()
    weights = {n: m.weight for n, m in module.named_modules() if isinstance(m, nn.Conv2d | nn.Conv3d)}
    weights["2.4"].requires_grad_(False)
    still = weights["2.4"].detach().clone()
    optimizer = prune(module, "grad-r", 0.9, total_steps=STEPS, lr=1e-2, exempt=["1", "4"], others=False)
    mine = torch.optim.SGD([p for p in module.parameters() if all(p is not q for q in optimizer.param_groups[0]["params"])], lr=0.0)
    assert list(optimizer.connectivity().layers) == ["2.0"]
    before = state_of(module)
    for x, y in batches():
        cross_entropy(module(x), y).backward()
        mine.step()
        optimizer.step()
        optimizer.zero_grad()
        mine.zero_grad()
    optimizer.finish()
    assert int((weights["2.0"] == 0).sum()) == round(0.9 * weights["2.0"].numel())
    assert torch.equal(still, weights["2.4"])
    assert all(torch.equal(before[n], p) for n, p in module.named_parameters() if n != "2.0.weight")


@settings(deadline=None, max_examples=examples(40))
@given(st.sampled_from(PRUNING), st.floats(0.0, 0.97), st.integers(1, 12), st.integers(1, 14), st.integers(0, 2**63 - 1))
@example("grad-r", 0.95, 1, 1, 0)
@example("upr", 0.97, 2, 14, 1)
@example("upr", 1e-4, 1, 1, 0)  # rounds to no zeros: not the same as none asked for
def test_whenever_it_is_finished(name: str, sparsity: float, total: int, steps: int, seed: int) -> None:
    module = mlp()
    optimizer = prune(module, name, sparsity, total_steps=total, lr=1e-2, seed=seed)
    train(module, optimizer, batches(min(steps, total)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optimizer.finish()
    assert any(issubclass(w.category, SpikeloomWarning) for w in caught) == (steps < total)
    if sparsity or name != "upr":  # without a sparsity upr's penalty decides
        assert zeros(module)[0] == round(sparsity * 750)


class Shared(nn.Module):
    def __init__(self, tie: str) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        if tie == "parameter":
            self.b.weight = self.a.weight
        elif tie == "memory":
            self.b.weight.data = self.a.weight.data
        else:
            self.b = self.a


def bad_weights(value: float) -> nn.Module:
    module = mlp()
    module.state_dict()["3.weight"][1, 2] = value
    return module


class Nothing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))


@pytest.mark.parametrize(
    ("module", "changes", "said"),
    [
        (Nothing, {}, r"Nothing has no linear or convolutional layer to prune"),
        (mlp, {"exempt": ["0", "3"]}, r"2 found, the others exempt"),
        (mlp, {"sparsity": 1.0}, r"sparsity is 1\.0; it must be 0 <= sparsity < 1"),
        (mlp, {"sparsity": -0.1}, r"sparsity is -0\.1"),
        (mlp, {"sparsity": 0.999}, r"leaves 1 of 750 synapses, fewer than the 2 layers"),
        (mlp, {"total_steps": 0}, r"total_steps is 0; it must be a whole number"),
        (mlp, {"total_steps": 2.5}, r"total_steps is 2\.5 \(float\); prune takes a whole number"),
        (mlp, {"steps_per_epoch": 0}, r"steps_per_epoch is 0"),
        (mlp, {"lr": 0.0}, r"lr is 0\.0; it must be 0 < lr <= 1"),
        (mlp, {"seed": -1}, r"seed is -1"),
        (mlp, {"method": "gradr"}, r"'grad-r'"),
        (mlp, {"method": "dense"}, r"dense prunes nothing"),
        (mlp, {"method_options": {"rampe": 0.4}}, r"'ramp'"),
        (mlp, {"method_options": {"ramp": 4.0}}, r"ramp"),
        (cnn, {"exempt": ["2.8"]}, r"no layer in exempt called '2\.8'\. Did you mean '2\.4'"),
        (cnn, {"exempt": "2.0"}, r"exempt=\['2\.0'\]"),
        (lambda: bad_weights(float("nan")), {}, r"weight of the layer 3 holds NaN or infinity"),
        (lambda: bad_weights(float("-inf")), {}, r"weight of the layer 3 holds NaN or infinity"),
        (lambda: Shared("parameter"), {}, r"a\.weight and b\.weight are the same weights"),
        (lambda: Shared("memory"), {}, r"a\.weight and b\.weight are the same weights"),
        (lambda: Shared("layer"), {}, r"a\.weight and b\.weight are the same weights"),
        (lambda: mlp().half(), {}, r"layer 0 is torch\.float16; pruning needs float32"),
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3).double()), {}, r"weights of 0 are torch\.float32 on cpu, those of 1"),
        (lambda: nn.Sequential(nn.Linear(3, 3, device="meta")), {}, r"on the device meta"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), {}, r"the layer is lazy"),
        (lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 3))), {}, r"layer 0 is computed from other parameters"),
        (lambda: nn.Sequential(random_unstructured(nn.Linear(3, 3), "weight", 0.5)), {}, r"layer 0 is computed from other"),
    ],
)
def test_what_makes_no_sense_is_refused(module: Any, changes: dict[str, Any], said: str) -> None:
    values: dict[str, Any] = {"method": "grad-r", "sparsity": 0.5, "total_steps": 10}
    with pytest.raises(UsageError, match=said):
        prune(module(), **(values | changes))


def test_two_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no second device: one whose weights say so."""
    module = mlp()
    monkeypatch.setattr(nn.Parameter, "device", property(lambda self: torch.device("cuda:1" if len(self) == 5 else "cpu")), raising=False)
    with pytest.raises(UsageError, match=r"weights of 0 are torch\.float32 on cpu, those of 3 torch\.float32 on cuda:1"):
        prune(module, total_steps=3)


def test_what_goes_wrong_on_the_way_is_told() -> None:
    module = mlp()
    optimizer = prune(module, "grad-r", 0.5, total_steps=2, exempt=[])
    module.state_dict()["0.weight"].mul_(2)
    with pytest.raises(UsageError, match=r"changed between prune\(\) and the first step"):
        train(module, optimizer, batches(1))
    optimizer = prune(module, "grad-r", 0.5, total_steps=2)
    before = state_of(module)
    with pytest.raises(UsageError, match="gradient of 3 is NaN or infinite at step 1; nothing was changed"):
        x, y = batches(1)[0]
        cross_entropy(module(x), y).backward()
        next(p for n, p in module.named_parameters() if n == "3.weight").grad = torch.full((5, 30), float("nan"))
        optimizer.step()
    assert optimizer.steps == 0 and all(torch.equal(before[n], t) for n, t in module.state_dict().items())
    optimizer.zero_grad()
    train(module, optimizer, batches(2))
    with pytest.raises(UsageError, match="All 2 steps of this optimizer are done"):
        train(module, optimizer, batches(1))


def spiking() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Flatten(),
        layer.Linear(64, 100, bias=False),
        neuron.LIFNode(surrogate_function=surrogate.ATan(), detach_reset=True),
        layer.Linear(100, 10, bias=False),
        neuron.LIFNode(surrogate_function=surrogate.ATan(), detach_reset=True),
    )
    functional.set_step_mode(net, "m")
    for module in net:
        if isinstance(module, nn.Linear):
            module.weight.data.mul_(3)
    return net


@pytest.mark.parametrize("name", ["grad-r", "stds"])
def test_a_spikingjelly_network_learns_digits(name: str) -> None:
    """In SpikingJelly's own loop; chance is 10 %."""
    data, net = load_dataset("digits"), spiking()
    x = torch.tensor(data.train.values).float() / data.levels
    y = torch.tensor(data.train.labels)
    epochs, size = 5, 16
    steps = epochs * -(-len(x) // size)
    optimizer = prune(net, name, 0.9, total_steps=steps, lr=1e-2)
    schedule = lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(size):
            out = net(x[chosen].expand(8, *x[chosen].shape)).mean(0)
            mse_loss(out, one_hot(y[chosen], 10).float()).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            functional.reset_net(net)
    optimizer.finish()
    assert zeros(net) == (round(0.9 * 7400), 7400)
    test = torch.tensor(data.test.values).float() / data.levels
    with torch.no_grad():
        found = net(test.expand(8, *test.shape)).mean(0).argmax(1)
    assert float((found == torch.tensor(data.test.labels)).float().mean()) > 0.85


PAIR = """
import sys, torch
from torch import nn, distributed
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from spikeloom.train import prune
distributed.init_process_group("gloo")
rank = distributed.get_rank()
for name in sys.argv[2:]:
    torch.manual_seed(rank)  # ranks start apart; DistributedDataParallel gives all the weights of the first
    net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 5))
    if name == "wrapped too late":
        early = prune(net, "grad-r", 0.8, total_steps=12)
    model = DistributedDataParallel(net)
    optimizer = early if name == "wrapped too late" else prune(model, name, 0.8, total_steps=12, lr=1e-2)
    data = torch.Generator().manual_seed(100 + rank)
    for _ in range(12):
        x, y = torch.randn(16, 20, generator=data), torch.randint(0, 5, (16,), generator=data)
        cross_entropy(model(x), y).backward()
        try:
            optimizer.step()
        except Exception as error:
            print("refused", rank, error)
            sys.exit(0)
        optimizer.zero_grad()
    optimizer.finish()
    torch.save(net.state_dict(), f"{sys.argv[1]}/{name}.{rank}")
"""


def pair(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    (folder / "pair.py").write_text(PAIR)
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    every = [sys.executable, *words, str(folder / "pair.py"), str(folder), *names]
    return subprocess.run(every, capture_output=True, text=True, timeout=600, env=environment, check=False)


@pytest.mark.chain
def test_two_processes_prune_alike(tmp_path: Path) -> None:
    done = pair(tmp_path, *PRUNING)
    assert done.returncode == 0, done.stderr
    for name in PRUNING:
        first, second = (torch.load(tmp_path / f"{name}.{rank}", weights_only=True) for rank in range(2))
        assert all(torch.equal(first[key], second[key]) for key in first), name
        assert sum(int((t == 0).sum()) for key, t in first.items() if key.endswith("weight")) == round(0.8 * 750)


@pytest.mark.chain
def test_a_module_that_is_wrapped_too_late_is_refused(tmp_path: Path) -> None:
    done = pair(tmp_path, "wrapped too late")
    assert "refused 1 The weights were changed between prune() and the first step" in done.stdout, done.stderr


def test_it_is_an_optimizer_and_copies_the_module_of_nobody() -> None:
    module = mlp()
    optimizer = prune(copy.deepcopy(module), "grad-r", 0.5, total_steps=5)
    assert isinstance(optimizer, torch.optim.Optimizer) and isinstance(optimizer, PruningOptimizer)
    assert "lr" in repr(optimizer)
    for copied in (copy.deepcopy, pickle.dumps):
        with pytest.raises(UsageError, match="cannot be copied or pickled"):
            copied(optimizer)


def test_large_gradients_whose_sum_overflows_are_no_fault() -> None:
    module = mlp()
    optimizer = prune(module, "grad-r", 0.5, total_steps=5)
    for parameter in module.parameters():
        parameter.grad = torch.full_like(parameter, 1e38)
    optimizer.step()
    assert optimizer.steps == 1


def test_fit_says_where_a_module_without_spikes_is_trained(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"computes relu.*spikeloom\.train\.prune"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU()), "digits", out=tmp_path)
