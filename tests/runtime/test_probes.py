"""Probes: what every backend records is what the definition gives, at every step; and how it is bounded, stored and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import spikeloom
from budget import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from netgen import Labelled, float_network, graph_network, integer_conv_network, integer_network, samples, seeds
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.passes import balance
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import BackendError, FormatError, MismatchError, UsageError
from spikeloom.network import Network, reference
from spikeloom.network.elements import Encoding
from spikeloom.runtime import Results, load_results, probes, run
from spikeloom.runtime.backends import lava, native, onnx, truenorth
from spikeloom.runtime.backends import reference as reference_backend
from spikeloom.runtime.backends import torch as torch_backend
from spikeloom.runtime.backends.api import BackendOptions, Recording, empty_registers
from test_sessions import crossbars, soft
from test_shards import in_threads

needs_lava = pytest.mark.skipif(lava.available() is not None, reason=lava.available() or "")
KINDS: dict[str, Callable[[int], Network]] = {
    "layers": lambda seed: integer_network(seed, layers=3, encoding=("current", "graded", "rate", "events")[seed % 4]),
    "soft": lambda seed: soft(integer_network(seed)),
    "lags": lambda seed: graph_network(seed, lags=True, backward=2),
    "maps": lambda seed: integer_conv_network(seed, temporal=seed % 2 == 0),  # with removed neurons
    "crossbars": lambda seed: crossbars(seed, leak=seed % 5),
}
NAMED: dict[str, ModuleType] = {"native": native, "torch": torch_backend, "onnx": onnx, "reference": reference_backend}


def registers_of(network: Network) -> tuple[str, ...]:
    """All registers that the network has."""
    return tuple(f"{p.name}.{state}" for p in network.spiking for state in ("u", "v") if state == "v" or hasattr(p.neuron, "du"))


def expected(network: Network, events: NDArray[Any]) -> dict[str, NDArray[np.int32]]:
    """The registers of the integer reference."""
    found = empty_registers(registers_of(network), network, len(events))
    reference.simulate(network, events, registers=found)
    return found


def hold(network: Network, events: NDArray[np.uint8], recording: Recording) -> None:
    """Hold every register of every neuron at every step, and every spike, against the reference."""
    assert recording.registers is not None and set(recording.registers) == set(registers_of(network))
    for name, values in expected(network, events).items():
        assert recording.registers[name].dtype == np.int32
        np.testing.assert_array_equal(recording.registers[name], values, err_msg=name)
    for name, raster in reference.simulate(network, events).items():
        assert (recording.spikes[name] == raster).all()


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.sampled_from([*KINDS]), st.sampled_from([*NAMED]), st.integers(1, 5))
@example(1, "layers", "native", 1)
@example(2, "layers", "torch", 3)
@example(3, "layers", "onnx", 3)
@example(2, "lags", "native", 70)
@example(4, "lags", "torch", 2)
@example(3, "maps", "native", 2)
@example(4, "maps", "torch", 2)
@example(4, "maps", "onnx", 2)
@example(1, "soft", "onnx", 2)
@example(7, "crossbars", "native", 3)
@example(7, "crossbars", "torch", 3)
def test_every_backend_records_the_registers_of_the_reference(seed: int, kind: str, backend: str, count: int) -> None:
    network = KINDS[kind](seed)
    events = reference.encode(network, samples(network, seed, count), seed=seed)
    if backend == "onnx" and kind in ("lags", "crossbars"):
        return  # it refuses them
    hold(network, events, NAMED[backend].simulate(network, events, BackendOptions(threads=1, registers=registers_of(network))))


@settings(max_examples=examples(15), deadline=None)
@given(seeds, st.sampled_from([*KINDS]))
@example(4, "maps")
@example(3, "lags")
def test_the_registers_of_the_reference_are_those_of_a_session(seed: int, kind: str) -> None:
    network = KINDS[kind](seed)
    values = samples(network, seed, 2)
    found = expected(network, reference.encode(network, values, seed=5))
    session = spikeloom.session(network, seed=5)
    for number, sample in enumerate(values):
        session.reset(number)
        for t in range(network.timesteps):
            session.step(sample[t] if network.input.is_temporal else sample)
            for p in network.spiking:
                assert (session.v[p.name] == found[f"{p.name}.v"][number, t]).all()
                assert p.name not in session.u or (session.u[p.name] == found[f"{p.name}.u"][number, t]).all()


def test_sums_beyond_32_bits_are_recorded_in_the_kernels_of_lags_too() -> None:
    network = graph_network(2, lags=True, backward=1)
    events = reference.encode(network, samples(network, 2, 70))
    recording = native.simulate(network, events, BackendOptions(threads=2, registers=("p1.v",)))
    assert recording.registers is not None and [*recording.registers] == ["p1.v"]
    assert (recording.registers["p1.v"] == expected(network, events)["p1.v"]).all()


@needs_lava
@pytest.mark.chain
@settings(max_examples=examples(2), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seeds, st.sampled_from(["lags", "maps"]), st.none() | st.integers(1, 3))
@example(1, "lags", 2)
@example(3, "maps", None)
def test_lava_records_the_registers_of_the_reference(seed: int, kind: str, batch_size: int | None) -> None:
    network = graph_network(seed, lags=True, backward=1, slack=True) if kind == "lags" else integer_conv_network(seed)
    network = balance.Balance(63).run(network).network
    events = reference.encode(network, samples(network, seed, 4), seed=seed)
    hold(network, events, lava.simulate(network, events, BackendOptions(registers=registers_of(network), batch_size=batch_size)))


@needs_lava
def test_lava_records_layers_that_can_never_spike() -> None:
    network = balance.Balance(63).run(integer_network(0, layers=3, density=0.0)).network
    bias = np.full(network.spiking[1].size, -64, np.int32)
    populations = tuple(p if i != 2 else type(p)(p.name, p.shape, p.neuron, bias=bias) for i, p in enumerate(network.populations))
    network = Network(populations, network.projections, network.timesteps, network.input)
    events = reference.encode(network, samples(network, 0, 2))
    recording = lava.simulate(network, events, BackendOptions(registers=registers_of(network)))
    hold(network, events, recording)
    assert recording.registers is not None and recording.registers["layer2.v"].any()


def test_truenorth_records_the_potentials_of_its_cores() -> None:
    deployed = on_crossbars()
    values = samples(deployed.network, 1, 5)
    names = [f"{p.name}.{state}" for p in deployed.network.on_chip for state in ("v", "spikes")]
    on_cores = run(deployed, values, backend="truenorth", probes=names, check=True)
    as_layers = run(deployed, values, backend="native", probes=names)
    assert any(on_cores.probes[name].any() for name in names if name.endswith(".v"))
    for name in names:
        assert (on_cores.probes[name] == as_layers.probes[name]).all()
    assert truenorth.RECORDS == ("v",)


# --- a run -----------------------------------------------------------------------------------------------------------


def on_crossbars() -> DeployedNetwork:
    """A network compiled for crossbars."""
    network = float_network(5, sizes=(18, 14, 8))
    calibration = Calibration(samples(network, 5, 16), np.zeros(16, np.int64))
    return spikeloom.compile_network(network, target="truenorth", mode="ternary", calibration=calibration)


def deployed_network(encoding: Encoding = "rate") -> tuple[DeployedNetwork, Labelled]:
    """A network with two layers, and samples for it."""
    deployed = spikeloom.compile_network(float_network(3, sizes=(20, 14, 5)), encoding=encoding)
    return deployed, Labelled(samples(deployed.network, 1, 12), np.arange(12) % 5)


@pytest.mark.parametrize("encoding", ["rate", "host", "current"])
@pytest.mark.parametrize("backend", ["native", "torch", "onnx", "reference"])
def test_a_run_records_what_is_probed_and_nothing_else_changes(backend: str, encoding: Encoding) -> None:
    deployed, data = deployed_network(encoding)
    names = ["layer1.v", "layer1.u", "layer2.v", "layer2.spikes", "layer1.spikes"]
    plain = run(deployed, data, backend=backend, seed=2)
    results = run(deployed, data, backend=backend, seed=2, probes=names, check=backend != "reference")
    events = reference.encode(deployed.network, data.values, seed=2)
    values, spikes = expected(deployed.network, events), reference.simulate(deployed.network, events)
    assert [*results.probes] == names
    for name in names:
        wanted = spikes[name.removesuffix(".spikes")] if name.endswith(".spikes") else values[name]
        assert results.probes[name].dtype == wanted.dtype and (results.probes[name] == wanted).all(), name
    same = ("layers", "cores", "energy", "accuracy", "rates", "raster")
    assert all(getattr(plain, name) == getattr(results, name) for name in same)
    assert (plain.output_counts == results.output_counts).all()


@pytest.mark.parametrize("which", [5, "first:5", 1, 40])
def test_some_samples_are_recorded_and_all_are_run(which: int | str) -> None:
    deployed, data = deployed_network()
    whole = run(deployed, data, probes=["layer1.v", "layer2.spikes"])
    some = run(deployed, data, probes=["layer1.v", "layer2.spikes"], probe_samples=which)
    assert whole.probed is not None and some.probed is not None
    chosen = some.probed.sample_ids
    assert len(chosen) == min(12, int(str(which).removeprefix("first:"))) and chosen[0] == 0
    for name in some.probes:
        assert (some.probes[name] == whole.probes[name][chosen]).all()
    assert (some.output_counts == whole.output_counts).all() and some.raster == whole.raster and some.rates == whole.rates


def test_batches_that_fit_the_memory_record_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed, data = deployed_network()
    whole = run(deployed, data, probes="layer1.v")
    monkeypatch.setattr(probes, "AT_ONCE", 1)
    parts = run(deployed, data, probes="layer1.v", samples=7, check=True)
    assert parts.sample_ids is not None
    assert (parts.probes["layer1.v"] == whole.probes["layer1.v"][parts.sample_ids]).all()


def test_several_processes_record_what_one_records() -> None:
    deployed, data = deployed_network()
    names = ["layer1.v", "layer2.spikes"]
    one = run(deployed, data, probes=names, probe_samples=5)
    shared: list[Results] = in_threads(3, lambda peers: run(deployed, data, probes=names, probe_samples=5, peers=peers))
    for results in shared:
        assert results.probed is not None and one.probed is not None
        assert results.probed.model_dump(mode="json") == one.probed.model_dump(mode="json")
        assert all((results.probes[name] == one.probes[name]).all() for name in names)


def test_what_is_stored_is_read_again(tmp_path: Path) -> None:
    deployed, data = deployed_network()
    results = run(deployed, data, probes=["layer1.v", "layer1.u", "layer2.spikes"], probe_samples=3)
    path = results.save(tmp_path / "results.json")
    entry = json.loads(path.read_text())["probed"]
    assert entry["file"] == "results-probes.safetensors" and entry["axes"] == ["samples", "timesteps", "neurons"]
    assert [(p["name"], p["dtype"], p["shape"]) for p in entry["probes"]] == [
        ("layer1.v", "int32", [3, 6, 9]),
        ("layer1.u", "int32", [3, 6, 9]),
        ("layer2.spikes", "bool", [3, 6, 5]),
    ]
    neuron: Any = deployed.network.population("layer1").neuron
    assert entry["probes"][0]["threshold"] == neuron.vth << 6 and "24 bits" in entry["probes"][0]["unit"]
    stored = load_file(tmp_path / entry["file"])
    assert stored["sample_ids"].tolist() == entry["sample_ids"] == [0, 6, 11]
    with safe_open(tmp_path / entry["file"], "np") as file:
        assert file.metadata()["layer1.v"] == entry["probes"][0]["unit"]
    again = load_results(tmp_path)
    assert again == results and [*again.probes] == [*results.probes] and len(again.probes) == 3 and "layer1.u" in again.probes
    for name in results.probes:
        assert (again.probes[name] == results.probes[name]).all() and again.probes[name].dtype == results.probes[name].dtype
    elsewhere = load_results(path).save(tmp_path / "other.json")
    assert (load_results(elsewhere).probes["layer1.v"] == results.probes["layer1.v"]).all()
    run(deployed, data).save(path)
    assert not (tmp_path / entry["file"]).exists() and not load_results(path).probes


def test_a_file_that_is_damaged_or_missing_is_said(tmp_path: Path) -> None:
    deployed, data = deployed_network()
    path = run(deployed, data, probes=["layer1.v"]).save(tmp_path / "results.json")
    place = tmp_path / "results-probes.safetensors"
    whole = place.read_bytes()
    place.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert load_results(path).accuracy is not None  # nobody needs the probes here
    with pytest.raises(FormatError, match=r"results-probes\.safetensors is damaged or of another run"):
        load_results(path).probes["layer1.v"]
    place.unlink()
    with pytest.raises(FormatError, match=r"copy both, or run the network again"):
        load_results(path).probes["layer1.v"]


# --- refusals --------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"probes": "layer3.v"},
        UsageError,
        r"'layer3\.v' names no layer .* Did you mean layer2 or layer1\? .* Layers: layer1, layer2\. States",
    ),
    ({"probes": ["v"]}, UsageError, r"'v' names no layer of the network"),
    ({"probes": ["layer1.w"]}, UsageError, r"Its probes: layer1\.spikes, layer1\.v, layer1\.u\."),
    ({"probes": ["layer1.v"], "backend": "truenorth"}, BackendError, r"truenorth records no synaptic|not compiled for crossbars"),
    ({"probes": ["layer1.u"], "backend": "truenorth"}, BackendError, r"records no synaptic currents \(u\).* These do: lava, native, onnx"),
    ({"probes": ["layer1.v"], "probe_samples": "0"}, UsageError, r"--probe-samples is 0; it must be at least 1"),
    ({"probe_samples": 3}, UsageError, r"there is no probe\. Name one with --probe"),
    ({"probes": ["layer1.v"], "probe_megabytes": 0}, UsageError, r"--probe-megabytes is 0"),
    ({"probes": [3]}, UsageError, r"run takes .* probes|probes"),
]


@pytest.mark.parametrize(("wrong", "kind", "said"), REFUSED)
def test_what_cannot_be_recorded_says_why(wrong: dict[str, Any], kind: type[Exception], said: str) -> None:
    deployed, data = deployed_network()
    with pytest.raises(kind, match=said):
        run(deployed, data, **wrong)


def test_a_crossbar_has_no_current() -> None:
    deployed = on_crossbars()
    name = deployed.network.on_chip[0].name
    with pytest.raises(UsageError, match=rf"Its probes: {name}\.spikes, {name}\.v\."):
        run(deployed, samples(deployed.network, 1, 2), probes=f"{name}.u")


def test_more_than_the_limit_names_the_size_and_what_fits() -> None:
    deployed, data = deployed_network()
    values = np.repeat(data.values, 500, axis=0)  # 6,000 samples x 6 steps x 9 neurons x 4 bytes: 1.2 MiB
    with pytest.raises(UsageError, match=r"of 6,000 samples fill 1\.2 MiB \(216 bytes per sample\); the limit is 1 MiB") as error:
        run(deployed, values, probes="layer1.v", probe_megabytes=1)
    assert "--probe-samples 4854" in str(error.value) and "--probe-megabytes 2" in str(error.value)
    assert run(deployed, values, probes="layer1.v", probe_megabytes=1, probe_samples=4854).probes["layer1.v"].shape == (4854, 6, 9)


def test_a_register_that_differs_is_found_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed, data = deployed_network()
    simulate = native.simulate

    def wrong(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
        found = simulate(network, events, options)
        if found.registers:
            found.registers["layer1.v"][2, 3, 4] += 1
        return found

    monkeypatch.setattr(native, "simulate", wrong)
    with pytest.raises(MismatchError, match=r"first at the probe layer1\.v, sample 2, step 3, neuron 4: .* 1 of 648 values"):
        run(deployed, data, probes="layer1.v", check=True)


def test_the_reference_is_not_checked_against_itself() -> None:
    deployed, data = deployed_network()
    with pytest.raises(UsageError, match=r"the backend is the reference"):
        run(deployed, data, backend="reference", check=True)
