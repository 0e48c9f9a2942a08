"""A user's module fine-tuned in the chip's integers: its spikes in training are those of what is deployed, all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spikeloom.compile import compile_network
from spikeloom.data import as_dataset
from spikeloom.data.dataset import Dataset
from spikeloom.errors import PausedError, UsageError
from spikeloom.formats import onnx as model_onnx
from spikeloom.hwmodels.quantise import LayerRegisters
from spikeloom.network import reference
from spikeloom.network.model import LIF, Threshold
from spikeloom.train import checkpoint, fit
from spikeloom.train.own_integers import integer_spikes
from spikeloom.train.own_module import Options, OwnModule, own_module
from spikeloom.train.quantise import IntegerArithmetic, choose_arithmetic
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

T = 4
RECIPE: dict[str, Any] = {"sparsity": 0.4, "epochs": 3, "batch_size": 8, "lr": 0.005, "timesteps": T, "threads": 1, "qat_fraction": 0.4}


def cells(kind: str = "LIFNode", **options: Any) -> nn.Module:
    return getattr(neuron, kind)(surrogate_function=surrogate.ATan(), **options)


def wide(module: nn.Module, mode: str = "m", seed: int = 0) -> Any:
    """Give a module weights at which it spikes, normalisations that have seen something, and its mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d):
                part.weight.copy_(torch.randn(part.weight.shape, generator=generator) * 3.0 / part.weight[0].numel() ** 0.5)
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
                part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=generator) * 0.2)
                part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.5)
                part.weight.copy_(torch.rand(part.weight.shape, generator=generator) + 0.5)
                part.bias.copy_(torch.randn(part.bias.shape, generator=generator) * 0.2)
    functional.set_step_mode(module, mode)
    return module


def maps(mode: str = "m", **options: Any) -> Any:
    """Return two blocks with normalisation, bias, max pooling and dropout, for 1 x 6 x 6 samples and three classes."""
    torch.manual_seed(0)
    parts = [
        layer.Conv2d(1, 4, 3, padding=1, bias=False), layer.BatchNorm2d(4), cells(**options), layer.MaxPool2d(2), layer.Dropout(0.2),
        layer.Conv2d(4, 4, 2, groups=2), cells("IFNode", v_reset=None), layer.Flatten(), layer.Linear(16, 3), layer.BatchNorm1d(3), cells(),
    ]  # fmt: skip
    return wide(nn.Sequential(*parts), mode)


def samples(*, temporal: bool = False, shape: tuple[int, ...] = (1, 6, 6)) -> Dataset:
    generator, labels = np.random.default_rng(0), np.arange(40) % 3
    size = int(np.prod(shape))
    values = generator.integers(0, 60, (40, size)) + 190 * (np.arange(size) % 3 == labels[:, None])
    values = values.reshape(40, *shape)
    if temporal:
        values = (generator.random((40, T, *shape)) < values[:, None] / 255).astype(np.int64)
    return as_dataset((values, labels), test_fraction=0.25, levels=1 if temporal else 255, temporal=temporal)


def in_training(module: nn.Module, data: Dataset, folder: Path) -> dict[str, np.ndarray]:
    """Return the spikes (samples, steps, neurons) that a module sends in quantised training, with the registers of its last checkpoint."""
    document = checkpoint.read(folder / "checkpoint.safetensors").document
    model = own_module(module, data, T, Options(), 8)
    model.use_integers(
        {n: IntegerArithmetic(LayerRegisters(**a["registers"]), a["levels"], a["input_scale"]) for n, a in document["arithmetic"].items()}
    )
    model.train()
    found = model.spikes_of(torch.tensor(data.test.values, dtype=torch.float32))
    return {name: torch.stack(sent, 1).flatten(2).numpy() != 0 for name, sent in found.items()}


@pytest.mark.parametrize("temporal", [False, True])
@pytest.mark.parametrize(("mode", "bits"), [("m", 8), ("s", 4)])
def test_the_spikes_of_training_are_those_deployed(mode: str, bits: int, temporal: bool, tmp_path: Path) -> None:
    made, data = maps(mode, decay_input=False, v_reset=-0.25), samples(temporal=temporal)
    run = fit(made, data, "grad-r", out=tmp_path / "run", weight_bits=bits, **RECIPE)
    network = model_onnx.read(run.model)
    assert not any(isinstance(p.neuron, LIF) for p in network.spiking) and any(isinstance(p.neuron, Threshold) for p in network.spiking)
    deployed = compile_network(run).network
    wanted = reference.simulate(deployed, reference.encode(deployed, data.test.values))
    found = in_training(made, data, run.folder)
    assert found.keys() == {"2", "6", "10"}
    exported = integer_spikes(network, data.test.values)
    for name, spikes in found.items():
        np.testing.assert_array_equal(spikes, exported[name])
        kept = deployed.population(name).living  # neurons and channels without a path to the output are not deployed
        if len(kept) == spikes.shape[-1]:
            np.testing.assert_array_equal(spikes[..., kept], wanted[name][..., kept])
        assert 0 < spikes.mean() < 1
    np.testing.assert_array_equal(found["10"], wanted["10"])
    assert run.accuracy == float((reference.decide(wanted["10"]) == data.test.labels).mean())
    assert [stage.name for stage in run.stages] == ["float", "integer (torch)"]
    assert run.integer_sparsity == pytest.approx(0.4, abs=0.01)


def test_resumed_in_integers_to_the_same_bits(tmp_path: Path) -> None:
    data = samples()
    recipe: dict[str, Any] = {**RECIPE, "weight_bits": 8, "method": "stds"}
    whole = fit(maps(), data, out=tmp_path / "whole", **recipe)
    with pytest.raises(PausedError):
        fit(maps(), data, out=tmp_path / "paused", time_limit=0.0, **recipe)
    for _ in range(2):
        with pytest.raises(PausedError):
            fit(maps(), data, out=tmp_path / "paused", time_limit=1e-3, resume=True, **recipe)
    again = fit(maps(), data, out=tmp_path / "paused", resume=True, **recipe)
    for name in ("model.safetensors", "model.onnx"):
        assert (again.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def chosen(model: OwnModule, data: Dataset, bits: int) -> dict[str, IntegerArithmetic]:
    made: dict[str, IntegerArithmetic] = {}
    for name, part in model.integer_parts().items():
        top, bias = data.levels if part.is_first else 1, None if part.bias is None else part.bias.numpy()
        made[name] = choose_arithmetic(part.weight.numpy(), part.neuron, bits, top, 1.0 / top, bias)
    return made


def test_gradients_are_those_of_the_float_module() -> None:
    """Where spikes differ gradients do, too, so single ones may lie apart: the middle one of all parameters of several modules does not."""
    data, cosines, ratios = samples(shape=(8,)), list[float](), list[float]()
    x, weight = torch.tensor(data.train.values).double(), torch.randn(T, len(data.train), 3, generator=torch.Generator().manual_seed(1))
    for seed in range(6):
        torch.manual_seed(seed)
        parts = layer.Linear(8, 30), cells(), layer.Linear(30, 3), layer.BatchNorm1d(3), cells(v_reset=None)
        made = wide(nn.Sequential(*parts), seed=seed)
        model = own_module(made, data, T, Options(), 8)
        found: list[list[Tensor]] = []
        for arithmetic in (None, chosen(model, data, 8)):
            model.use_integers(arithmetic)
            model.eval()
            model.zero_grad()
            (model(x.float() / 255 if arithmetic is None else x) * weight).sum().backward()
            found.append([p.grad.clone() for p in made.parameters() if p.grad is not None])
        assert len(found[0]) == len(found[1]) == 6
        cosines += [float(nn.functional.cosine_similarity(a.flatten(), b.flatten(), 0)) for a, b in zip(*found, strict=True)]
        ratios += [float(a.norm() / b.norm()) for a, b in zip(*found, strict=True)]
    assert np.median(cosines) > 0.95 and 0.9 < np.median(ratios) < 1.1


@example(seed=0, kind="LIFNode", soft=False, norm=True, bias=True, bits=2, temporal=False)
@example(seed=1, kind="IFNode", soft=True, norm=False, bias=True, bits=8, temporal=True)
@example(seed=2, kind="ParametricLIFNode", soft=True, norm=True, bias=False, bits=3, temporal=False)
@given(
    seed=st.integers(0, 1 << 16),
    kind=st.sampled_from(["IFNode", "LIFNode", "ParametricLIFNode"]),
    soft=st.booleans(),
    norm=st.booleans(),
    bias=st.booleans(),
    bits=st.integers(2, 8),
    temporal=st.booleans(),
)
@settings(max_examples=examples(15), deadline=None)
def test_random_modules_send_the_spikes_of_their_networks(
    seed: int, kind: str, soft: bool, norm: bool, bias: bool, bits: int, temporal: bool
) -> None:
    data = samples(temporal=temporal, shape=(2, 6))
    generator = np.random.default_rng(seed)
    options: dict[str, Any] = {
        "v_reset": None if soft else float(generator.choice([0.0, 0.0, -0.5])),
        "v_threshold": generator.uniform(0.5, 2),
    }
    options |= {"tau": float(generator.uniform(1.2, 5))} if kind == "LIFNode" else {}
    side = int(generator.integers(1, 4))
    parts: list[nn.Module] = [layer.Conv1d(2, 4, side, bias=bias)]
    parts += [layer.BatchNorm1d(4)] if norm else []
    parts += [cells(kind, **options), layer.Flatten()]
    size = 4 * (7 - side)
    parts += [layer.Linear(size, 3, bias=bias), cells(kind, **options)]
    made = wide(nn.Sequential(*parts), "m", seed)
    own_module(made, data, T, Options(), bits)  # compares every spike, and raises where one differs


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = maps()

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x - 0.5) / 0.25)


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.cells = nn.Linear(8, 8), cells()
        self.a, self.b, self.last = nn.Linear(8, 3), nn.Linear(8, 3), cells()

    def forward(self, x: Tensor) -> Tensor:
        s = self.cells(self.first(x))
        return self.last(self.a(s) + self.b(s))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 3), cells()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.linear(x, self.first.weight))


class Doubled(nn.Module):
    """Its forward in integers is not what its layers say: it looks at the type of what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = wide(nn.Linear(8, 3)), cells(step_mode="m")

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(x)
        return self.last(a + a if "forward" in vars(self.first) else a)


def apart(what: str) -> nn.Module:
    """Return a module whose hidden neurons each have a parameter of their own."""
    module = wide(nn.Sequential(layer.Linear(8, 4), cells(), layer.Linear(4, 3), cells()))
    setattr(module[1], what, torch.tensor([1.5, 2.0, 1.5, 2.0]))  # pyright: ignore[reportIndexIssue]
    return module


@pytest.mark.parametrize(
    ("module", "shape", "said"),
    [
        (lambda: wide(nn.Sequential(layer.Conv2d(1, 2, 3), cells(), layer.AvgPool2d(2), layer.Flatten(), layer.Linear(8, 3), cells())),
         (1, 6, 6), r"4 \(Linear\) receives what 2 \(AvgPool2d\) computes \(pool\) rather than spikes.*MaxPool"),
        (Scaled, (1, 6, 6), r"net\.0 \(Conv2d\) receives what the module \(Scaled\) computes .* leave the samples"),
        (Branches, (8,), r"last \(LIFNode\) receives what the module \(Branches\) computes \(add\).*one Linear"),
        (Functional, (8,), r"last \(LIFNode\) receives what the module \(Functional\) computes \(linear\)"),
        (lambda: wide(nn.Sequential(layer.Linear(8, 3), cells("CUBALIFNode", c_decay=0.5, v_decay=0.5))), (8,),
         r"1 \(CUBALIFNode\) has no such form\. Use neuron\.IFNode"),
        (lambda: apart("v_threshold"), (8,), r"1 \(LIFNode\) has no such form"),
        (lambda: apart("tau"), (8,), r"1 \(LIFNode\) has no such form"),
        (lambda: wide(nn.Sequential(layer.Linear(8, 3), layer.BatchNorm1d(3), layer.BatchNorm1d(3), cells())), (8,),
         r"3 \(LIFNode\) receives what 2, 1 makes of 0 \(Linear\)"),
        (Doubled, (8,), r"the spikes of last then differ from those of the network"),
    ],
)  # fmt: skip
def test_modules_without_an_integer_form_say_why(module: Any, shape: tuple[int, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said + r".*Leave out weight_bits"):
        fit(module(), samples(shape=shape), "grad-r", out=tmp_path / "run", weight_bits=8, **RECIPE)
    assert not (tmp_path / "run").exists()
