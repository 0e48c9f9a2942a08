"""Run as a program, in a process of its own: lets lava-dl's netx load a .net file and run it in Lava's bit-accurate processes.

    python run_netx.py WORKER_FOLDER FILE.net EVENTS.npy OUT.npy STEPS MESSAGE_BITS

WORKER_FOLDER is where Spikeloom's own Lava worker lies, whose mend of Lava's import is used. EVENTS: (inputs as Lava shapes them, steps).
OUT: the last layer's spikes, (shape, steps).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import numpy as np


def without_slayer() -> None:
    """Stand in for the one function that netx takes from SLAYER, for neurons of another kind: SLAYER's package imports OpenCV and more."""
    rf: Any = ModuleType("lava.lib.dl.slayer.neuron.rf")
    rf.neuron_params = None
    for name in ("lava.lib.dl.slayer", "lava.lib.dl.slayer.neuron"):
        sys.modules[name] = ModuleType(name)
    sys.modules[rf.__name__] = rf


def with_newshape() -> None:
    """Let np.reshape take the keyword `newshape` again, which Lava's flattening ports use and NumPy 2.4 no longer has."""
    reshape: Any = np.reshape

    def either(array: Any, shape: Any = None, newshape: Any = None) -> Any:
        return reshape(array, newshape if shape is None else shape)

    np.reshape = either  # pyright: ignore[reportAttributeAccessIssue]


def main() -> None:
    """Load, run, write the spikes."""
    worker, net, events, out, steps, bits = sys.argv[1:]
    sys.path.insert(0, worker)
    importlib.import_module("main").import_lava()
    without_slayer()
    with_newshape()
    hdf5: Any = importlib.import_module("lava.lib.dl.netx.hdf5")
    io: Any = importlib.import_module("lava.proc.io")
    run_configs: Any = importlib.import_module("lava.magma.core.run_configs")
    conditions: Any = importlib.import_module("lava.magma.core.run_conditions")
    convolutions: Any = importlib.import_module("lava.proc.conv.utils")
    convolutions.TORCH_IS_AVAILABLE = False  # as lava-dl's own tests do: torch does not bear forks

    # layers start one after another: each is reset before the step in which the first spike reaches it, since biases act from the start
    network = hdf5.Network(net_config=net, input_message_bits=int(bits), reset_interval=1 << 20, reset_offset=1)
    entering = np.load(events)
    source = io.source.RingBuffer(data=entering)
    source.s_out.connect(network.inp)
    sink = io.sink.RingBuffer(shape=network.out_layer.out.shape, buffer=int(steps))
    network.out_layer.out.connect(sink.a_in)
    network.run(condition=conditions.RunSteps(num_steps=int(steps)), run_cfg=run_configs.Loihi2SimCfg(select_tag="fixed_pt"))
    np.save(out, sink.data.get())
    network.stop()


if __name__ == "__main__":
    main()
