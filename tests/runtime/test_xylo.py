"""Networks of Xylo's neurons on every backend that runs them, spike for spike: the reference, the native form, the maker's simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from extras import library
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import Labelled, samples, seeds
from spikeloom import session
from spikeloom.compile import compile_network
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import BackendError, MismatchError, UsageError
from spikeloom.network import reference
from spikeloom.network.model import Network
from spikeloom.runtime import run
from spikeloom.runtime.backends import native, xylosim
from spikeloom.runtime.backends.api import BackendOptions, empty_registers
from spikeloom.runtime.simulator import compare
from xylogen import fitting, xylo_network


@pytest.fixture(scope="module")
def simulator() -> None:
    """Skip a test where the maker's simulator is not installed."""
    library("xylosim")


def check(network: Network, backend: Any, seed: int, count: int = 4) -> int:
    """Compare every spike and register with the reference; return how many spikes there were."""
    events = reference.encode(network, samples(network, seed, count))
    names = tuple(f"{p.name}.{state}" for p in network.spiking for state in "uv")
    registers = empty_registers(names, network, count)
    expected = reference.simulate(network, events, registers=registers)
    found = backend.simulate(network, events, BackendOptions(registers=names))
    compare(expected, found.spikes, backend.__name__)
    assert found.registers is not None and all((registers[name] == found.registers[name]).all() for name in names)
    assert {name: raster.dtype for name, raster in found.spikes.items()} == {name: raster.dtype for name, raster in expected.items()}
    return sum(int(raster.sum()) for raster in expected.values())


def deployed(seed: int = 3, **options: Any) -> DeployedNetwork:
    network = fitting(seed, **options)
    return compile_network(network, target="xylo", calibration=Calibration(samples(network, 1, 16), np.zeros(16, np.int64)))


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(1, 3), st.booleans())
@example(1, 3, True)
def test_native_equals_reference(seed: int, layers: int, wild: bool) -> None:
    check(xylo_network(seed, layers=layers, wild=wild), native, seed)


@pytest.mark.usefixtures("simulator")
@settings(max_examples=examples(8), deadline=None)
@given(seeds, st.integers(1, 3), st.booleans())
@example(1, 3, True)
@example(0, 1, False)
def test_xylosim_equals_reference(seed: int, layers: int, wild: bool) -> None:
    check(xylo_network(seed, layers=layers, wild=wild), xylosim, seed)


@pytest.mark.usefixtures("simulator")
def test_xylosim_equals_reference_on_200_neurons_over_200_steps() -> None:
    network = xylo_network(7, layers=2, most=110, timesteps=200, density=0.3)
    assert sum(p.count for p in network.spiking) > 100
    assert check(network, xylosim, 7, 1) > 10_000


@pytest.mark.usefixtures("simulator")
def test_xylosim_equals_reference_on_a_compiled_network() -> None:
    network = deployed()
    values = samples(network.network, 2, 12)
    found = run(network, Labelled(values, np.zeros(12, np.int64)), backend="xylosim", check=True, probes=("hidden1.v", "hidden1.spikes"))
    again = run(network, Labelled(values, np.zeros(12, np.int64)), check=True, probes=("hidden1.v", "hidden1.spikes"))
    assert again.provenance.native_form == "NumPy and SciPy"
    assert found.energy == again.energy and (found.output_counts == again.output_counts).all()
    assert all((found.probes[name] == again.probes[name]).all() for name in ("hidden1.v", "hidden1.spikes"))


def test_counts_of_spikes_are_kept(tmp_path: Path) -> None:
    """A neuron that spikes several times in a step sends one message; the number of its spikes is in the probe."""
    network = deployed(3)
    values = samples(network.network, 2, 12)
    found = run(network, values, check=True, probes=("hidden1.spikes", "hidden1.u"), folder=tmp_path)
    expected = reference.simulate(network.network, reference.encode(network.network, values))["hidden1"]
    assert expected.max() > 1 and expected.dtype == np.uint8
    assert (found.probes["hidden1.spikes"] == expected).all() and found.probes["hidden1.spikes"].dtype == np.uint8
    (layer,) = [row for row in found.records("layers") if row["name"] == "hidden1"]
    assert layer["spikes_per_sample"] == np.count_nonzero(expected) / 12
    assert found.probed is not None and "16 bits" in found.probed.probes[1].unit


def test_one_spike_more_is_found_and_named() -> None:
    network = xylo_network(3, layers=1)
    expected = reference.simulate(network, reference.encode(network, samples(network, 3)))
    wrong = {name: raster.copy() for name, raster in expected.items()}
    sample, step, neuron = (int(i) for i in np.argwhere(expected["hidden1"] > 1)[0])
    wrong["hidden1"][sample, step, neuron] -= 1
    count = int(expected["hidden1"][sample, step, neuron])
    with pytest.raises(MismatchError, match=rf"sample {sample}, step {step}, neuron {neuron}: the reference has {count} spikes there"):
        compare(expected, wrong, "wrong")


def test_power_is_counted_for_the_time_of_the_sample() -> None:
    network = deployed()
    found = run(network, samples(network.network, 2, 4))
    seconds = network.network.timesteps * 0.01
    assert found.energy.dynamic_joules_per_sample == pytest.approx(291e-6 * seconds)
    assert found.energy.joules_per_sample == pytest.approx((291e-6 + 219e-6) * seconds)
    assert found.energy.static_joules_low == pytest.approx(216e-6 * seconds)
    assert found.latency.seconds_per_step == pytest.approx(0.01)


def test_a_missing_simulator_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    network = xylo_network(1)
    with pytest.raises(BackendError, match=r"Install it with: pip install xylosim==0.1.3"):
        xylosim.simulate(network, reference.encode(network, samples(network, 1)), BackendOptions())


def test_a_worker_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's compiled code may crash: that ends the worker alone. One that hangs is stopped."""
    network = xylo_network(1)
    events = reference.encode(network, samples(network, 1))
    monkeypatch.setattr(xylosim, "available", lambda: None)
    worker = tmp_path / "worker.py"
    monkeypatch.setattr(xylosim, "WORKER", worker)
    worker.write_text("import os\nprint('so far', flush=True)\nos.kill(os.getpid(), 11)\n")
    with pytest.raises(BackendError, match=r"was killed by signal 11(.|\n)*so far"):
        xylosim.simulate(network, events, BackendOptions())
    worker.write_text("raise SystemExit('no module named xylosim')\n")
    with pytest.raises(BackendError, match=r"failed(.|\n)*no module named xylosim"):
        xylosim.simulate(network, events, BackendOptions())
    worker.write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(BackendError, match=r"stopped at the time limit of 0.2 s"):
        xylosim.simulate(network, events, BackendOptions(time_limit=0.2))


def test_others_say_that_they_do_not_run_it() -> None:
    network = deployed()
    values = samples(network.network, 2, 2)
    for backend, said in (("truenorth", "not compiled for crossbars"), ("lava", "all that Lava runs|needs")):
        with pytest.raises(BackendError, match=said):
            run(network, values, backend=backend)
    with pytest.raises(BackendError, match="not compiled for Xylo"):
        xylosim.simulate(compile_network(fitting(3, tau_syn=1.0), target="lava", chip="loihi2").network, values, BackendOptions())
    with pytest.raises(UsageError, match=r"A session has no step for the neurons of layer hidden1 \(XyloLIF\)"):
        session(network)
