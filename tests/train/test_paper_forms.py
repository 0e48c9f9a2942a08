"""Forms of methods and networks as papers' code has them: UPR beside other optimisers, Deep R from dense, UPR's ResNet19; weight counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from graphgen import check_exact, dataset_of, single_threaded, warmed_up  # noqa: F401  # pyright: ignore[reportUnusedImport]
from spikeloom import registry
from spikeloom.errors import UsageError
from spikeloom.train import TrainSettings, export, methods, networks, random_numbers, reachable
from spikeloom.train.layers import SpikingNetwork
from test_methods_equations import as_on_cuda
from torch import Tensor

SHAPES = {"mnist": (28, 28), "cifar10": (3, 32, 32), "imagenet": (3, 224, 224), "cifar10-dvs": (2, 48, 48)}
BLOCKS = {"stage1": (128, 3), "stage2": (256, 3), "stage3": (512, 2)}


def network(name: str, shape: tuple[int, ...] = (3, 32, 32), **options: Any) -> SpikingNetwork:
    torch.manual_seed(0)
    module = registry.load(networks, "network", name)
    return module.build(shape, 10, 2, module.Options(**options), temporal=False)


def method_of(name: str, model: SpikingNetwork, sparsity: float, **options: Any) -> Any:
    module = registry.load(methods, "method", name)
    return module.build(model, TrainSettings(data="digits", method=name, sparsity=sparsity), module.Options(**options))


def with_gradients(model: SpikingNetwork, step: int) -> list[Tensor]:
    """Give every parameter an invented gradient; return those of the weights."""
    generator = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return [w.grad.clone() for w in model.weights().values() if w.grad is not None]


# --- UPR ---------------------------------------------------------------------------------------------------------------------


def small() -> SpikingNetwork:
    return network("6conv2fc", (2, 8, 8), width=2, votes=1).double()


def test_upr_moves_weights_by_the_optimizer_and_masks_by_adam() -> None:
    """SGD on w with dL/dw = g o; the masks as with Adam on both, of the same gradients."""
    one, other = small(), small()
    own, outer = method_of("upr", one, 0.8, mask_lr=0.04), method_of("upr", other, 0.8, mask_lr=0.04)
    torch.testing.assert_close(own.raw, outer.raw, rtol=0, atol=0)
    optimizer = torch.optim.SGD(list(other.weights().values()), lr=0.5)
    raw, opening = outer.raw.clone(), outer.opening.clone()
    grads = torch.cat([g.flatten() for g in with_gradients(other, 1)])
    outer.step_by(optimizer.step, 0.5, 0.01)
    torch.testing.assert_close(outer.raw, raw - 0.5 * grads * opening)
    with_gradients(one, 1)
    own.step(0.5, 0.01)
    assert torch.equal(own.score, outer.score) and torch.equal(own.gate_score, outer.gate_score)
    torch.testing.assert_close(outer.flat.values(), outer.raw * outer.opening)


def test_upr_by_torch_s_adam_is_upr_by_its_own() -> None:
    """Through the search, hardening and fine-tuning, with moments that are kept when the masks harden."""
    one, other = small(), small()
    own, outer = (method_of("upr", model, 0.7, search=0.5, moments="keep") for model in (one, other))
    optimizer = torch.optim.Adam(list(other.weights().values()), lr=0.01)
    for step in range(1, 25):
        with_gradients(one, step)
        own.step(0.01, step / 24)
        with_gradients(other, step)
        outer.step_by(optimizer.step, 0.01, step / 24)
        torch.testing.assert_close(own.flat.values(), outer.flat.values(), rtol=1e-6, atol=1e-9)
    assert own.hard == outer.hard == 1 and torch.equal(own.mask, outer.mask)
    assert own.sparsity() == outer.sparsity() == own.asked_zeros / own.size


def test_adam_restarts_when_masks_harden_unless_it_keeps_its_moments() -> None:
    for moments, restarted in (("restart", True), ("keep", False)):
        model = small()
        made = method_of("upr", model, 0.5, search=0.5, moments=moments)
        with_gradients(model, 1)
        made.step(0.01, 0.5)
        assert made.hard and bool((made.mean == 0).all()) is restarted and (made.steps == 0) is restarted
    with pytest.raises(UsageError, match=r"no method\.moments called 'lose'"):
        method_of("upr", small(), 0.5, moments="lose")


# --- Deep R ------------------------------------------------------------------------------------------------------------------


def test_deep_r_from_dense_is_never_sparser_than_asked() -> None:
    """All synapses are there at first; l1 prunes; where a layer would be sparser, dormant ones come back, at random."""
    model = network("fc", (20,), hidden=(30,)).double()
    made = method_of("deep-r", model, 0.6, start="dense", temperature=0.0, l1=0.3)
    limits = [round(0.6 * layer.size) for layer in made.flat]
    assert made.zeros() == 0
    before, seen = 0, [0]
    for step in range(1, 200):
        with_gradients(model, step)
        made.step(0.01, step / 400)
        zeros = [int((layer.values() == 0).sum()) for layer in made.flat]
        assert all(n <= limit + 1 for n, limit in zip(zeros, limits, strict=True))
        assert sum(zeros) >= before, "nothing regrows below the limit"
        before = sum(zeros)
        seen.append(before)
    assert made.zeros() == made.asked_zeros and made.is_final(0.5) and len(set(seen)) > 5
    alive = made.flat.alive()
    with_gradients(model, 500)
    made.step(0.01, 0.6)
    assert bool((made.flat.alive() != alive).any()) and made.zeros() == made.asked_zeros, "synapses move on"


def test_deep_r_from_dense_takes_the_same_steps_on_a_device() -> None:
    def trained() -> Tensor:
        model = network("fc", (20,), hidden=(30,)).double()
        made = method_of("deep-r", model, 0.6, start="dense", temperature=0.0, l1=0.3)
        for step in range(1, 130):
            with_gradients(model, step)
            made.step(0.01, step / 400)
        assert made.zeros() == made.asked_zeros
        return made.flat.values()

    here = trained()
    with as_on_cuda():
        assert torch.allclose(here, trained())


def test_deep_r_from_dense_ends_where_l1_leads() -> None:
    model = network("fc", (20,), hidden=(30,)).double()
    made = method_of("deep-r", model, 0.9, start="dense", temperature=0.0, l1=0.0)
    with_gradients(model, 1)
    made.step(1e-6, 1.0)
    assert made.sparsity() < 0.9 and made.is_final(1.0) and not made.is_final(0.99)
    with pytest.raises(UsageError, match=r"method\.start is dense.*Use deep-r"):
        method_of("soft-deep-r", model, 0.9, start="dense")


def test_nothing_is_drawn_where_more_are_active_than_wanted() -> None:
    theta = torch.linspace(-0.2, 1.0, 60)
    drawn = random_numbers.uniform_mask(theta, 20, random_numbers.key_of(0, random_numbers.REACTIVATION, 1))
    assert not bool(drawn.any())


# --- networks ----------------------------------------------------------------------------------------------------------------


def resnet19(stem: int, join: str) -> dict[str, int]:
    """Weights by connection: C_out C_in k^2."""
    found, before = {"conv1": stem * 3 * 9}, stem
    for stage, (channels, blocks) in BLOCKS.items():
        for block in range(1, blocks + 1):
            name = f"{stage}_block{block}"
            found[f"{name}a"], found[f"{name}b"] = channels * before * 9, channels * channels * 9
            if before != channels:
                found[f"{name}{'b_2' if join == 'membrane' else 'c'}"] = channels * before
            before = channels
    return found | {"fc1": 256 * 512, "output": 10 * 256}


VGG = [64 * 2 * 9, 128 * 64 * 9, 256 * 128 * 9, 256 * 256 * 9, 512 * 256 * 9, *[512 * 512 * 9] * 3, 10 * 512 * 9]
SEW = {"conv1": 64 * 3 * 49, "output": 1000 * 512} | {
    f"stage{s}_block{b}{part}": {"a": c * (c if b == 2 or s == 1 else c // 2) * 9, "b": c * c * 9, "c": c * c // 2}[part]
    for s, c in enumerate((64, 128, 256, 512), 1)
    for b in (1, 2)
    for part in ("abc" if s > 1 and b == 1 else "ab")
}
PUBLISHED: list[tuple[str, dict[str, Any], str, dict[str, int], int]] = [
    ("fc", {}, "mnist", {"hidden1": 800 * 784, "output": 8000}, 635_200),
    (
        "6conv2fc",
        {},
        "cifar10",
        {"conv1": 256 * 27, **{f"conv{i}": 256 * 256 * 9 for i in range(2, 7)}, "fc1": 2048 * 16384, "output": 100 * 2048},
        36_715_264,
    ),
    ("vggsnn", {}, "cifar10-dvs", dict(zip([*(f"conv{i}" for i in range(1, 9)), "output"], VGG, strict=True)), 9_263_232),
    ("resnet19", {}, "cifar10", resnet19(128, "membrane"), 12_687_232),
    ("resnet19", {"stem": 64}, "cifar10", resnet19(64, "membrane"), 12_619_968),
    ("resnet19", {"stem": 64, "shortcut": "spikes"}, "cifar10", resnet19(64, "spikes"), 12_619_968),
    ("sew-resnet18", {}, "imagenet", SEW, 11_678_912),
]


@pytest.mark.parametrize(("name", "options", "data", "weights", "total"), PUBLISHED, ids=lambda v: str(v) if isinstance(v, str) else "")
def test_weights_of_each_layer_are_the_published_ones(
    name: str, options: dict[str, Any], data: str, weights: dict[str, int], total: int
) -> None:
    module = registry.load(networks, "network", name)
    with torch.device("meta"):
        model = module.build(SHAPES[data], 1000 if data == "imagenet" else 10, 4, module.Options(**options), temporal=data == "cifar10-dvs")
    found = {key: w.numel() for key, w in model.weights().items()}
    assert found == weights and sum(found.values()) == total


def test_upr_s_resnet19_is_pruned_and_counted_as_in_the_authors_code() -> None:
    """All convolutions but the first have gates, the shortcuts' too; the first is not pruned; all is counted."""
    model = network("resnet19", width=2, stem=1, shortcut="spikes")
    made = method_of("upr", model, 0.5)
    convolutions = [name for name in resnet19(64, "spikes") if name.startswith("stage")]
    assert sorted(model.gates()) == sorted(convolutions)
    assert made.dense == ("conv1",) and set(reachable.reachable_synapses(model)) == set(resnet19(64, "spikes"))


@pytest.mark.parametrize("options", [{"stem": 3}, {"stem": 3, "shortcut": "spikes"}, {"shortcut": "spikes"}], ids=str)
def test_resnet19_hands_over_every_spike(options: dict[str, Any]) -> None:
    model = warmed_up(network("resnet19", (2, 8, 8), width=4, **options), 0)
    check_exact(export.fold(model), dataset_of(model, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network("resnet19", stem=0), r"net\.stem is 0"),
        (lambda: network("resnet19", shortcut="spike"), r"net\.shortcut called 'spike'. Did you mean 'spikes'"),
    ],
)
def test_options_that_make_no_sense(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
