"""The two ends of the application as Lava processes: a camera, and a process that decides.

They lie in a folder of their own, because Lava executes every file beside a process when it looks for the process's models.
"""

# pyright: reportMissingImports=false
# Lava is optional: these types are checked where it is installed.

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Camera(AbstractProcess):
    """Sends one column of `frames` (pixels, steps) at each time step, and darkness afterwards."""

    def __init__(self, *, frames: Any) -> None:
        super().__init__(frames=frames)
        self.s_out = OutPort(shape=(len(frames),))


class Decider(AbstractProcess):
    """Counts the spikes of each class during a sample, and decides for the class with the most.

    `samples`: how many there are; `period`: time steps of each; `first_step`: time step at which the first one's spikes arrive.
    `decisions` holds the classes after the run, -1 where a sample is not over.
    """

    def __init__(self, *, classes: int, samples: int, period: int, first_step: int) -> None:
        super().__init__(classes=classes, period=period, first_step=first_step)
        self.s_in = InPort(shape=(classes,))
        self.decisions = Var(shape=(samples,), init=-1)


@implements(proc=Camera, protocol=LoihiProtocol)
@requires(CPU)
class PyCamera(PyLoihiProcessModel):
    """The model of `Camera`."""

    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.frames = proc_params["frames"]

    def run_spk(self) -> None:
        """One time step; Lava counts them from 1."""
        step = self.time_step - 1
        self.s_out.send(self.frames[:, step] if step < self.frames.shape[1] else np.zeros(len(self.frames), np.int32))


@implements(proc=Decider, protocol=LoihiProtocol)
@requires(CPU)
class PyDecider(PyLoihiProcessModel):
    """The model of `Decider`."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    decisions: Any = LavaPyType(np.ndarray, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.period, self.first_step = proc_params["period"], proc_params["first_step"]
        self.counts = np.zeros(proc_params["classes"], np.int64)

    def run_spk(self) -> None:
        """One time step."""
        spikes = self.s_in.recv()
        step = self.time_step - self.first_step
        if step < 0:
            return
        self.counts += spikes
        if step % self.period == self.period - 1:
            self.decisions[step // self.period] = self.counts.argmax()
            self.counts[:] = 0
