"""The building blocks of the network as Lava processes: its input, synapses, delays and neurons.

All values are integers. The models of these processes carry no tag, so Lava selects them whatever `select_tag` a run configuration names:
with `select_tag="floating_pt"`, Lava's own neurons would compute in floating point and give other spikes, without a message.

They are alone in their folder, because Lava executes every file beside a process when it looks for the process's models.
"""

# pyright: reportMissingImports=false
# Lava is optional: these types are checked where it is installed.

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import AbstractPyLifModelFixed
from lava.proc.lif.process import LIF
from lava.proc.sparse.models import AbstractPySparseModelBitAcc
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode


class Input(AbstractProcess):
    """Sends on what arrives in the same time step: whole numbers from 0 to `largest`.

    Other values are rounded and limited to that range. The first time, a message on the standard error says so: an exception in a process
    would leave Lava waiting for ever.
    """

    def __init__(self, *, size: int, largest: int) -> None:
        super().__init__(size=size, largest=largest)
        self.s_in = InPort(shape=(size,))
        self.s_out = OutPort(shape=(size,))


class Synapses(Sparse):
    """Sends  a = (W s) << exponent  (a negative exponent: >>, rounded down) one time step after it received the spikes s.

    Lava cuts the low bits of a mixed-sign weight, so that weights of 8 bits keep even values only. Weights that fit 8 bits are therefore
    stored doubled, with the exponent lowered by one, which is exact; others (-256..255) are stored as 9 bits, which Lava does not cut.
    """

    def __init__(self, *, weights: Any, exponent: int, name: str | None = None) -> None:
        doubled = weights.nnz == 0 or (weights.data.min() >= -128 and weights.data.max() <= 127)
        super().__init__(
            weights=weights * 2 if doubled else weights,
            weight_exp=exponent - 1 if doubled else exponent,
            num_weight_bits=8 if doubled else 9,
            sign_mode=SignMode.MIXED,
            num_message_bits=8,  # multiply by the payload of a spike, which is 1 inside the network
            name=name,
        )


class Delay(AbstractProcess):
    """Sends at time step t what arrived at t - steps (steps >= 0).

    `first`: the time step at which the source runs the first step of the first sample; nothing earlier is passed on.
    `period`: steps from one sample to the next; None: a single, endless sample.
    `lag`: the source's spikes count for the target that many steps later. What it sends in the last `lag` steps of a sample would reach
    the next one and is dropped.
    """

    def __init__(self, *, size: int, steps: int, lag: int, first: int, period: int | None) -> None:
        super().__init__(size=size, steps=steps, lag=lag, first=first, period=period)
        self.s_in = InPort(shape=(size,))
        self.s_out = OutPort(shape=(size,))


class Neurons(LIF):
    """Loihi's leaky integrate-and-fire neurons, set to zero before each sample.

        u <- u (4096 - (du + 1)) / 4096 + (a << 6)         du = 4095: the current lasts one step; du = -1: it never decays
        v <- v (4096 - dv) / 4096 + u + bias               quotients are rounded towards zero
        spike if v > (vth << 6), then v <- 0, or with a soft reset  v <- v - (vth << 6)

    u and v have 24 bits: u wraps around, v saturates. The arithmetic is that of Lava's bit-accurate LIF; the soft reset is added here.

    `first`: the time step at which they run the first step of the first sample; they are silent before it.
    `period`: steps from one sample to the next; None: a single, endless sample.
    """

    def __init__(
        self,
        *,
        size: int,
        du: int,
        dv: int,
        vth: int,
        first: int,
        period: int | None,
        soft_reset: bool = False,
        bias_mant: Any = 0,
        bias_exp: Any = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(shape=(size,), du=du, dv=dv, vth=vth, bias_mant=bias_mant, bias_exp=bias_exp, name=name)
        self.proc_params["first"] = first
        self.proc_params["period"] = period
        self.proc_params["soft_reset"] = soft_reset


@implements(proc=Input, protocol=LoihiProtocol)
@requires(CPU)
class PyInput(PyLoihiProcessModel):
    """The model of `Input`."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.largest = proc_params["largest"]
        self.told = False

    def run_spk(self) -> None:
        """One time step."""
        arrived = self.s_in.recv()
        values = np.clip(np.rint(arrived), 0, self.largest).astype(np.int32)
        if not self.told and not np.array_equal(values, arrived):
            self.told = True
            sys.stderr.write(
                f"At time step {self.time_step} s_in received values from {arrived.min():g} to {arrived.max():g}; the network takes whole "
                f"numbers from 0 to {self.largest}. They are rounded and limited to these; scale and round them first.\n"
            )
            sys.stderr.flush()
        self.s_out.send(values)


@implements(proc=Synapses, protocol=LoihiProtocol)
@requires(CPU)
class PySynapses(AbstractPySparseModelBitAcc):
    """The model of `Synapses`: Lava's own, bit-accurate."""


@implements(proc=Delay, protocol=LoihiProtocol)
@requires(CPU)
class PyDelay(PyLoihiProcessModel):
    """The model of `Delay`: a ring of the last `steps` vectors and the one that arrives."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.ring = np.zeros((proc_params["steps"] + 1, proc_params["size"]), np.int32)
        self.first, self.period, self.lag = (proc_params[n] for n in ("first", "period", "lag"))

    def run_spk(self) -> None:
        """One time step. It receives before it sends; no loop waits for itself, since synapses send before they receive."""
        arrived, step = self.s_in.recv(), self.time_step - self.first
        passes = step >= 0 and (self.period is None or step % self.period < self.period - self.lag)
        self.ring[self.time_step % len(self.ring)] = arrived if passes else 0
        self.s_out.send(self.ring[(self.time_step + 1) % len(self.ring)])


@implements(proc=Neurons, protocol=LoihiProtocol)
@requires(CPU)
class PyNeurons(AbstractPyLifModelFixed):
    """The model of `Neurons`: the arithmetic is inherited from Lava."""

    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    vth: Any = LavaPyType(int, np.int32, precision=17)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.first, self.period, self.soft_reset = (proc_params[n] for n in ("first", "period", "soft_reset"))

    def run_spk(self) -> None:
        """One time step."""
        received: Any = self.a_in
        arrived, step = received.recv(), self.time_step - self.first
        if step < 0:  # its first sample has not reached this layer yet
            self.s_out.send(np.zeros(self.v.shape, np.int32))
            return
        if step == 0 or (self.period is not None and step % self.period == 0):
            self.u[:] = 0
            self.v[:] = 0
        self.scale_bias()
        self.subthr_dynamics(activation_in=arrived)
        threshold = np.left_shift(self.vth, self.vth_shift)
        spikes = self.v > threshold
        self.v[:] = np.where(spikes, self.v - threshold if self.soft_reset else 0, self.v)
        self.s_out.send(spikes.astype(np.int32))
