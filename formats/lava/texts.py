"""The texts around an exported Lava package: README, example, pyproject.toml and the package's `__init__`."""

from __future__ import annotations

from ... import __version__
from .installed import VERSION as LAVA
from .source import Written

__all__ = ["example", "init", "pyproject", "readme"]

ENTERS = {
    "current": "the sample once, in its first time step (the neurons' current holds it)",
    "graded": "the sample in every time step",
    "events": "the frame of each time step, as recorded",
    "rate": "spikes (0 or 1), in every time step with the probability value / {levels}",
}


def init(name: str) -> str:
    """Return the package's `__init__.py`."""
    return f'''"""A spiking network as a hierarchical Lava process: `Network`. Import it before Lava itself (compat.py)."""

from {name}.compat import repair_import

repair_import()

from {name}.network import Network  # noqa: E402

__all__ = ["Network"]
'''


def pyproject(written: Written, name: str) -> str:
    """Return the `pyproject.toml`."""
    return f"""[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "{name.replace("_", "-")}"
version = "1.0"
description = "A spiking network of {written.network.neurons:,} neurons as a Lava process."
dependencies = ["lava-nc=={LAVA}", "numpy"]

[tool.setuptools]
packages = ["{name}", "{name}.processes"]

[tool.setuptools.package-data]
{name} = ["arrays.npz"]
"""


def example(written: Written, name: str) -> str:
    """Return `example.py`: a source, the network and a sink."""
    return f'''"""Classifies samples: a source, the network and a sink, all of them Lava processes.

python example.py [SAMPLES.npy]        whole numbers 0..{written.network.input.levels}, {_shape(written)}
"""

import sys

import numpy as np
from {name} import Network  # before Lava itself

from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source


def classify(samples):
    """Return the output spikes of each sample and class, (samples, classes)."""
    arriving = np.pad(Network.encode(samples), ((0, 0), (0, Network.LATENCY)))  # the output runs behind the input
    steps = arriving.shape[1]
    source, network, sink = Source(data=arriving), Network(), Sink(shape=(Network.OUTPUTS,), buffer=steps)
    source.s_out.connect(network.s_in)
    network.s_out.connect(sink.a_in)
    network.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    spikes = sink.data.get()
    network.stop()
    return Network.spike_counts(spikes)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        samples = np.load(sys.argv[1], allow_pickle=False)
    else:  # noise, to see that it runs
        samples = np.random.default_rng(0).integers(0, Network.LEVELS + 1, {_random(written)})
    counts = classify(samples)
    for number, spikes in enumerate(counts):
        print(f"sample {{number}}: class {{spikes.argmax()}}, output spikes {{spikes.tolist()}}")
'''


def _shape(written: Written) -> str:
    inputs, steps = written.network.populations[0].size, written.network.timesteps
    return f"(samples, {steps}, {inputs})" if written.network.input.is_temporal else f"(samples, {inputs})"


def _random(written: Written) -> str:
    return "(3, Network.TIMESTEPS, Network.INPUTS)" if written.network.input.is_temporal else "(3, Network.INPUTS)"


def readme(written: Written, name: str) -> str:
    """Return the `README.md`."""
    network = written.network
    enters = ENTERS[network.input.encoding].format(levels=network.input.levels)
    rows = [f"| `s_in` | in | {network.populations[0].size:,} | {enters}: whole numbers 0..{network.input.payload.largest} |"]
    rows += [
        f"| `{port}` | out | {network.population(layer).size:,} | spikes of a hidden layer, for you to watch |"
        for layer, port in written.ports.items()
    ]
    rows += [f"| `s_out` | out | {network.populations[-1].size:,} | spikes of the output |"]
    ports = "\n".join(rows)
    return f"""# {name}

A spiking network as a hierarchical process of Intel's Lava (`AbstractProcess` and `AbstractSubProcessModel`), to be connected to
your own processes. {network.neurons:,} neurons, {network.synapses:,} synapses, samples of {network.timesteps} time steps.
Written by Spikeloom {__version__}; it needs lava-nc {LAVA} and NumPy (Lava brings SciPy), and nothing of Spikeloom.

    python example.py                  # a source, the network, a sink
    pip install .                      # if you want to import it from anywhere; with Python 3.10

## Installing Lava

lava-nc {LAVA}, the last release, declares Python 3.10:

    pip install lava-nc=={LAVA}

On later versions of Python it runs as well, with current versions of NumPy and networkx, if you import this package before Lava:
`{name}/compat.py` then repairs the one import that fails.

    pip install asteval scikit-learn networkx scipy numpy
    pip install --ignore-requires-python --no-deps lava-nc=={LAVA}
    pip install --ignore-requires-python --no-deps .

## Ports

| port | | size | |
|---|---|---|---|
{ports}

```python
from {name} import Network  # before Lava itself

network = Network()                       # samples of Network.TIMESTEPS steps, one after another
my_source.s_out.connect(network.s_in)     # of the shape (Network.INPUTS,)
network.s_out.connect(my_sink.a_in)
```

- `Network.encode(samples)` returns what has to arrive at `s_in`, (inputs, steps), for samples of shape {_shape(written)}.
- `Network.spike_counts(spikes)` returns the output spikes of each sample and class; the class with the most is the prediction.
- The output runs `Network.LATENCY` = {written.latency} time steps behind the input. Run that many steps more than you send, and skip
  that many of its first ones.
- `Network(period=N)`: a new sample every N steps; all neurons are set to zero there, each layer when the sample reaches it. `period=None`:
  one sample without end. `first_step=N`: the first sample starts to arrive at time step N, if your own processes take time.
- Values at `s_in` that are not whole numbers in the range are rounded and limited to it, with a message on the standard error.
- Lava runs only what is connected to the process whose `run` you call, and waits for ever if one of your processes raises an exception.

## Files

- `{name}/network.py`: the process, its layers and connections, one line each.
- `{name}/arrays.npz`: integer weights (`NAME_weights`, `_columns`, `_rows`: compressed sparse rows, targets by sources) and
  biases. Convolutions are unrolled, because Lava's own process for them ignores exponents.
- `{name}/processes/blocks.py`: neurons, synapses and delays, with the arithmetic of Lava's bit-accurate models under any run
  configuration.
- `{name}/encoding.py`: what `Network.encode` and `Network.spike_counts` compute.

The spikes are those of `spikeloom run`, all of them.
"""
