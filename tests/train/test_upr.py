"""UPR held against its authors' code: which layers are gated, pruned and counted, by name; and its connectivity, synapse by synapse."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from budget import examples
from graphgen import dataset_of, random_network
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from spikeloom import registry
from spikeloom.compile.passes import record
from spikeloom.errors import UsageError
from spikeloom.train import TrainSettings, export, methods, networks, reachable
from spikeloom.train.connections import INPUT, Connection
from spikeloom.train.finished import TrainedRun
from spikeloom.train.layers import And, MaxPool, SpikingLayer, SpikingNetwork
from spikeloom.train.metrics import read_metrics
from spikeloom.train.running import train_run
from torch import Tensor, nn

# --- structure -------------------------------------------------------------------------------------------------------

CONVS = [f"conv{i}" for i in range(1, 9)]
INNER = [f"stage{s}_block{b}{part}" for s, blocks in ((1, 3), (2, 3), (3, 2)) for b in range(1, blocks + 1) for part in "ab"]
SHORTCUTS = ["stage2_block1b_2", "stage3_block1b_2"]  # convolutions 1x1 into the same membranes
SEW = [f"stage{s}_block{b}{part}" for s in range(1, 5) for b in (1, 2) for part in ("abc" if s > 1 and b == 1 else "ab")]

# Read in the authors' code (github.com/xyshi2000/Unstructured-Pruning): Cifar10Net, VGGSNN, ResNet19, SEWResNet_CIFAR, SEWResNet_ImageNet;
# fc has no counterpart there: linear layers never have gates, all weights are pruned. By network: gated, pruned, counted.
STRUCTURE: dict[str, tuple[list[str], list[str], list[str]]] = {
    "fc": ([], ["hidden1", "output"], ["hidden1", "output"]),
    "6conv2fc": (CONVS[1:6], [*CONVS[:6], "fc1", "output"], [*CONVS[:6], "fc1", "output"]),
    "vggsnn": (CONVS[1:], [*CONVS, "output"], [*CONVS, "output"]),
    "resnet19": (INNER, [*INNER, *SHORTCUTS, "fc1", "output"], ["conv1", *INNER, *SHORTCUTS, "fc1", "output"]),
    "sew-resnet18": (SEW, SEW, ["conv1", *SEW]),
}


def network(name: str, *, temporal: bool = False, side: int = 32, **options: Any) -> SpikingNetwork:
    torch.manual_seed(0)
    module = registry.load(networks, "network", name)
    options = options if name == "fc" else {"width": 2} | options
    return module.build((2 if temporal else 3, side, side), 10, 3, module.Options(**options), temporal=temporal)


def built(model: SpikingNetwork, name: str, method: str = "upr", sparsity: float = 0.0, **options: Any) -> Any:
    module = registry.load(methods, "method", method)
    settings = TrainSettings(data="cifar10", net=name, method=method, sparsity=sparsity)
    return module.build(model, settings, module.Options(**options))


def with_zeros(model: SpikingNetwork) -> list[str]:
    return [name for name, w in model.weights().items() if bool((w == 0).any())]


@pytest.mark.parametrize("temporal", [False, True], ids=["static", "events"])
@pytest.mark.parametrize("name", STRUCTURE)
def test_layers_are_gated_pruned_and_counted_as_in_the_authors_code(name: str, temporal: bool) -> None:
    gated, pruned, counted = STRUCTURE[name]
    model = network(name, temporal=temporal, side=32)
    upr = built(model, name, sparsity=0.9)
    assert list(model.gates()) == gated
    assert sorted(layer.name for layer in upr.flat if bool(torch.isfinite(upr.score[layer.part]).all())) == sorted(pruned)
    assert sorted(reachable.reachable_synapses(model)) == sorted(counted)
    upr.score += torch.rand(upr.size)
    upr.gate_score += 1.0
    upr.freeze()
    assert sorted(with_zeros(model)) == sorted(pruned)
    assert upr.zeros() == round(0.9 * upr.size)


def test_every_network_is_in_the_table() -> None:
    assert set(STRUCTURE) == set(registry.names(networks))


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("connect", ["add", "and", "iand"])
def test_both_stems_and_all_joins_of_sew_are_gated_alike(side: int, connect: str) -> None:
    model = network("sew-resnet18", side=side, connect=connect)
    assert list(model.add_gates()) == SEW and sorted(reachable.reachable_synapses(model)) == sorted(["conv1", *SEW])


@pytest.mark.parametrize("method", [m for m in registry.names(methods) if m not in ("upr", "dense")])
def test_other_methods_prune_every_layer_and_gate_none(method: str) -> None:
    model = network("sew-resnet18")
    rule = built(model, "sew-resnet18", method, 0.9)
    assert [layer.name for layer in rule.flat] == list(model.weights()) and not model.gates()


def test_energies_of_neurons_are_the_authors() -> None:
    """C_out k^2 / stride^2 over what a layer feeds; SEW's linear layer, which is not counted, adds nothing."""
    upr = built(network("6conv2fc"), "6conv2fc")
    assert upr.gates.energies == [18, 18, 18, 18, 16]  # conv6 feeds fc1, of 8 widths
    assert built(network("vggsnn"), "vggsnn").gates.energies[-2:] == [16 * 9, 10]  # conv8 feeds the output
    sew = built(network("sew-resnet18"), "sew-resnet18").gates
    energies = dict(zip(sew.parameters, sew.energies, strict=True))
    assert energies["stage4_block1b"] == energies["stage4_block1c"] == 16 * 9 and energies["stage4_block2b"] == 0
    assert energies["stage1_block2b"] == 4 * 9 / 4 + 4 / 4  # into the next stage and its shortcut, both of stride 2


def test_all_layers_can_be_pruned() -> None:
    model = network("sew-resnet18")
    upr = built(model, "sew-resnet18", sparsity=0.5, layers="all")
    upr.score += torch.rand(upr.size)
    upr.gate_score += 1.0
    upr.freeze()
    assert sorted(with_zeros(model)) == sorted(model.weights())


def test_a_sparsity_beyond_the_layers_that_are_pruned_is_refused_with_the_most_there_is() -> None:
    model = network("sew-resnet18")
    with pytest.raises(UsageError, match=r"does not prune conv1, output.* at most ([\d.]+), or prune") as refused:
        built(model, "sew-resnet18", sparsity=0.995)
    most = float(re.search(r"at most ([\d.]+), or", str(refused.value))[1])  # pyright: ignore[reportOptionalSubscript]
    built(network("sew-resnet18"), "sew-resnet18", sparsity=most).freeze()


# --- weights without a use ---------------------------------------------------------------------------------------------


def test_weights_from_closed_neurons_into_linear_layers_are_removed() -> None:
    """A gate of the last convolution closes columns of the linear layer behind the pool: a window once all its neurons are closed."""
    model = network("6conv2fc", side=16)
    upr = built(model, "6conv2fc", sparsity=0.3)
    upr.gate_score.fill_(1.0)
    gate = upr.gate_score[upr.gates.parts()[-1]].view(2, 8, 8)
    gate[0, 0, 0] = -1.0  # one of four neurons of a window
    gate[1, 2:4, 4:6] = -1.0  # the window (1, 2) of channel 1
    upr.freeze()
    columns = (model.weights()["fc1"] != 0).any(0).view(2, 4, 4)
    assert bool(columns[0, 0, 0]) and not bool(columns[1, 1, 2]) and int((~columns).sum()) == 1


# --- connectivity -------------------------------------------------------------------------------------------------------

Neuron = tuple[str, int]


def unrolled(connection: Connection) -> list[tuple[int, int, bool, Fraction]]:
    """Every possible synapse as (source, target, alive, share): written out position by position, averages neuron by neuron."""
    channels, *sides = connection.source_shape if len(connection.source_shape) == 3 else (connection.source_shape[0], 1, 1)
    pool, op = connection.pool, connection.op
    rows, columns = (side // pool for side in sides)
    share = Fraction(1, pool * pool)

    def window(c: int, y: int, x: int) -> list[int]:
        return [(c * sides[0] + y * pool + j) * sides[1] + x * pool + i for j in range(pool) for i in range(pool)]

    found: list[tuple[int, int, bool, Fraction]] = []
    places = list(itertools.product(range(channels), range(rows), range(columns)))
    if op is None:
        return [(s, t, True, share) for t, place in enumerate(places) for s in window(*place)]
    alive = (op.weight != 0).tolist()
    if isinstance(op, nn.Linear):
        return [(s, t, alive[t][i], share) for t in range(len(alive)) for i, place in enumerate(places) for s in window(*place)]
    stride, padding, kernel = op.stride[0], int(op.padding[0]), op.kernel_size[0]
    _, height, width = connection.shape
    for o, c, v, u in itertools.product(range(len(alive)), range(channels), range(kernel), range(kernel)):
        for y, x in itertools.product(range(height), range(width)):
            row, column = y * stride + v - padding, x * stride + u - padding
            if 0 <= row < rows and 0 <= column < columns:
                target = (o * height + y) * width + x
                found += [(s, target, alive[o][c][v][u], share) for s in window(c, row, column)]
    return found


def counted_by_hand(model: SpikingNetwork) -> dict[str, tuple[Fraction, Fraction]]:
    """Every synapse unrolled, reach spread neuron by neuron."""
    reached: set[Neuron] = {(INPUT, i) for i in range(math.prod(model.shape))}
    names = {id(c): name for name, c in model.named_ops()}
    counts: dict[str, tuple[Fraction, Fraction]] = {}
    for name, unit in model.units():
        if isinstance(unit, MaxPool):
            reached |= {(name, i) for i in max_pooled(unit, {i for source, i in reached if source == unit.sources[0]})}
        elif isinstance(unit, And):
            reached |= {(name, i) for i in range(math.prod(unit.shape)) if all((source, i) in reached for source in unit.positive)}
        else:
            closed = set() if unit.gate is None else {i for i, g in enumerate(unit.gate.flatten().tolist()) if g == 0}
            ends: set[int] = set()
            for connection in unit.inputs:
                synapses = unrolled(connection)
                crossed = [
                    (t, share)
                    for source in connection.sources
                    for s, t, alive, share in synapses
                    if alive and t not in closed and (source, s) in reached
                ]
                ends |= {t for t, _ in crossed}
                if connection.op is not None:
                    everything = sum((share for *_, share in synapses), Fraction(0)) * len(connection.sources)
                    counts[names[id(connection)]] = (sum((share for _, share in crossed), Fraction(0)), everything)
            reached |= {(name, t) for t in ends}
    return {name: count for name, count in counts.items() if name not in model.uncounted}


def max_pooled(pool: MaxPool, reached: set[int]) -> set[int]:
    channels, rows, columns = pool.source_shape
    _, height, width = pool.shape
    found: set[int] = set()
    for c, y, x, j, i in itertools.product(range(channels), range(height), range(width), range(pool.size), range(pool.size)):
        row, column = y * pool.stride + j - pool.padding, x * pool.stride + i - pool.padding
        if 0 <= row < rows and 0 <= column < columns and (c * rows + row) * columns + column in reached:
            found.add((c * height + y) * width + x)
    return found


def gated_and_pruned(model: SpikingNetwork, seed: int, density: float, opened: float) -> SpikingNetwork:
    generator = torch.Generator().manual_seed(seed)

    def kept(shape: torch.Size, share: float) -> Tensor:
        return torch.rand(shape, generator=generator) < share

    for w in model.weights().values():
        w.data *= kept(w.shape, density)
    for gate in model.add_gates().values():
        gate.data.copy_(kept(gate.shape, opened).float())
    return model


def check(model: SpikingNetwork) -> None:
    counts, expected = reachable.reachable_synapses(model), counted_by_hand(model)
    assert counts.keys() == expected.keys()
    for name, (counted, possible) in expected.items():
        assert counts[name] == pytest.approx((float(counted), float(possible)), rel=1e-12, abs=1e-12), name
    shares = zip(*expected.values(), strict=True)
    counted, possible = (sum(part, Fraction(0)) for part in shares)
    assert reachable.connectivity(model) == pytest.approx(float(counted / possible), rel=1e-12)


@settings(deadline=None, max_examples=examples(15))
@given(st.integers(0, 2**31 - 1), st.sampled_from([0.03, 0.2, 0.6, 1.0]), st.sampled_from([0.0, 0.3, 0.8, 1.0]))
def test_connectivity_of_random_graphs_is_that_of_their_unrolled_synapses(seed: int, density: float, opened: float) -> None:
    """Shortcuts, sums, pools, ANDs, strides, averages and gates."""
    check(gated_and_pruned(random_network(seed), seed, density, opened))


def by_layer(model: SpikingNetwork) -> dict[str, tuple[float, float]]:
    counts: dict[str, tuple[float, float]] = {}
    owners = {name: unit for unit, layer in model.named_layers() for name, c in model.named_ops() if c in layer.inputs}
    for name, (counted, possible) in reachable.reachable_synapses(model).items():
        before = counts.get(owners[name], (0.0, 0.0))
        counts[owners[name]] = (before[0] + counted, before[1] + possible)
    return counts


def recorded(model: SpikingNetwork, provenance: dict[str, str] | None = None) -> dict[str, tuple[float, float]]:
    """What the compiler counts in the network that is handed over."""
    network = export.network(export.fold(model), None, dataset_of(model), (), provenance or {})
    return dict(record.Record().run(network).network.reachable)


@settings(deadline=None, max_examples=examples(15))
@given(st.integers(0, 2**31 - 1), st.sampled_from([0.0, 0.05, 0.3, 0.9]), st.sampled_from([0.0, 0.4, 1.0]))
def test_the_compiler_counts_what_training_counted(seed: int, density: float, opened: float) -> None:
    model = gated_and_pruned(random_network(seed), seed, density, opened)
    assume(all(c.op is not None or c.pool == 1 for _, layer in model.named_layers() for c in layer.inputs))  # folding gives it weights
    counts, expected = recorded(model), by_layer(model)
    assert counts.keys() == expected.keys()
    for name, count in expected.items():
        assert counts[name] == pytest.approx(count, rel=1e-9, abs=1e-9), name


def test_the_compiler_leaves_out_what_training_leaves_out() -> None:
    model = gated_and_pruned(network("sew-resnet18", side=8, width=1), 0, 0.5, 0.7)
    counts = recorded(model, {"uncounted": json.dumps(model.uncounted)})
    assert "output" not in counts and counts.keys() == by_layer(model).keys()
    assert sum(c for c, _ in counts.values()) / sum(p for _, p in counts.values()) == pytest.approx(reachable.connectivity(model))


@pytest.mark.parametrize("name", [n for n in STRUCTURE if n != "fc"])
def test_connectivity_of_the_networks_is_that_of_their_unrolled_synapses(name: str) -> None:
    model = network(name, side=16 if name == "vggsnn" else 8, width=1, votes=1)
    check(gated_and_pruned(model, 3, 0.5, 0.6))


def test_a_chain_whose_first_link_is_cut_counts_nothing_behind_it() -> None:
    """2 - 3 - 3 - 2 neurons with three weights: a spike crosses one of them."""
    layers = {
        "a": SpikingLayer([Connection((INPUT,), (2,), nn.Linear(2, 3, bias=False))], 4),
        "b": SpikingLayer([Connection(("a",), (3,), nn.Linear(3, 3, bias=False))]),
        "output": SpikingLayer([Connection(("b",), (3,), nn.Linear(3, 2, bias=False))]),
    }
    model = SpikingNetwork(layers, (2,), 4, 2)
    with torch.no_grad():
        for w in model.weights().values():
            w.zero_()
        model.weights()["a"][0, 0] = -1.0  # reaches a[0], which nothing leads on from
        model.weights()["b"][1, 1] = 1.0
        model.weights()["output"][0, 1] = 1.0
    assert reachable.unrolled_connectivity(model) == 3 / 21 and reachable.connectivity(model) == 1 / 21


def test_gates_and_reach_make_it_smaller_than_weights_and_unrolled_synapses() -> None:
    """A quarter of the neurons and 30 % of the weights: little more than a third of the synapses left can be crossed."""
    model = gated_and_pruned(network("6conv2fc", width=4), 0, 0.3, 0.25)
    weights = torch.cat([w.detach().flatten() for w in model.weights().values()])
    assert float((weights != 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert reachable.unrolled_connectivity(model) == pytest.approx(0.3, abs=0.02)
    assert 0.1 < reachable.connectivity(model) < 0.12


def test_without_gates_and_zeros_every_count_is_one() -> None:
    for name in STRUCTURE:
        model = network(name)
        assert reachable.connectivity(model) == reachable.unrolled_connectivity(model) == 1.0


# --- runs -----------------------------------------------------------------------------------------------------------------


def recipe(**changes: Any) -> TrainSettings:
    small: dict[str, Any] = {"data": "digits", "net": "6conv2fc", "net_options": {"width": 2, "votes": 1}, "timesteps": 2}
    small |= {"method": "upr", "sparsity": 0.5, "epochs": 1, "batch_size": 256}
    return TrainSettings(**(small | changes))


def as_before(path: Path) -> None:
    """Rewrite a file of weights or a checkpoint as versions wrote it whose UPR gated conv1 and not conv6."""
    tensors, metadata = load_file(path), _metadata(path)
    gates = {n: n.replace("layers.conv6.gate", "layers.conv1.gate") for n in tensors}
    shape = (2, 8, 8)
    save_file({gates[n]: torch.ones(shape) if gates[n] != n else t for n, t in tensors.items()}, path, metadata)


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as handle:
        return handle.metadata() or {}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return train_run(recipe(), tmp_path_factory.mktemp("upr") / "run")


def test_a_finished_run_says_connectivity_three_ways(finished: TrainedRun) -> None:
    assert finished.connectivity_reachable is not None and finished.connectivity_unrolled is not None
    assert 0 < finished.connectivity_reachable < finished.connectivity_unrolled < 1
    assert finished.connectivity == 1 - finished.sparsity
    assert train_run(recipe(), finished.folder, resume=True) == finished
    row = read_metrics(finished.folder)[-1]
    assert row["connectivity_reachable"] == finished.connectivity_reachable
    assert row["connectivity_unrolled"] == finished.connectivity_unrolled


def test_a_run_begun_with_other_gates_is_not_resumed(finished: TrainedRun, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    (tmp_path / "run/train.json").unlink()  # as if it had been killed at its end
    as_before(tmp_path / "run/checkpoint.safetensors")
    said = r"another version of spikeloom, whose UPR gated the layers conv1, conv2.*, conv5; this one gates conv2, .*, conv6.*another --out"
    with pytest.raises(UsageError, match=said):
        train_run(recipe(), tmp_path / "run", resume=True)


def test_a_run_from_before_an_option_is_resumed_with_its_default(finished: TrainedRun, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    saved = json.loads((tmp_path / "run/settings.json").read_text())
    del saved["method_options"]["layers"]
    (tmp_path / "run/settings.json").write_text(json.dumps(saved))
    assert train_run(recipe(), tmp_path / "run", resume=True).stages == finished.stages
    with pytest.raises(UsageError, match="layers = 'published', not 'all'"):
        train_run(recipe(method_options={"layers": "all"}), tmp_path / "run", resume=True)


def test_gates_that_a_run_closed_stay_closed_on_any_layer(finished: TrainedRun, tmp_path: Path) -> None:
    """Weights to start from may be of a version that gated other layers."""
    weights = Path(shutil.copy(finished.folder / "model.safetensors", tmp_path))
    as_before(weights)
    closed = load_file(weights)
    closed["layers.conv1.gate"][0] = 0.0
    save_file(closed, weights)
    after = load_file(train_run(recipe(method="grad-r", init=str(weights)), tmp_path / "after").folder / "model.safetensors")
    assert {name for name in after if name.endswith("gate")} == {f"layers.conv{i}.gate" for i in range(1, 6)}
    assert not bool(after["layers.conv1.gate"][0].any())
