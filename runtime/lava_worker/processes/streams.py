"""Where spikes enter, wait and leave: a source that reads a file, a delay line, a sink and a probe that write files.

Files, because reading one element of a Lava variable costs a message. All values are passed through as they are.
"""

# pyright: reportMissingImports=false
# Lava is optional: these types are checked where it is installed.

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort, PyRefPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort, RefPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Source(AbstractProcess):
    """Sends row t-1 of a file of bytes, (steps, neurons), at time step t = 1, 2, ...; zeros after its last row."""

    def __init__(self, *, path: str, size: int) -> None:
        super().__init__(path=path, size=size)
        self.s_out = OutPort(shape=(size,))


class Delay(AbstractProcess):
    """Sends at time step t what arrived at t - steps;  zeros before.  steps >= 0.

    Of each period of time steps, counted from `first` on, only what arrives in its first `kept` is passed on; before `first`, nothing.
    """

    def __init__(self, *, size: int, steps: int, first: int, period: int, kept: int) -> None:
        super().__init__(size=size, steps=steps, first=first, period=period, kept=kept)
        self.s_in = InPort(shape=(size,))
        self.s_out = OutPort(shape=(size,))


class Sink(AbstractProcess):
    """Appends the spikes of time steps first .. first + steps - 1 to a file: one row of packed bits (big-endian) a step."""

    def __init__(self, *, path: str, size: int, first: int, steps: int) -> None:
        super().__init__(path=path, first=first, steps=steps)
        self.s_in = InPort(shape=(size,))


class Probe(AbstractProcess):
    """Appends a variable of another process, as time steps first .. first + steps - 1 leave it, to a file: 32-bit integers."""

    def __init__(self, *, path: str, shape: tuple[int, ...], first: int, steps: int) -> None:
        super().__init__(path=path, first=first, steps=steps)
        self.variable = RefPort(shape=shape)


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySource(PyLoihiProcessModel):
    """Reads through a memory map, so that a long stream needs little memory."""

    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.rows = np.memmap(proc_params["path"], np.uint8, "r").reshape(-1, proc_params["size"])
        self.silence = np.zeros(proc_params["size"], np.int32)

    def run_spk(self) -> None:
        """One time step."""
        row = self.time_step - 1
        self.s_out.send(self.rows[row] if row < len(self.rows) else self.silence)


@implements(proc=Delay, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyDelay(PyLoihiProcessModel):
    """A ring of the last `steps` vectors and the one that arrives."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.ring = np.zeros((proc_params["steps"] + 1, proc_params["size"]), np.int32)
        self.first, self.period, self.kept = (proc_params[n] for n in ("first", "period", "kept"))

    def run_spk(self) -> None:
        """One time step. It takes before it sends; no cycle waits for itself, since a connection of Lava sends before it takes."""
        arrived, step = self.s_in.recv(), self.time_step - self.first
        passes = step >= 0 and step % self.period < self.kept
        self.ring[self.time_step % len(self.ring)] = arrived if passes else 0
        self.s_out.send(self.ring[(self.time_step + 1) % len(self.ring)])


@implements(proc=Sink, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySink(PyLoihiProcessModel):
    """Writes unbuffered: what a step wrote is in the file when the step ends, and a full disk is an error, not a signal."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.first = proc_params["first"]
        self.end = self.first + proc_params["steps"]
        self.file = Path(proc_params["path"]).open("wb", buffering=0)  # noqa: SIM115  (open as long as the process lives)

    def run_spk(self) -> None:
        """One time step."""
        spikes = self.s_in.recv()
        if self.first <= self.time_step < self.end:
            row = np.packbits(spikes != 0).tobytes()
            if self.file.write(row) != len(row):
                raise OSError("the disk is full")


@implements(proc=Probe, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyProbe(PyLoihiProcessModel):
    """Reads after all processes have made their step, in the phase that Lava has for that; a whole vector is one message."""

    variable: Any = LavaPyType(PyRefPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.first = proc_params["first"]
        self.end = self.first + proc_params["steps"]
        self.file = Path(proc_params["path"]).open("wb", buffering=0)  # noqa: SIM115  (open as long as the process lives)

    def post_guard(self) -> Any:
        """Return whether there is something to read after this time step."""
        return self.first <= self.time_step < self.end

    def run_post_mgmt(self) -> None:
        """Read the variable after a time step."""
        row = np.asarray(self.variable.read(), np.int32).tobytes()
        if self.file.write(row) != len(row):
            raise OSError("the disk is full")
