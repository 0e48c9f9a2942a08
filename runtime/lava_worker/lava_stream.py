"""Build one network as Lava processes and run its stream of samples. Import it after `main.import_lava`.

`copies` samples run side by side through block-diagonal weights, and batches of them follow one another. Every connection of Lava takes one
time step, so a population at depth d runs step g of the stream (g = 0, 1, ...) at Lava's time step g + 1 + d, and is reset there when
g is a multiple of the number of steps a sample takes. Spikes that a projection with a lag would carry into the next sample are held back.
"""

# pyright: reportMissingImports=false
# Lava is optional: these types are checked where it is installed.

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi1SimCfg
from lava.proc.lif.process import LIFReset
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode
from processes.streams import Delay, Probe, Sink, Source
from scipy.sparse import csr_matrix, kron

# Messages that a channel of Lava holds. All processes meet after every step, so two are enough; the default of 64 fills a small /dev/shm.
CHANNEL_SIZE = 4


class Stream:
    """A network in Lava, from the description that the backend wrote into `folder`."""

    def __init__(self, spec: dict[str, Any], folder: Path) -> None:
        self.spec = spec
        self.folder = folder
        self.copies: int = spec["copies"]
        self.source = Source(path=str(folder / "events.bin"), size=self.copies * spec["inputs"])
        self.outputs: dict[tuple[str, int, int], Any] = {(spec["input"], 0, 0): self.source.s_out}
        self.depths: dict[str, int] = {spec["input"]: 0} | {p["name"]: p["depth"] for p in spec["populations"]}
        neurons = {p["name"]: self._add(p) for p in spec["populations"]}
        for population in spec["populations"]:
            self._connect(population, neurons[population["name"]])
        for probe in spec["probes"]:
            self._probe(probe, neurons[probe["population"]])

    def start(self) -> list[Any]:
        """Fork Lava's processes. Returns them (multiprocessing.Process)."""
        self.source.create_runtime(run_cfg=Loihi1SimCfg(select_tag="fixed_pt"), compile_config={"pypy_channel_size": CHANNEL_SIZE})
        runtime: Any = self.source.runtime
        return list(runtime._messaging_infrastructure.actors)  # Lava exposes them nowhere else

    def run(self) -> None:
        """Run to the last step of the deepest population."""
        self.source.run(condition=RunSteps(num_steps=self.spec["total_steps"]))

    def stop(self) -> None:
        """End Lava's processes and free its shared memory."""
        self.source.stop()

    def _add(self, population: dict[str, Any]) -> Any:
        """Return the neurons of a population, with their sink."""
        size = self.copies * population["size"]
        first = population["depth"] + 1
        timesteps = self.spec["timesteps"]
        registers = {k: population[k] for k in ("du", "dv", "vth")}
        mantissa, exponent = self._bias(population)
        neurons = LIFReset(
            shape=(size,),
            **registers,
            bias_mant=mantissa,
            bias_exp=exponent,
            reset_interval=timesteps,
            reset_offset=first % timesteps,
        )
        sink = Sink(path=str(self.folder / population["spikes"]), size=size, first=first, steps=self.spec["rows"])
        neurons.s_out.connect(sink.s_in)
        self.outputs[population["name"], 0, 0] = neurons.s_out
        return neurons

    def _connect(self, population: dict[str, Any], neurons: Any) -> None:
        if not population["inputs"]:  # Lava runs what is connected, so such neurons get a synapse of weight 0
            size = neurons.s_out.shape[0]
            nothing = csr_matrix((np.zeros(1, np.int32), ([0], [0])), shape=(size, self.source.s_out.shape[0]))
            sparse = Sparse(weights=nothing, sign_mode=SignMode.MIXED, num_message_bits=8)
            self.source.s_out.connect(sparse.s_in)
            sparse.a_out.connect(neurons.a_in)
        for projection in population["inputs"]:
            sparse = self._sparse(projection)
            self._delayed(projection["source"], projection["delay"], projection["lag"]).connect(sparse.s_in)
            sparse.a_out.connect(neurons.a_in)

    def _probe(self, probe: dict[str, Any], neurons: Any) -> None:
        """Write a variable of a population to a file, at the steps of its samples."""
        first = self.depths[probe["population"]] + 1
        shape, path = neurons.s_out.shape, str(self.folder / probe["values"])
        Probe(path=path, shape=shape, first=first, steps=self.spec["rows"]).variable.connect_var(getattr(neurons, probe["variable"]))

    def _bias(self, population: dict[str, Any]) -> tuple[Any, Any]:
        """Return mantissas and exponents of the biases. They act from the first time step; the reset before a population's own first
        step clears their effect, and spikes from before that arrive before any target's first step."""
        if "bias" not in population:
            return 0, 0
        with np.load(self.folder / population["bias"], allow_pickle=False) as file:
            return np.tile(file["mantissa"], self.copies), np.tile(file["exponent"], self.copies)

    def _delayed(self, source: str, steps: int, lag: int) -> Any:
        """Return the port of `source` after a delay, without spikes that the lag would carry past a sample; shared by all users."""
        key = (source, steps, lag)
        if key not in self.outputs:
            port = self.outputs[source, 0, 0]
            period = self.spec["timesteps"]
            delay = Delay(size=port.shape[0], steps=steps, first=self.depths[source] + 1, period=period, kept=max(0, period - lag))
            port.connect(delay.s_in)
            self.outputs[key] = delay.s_out
        return self.outputs[key]

    def _sparse(self, projection: dict[str, Any]) -> Any:
        with np.load(self.folder / projection["weights"], allow_pickle=False) as file:
            one = csr_matrix((file["data"] * projection["factor"], file["indices"], file["indptr"]), shape=tuple(file["shape"]))
        diagonal = csr_matrix(np.eye(self.copies, dtype=np.int32))
        return Sparse(
            weights=csr_matrix(kron(diagonal, one, format="csr")),  # Lava rejects a csr_array
            weight_exp=projection["weight_exp"],
            num_weight_bits=projection["num_weight_bits"],
            sign_mode=SignMode.MIXED,
            num_message_bits=projection["num_message_bits"],
        )
