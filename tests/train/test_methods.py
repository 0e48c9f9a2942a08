"""What every method promises, whatever its rule: run over all that the registry finds, on linear and convolutional networks."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, get_args, get_type_hints

import pytest
import torch
from spikeloom import registry
from spikeloom.errors import UsageError
from spikeloom.train import TrainSettings, methods
from spikeloom.train.connections import Connection
from spikeloom.train.layers import SpikingLayer, SpikingNetwork, Unit
from torch import Tensor, nn

STEPS = 60
NAMES = registry.names(methods)
PRUNING = [name for name in NAMES if name != "dense"]


def linear_network(*sizes: int, seed: int = 0) -> SpikingNetwork:
    torch.manual_seed(seed)
    names = [*(f"hidden{i + 1}" for i in range(len(sizes) - 2)), "output"]
    layers: dict[str, Unit] = {}
    for source, name, a, b in zip(["input", *names], names, sizes[:-1], sizes[1:], strict=False):
        layers[name] = SpikingLayer([Connection([source], (a,), nn.Linear(a, b, bias=False))], 4 if source == "input" else None)
    return SpikingNetwork(layers, (sizes[0],), 4, sizes[-1])


def taps(side: int, stride: int = 1) -> Tensor:
    """Output positions of each tap of a 3x3 kernel, padded by 1, whose input lies inside a side x side map: counted one by one."""
    counts = torch.zeros(1, 1, 3, 3, dtype=torch.int64)
    for y in range(0, side, stride):
        for x in range(0, side, stride):
            for j in range(3):
                for i in range(3):
                    counts[0, 0, j, i] += 0 <= y + j - 1 < side and 0 <= x + i - 1 < side
    return counts


def conv_network(seed: int = 0, normed: str = "") -> SpikingNetwork:
    """3 - 7 - 9 (stride 2) - 5 channels of 8x8 and 4x4, then 4x4x5 -> 10; the sizes share no factor with anything.

    `normed`: the convolution that has batch normalisation.
    """
    torch.manual_seed(seed)
    convs = {"conv1": (3, 7, 8, 1), "conv2": (7, 9, 8, 2), "conv3": (9, 5, 4, 1)}
    layers: dict[str, Unit] = {}
    for source, (name, (a, b, side, stride)) in zip(["input", "conv1", "conv2"], convs.items(), strict=True):
        op = nn.Conv2d(a, b, 3, padding=1, stride=stride, bias=False)
        norm = nn.BatchNorm2d(b) if name == normed else None
        layers[name] = SpikingLayer([Connection([source], (a, side, side), op, norm)], 4 if source == "input" else None)
    layers["output"] = SpikingLayer([Connection(["conv3"], (5, 4, 4), nn.Linear(80, 10, bias=False))])
    return SpikingNetwork(layers, (3, 8, 8), 4, 10)


def settings_of(**changes: Any) -> TrainSettings:
    values: dict[str, Any] = {"data": "digits", "method": "grad-r", "sparsity": 0.9}
    return TrainSettings(**(values | changes))


def fake_gradients(model: SpikingNetwork, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for tensor in [*model.weights().values(), *model.gates().values()]:
        tensor.grad = torch.randn(tensor.shape, generator=generator)


def method_of(name: str, model: SpikingNetwork, sparsity: float = 0.9, seed: int = 0, **options: Any) -> Any:
    module = registry.load(methods, "method", name)
    asked = 0.0 if name == "dense" else sparsity
    return module.build(model, settings_of(method=name, sparsity=asked, seed=seed), module.Options(**options))


def run(method: Any, model: SpikingNetwork, steps: int, lr: float = 1e-2, begin: int = 0, total: int = STEPS) -> None:
    for step in range(begin, begin + steps):
        fake_gradients(model, step)
        method.step(lr, min(1.0, (step + 1) / total))


def flat(model: SpikingNetwork) -> Tensor:
    return torch.cat([w.detach().reshape(-1) for w in model.weights().values()])


def shape_of(model: SpikingNetwork) -> list[Tensor]:
    return [w.detach() != 0 for w in model.weights().values()]


@pytest.mark.parametrize("name", PRUNING)
@pytest.mark.parametrize("sparsity", [0.5, 0.77, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("network", [lambda: linear_network(53, 47, 11), conv_network], ids=["linear", "conv"])
def test_the_sparsity_asked_for_comes_out(name: str, sparsity: float, network: Any) -> None:
    model = network()
    method = method_of(name, model, sparsity)
    run(method, model, STEPS)
    numbers = method.end_epoch(1.0)
    zeros, size = int((flat(model) == 0).sum()), flat(model).numel()
    assert zeros == round(sparsity * size)
    assert method.sparsity() == zeros / size == pytest.approx(1 - numbers["connectivity"])
    assert method.is_final(1.0)


@pytest.mark.parametrize("name", PRUNING)
@pytest.mark.parametrize("lr", [1e-5, 0.5])
@pytest.mark.parametrize("sparsity", [0.003, 0.3, 0.97])
def test_whatever_the_learning_rate(name: str, lr: float, sparsity: float) -> None:
    model = linear_network(50, 40, 7)
    method = method_of(name, model, sparsity)
    run(method, model, STEPS, lr)
    method.end_epoch(1.0)
    assert int((flat(model) == 0).sum()) == round(sparsity * 2280)


@pytest.mark.parametrize("name", NAMES)
def test_epochs_are_counted(name: str) -> None:
    """Pruned, regrown and both connectivities, against masks and unrolled synapses counted here."""
    model = conv_network()
    method = method_of(name, model)
    for epoch in range(3):
        before = shape_of(model)
        run(method, model, 20, begin=20 * epoch)
        numbers = method.end_epoch((epoch + 1) / 3)
        after = shape_of(model)
        assert numbers["pruned"] == sum(int((b & ~a).sum()) for b, a in zip(before, after, strict=True))
        assert numbers["regrown"] == sum(int((a & ~b).sum()) for b, a in zip(before, after, strict=True))
        assert numbers["connectivity"] == sum(int(a.sum()) for a in after) / flat(model).numel()
        each = [p.expand(a.shape) for p, a in zip(model.positions().values(), after, strict=True)]
        unrolled = sum(int((a * e).sum()) for a, e in zip(after, each, strict=True)) / sum(int(e.sum()) for e in each)
        assert numbers["connectivity_unrolled"] == unrolled
        assert all(math.isfinite(v) for v in numbers.values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cut", [15, 37, 50])
def test_a_method_continues_from_its_state(name: str, cut: int) -> None:
    models = [conv_network(0), conv_network(1)]
    built = [method_of(name, m) for m in models]
    run(built[0], models[0], cut)
    built[0].end_epoch(cut / STEPS)
    built[1].load_state_tensors({k: t.clone() for k, t in built[0].state_tensors().items()})
    assert torch.equal(flat(models[0]), flat(models[1]))
    for method, model in zip(built, models, strict=True):
        run(method, model, STEPS - cut + 5, begin=cut)
    numbers = [method.end_epoch(1.0) for method in built]
    assert numbers[0] == numbers[1]
    assert torch.equal(flat(models[0]), flat(models[1]))
    for a, b in zip(models[0].gates().values(), models[1].gates().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises((KeyError, ValueError)):
        built[1].load_state_tensors({k: t[:-1] if t.dim() else t for k, t in built[0].state_tensors().items()})


@pytest.mark.parametrize("name", NAMES)
def test_frozen_keeps_the_mask(name: str) -> None:
    model = conv_network()
    method = method_of(name, model)
    run(method, model, STEPS)
    method.end_epoch(1.0)
    before, weights = shape_of(model), flat(model).clone()
    method.freeze()
    run(method, model, 30, lr=0.1, begin=STEPS)
    numbers = method.end_epoch(1.0)
    assert all(torch.equal(b, a) for b, a in zip(before, shape_of(model), strict=True))
    assert numbers["pruned"] == numbers["regrown"] == 0
    assert not torch.equal(weights, flat(model))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits_whatever_the_global_generator(name: str) -> None:
    results: list[Tensor] = []
    for noise in (1, 2):
        model = conv_network()
        torch.manual_seed(noise)
        method = method_of(name, model, seed=5)
        for step in range(STEPS):
            torch.rand(noise)
            fake_gradients(model, step)
            method.step(1e-2, (step + 1) / STEPS)
        method.end_epoch(1.0)
        results.append(flat(model))
    assert torch.equal(*results)


@pytest.mark.parametrize("name", ["deep-r", "soft-deep-r", "esl"])
def test_another_seed_gives_another_graph(name: str) -> None:
    models = [conv_network(), conv_network()]
    for seed, model in enumerate(models):
        method_of(name, model, seed=seed)
    a, b = (flat(m) != 0 for m in models)
    expected = 0.1 * float(a.sum())
    assert abs(int((a & b).sum()) - expected) < 6 * math.sqrt(expected)


# A value for each option, other than its default, and what makes its effect felt; of a rule that is not listed, `changes_of` finds values.
CHANGES: dict[str, list[tuple[dict[str, Any], str, Any]]] = {
    "dense": [],
    "grad-r": [
        ({}, "control", "open"), ({"control": "open"}, "alpha", 0.5), ({}, "ramp", 0.9), ({}, "every", 3),
        ({}, "floor", 0.9), ({}, "rescale", True),
    ],
    "stds": [({}, "control", "open"), ({"control": "open"}, "width", 0.02), ({}, "ramp", 0.9), ({}, "every", 3)],
    "deep-r": [({}, "temperature", 0.2), ({}, "cooling", "none"), ({}, "l1", 0.3), ({}, "start", "magnitude")],
    "soft-deep-r": [
        ({}, "temperature", 0.2), ({}, "cooling", "none"), ({}, "l1", 0.3), ({}, "start", "magnitude"), ({}, "every", 3),
    ],
    "esl": [
        ({}, "density", "uniform"), ({}, "growth", "random"), ({}, "share", 0.6), ({}, "decay", "constant"), ({}, "every", 1),
        ({}, "rewirings", 3), ({}, "start", "magnitude"),
    ],
    "upr": [
        ({}, "control", "open"), ({}, "penalty", 0.1), ({}, "search", 0.9), ({}, "mask_lr", 0.1), ({}, "layers", "all"),
        ({"search": 0.3}, "moments", "keep"),
    ],
}  # fmt: skip


def changes_of(name: str) -> list[tuple[dict[str, Any], str, Any]]:
    """Return the changes of a rule: those listed, else half of each number and the next choice of each text."""
    if name in CHANGES:
        return CHANGES[name]
    options = registry.load(methods, "method", name).Options
    hints = get_type_hints(options)
    found: list[tuple[dict[str, Any], str, Any]] = []
    for f in dataclasses.fields(options):
        default: Any = f.default
        others = [choice for choice in get_args(hints[f.name]) if choice != default]
        found.append(({}, f.name, others[0] if others else not default if isinstance(default, bool) else type(default)(default / 2)))
    return found


def trained(name: str, options: dict[str, Any]) -> Tensor:
    model = conv_network(normed="conv2")
    model.dense = ("conv1",)
    method = method_of(name, model, 0.8, **options)
    run(method, model, 20)
    method.end_epoch(0.4)  # when rules that change once an epoch do so
    run(method, model, 20, begin=20)
    return flat(model)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_an_effect(name: str) -> None:
    fields = {f.name: f.default for f in dataclasses.fields(registry.load(methods, "method", name).Options)}
    assert {option for _, option, _ in changes_of(name)} == set(fields)
    for base, option, value in changes_of(name):
        assert value != fields[option]
        assert not torch.equal(trained(name, base), trained(name, base | {option: value})), option


UNUSED: list[tuple[str, dict[str, Any], str]] = [
    ("grad-r", {"alpha": 0.5}, "control=closed"),
    *(("grad-r", {"control": "open", name: value}, "control=open") for name, value in (("ramp", 0.9), ("every", 3), ("floor", 0.5))),
    ("grad-r", {"control": "open", "rescale": True}, "control=open"),
    ("stds", {"width": 0.5}, "control=closed"),
    ("stds", {"control": "open", "every": 3}, "control=open"),
    ("esl", {"start": "magnitude", "density": "er"}, "start=magnitude"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "choice"), UNUSED)
def test_an_option_without_effect_is_refused(name: str, options: dict[str, Any], choice: str) -> None:
    with pytest.raises(UsageError, match=f"method.{list(options)[-1]} is .* no effect with method.{choice}. Leave it out, or set method"):
        registry.load(methods, "method", name).Options(**options)


def test_rescale_without_a_normalisation_is_refused() -> None:
    with pytest.raises(UsageError, match="no layer of this network stands right before a batch normalisation"):
        method_of("grad-r", linear_network(6, 5, 4), 0.5, rescale=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_checked(name: str) -> None:
    module = registry.load(methods, "method", name)
    assert dataclasses.is_dataclass(module.Options) and module.Options.__dataclass_params__.frozen  # type: ignore[attr-defined]
    for field in dataclasses.fields(module.Options):
        text, flag = isinstance(field.default, str), isinstance(field.default, bool)
        for value in ["neither", 3, None] if text or flag else [-1, math.nan, math.inf, "much", None, True]:
            with pytest.raises(UsageError, match=field.name):
                registry.load(methods, "method", name).Options(**{field.name: value})


@pytest.mark.parametrize("name", PRUNING)
def test_too_few_synapses_for_the_layers(name: str) -> None:
    with pytest.raises(UsageError, match="layers need"):
        method_of(name, linear_network(50, 2, 7), 0.995)


@pytest.mark.parametrize("name", ["grad-r", "stds"])
def test_a_layer_that_died_comes_back_where_the_sparsity_is_right_already(name: str) -> None:
    """As many others came alive meanwhile: by the number of zeros alone there is nothing to correct, and the layer would stay dead."""
    model = linear_network(50, 40, 7)
    method = method_of(name, model, 0.9)
    run(method, model, STEPS)
    wanted, first, last = method.zeros(), *method.flat
    lost = int(torch.count_nonzero(last.values()))
    dead = torch.nonzero(first.values() == 0).view(-1)[:lost]
    method.theta[last.part] = -1.0 if name == "grad-r" else 0.0
    method.theta[first.part][dead] = method.theta.abs().max()
    method._write_weights()
    assert method.zeros() == wanted and not last.values().any()
    method.control(1.0)
    assert method.zeros() == wanted and last.values().any()


@pytest.mark.parametrize("name", NAMES)
def test_weights_in_another_memory_order(name: str) -> None:
    """channels_last weights and gradients train as row-major ones do."""
    models = [conv_network(), conv_network()]
    for weight in models[1].weights().values():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    for model in models:
        method = method_of(name, model)
        run(method, model, STEPS)
        method.end_epoch(1.0)
    assert torch.equal(flat(models[0]), flat(models[1]))


@pytest.mark.parametrize("name", NAMES)
def test_without_gradients_nothing_breaks(name: str) -> None:
    model = linear_network(20, 15, 5)
    method = method_of(name, model, 0.5)
    for step in range(STEPS):
        method.zero_grad()
        method.step(1e-2, (step + 1) / STEPS)
    method.end_epoch(1.0)
    assert bool(torch.isfinite(flat(model)).all())
    assert method.sparsity() == (0.0 if name == "dense" else round(0.5 * 375) / 375)


def test_dense_refuses_a_sparsity() -> None:
    module = registry.load(methods, "method", "dense")
    with pytest.raises(UsageError, match="grad-r"):
        module.build(linear_network(5, 4), settings_of(method="dense"), module.Options())
