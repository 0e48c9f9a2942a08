"""Options that every network has: standardised samples, folded into the first layer without the change of a spike."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from budget import examples
from graphgen import check_exact, dataset_of, random_network, single_threaded, spikes_of, warmed_up  # noqa: F401  # pyright: ignore[reportUnusedImport]
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import Labelled
from numpy.typing import NDArray
from spikeloom.compile import DeployedNetwork, compile_network
from spikeloom.data.dataset import load_dataset
from spikeloom.errors import NetworkError, PausedError, UsageError
from spikeloom.formats import onnx as model_onnx
from spikeloom.network import reference
from spikeloom.network.model import LIF, IntegerLIF
from spikeloom.runtime import run
from spikeloom.train import TrainedRun, export, fit, prune, reachable
from spikeloom.train.layers import SpikingNetwork
from spikeloom.train.methods.api import Pruning
from spikeloom.train.networks.api import Conv, Stack
from spikeloom.train.parts import Parts
from spikeloom.train.settings import TrainSettings
from spikeloom.train.shared_options import SURROGATES, Shared
from spikeloom.train.subject import ModuleWeights
from spikeloom.train.untrained import untrained
from spikingjelly.activation_based import neuron
from torch import nn


def built(net: str = "fc", **options: Any) -> SpikingNetwork:
    parts = Parts.of(TrainSettings(data="digits", net=net, net_options=options))
    model = parts.build_model(parts.load_data(False, _alone()), 3)
    assert isinstance(model, SpikingNetwork)
    return model


def fitted(*words: Any, **more: Any) -> TrainedRun:
    return cast(Any, fit)(*words, **{"epochs": 1, "batch_size": 500, "timesteps": 3, "device": "cpu", **more})


def _alone() -> Any:
    from spikeloom.train.distributed import World

    return World()


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 2**31), st.booleans())
@example(0, True)
@example(1, False)
def test_standardised_samples_hand_over_every_spike(seed: int, each: bool) -> None:
    """Whatever the first layer is: padded or not, pooled, with normalisations, biases and shortcuts from the input."""
    model = random_network(seed)
    rng = np.random.default_rng(seed)
    count = model.shape[0] if each else 1
    mean, std = (tuple(float(v) for v in rng.uniform(low, high, count)) for low, high in ((-0.5, 0.7), (0.2, 1.5)))
    Shared(mean=mean, std=std).apply(model, model.shape)
    model = warmed_up(model, seed)
    dataset = dataset_of(model)
    folded = export.fold(model)
    network = check_exact(folded, dataset)
    assert all(p.bias is None or p.bias.shape == (p.shape[0],) for p in network.populations)
    plain, after = spikes_of(copy.deepcopy(model).double(), dataset.train.values), spikes_of(folded.double(), dataset.train.values)
    differing = sum(int((plain[name] != after[name]).sum()) for name in plain)
    assert differing <= 0.02 * sum(raster.size for raster in plain.values())  # folding rounds weights to float32


def test_the_folded_first_layer_gives_the_currents_of_the_standardised_samples() -> None:
    """At the border of a padded map as well, where fewer taps meet the mean."""
    torch.manual_seed(0)
    model = built("6conv2fc", width=2, mean=(0.3,), std=(0.4,)).double().eval()
    x = torch.rand(5, 8, 8, dtype=torch.float64)
    first = next(layer for _, layer in model.named_layers())
    standard = model.standardise
    assert standard is not None
    wanted = first.inputs[0](standard(x.view(5, 1, 8, 8)))
    folded = export.fold(model)
    layer = next(layer for _, layer in folded.named_layers())
    assert folded.standardise is None and layer.bias is not None and layer.bias.shape == layer.shape
    assert torch.allclose(layer.inputs[0](x.view(5, 1, 8, 8)) + layer.bias, wanted, atol=1e-6)
    assert float((layer.bias.detach()[:, 0, 0] - layer.bias.detach()[:, 3, 3]).abs().max()) > 1e-3


def test_training_takes_the_mean_off_and_divides() -> None:
    model, plain = built(mean=(0.25,), std=(0.5,)), built()
    x = torch.rand(4, 8, 8)
    for a, b in zip(model.weights().values(), plain.weights().values(), strict=True):
        assert torch.equal(a, b), "initial weights are those without it"
    assert torch.equal(model(x), plain((x - 0.25) / 0.5))


def same_as_the_reference(deployed: DeployedNetwork, values: NDArray[np.uint8]) -> None:
    spikes = reference.simulate(deployed.network, reference.encode(deployed.network, values, seed=0))
    output = spikes[deployed.network.populations[-1].name]
    assert output.any()
    assert run(deployed, Labelled(values, reference.decide(output))).accuracy == 1.0


def test_from_training_to_the_chip(tmp_path: Path) -> None:
    options = {"hidden": (30,), "mean": 0.3, "std": "0.4"}
    trained = fitted("fc", "digits", "dense", 0.0, out=tmp_path / "run", net_options=options, epochs=4)
    assert [stage.name for stage in trained.stages] == ["float", "folded"]
    saved = json.loads((tmp_path / "run/settings.json").read_text())
    assert (saved["net_options"]["mean"], saved["net_options"]["std"]) == ([0.3], [0.4])
    network = model_onnx.read(trained.model)
    assert json.loads(network.provenance["net.mean"]) == [0.3]
    assert network.spiking[0].bias is not None
    same_as_the_reference(compile_network(trained, target="lava"), np.asarray(load_dataset("digits").test.values[:8]))
    with pytest.raises(NetworkError, match="has biases"):
        compile_network(trained, target="truenorth")


def test_a_padded_convolution_on_the_chip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    stack = Stack("small", (2, 6, 6), 4, temporal=False, scale=2.0)
    stack.linear("output", [stack.conv("conv1", ["input"], Conv(3))], 4, gain=8.0)
    model = stack.network(4, 1)
    Shared(mean=(0.2, 0.5), std=(0.3, 0.4)).apply(model, model.shape)
    dataset = dataset_of(model, 12)
    network = check_exact(export.fold(warmed_up(model, 0)), dataset)
    assert network.population("conv1").shape == (3 * 36,)
    path = tmp_path / "model.onnx"
    path.write_bytes(model_onnx.to_bytes(network))
    for encoding in ("current", "graded", "rate"):
        same_as_the_reference(compile_network(path, encoding=encoding, calibration=dataset.train), dataset.train.values)


def test_a_run_is_resumed_with_the_same_mean_only(tmp_path: Path) -> None:
    options = {"hidden": (10,), "mean": (0.3,), "std": (0.4,)}
    fitted("fc", "digits", out=tmp_path / "run", net_options=options)
    with pytest.raises(UsageError, match=r"net_options\.mean = \[0\.3\]"):
        fitted("fc", "digits", out=tmp_path / "run", resume=True, net_options={**options, "mean": (0.2,)})
    with pytest.raises(UsageError, match=r"another network: standardise\.(mean|std)"):
        fitted("fc", "digits", out=tmp_path / "other", init=tmp_path / "run", net_options={"hidden": (10,)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.1, 0.2)}, r"net\.mean has 2 numbers, 0\.1,0\.2\. Give one"),
        ({"std": (0.0,)}, r"net\.std is 0; .* above 0"),
        ({"mean": (float("nan"),)}, r"net\.mean is nan; .* finite"),
        ({"mean": "much"}, "mean of the network fc is 'much'"),
        ({"meen": 0.1}, r"option of the network fc .*'meen'.*Did you mean 'mean'"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        built(**options)


def test_one_number_per_channel_or_one_for_all() -> None:
    for mean in ((0.5,), (0.1, 0.2, 0.3)):
        model = untrained("fc", (3, 4, 4), options={"hidden": (5,), "mean": mean}, timesteps=2)
        assert model.spiking[0].bias is not None
    with pytest.raises(UsageError, match="one for each of the 3 channels of samples of shape"):
        untrained("fc", (3, 4, 4), options={"mean": (0.1, 0.2)}, timesteps=2)


@pytest.mark.parametrize("neurons", [{}, {"neuron": "if", "threshold": 2.0}], ids=str)
def test_integers_are_trained_with_the_mean_in_their_biases(neurons: dict[str, Any], tmp_path: Path) -> None:
    """What torch sends in the last epochs is what the file sends and the chip deploys, spike by spike."""
    options = {"hidden": (25,), "mean": (0.3,), "std": (0.37,), **neurons}
    words: dict[str, Any] = {"weight_bits": 8, "epochs": 4, "timesteps": 4, "batch_size": 40, "net_options": options}
    trained = fitted("fc", "digits", "grad-r", 0.5, out=tmp_path / "run", **words)
    assert [stage.name for stage in trained.stages] == ["float", "integer (torch)"] and trained.stages[-1].accuracy > 0.3
    network = model_onnx.read(trained.model)
    first = network.spiking[0]
    assert isinstance(first.neuron, IntegerLIF) and first.bias is not None and first.bias.dtype == np.int32 and bool(first.bias.any())
    test = load_dataset("digits").test
    deployed = compile_network(trained, target="lava")
    assert run(deployed, test).accuracy == trained.accuracy
    same_as_the_reference(deployed, np.asarray(test.values[:8]))


def test_gradients_of_the_weights_that_take_up_the_mean() -> None:
    torch.manual_seed(0)
    model = built(hidden=(5,), mean=(0.3,), std=(0.4,)).double()
    connection, standard = next(layer for _, layer in model.named_layers()).inputs[0], model.standardise
    assert standard is not None and isinstance(connection.op, nn.Linear)
    weight, bias = standard.taken_up(connection)
    x = torch.rand(3, 64, dtype=torch.float64)
    scale = torch.rand(3, 5, dtype=torch.float64)
    ((x @ weight.T + bias) * scale).sum().backward()
    found = connection.op.weight.grad
    connection.op.weight.grad = None
    (connection(standard(x)) * scale).sum().backward()
    torch.testing.assert_close(found, connection.op.weight.grad)


def test_options_that_are_the_defaults_are_not_written() -> None:
    parts = Parts.of(TrainSettings(data="digits", net_options={"std": (), "hidden": (5,)}))
    assert "std" not in parts.settings.net_options and parts.shared == Shared()


# --- neurons, initial weights and dropout ------------------------------------------------------------------------------------

NEURONS = [
    {"tau": 3.5},
    {"tau": 1.25, "decay_input": False, "threshold": 0.7},
    {"neuron": "if", "threshold": 1.5},
    {"surrogate": "sigmoid"},
    {"surrogate": "triangle", "alpha": 1.0, "neuron": "if"},
    {"surrogate": "rect", "decay_input": False},
    {"surrogate": "erf", "tau": 4.0},
    {"surrogate": "softsign", "threshold": 2.0},
    {"reset": "subtract", "tau": 3.0, "threshold": 1.5},
    {"reset": "subtract", "neuron": "if", "surrogate": "sigmoid"},
]


@pytest.mark.parametrize("options", NEURONS, ids=str)
def test_neurons_hand_over_every_spike(options: dict[str, Any]) -> None:
    model = random_network(3)
    Shared(**options).apply(model, model.shape)
    network = check_exact(export.fold(warmed_up(model, 3)), dataset_of(model))
    wanted = math.inf if options.get("neuron") == "if" else options.get("tau", 2.0)
    soft = options.get("reset") == "subtract"
    assert {(p.neuron.tau, p.neuron.soft_reset) for p in network.spiking if isinstance(p.neuron, LIF)} == {(wanted, soft)}


@pytest.mark.parametrize("options", NEURONS, ids=str)
def test_neurons_are_those_of_spikingjelly(options: dict[str, Any]) -> None:
    """Spikes are equal, and so are gradients to rounding, whichever kernel runs."""
    torch.manual_seed(0)
    model = untrained_model(**options)
    ours = next(layer for _, layer in model.named_layers()).neuron
    ours.repeat = None
    alpha = {} if "alpha" not in options else {"alpha": options["alpha"]}
    gradient = SURROGATES[options.get("surrogate", "atan")](**alpha)
    words: dict[str, Any] = {
        "v_threshold": options.get("threshold", 1.0),
        "surrogate_function": gradient,
        "detach_reset": True,
        "step_mode": "m",
        "v_reset": None if options.get("reset") == "subtract" else 0.0,
    }
    if options.get("neuron") == "if":
        other: Any = neuron.IFNode(**words)
    else:
        other = neuron.LIFNode(tau=options.get("tau", 2.0), decay_input=options.get("decay_input", True), **words)
    x = torch.randn(6, 3, 40) * 2
    mine, their = x.clone().requires_grad_(), x.clone().requires_grad_()
    spikes, expected = ours(mine), other(their)
    assert torch.equal(spikes, expected) and 0 < float(spikes.detach().mean()) < 1
    weight = torch.randn_like(x)
    (spikes * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(mine.grad, their.grad, rtol=1e-4, atol=1e-5)


def untrained_model(**options: Any) -> SpikingNetwork:
    return built("fc", hidden=(40,), **options)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_integers_follow_tau_threshold_and_reset(reset: str, tmp_path: Path) -> None:
    """What was trained in integers with neurons of another kind is deployed without the change of a spike."""
    options = {"hidden": (20,), "neuron": "if", "threshold": 2, "reset": reset}
    run = fitted("fc", "digits", out=tmp_path / "run", weight_bits=8, epochs=2, net_options=options)
    assert run.stages[-1].name == "integer (torch)"
    network = compile_network(run, target="lava")
    assert all(p.neuron.dv == 0 for p in network.network.spiking if isinstance(p.neuron, IntegerLIF))
    assert all(p.neuron.soft_reset == (reset == "subtract") for p in network.network.spiking if isinstance(p.neuron, IntegerLIF))
    same_as_the_reference(network, np.asarray(load_dataset("digits").test.values[:8]))
    with pytest.raises(UsageError, match=r"net\.surrogate is sigmoid"):
        fitted("fc", "digits", out=tmp_path / "other", weight_bits=8, epochs=2, net_options={"surrogate": "sigmoid"})


def test_initial_weights() -> None:
    """Kaiming, fan_out: a variance of 2 / (C_out k^2); torch: uniform in +-1/sqrt(inputs)."""
    for init in ("kaiming", "torch"):
        model = built("6conv2fc", width=24, init=init)
        for name, weight in model.weights().items():
            outputs, inputs = len(weight) * weight[0, 0].numel(), weight[0].numel()
            if init == "kaiming":
                assert float(weight.detach().std()) == pytest.approx(math.sqrt(2 / outputs), rel=0.2), name
            else:
                assert float(weight.detach().abs().max()) == pytest.approx(1 / math.sqrt(inputs), rel=0.05), name
    again = built("6conv2fc", width=24, init="kaiming")
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.weights().values(), built("6conv2fc", width=24, init="kaiming").weights().values(), strict=True)
    )


def test_dropout_where_it_is_asked_for() -> None:
    model = built("6conv2fc", width=2, dropout=0.0, dropouts="conv4:0.25,linear:0.5")
    found = {name: connection.dropout for name, connection in model.named_ops() if connection.dropout}
    assert found == {"conv4": 0.25, "fc1": 0.5, "output": 0.5}
    assert all(c.dropout == 0.1 for _, c in built(hidden=(5, 5), dropouts=("*:0.1",)).named_ops())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 1.0}, r"net\.tau is 1\.0; it must be above 1"),
        ({"neuron": "if", "tau": 3.0}, r"net\.neuron is if"),
        ({"neuron": "lit"}, "'lif' or 'if'"),
        ({"threshold": 0}, r"net\.threshold is 0"),
        ({"alpha": -1}, r"net\.alpha is -1"),
        ({"surrogate": "round"}, "surrogate of the network fc is 'round'"),
        ({"init": "kaiming", "gain": 2.0}, r"net\.gain is of .* Leave out one"),
        ({"dropouts": ("output",)}, r"net\.dropouts has 'output'; each is LAYER:P"),
        ({"dropouts": ("output:1",)}, r"net\.dropouts is 1\.0"),
        ({"dropouts": ("outptu:0.1",)}, r"no layer in net\.dropouts called 'outptu'.*Did you mean 'output'"),
    ],
)
def test_what_no_network_can_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        built(**options)


# --- layers that are left out ----------------------------------------------------------------------------------------------------


def stepped(method: str, sparsity: float, model: SpikingNetwork, steps: int = 12) -> Pruning:
    settings = TrainSettings(data="digits", method=method, sparsity=sparsity)
    made = Parts.of(settings).build_method(model, settings)
    assert isinstance(made, Pruning)
    for step in range(1, steps + 1):
        made.zero_grad()
        model(torch.rand(6, 8, 8)).square().sum().backward()
        made.step(0.01, step / steps)
    made.end_epoch(1.0)
    return made


METHODS = ("grad-r", "stds", "deep-r", "soft-deep-r", "esl", "upr")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["exempt", "unpruned"])
def test_layers_are_left_out(method: str, how: str) -> None:
    """By name and by pattern, in a network with convolutions: they keep all weights; the zeros are a share of what counts."""
    options = {how: ("conv1", "out*")}
    model = built("6conv2fc", width=3, votes=1, **options)
    every = {name: connection.op.weight for name, connection in model.named_ops() if connection.op is not None}
    assert set(every) - set(model.weights()) == {"conv1", "output"} and {"conv1.op", "output.op"} & set(model.others()) == set()
    made = stepped(method, 0.5, model)
    total = sum(w.numel() for name, w in every.items() if how == "unpruned" or name not in ("conv1", "output"))
    zeros = {name: int((w == 0).sum()) for name, w in every.items()}
    assert zeros["conv1"] == zeros["output"] == 0
    assert sum(zeros.values()) == round(0.5 * total) and made.sparsity() == round(0.5 * total) / total
    numbers = made.end_epoch(1.0)
    assert numbers["connectivity"] == 1 - made.sparsity()
    alive = sum(int(((every[n] != 0) * c.positions).sum()) for n, c in model.named_ops() if how == "unpruned" or n in model.weights())
    possible = sum(int(c.positions.expand(every[n].shape).sum()) for n, c in model.named_ops() if how == "unpruned" or n in model.weights())
    assert numbers["connectivity_unrolled"] == pytest.approx(alive / possible) == reachable.unrolled_connectivity(model)
    counted = reachable.reachable_synapses(model)
    assert set(counted) == (set(every) if how == "unpruned" else set(model.weights()))


def test_what_was_left_out_is_said(tmp_path: Path, spikeloom: Callable[..., Any]) -> None:
    words = ("--data", "digits", "--method", "grad-r", "--sparsity", 0.6, "--hidden", "12,8", "-T", 2, "--epochs", 1, "--device", "cpu")
    said = spikeloom("train", *words, "--exempt", "last", "--set", "net.unpruned=hidden2", "--out", tmp_path / "run").err
    assert "neither pruned nor counted: output" in said and "not pruned, but counted: hidden2" in said
    summary = json.loads((tmp_path / "run/train.json").read_text())
    assert summary["exempt"] == ["output"] and summary["unpruned"] == ["hidden2"]
    counted = 64 * 12 + 12 * 8
    assert summary["sparsity"] == round(0.6 * counted) / counted
    provenance = model_onnx.read(tmp_path / "run/model.onnx").provenance
    assert json.loads(provenance["net.exempt"]) == ["last"] and json.loads(provenance["uncounted"]) == ["output"]


def test_what_a_method_leaves_dense_of_itself_is_said_too(tmp_path: Path) -> None:
    words: dict[str, Any] = {"net_options": {"width": 2}, "timesteps": 1}
    assert fitted("resnet19", "digits", "upr", 0.5, out=tmp_path / "run", **words).unpruned == ("conv1",)


def test_left_out_layers_are_trained_by_adam_and_resumed(tmp_path: Path) -> None:
    """A stopped run goes on to the same bits, its dense layers and their moments included."""
    words: dict[str, Any] = {"net_options": {"hidden": (12,), "exempt": ("output",)}, "epochs": 3, "batch_size": 300}
    whole = fitted("fc", "digits", "grad-r", 0.7, out=tmp_path / "whole", **words)
    with pytest.raises(PausedError):
        fitted("fc", "digits", "grad-r", 0.7, out=tmp_path / "parts", time_limit=1e-9, **words)
    parts = fitted("fc", "digits", "grad-r", 0.7, out=tmp_path / "parts", resume=True, **words)
    assert whole.model.read_bytes() == parts.model.read_bytes() and whole.exempt == parts.exempt == ("output",)
    again = fitted("fc", "digits", "grad-r", 0.7, out=tmp_path / "parts", resume=True, **words)
    assert again.exempt == ("output",)


def test_layers_that_are_left_out_of_a_module() -> None:
    module = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Conv1d(3, 4, 3), nn.Flatten(), nn.Linear(16, 5))
    found = ModuleWeights(module, ("conv",))
    assert list(found.weights()) == ["3"] and found.exempt == ("0", "1") and not found.counted()
    assert list(ModuleWeights(module, unpruned=("first",)).counted()) == ["0"]
    optimizer = prune(module, "grad-r", 0.5, total_steps=2, exempt=["[13]"])
    assert list(optimizer.connectivity().layers) == ["0"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exempt": ("hiden1",)}, r"no layer in net\.exempt called 'hiden1'. Did you mean 'hidden1'"),
        ({"exempt": "conv"}, r"no layer in net\.exempt called 'conv'"),
        ({"exempt": ("linear",)}, "none is left to prune"),
        ({"exempt": ("output",), "unpruned": ("last",)}, "both name output"),
    ],
)
def test_layers_that_cannot_be_left_out(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        built(hidden=(5,), **options)


def test_a_sparsity_that_the_other_layers_cannot_reach() -> None:
    model = built(hidden=(5,), unpruned=("hidden1",))
    with pytest.raises(UsageError, match=r"fewer layers in net\.unpruned \(hidden1\)"):
        stepped("grad-r", 0.9, model)


def test_a_module_of_your_own_has_its_own_standardisation(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="option of the network"):
        fitted(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "digits", out=tmp_path / "run", net_options={"mean": (0.3,)})
