"""A user's module in `fit`; however it is called and whatever it returns, it is trained in place, saved by its own names, and compiles."""

from __future__ import annotations

import copy
import itertools
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import spikeloom
import torch
from safetensors.torch import load_file
from spikeloom.compile.compiler import Compilation
from spikeloom.data import as_dataset
from spikeloom.data.dataset import Dataset
from spikeloom.errors import DataError, MismatchError, NetworkError, PausedError, SpikeloomError, SpikeloomWarning, UsageError
from spikeloom.formats import onnx as model_onnx
from spikeloom.network import reference
from spikeloom.train import TrainSettings, fit
from spikeloom.train.own_module import identity_of
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

T = 4
RECIPE: dict[str, Any] = {"method": "grad-r", "sparsity": 0.5, "epochs": 5, "batch_size": 4, "lr": 0.04, "timesteps": T, "threads": 1}


def lif(**options: Any) -> neuron.LIFNode:
    return neuron.LIFNode(surrogate_function=surrogate.ATan(), **options)


def linear(inputs: int, outputs: int) -> Any:
    made = nn.Linear(inputs, outputs, bias=False)
    nn.init.uniform_(made.weight, -6 / inputs**0.5, 6 / inputs**0.5)
    return made


def chain(mode: str = "s", *, outputs: int = 3, recurrent: bool = False) -> Any:
    torch.manual_seed(0)
    first: list[nn.Module] = [linear(8, 12), nn.BatchNorm1d(12), lif()]
    if mode == "m":
        first = [layer.SeqToANNContainer(linear(8, 12), nn.BatchNorm1d(12)), lif()]
    if recurrent:
        first = [linear(8, 12), layer.LinearRecurrentContainer(lif(), 12, 12)]
    made = nn.Sequential(*first, linear(12, outputs), lif(v_reset=None))
    functional.set_step_mode(made, mode)
    return made


class Looped(nn.Module):
    """Makes its time steps itself, and returns a sum or mean over them, or all of them in a tuple."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.net, self.how = chain(), how

    def forward(self, x: Tensor) -> Any:
        steps = torch.stack([self.net(x) for _ in range(T)])
        return {"sum": lambda: steps.sum(0), "mean": lambda: steps.mean(0), "tuple": lambda: (None, steps)}[self.how]()


class Voting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net, self.vote = chain(outputs=6), layer.VotingLayer(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.vote(self.net(x))


def samples(count: int = 60, *, temporal: bool = False) -> Dataset:
    """Three classes, each bright in some of eight values."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    values = generator.integers(0, 100, (count, 8)) + 150 * (np.arange(8) % 3 == labels[:, None])
    if temporal:
        values = (generator.random((count, T, 8)) < values[:, None] / 255).astype(np.int64)
    return as_dataset((values, labels), test_fraction=0.3, levels=1 if temporal else 255, temporal=temporal)


def predicted(module: nn.Module, data: Dataset, *, steps: bool, sequence: bool) -> np.ndarray:
    """Return the classes that a module of SpikingJelly predicts, as its user would compute them."""
    x = torch.tensor(data.test.values / data.levels).double()
    if data.temporal:
        x = x.transpose(0, 1)
    module = module.double().eval()
    functional.reset_net(module)
    with torch.no_grad():
        if steps:
            total = torch.stack([module(each) for each in (x if data.temporal else [x] * T)]).sum(0)
        else:
            total = module(x if data.temporal or not sequence else x.expand(T, *x.shape))
            total = total[1] if isinstance(total, tuple) else total
            total = total.sum(0) if total.dim() == 3 else total
    functional.reset_net(module)
    return (total * 24).round().argmax(1).numpy()


@pytest.mark.parametrize(
    ("module", "steps", "temporal"),
    [
        (chain, True, False),
        (lambda: chain("m"), False, False),
        (lambda: Looped("sum"), False, False),
        (lambda: Looped("mean"), False, False),
        (lambda: Looped("tuple"), False, False),
        (Voting, True, False),
        (chain, True, True),
        (lambda: chain("m"), False, True),
    ],
    ids=["step", "sequence", "sum", "mean", "tuple", "votes", "step of frames", "sequence of frames"],
)
def test_however_it_is_called(module: Any, steps: bool, temporal: bool, tmp_path: Path) -> None:
    made, data = module(), samples(temporal=temporal)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    made.train()
    made[0].eval() if isinstance(made, nn.Sequential) else None
    modes = [part.training for part in made.modules()]
    run = fit(made, data, out=tmp_path / "run", **RECIPE)
    assert modes == [part.training for part in made.modules()]
    saved = load_file(run.folder / "model.safetensors")
    assert saved.keys() == before.keys() and all(torch.equal(saved[name], value) for name, value in made.state_dict().items())
    assert any(not torch.equal(before[name], value) for name, value in saved.items())
    weights = [value for value in saved.values() if value.dim() == 2]
    zeros = sum(int((value == 0).sum()) for value in weights)
    assert zeros == round(0.5 * sum(value.numel() for value in weights)) and run.sparsity == pytest.approx(0.5, abs=0.01)
    wanted = predicted(made, data, steps=steps, sequence=not isinstance(made, Looped))
    assert run.accuracy == float((wanted == data.test.labels).mean()) and run.accuracy > 0.5
    network = model_onnx.read(run.model)
    assert network.stages == run.stages and network.timesteps == T and network.votes == (2 if isinstance(made, Voting) else 1)
    spikes = reference.simulate_float(network, data.test.values)[network.populations[-1].name]
    assert (reference.decide(spikes, network.votes) == wanted).mean() > 0.95  # weights rounded to float32


@pytest.mark.parametrize("given", ["sample", "data"])
def test_a_module_trained_on_counts_is_compiled_with_their_scale(given: str, tmp_path: Path) -> None:
    """Training divides counts by the levels. Compiled as if a count had the value 1, the module would get up to 5 times its input."""
    values, labels = np.random.default_rng(0).integers(0, 6, (60, T, 8)), np.arange(60) % 3
    made = chain()
    data = as_dataset((values, labels), test_fraction=0.3, levels=5, temporal=True)
    fit(made, data, out=tmp_path / "run", **RECIPE)
    kept = copy.deepcopy(made).eval()

    def entry(reader: dict[str, float], counts: Any) -> Any:
        fed: dict[str, Any] = {"data": data}
        if given == "sample":
            fed = {"sample": torch.tensor(counts.swapaxes(0, 1)).float(), "timesteps": T, "events": True}
        return Compilation(kept, reader=reader, **fed).run_passes(stop_after="record").network.input

    trained = entry({"levels": 5}, values[:8] / 5)
    assert trained.scale == pytest.approx(0.2) and trained.levels == 5
    assert entry({"levels": 5, "scale": 1.0}, values[:8]).scale == 1.0


def test_what_was_trained_compiles_and_runs(tmp_path: Path) -> None:
    made, data = chain(), samples()
    run = spikeloom.fit(made, data, out=tmp_path / "run", **RECIPE)
    deployed = spikeloom.compile_network(run)
    results = spikeloom.run(deployed, data.test, check=True)
    assert results.check is not None and results.check.equal and results.accuracy is not None
    assert abs(results.accuracy - run.accuracy) < 0.2
    assert deployed.network.provenance["net"] == identity_of(made) and deployed.network.provenance["framework"] == "spikingjelly"


def test_paused_and_resumed_to_the_same_bits(tmp_path: Path) -> None:
    data = samples()
    whole = fit(chain(), data, out=tmp_path / "whole", **RECIPE)
    with pytest.raises(PausedError):
        fit(chain(), data, out=tmp_path / "paused", time_limit=0.0, **RECIPE)
    other = chain()
    with torch.no_grad():
        other[0].weight.zero_()  # its weights are those of the checkpoint, whatever these are; also before the first epoch
    ticks = itertools.count()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(PausedError, match="after epoch 1 of"):
        clock = SimpleNamespace(monotonic=lambda: float(next(ticks)), perf_counter=time.perf_counter)
        patch.setattr("spikeloom.train.loop.time", clock)  # the limit is over when the second epoch would begin
        fit(other, data, out=tmp_path / "paused", time_limit=1.5, resume=True, **RECIPE)
    resumed = fit(other, data, out=tmp_path / "paused", resume=True, **RECIPE)
    assert (resumed.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()
    assert fit(chain(), data, out=tmp_path / "paused", resume=True, **RECIPE) == resumed
    with pytest.raises(UsageError, match=r"net = 'own:Sequential:\w+', not 'own:Sequential:"):
        fit(chain(outputs=4), data, out=tmp_path / "paused", resume=True, **RECIPE)


def test_weights_of_a_run_are_a_start(tmp_path: Path) -> None:
    data = samples()
    options: dict[str, Any] = {**RECIPE, "epochs": 1, "method": "dense", "sparsity": 0.0}
    first = fit(chain(), data, out=tmp_path / "first", **options)
    made, options["lr"] = chain(), 1e-9
    fit(made, data, out=tmp_path / "second", init=first.folder, **options)
    weight = load_file(first.folder / "model.safetensors")["0.weight"]
    assert torch.allclose(weight, made[0].weight, atol=1e-6)


def test_the_network_and_the_data_in_either_order(tmp_path: Path) -> None:
    x, y = np.tile(np.arange(60)[:, None] / 60.0, 8), np.arange(60) % 3
    options: dict[str, Any] = {"epochs": 1, "batch_size": 9, "threads": 1, "data_options": {"value_range": (0, 1), "test": (x[:9], y[:9])}}
    runs = [
        fit(chain(), (x, y), out=tmp_path / "1", **options),
        fit((x, y), chain(), out=tmp_path / "2", **options),
        fit(net=chain(), data=(x, y), out=tmp_path / "3", **options),
        fit(chain(), data=(x, y), out=tmp_path / "4", **options),
        fit((x, y), net=chain(), out=tmp_path / "5", **options),  # pyright: ignore[reportCallIssue]
    ]
    assert len({(run.folder / "model.safetensors").read_bytes() for run in runs}) == 1
    named: dict[str, Any] = {"epochs": 1, "threads": 1, "hidden": (8,)}
    orders: list[tuple[Any, ...]] = [("digits",), ("digits", "fc"), ("fc", "digits")]
    names = [fit(*order, out=tmp_path / f"n{i}", **named).settings for i, order in enumerate(orders)]
    assert all((s.net, s.data) == ("fc", "digits") for s in names)


def test_layers_that_are_exempt_stay_dense(tmp_path: Path) -> None:
    made = chain()
    run = fit(made, samples(), out=tmp_path / "run", net_options={"exempt": ("0",)}, **RECIPE)
    assert bool((made[0].weight != 0).all()) and int((made[3].weight == 0).sum()) == 18
    assert run.settings.net_options == {"exempt": ("0",), "unpruned": ()}
    with pytest.raises(UsageError, match=r"no layer in exempt called '7'"):
        fit(chain(), samples(), out=tmp_path / "none", net_options={"exempt": ("7",)}, **RECIPE)


def test_what_model_onnx_cannot_hold_is_trained_and_said(tmp_path: Path) -> None:
    made = chain(recurrent=True)
    with pytest.warns(SpikeloomWarning, match=r"model\.onnx was not written: .* has a lag"):
        run = fit(made, samples(), out=tmp_path / "run", **RECIPE)
    assert not run.model.exists() and (run.folder / "model.safetensors").exists() and "lag" in run.warnings[-1]
    with pytest.raises(UsageError, match=r"a module that model\.onnx cannot hold.*--weights .*model\.safetensors"):
        spikeloom.compile_network(run)
    assert spikeloom.compile_network(made.eval(), timesteps=T, data=samples()).network.timesteps == T
    assert fit(made, samples(), out=tmp_path / "run", resume=True, **RECIPE) == run


# --- what is refused ------------------------------------------------------------------------------------------------------


def nan() -> nn.Module:
    made = chain()
    with torch.no_grad():
        made[0].weight[0, 0] = torch.nan
    return made


def hooked() -> nn.Module:
    made = chain()
    made[0].register_forward_hook(lambda *_: None)
    return made


def shared(*, weights: bool) -> nn.Module:
    first, cells = linear(8, 8), lif()
    return nn.Sequential(first, cells, first, lif()) if weights else nn.Sequential(first, cells, linear(8, 8), cells)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = chain()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if bool(x[:, 0].mean(0) > 0.5) else self.net(1 - x)


@pytest.mark.parametrize(
    ("module", "changes", "error", "said"),
    [
        (nan, {}, UsageError, r"layer 0 holds NaN or infinity"),
        (hooked, {}, UsageError, r"0 \(Linear\) has forward hooks"),
        (lambda: shared(weights=False), {}, NetworkError, r"1 runs 2 times in 4 time steps.*prune\."),
        (lambda: shared(weights=True), {}, UsageError, r"0\.weight and 2\.weight are the same weights"),
        (Branching, {}, NetworkError, r"\(Branching\) .*prune\."),
        (lambda: nn.Sequential(linear(8, 3), nn.ReLU()), {}, NetworkError, r"1 \(ReLU\) computes relu.*spikeloom\.train\.prune"),
        (lambda: nn.Sequential(linear(9, 3), lif()), {}, UsageError, r"shape \(4, 8\): RuntimeError: mat1 and mat2"),
        (lambda: chain(outputs=2), {}, UsageError, r"tells 2 classes apart, and own has labels 0\.\.2"),
        (lambda: chain().to("meta"), {}, UsageError, r"0\.weight is on the device meta"),
        (lambda: nn.Sequential(nn.LazyLinear(3), lif()), {}, UsageError, r"0\.weight is of a lazy layer"),
        (lambda: chain().half(), {}, UsageError, r"layer 0 is torch\.float16"),
        (lambda: nn.Sequential(lif()), {}, UsageError, r"no linear or convolutional layer to prune"),
        (chain, {"batch_size": 1}, UsageError, r"ValueError on a tensor of shape \(1, 8\): Expected more than 1.*batch_size of at least 2"),
        (chain, {"hidden": (3,)}, UsageError, r"called 'hidden'\. Known: exempt"),
        (chain, {"compile": True}, UsageError, r"compile is for Spikeloom's networks"),
        (lambda: Looped("sum"), {"timesteps": 5}, NetworkError, r"Join all 5 time steps"),
    ],
)  # fmt: skip
def test_modules_that_cannot_be_trained_say_why(
    module: Any, changes: dict[str, Any], error: type[SpikeloomError], said: str, tmp_path: Path
) -> None:
    with warnings.catch_warnings(), pytest.raises(error, match=said) as raised:
        warnings.simplefilter("error", SpikeloomWarning)
        fit(module(), samples(), out=tmp_path / "run", **(RECIPE | changes))
    assert not isinstance(raised.value, MismatchError)
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("data", "options", "error", "said"),
    [
        ((np.ones((6, 8)), np.arange(6) % 3), {}, UsageError, r"Say value_range=\(0, 1\).*data_options="),
        ((np.ones((6, 8)), np.arange(6) % 3), {"value_range": (0, 1)}, UsageError, r"no test samples.*data_options="),
        ((np.ones((6, 8)), np.arange(6) % 3), {"value_rang": (0, 1)}, UsageError, r"called 'value_rang'\. Did you mean 'value_range'"),
        ((np.ones((0, 8)), np.arange(0)), {"value_range": (0, 1)}, DataError, r"shape \(0, 8\)"),
        ((np.ones((2, 8), int), np.arange(2)), {"test_fraction": 0.5}, DataError, r"own has one training sample"),
        ((np.ones((6, 8), int), np.arange(6) - 1), {"test_fraction": 0.5}, DataError, r"from 0 on"),
        (samples(), {"levels": 3}, UsageError, r"data_options has levels, and a data set made of samples of your own has none"),
    ],
)
def test_data_that_cannot_be_trained_on_say_why(
    data: Any, options: dict[str, Any], error: type[SpikeloomError], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        fit(chain(), data, out=tmp_path / "run", data_options=options, **RECIPE)


def test_neither_network_nor_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"given a network and no data"):
        fit(chain(), out=tmp_path)
    with pytest.raises(UsageError, match=r"net is a tuple; fit takes a torch\.nn\.Module or the name of a network"):
        fit((np.ones(3), np.ones(3)), samples(), out=tmp_path)
    with pytest.raises(UsageError, match=r"own:Net:1 is a module of your own.*FILE\.py:NAME"):
        TrainSettings("digits", net="own:Net:1").check_names()
