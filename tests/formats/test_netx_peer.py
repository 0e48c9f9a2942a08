"""Files of netx, theirs and ours, in lava-dl's netx itself."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from netxgen import random_chain, random_file
from numpy.typing import NDArray
from spikeloom.formats.netx import reader, writer
from spikeloom.network import reference

# Lava's netx itself

PEER = Path(__file__).parents[1] / "netx_peer" / "run_netx.py"
WORKER = Path(reference.__file__).parents[1] / "runtime" / "lava_worker"


def netx_here() -> bool:
    spec = importlib.util.find_spec("lava")
    places = [*(spec.submodule_search_locations or [])] if spec else []
    return any((Path(p) / "lib" / "dl" / "netx").is_dir() for p in places) and any((Path(p) / "magma").is_dir() for p in places)


def run_netx(net: Path, entering: NDArray[Any], steps: int, bits: int = 0) -> NDArray[np.bool_]:
    """Return the last layer's spikes (steps, neurons) in our order of neurons."""
    events, out = net.with_suffix(".events.npy"), net.with_suffix(".out.npy")
    np.save(events, entering)
    command = [sys.executable, str(PEER), str(WORKER), str(net), str(events), str(out), str(steps), str(bits)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, env=os.environ)
    assert done.returncode == 0, done.stderr
    spikes = np.load(out)
    return (spikes.T if spikes.ndim == 2 else spikes.transpose(3, 2, 1, 0).reshape(steps, -1)) > 0


needs_netx = pytest.mark.skipif(
    not netx_here(), reason="lava-nc and lava-dl are not both installed: pip install --ignore-requires-python --no-deps lava-nc lava-dl"
)


@pytest.mark.slow
@needs_netx
@pytest.mark.parametrize("seed", [0, 1, 4, 7, 9, 15])
def test_netx_spikes_as_we_do_on_its_files(seed: int, tmp_path: Path) -> None:
    inputs = random_file(seed, path := tmp_path / "random.net")
    network = reader.read(path)
    events = (np.random.default_rng(seed).random((network.timesteps, inputs)) < 0.5).astype(np.int64)
    ours = reference.simulate(network, events[None])[network.populations[-1].name][0]
    shape = network.populations[0].shape
    entering = events.T if len(shape) == 1 else events.reshape(-1, *shape).transpose(3, 2, 1, 0)
    depth = len(network.spiking)
    theirs = run_netx(path, entering, network.timesteps + depth)
    assert ours.any()
    assert (theirs[depth:] == ours).all()


@pytest.mark.slow
@needs_netx
@pytest.mark.parametrize("seed", range(4))
def test_netx_loads_ours(seed: int, tmp_path: Path) -> None:
    network = random_chain(seed, biases=seed % 2 == 0)
    path = writer.write_integers(network, tmp_path / "chain.net")
    events = (np.random.default_rng(seed).random((network.timesteps, network.populations[0].size)) < 0.5).astype(np.int64)
    ours = reference.simulate(network, events[None])[network.populations[-1].name][0]
    depth = len(network.spiking)
    flat = len(network.populations[1].shape) == 1
    entering = events.T if flat else events.reshape(-1, *network.populations[0].shape).transpose(3, 2, 1, 0)
    theirs = run_netx(path, entering, network.timesteps + depth)
    assert ours.any()
    assert (theirs[depth:] == ours).all()


@pytest.mark.slow
@needs_netx
def test_lava_dls_own_files(tmp_path: Path) -> None:
    """The networks and the spikes that lava-dl ships with its tests."""
    lava = importlib.import_module("lava")  # by name: the linters run where Lava is not installed
    places = [Path(p).parent / "tests/lava/lib/dl/netx" for p in lava.__path__]
    folder = next((p for p in places if (p / "tiny.net").exists()), None)
    if folder is None:
        pytest.skip("lava-dl's tests are not installed with it")
    network = reader.read(folder / "tiny.net", reader.Options(timesteps=16))
    known = folder / "gts" / "tinynet"
    entering = np.load(known / "input.npy")[0].reshape(768, -1).T[1:] > 0  # its first step is not of the sample
    streams: dict[str, NDArray[Any]] = {"input0": entering[None]}
    for population in network.populations[2:]:
        streams[population.name] = reference.layer(network, population, streams)
    for name, file in (("conv1", "layer1.npy"), ("conv2", "output.npy")):
        expected = np.load(known / file)[0].reshape(network.population(name).size, -1).T[1:] > 0
        assert (streams[name][0] == expected).all()
    shutil.copy(folder / "gts/ntidigits/ntidigits.net", path := tmp_path / "n.net")
    with h5py.File(path, "a") as file:
        del file["layer/5"]  # the average, which netx does not run
    events = np.load(folder / "gts/ntidigits/input.npy")[:, :300]
    delayed = reader.read(path, reader.Options(timesteps=300))
    ours = reference.simulate(delayed, events.T.astype(np.int64)[None])["dense4"][0]
    assert ours.any() and (run_netx(path, events, 300)[3:] == ours[:297]).all()
