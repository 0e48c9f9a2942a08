"""Every network that there is: it builds, fires, trains and hands over each spike; published sizes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from graphgen import check_exact, dataset_of, samples, single_threaded, spikes_of  # noqa: F401  # pyright: ignore[reportUnusedImport]
from spikeloom import registry
from spikeloom.errors import UsageError
from spikeloom.network.model import Threshold
from spikeloom.train import export, networks
from spikeloom.train.layers import And, MaxPool, SpikingNetwork
from torch import nn

NAMES = registry.names(networks)
CONVOLUTIONAL = [name for name in NAMES if name != "fc"]
TINY: dict[str, dict[str, Any]] = {"fc": {"hidden": (20,)}}
JOINS = ("add", "and", "iand")
VARIANTS = [*[(name, TINY.get(name, {"width": 2})) for name in NAMES], *[("sew-resnet18", {"width": 2, "connect": j}) for j in JOINS[1:]]]


def build(name: str, shape: tuple[int, ...], options: dict[str, Any], *, temporal: bool = False, timesteps: int = 3) -> SpikingNetwork:
    module = registry.load(networks, "network", name)
    torch.manual_seed(0)
    built: SpikingNetwork = module.build(
        shape, 4, timesteps, registry.options_of(module, options, f"the network {name}"), temporal=temporal
    )
    return built


def train(model: SpikingNetwork, x: torch.Tensor, steps: int) -> list[float]:
    labels = torch.arange(len(x)) % model.classes
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    losses: list[float] = []
    for _ in range(steps):
        loss = (model(x).mean(0) - torch.eye(model.classes)[labels]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def enlivened(model: SpikingNetwork) -> None:
    """Make layers of two channels fire: larger currents, and running statistics that have arrived at those of the layers' inputs."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.mul_(2)
                module.bias.add_(0.5)
            elif isinstance(module, nn.Linear):
                module.weight.abs_()
        for _ in range(25):
            model.train()(samples(model, 8))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("temporal", [False, True])
def test_trains_and_hands_over_every_spike(name: str, options: dict[str, Any], temporal: bool) -> None:
    model = build(name, (2, 16, 16), options, temporal=temporal)
    before = {n: w.detach().clone() for n, w in model.weights().items()}
    train(model, samples(model, 8), 4)
    assert not [n for n, w in model.weights().items() if torch.equal(w, before[n])]
    for weight in model.weights().values():
        weight.data[torch.rand(weight.shape) < 0.3] = 0
    enlivened(model)
    for gate in model.add_gates().values():
        gate.data.copy_((torch.rand(gate.shape) < 0.9).float())
    dataset = dataset_of(model, 4)
    silent = [n for n, s in spikes_of(model.eval(), dataset.train.values).items() if not s.any()]
    assert len(silent) < 0.5 * len(list(model.units())), silent  # what is compared has spikes in it
    network = check_exact(export.fold(model), dataset)
    assert network.votes == model.votes and network.classes == 4
    assert sum(p.neuron is not None and not isinstance(p.neuron, Threshold) for p in network.populations) == len(list(model.named_layers()))


@pytest.mark.parametrize("name", NAMES)
def test_learns_eight_samples_by_heart(name: str) -> None:
    model = build(name, (2, 16, 16), TINY.get(name, {"width": 8}) | {"votes": 4})
    losses = train(model, samples(model, 8), 15)
    assert min(losses) < 0.8 * losses[0]


@pytest.mark.parametrize(("name", "options"), [(n, o | ({"width": 8} if "width" in o else {"hidden": (200,)})) for n, o in VARIANTS])
def test_fires_at_the_start(name: str, options: dict[str, Any]) -> None:
    """With random weights no layer is silent, and none but those that shall always fire does so in more than 60 % of the steps."""
    model = build(name, (3, 32, 32), options | {"votes": 10}, timesteps=6)
    with torch.no_grad():
        rates = {n: s.mean().item() for n, s in model.populations(samples(model, 8)).items()}
    low = {n: rate for n, rate in rates.items() if rate < (0.0002 if name == "fc" else 0.004)}
    high = {n: rate for n, rate in rates.items() if rate > 0.6 and not (options.get("connect") == "and" and n.endswith("b"))}
    assert not low and not high


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_every_option_is_felt_and_checked(name: str) -> None:
    module = registry.load(networks, "network", name)
    plain = {n: tuple(p.shape) for n, p in build(name, (1, 32, 32), {"width": 2}).named_parameters()}
    for option, value in (("width", 3), ("votes", 4)):
        changed = build(name, (1, 32, 32), {"width": 2} | {option: value})
        assert plain != {n: tuple(p.shape) for n, p in changed.named_parameters()}
        assert option != "votes" or changed.votes == 4
    connections = [c for _, c in build(name, (1, 32, 32), {"width": 2, "dropout": 0.25}).named_ops()]
    assert sum(c.dropout == 0.25 for c in connections) == 1
    for option, wrong in (("width", 0), ("width", 2.5), ("votes", 0), ("dropout", 1.0), ("dropout", "much")):
        with pytest.raises(UsageError, match=option):
            module.Options(**{option: wrong})


def test_options_of_the_others_are_checked() -> None:
    for name, options in (("fc", {"hidden": (0,)}), ("fc", {"votes": 0}), ("sew-resnet18", {"connect": "xor"})):
        module = registry.load(networks, "network", name)
        with pytest.raises(UsageError, match=next(iter(options))):
            module.Options(**options)
    assert build("fc", (8, 8), {"hidden": (5, 6), "votes": 3}).votes == 3


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_samples_that_are_too_small_name_the_layer(name: str) -> None:
    assert build(name, (28, 28), {"width": 2}).shape == (1, 28, 28)
    with pytest.raises(UsageError, match=r"rows and columns.*--net fc"):
        build(name, (700,), {"width": 2})
    if name in ("6conv2fc", "vggsnn"):
        with pytest.raises(UsageError, match=r"at the layer (pool2|conv5)"):
            build(name, (3, 3, 9), {"width": 2})


def published(name: str, shape: tuple[int, ...], classes: int, **options: Any) -> SpikingNetwork:
    module = registry.load(networks, "network", name)
    with torch.device("meta"):
        built: SpikingNetwork = module.build(shape, classes, 4, module.Options(**options), temporal=False)
    return built


def sizes(model: SpikingNetwork) -> list[int]:
    return [w.numel() for w in model.weights().values()]


def test_published_sizes() -> None:
    """Weights, against sums written out from the papers' tables; 36,715,264 is what the authors of Grad R publish."""
    assert sum(sizes(published("6conv2fc", (3, 32, 32), 10))) == 36_715_264
    vgg = [2 * 64, 64 * 128, 128 * 256, 256 * 256, 256 * 512, 512 * 512, 512 * 512, 512 * 512]
    assert sizes(published("vggsnn", (2, 48, 48), 10)) == [*(9 * n for n in vgg), 512 * 9 * 10]
    stages = [(6, 128, 128), (1, 128, 256), (5, 256, 256), (1, 256, 512), (3, 512, 512)]
    assert sum(sizes(published("resnet19", (3, 32, 32), 10))) == (
        9 * 3 * 128 + sum(9 * n * a * b for n, a, b in stages) + 128 * 256 + 256 * 512 + 512 * 256 + 256 * 10
    )
    # torchvision's ResNet-18 has 11,689,512 parameters, of which 9,600 are of normalisations and 1,000 are biases
    assert sum(sizes(published("sew-resnet18", (3, 224, 224), 1000))) == 11_689_512 - 9_600 - 1_000


def test_published_shapes() -> None:
    model = published("6conv2fc", (3, 32, 32), 10)
    shapes = {name: tuple(unit.shape) for name, unit in model.units()}
    assert shapes["pool1"] == (256, 16, 16) and shapes["pool2"] == (256, 8, 8) and shapes["fc1"] == (2048,) and shapes["output"] == (100,)
    assert model.votes == 10 and {c.dropout for n, c in model.named_ops() if n == "fc1"} == {0.5}
    model = published("sew-resnet18", (3, 224, 224), 1000)
    shapes = {name: tuple(unit.shape) for name, unit in model.units()}
    assert shapes["conv1"] == (64, 112, 112) and shapes["pool1"] == (64, 56, 56) and shapes["stage4_block2b"] == (512, 7, 7)
    model = published("resnet19", (3, 32, 32), 10)
    assert Counter(tuple(u.shape) for _, u in model.units())[(512, 8, 8)] == 4
    assert "conv1" in published("vggsnn", (2, 48, 48), 10).layers and model.classes == 10


def test_branches_of_sew_join_as_asked() -> None:
    added = dict(build("sew-resnet18", (3, 32, 32), {"width": 2}).units())
    assert added["output"].sources == ("stage4_block1c", "stage4_block1b", "stage4_block2b")
    for join, inverted in (("and", 0), ("iand", 1)):
        units = [u for _, u in build("sew-resnet18", (3, 32, 32), {"width": 2, "connect": join}).units() if isinstance(u, And)]
        assert len(units) == 8 and all(len(u.inverted) == inverted and len(u.sources) == 2 for u in units)
    large = build("sew-resnet18", (3, 64, 64), {"width": 2})
    assert sum(isinstance(u, MaxPool) for _, u in large.units()) == 1


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_normalisations_start_at_the_scale_asked_for(name: str) -> None:
    norms = [m for m in build(name, (3, 32, 32), {"width": 2, "scale": 1.0}).modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all(torch.equal(norm.weight, torch.ones_like(norm.weight)) for norm in norms)


@pytest.mark.parametrize(("name", "gain"), [("fc", 3.0), ("6conv2fc", 4.0)])
def test_linear_layers_start_as_wide_as_asked_for(name: str, gain: float) -> None:
    usual, torchs = (build(name, (3, 32, 32), {**TINY.get(name, {"width": 2}), **g}).weights() for g in ({}, {"gain": 1.0}))
    linear = [key for key, w in usual.items() if w.dim() == 2]
    assert len(linear) == 2
    for key in linear:
        torch.testing.assert_close(usual[key], gain * torchs[key])
        assert 0.9 < float(torchs[key].detach().abs().max()) * torchs[key].shape[1] ** 0.5 <= 1.0


def test_dropout_before_the_output_silences_there_alone() -> None:
    options = {"width": 2, "dropout": 0.0, "dropout_output": 0.5}
    model, plain = build("6conv2fc", (3, 32, 32), options), build("6conv2fc", (3, 32, 32), options | {"dropout_output": 0.0})
    for network in (model, plain):
        enlivened(network)
    x = samples(plain, 8)
    assert torch.equal(model.eval()(x), plain.eval()(x)) and torch.equal(plain.train()(x), plain.train()(x))
    assert not torch.equal(model.train()(x), model.train()(x))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fc", {"gain": 0.0}),
        ("6conv2fc", {"gain": -1.0}),
        ("6conv2fc", {"dropout_output": 1.0}),
        *[(n, {"scale": 0.0}) for n in CONVOLUTIONAL],
    ],
)
def test_initial_values_that_make_no_sense(name: str, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"net.{next(iter(options))} is"):
        build(name, (3, 32, 32), options)
