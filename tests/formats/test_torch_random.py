"""Random modules: every spike of the network is the module's; and what is deployed runs as the integer reference."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import spikeloom
import torch
from budget import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from modulegen import images, seeded
from spikeloom.formats.torch.module import proven
from spikeloom.network import reference
from spikingjelly.activation_based import functional, layer, neuron
from test_torch import sew, spikes_of
from torch import nn

SEEDS = (1, 5, 10, 12, 20, 47)  # of modules all of whose layers spike
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]


def cell(rng: random.Random) -> nn.Module:
    """Return neurons of a random kind, threshold and reset."""
    reset = rng.choice([0.0, None, None, -0.25, 0.125])
    threshold = rng.choice([0.5, 0.75, 1.0])
    kinds: list[Any] = [
        lambda: neuron.IFNode(threshold, reset),
        lambda: neuron.LIFNode(rng.choice([1.5, 2.0, 3.7]), rng.random() < 0.5, threshold, reset),
        lambda: neuron.ParametricLIFNode(rng.choice([1.25, 2.0, 4.0]), rng.random() < 0.5, threshold, reset),
        lambda: neuron.CUBALIFNode(rng.choice([0.25, 0.5]), rng.choice([0.5, 0.75]), threshold, None if reset is None else 0.0),
    ]
    return kinds[rng.choices(range(4), [3, 4, 2, 1])[0]]()


class Branch(nn.Module):
    """Two paths brought together."""

    def __init__(self, rng: random.Random, channels: int) -> None:
        super().__init__()
        self.kind = rng.choice(["ADD", "AND", "IAND", "cat"])
        self.path = nn.Sequential(
            layer.Conv2d(channels, channels, 3, padding=1, bias=rng.random() < 0.5), layer.BatchNorm2d(channels), cell(rng)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.path(x)
        return torch.cat((x, y), x.dim() - 3) if self.kind == "cat" else sew(x, y, self.kind)


def module_of(rng: random.Random) -> tuple[nn.Module, torch.Tensor, int, str]:
    """Return a random module with samples, time steps and the form of its forward."""
    side, channels, steps = rng.choice([6, 7, 8]), rng.choice([1, 2]), rng.choice([1, 2, 4, 6])
    shape, layers, spikes = (rng.choice([1, 2]), channels, side, side), list[nn.Module](), False
    for _ in range(rng.randint(1, 3)):
        groups = rng.choice([g for g in (1, 2) if channels % g == 0])
        out = groups * rng.choice([1, 2, 3])
        options: dict[str, Any] = {
            "stride": rng.choice([1, 1, 2, (1, 2)]),
            "padding": rng.choice([0, 1, (1, 0), (0, 2)]),
            "dilation": rng.choice([1, 1, 2]),
        }
        layers.append(layer.Conv2d(channels, out, rng.choice([1, 2, (1, 3)]), groups=groups, bias=rng.random() < 0.5, **options))
        channels = out
        if rng.random() < 0.6:
            layers.append(layer.BatchNorm2d(channels))
        if rng.random() < 0.2:
            layers.append(layer.AvgPool2d(2, 1))
        layers.append(cell(rng))
        if rng.random() < 0.3:
            layers.append(layer.MaxPool2d(2, 1, padding=rng.choice([0, 1])))
        if rng.random() < 0.3:
            branch = Branch(rng, channels)
            layers.append(branch)
            channels *= 1 + (branch.kind == "cat")
        if rng.random() < 0.2:
            layers.append(layer.Dropout(0.5))
    spikes = rng.random() < 0.5
    layers += [layer.AdaptiveAvgPool2d(2)] if spikes else []
    layers.append(layer.Flatten())
    form = rng.choice(["step", "sequence"])
    body = nn.Sequential(*layers).eval()
    with torch.no_grad():
        width = body(torch.zeros(shape)).shape[1]
    functional.reset_net(body)
    votes = rng.choice([1, 1, 2])
    module = nn.Sequential(*layers, layer.Linear(width, 3 * votes), cell(rng), *([layer.VotingLayer(2)] if votes == 2 else []))
    module = seeded(module, rng.getrandbits(32), rng.choice([4.0, 8.0]))
    for part in module.modules():  # a CUBALIFNode has no constructor argument for it
        if hasattr(part, "step_mode"):
            part.step_mode = "m" if form == "sequence" else "s"  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    return module, images(*shape, seed=rng.getrandbits(16)), steps, form


@settings(max_examples=examples(24), deadline=None, suppress_health_check=CHECKS)
@example(0)
@example(1)
@given(st.integers(0, 2**32 - 1))
def test_random_modules_send_the_same_spikes(seed: int) -> None:
    sends_the_same(seed)


@pytest.mark.slow
@settings(max_examples=examples(200), deadline=None, suppress_health_check=CHECKS)
@given(st.integers(0, 2**32 - 1))
def test_two_hundred_random_modules_send_the_same_spikes(seed: int) -> None:
    sends_the_same(seed)


def sends_the_same(seed: int) -> None:
    """Every spike of a random module's network is the module's."""
    try:
        module, x, steps, form = module_of(random.Random(seed))
    except RuntimeError as error:  # a kernel larger than its map
        assert "size" in str(error)
        return
    drawn = proven(module, sample=x, timesteps=steps)
    found = reference.simulate_float(drawn.exact, np.rint(x.numpy() * 255).astype(np.int64))
    wanted = spikes_of(module, x, steps, form=form)
    for name in wanted.keys() & found.keys():
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    assert drawn.network.populations[-1].name in wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_random_modules_deploy_as_the_reference(seed: int) -> None:
    module, x, steps, form = module_of(random.Random(seed))
    assert all(spikes.any() for spikes in spikes_of(module, x, steps, form=form).values())
    deployed = spikeloom.compile_network(module, sample=x, timesteps=steps, calibration=images(8, *x.shape[1:]))
    results = spikeloom.run(deployed, np.rint(images(4, *x.shape[1:]).numpy() * 255).astype(np.uint8), check=True)
    assert results.output_counts is not None
    assert results.output_counts.any()
