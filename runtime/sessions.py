"""A compiled network step by step: `session(network)` gives a `Session`, whose spikes and registers are those of the integer reference.

Time is the reference's: step t of every population is its t-th step, whenever the chip's pipeline reaches it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checked import checked
from ..compile.deployed import DeployedNetwork
from ..compile.loading import load
from ..errors import UsageError, unknown_name
from ..network import axes, reference
from ..network.coding import drawn
from ..network.model import InputSpec, Network
from ..network.neurons import states_of
from .backends.native import compiled
from .native import stepping

__all__ = ["BACKENDS", "Session", "session"]

BACKENDS = ("native", "reference")
SEEDS = (1 << 64) - 1  # the rate code's key has 64 bits
DRAWN = 16  # steps of the rate code drawn at once
Spikes = dict[str, NDArray[np.bool_]]


@checked(
    network="Pass what spikeloom.compile_network returned, or name a model.loom.",
    backend="Leave it out for the fastest.",
)
def session(network: DeployedNetwork | Network | Path | str, *, backend: str = "native", seed: int = 0) -> Session:
    """Open a session on a network: it takes one frame per step, and keeps its state in between.

    Args:
        network: what `compile_network` returned, the path of a `.loom`, or an integer network.
        backend: native, compiled kernels (NumPy where numba is missing); reference, the definition in NumPy. Their spikes and registers are
            equal.
        seed: of the rate code.

    Returns:
        The session, before step 0. Sessions are independent of one another; `Session.another` opens one that shares the synapses.

    Raises:
        UsageError: an unknown backend, or a network that is not quantised or has no encoding.
        FormatError: a `.loom` that cannot be read.
    """
    if backend not in BACKENDS:
        raise unknown_name("backend of a session", backend, BACKENDS)
    if isinstance(network, Path | str):
        network = load(network)
    found = network.network if isinstance(network, DeployedNetwork) else network
    if found.input.encoding == "direct":
        raise UsageError("The network is not encoded yet (encoding 'direct'): compile it first.")
    return Session(found, stepping.Program.of(found), seed=seed, kernels=backend == "native" and compiled())


class Session:
    """A network between two steps; `spikeloom.session` opens one.

        session.reset()
        for frame in frames:
            spikes = session.step(frame)            # by population, (neurons,) booleans
            session.v["hidden1"], session.u["hidden1"], session.prediction

    Attributes:
        network: the integer network.
        u, v: by population, synaptic current and membrane potential after the last step, (neurons,) int64, in units of the 24-bit registers
            (the threshold is vth << 6). Read-only views that the next step changes: copy what you need to keep. Crossbars have no u.
        spikes: by population, the spikes of the last step, (neurons,) booleans; before step 0 there are none.
        steps: the number of steps since the reset.
    """

    def __init__(self, network: Network, program: stepping.Program, *, seed: int = 0, kernels: bool = False) -> None:
        self.network, self.steps = network, 0
        self._program, self._seed, self._kernels = program, seed & SEEDS, kernels
        self._state = stepping.State(program)
        bounds = np.cumsum([0, *(p.size for p in network.populations)]).tolist()
        self._inputs = bounds[1]
        self._cells = {p.name: slice(*ends) for p, ends in zip(network.spiking, pairwise(bounds[1:]), strict=True)}
        self.v = {name: _read_only(self._state.v, cells) for name, cells in self._cells.items()}
        current = [p.name for p in network.spiking if "u" in states_of(p.neuron)]
        self.u = {name: _read_only(self._state.u, self._cells[name]) for name in current}
        self._fired = np.zeros(network.populations[-1].size, np.int64)
        self._advance = _with_kernel(program, self._state) if kernels else self._with_numpy
        self._advance(0)  # compiles or loads the kernel, so that no later step has to wait
        self.reset()

    def __repr__(self) -> str:
        sizes = "-".join(str(p.size) for p in self.network.populations)
        return f"<Session on {sizes}, {self.network.input.encoding} input, {self.steps} steps made>"

    def another(self) -> Session:
        """Open a further session of the same network, before its step 0; it shares the synapses and no state."""
        return Session(self.network, self._program, seed=self._seed, kernels=self._kernels)

    @checked()
    def reset(self, sample: int = 0) -> None:
        """Return to the state before step 0, that of a new sample.

        Args:
            sample: its number in its data set; the rate code draws by it, so that a session draws what a run draws.

        Raises:
            UsageError: a number below 0 or above 63 bits.
        """
        if not 0 <= sample < 1 << 63:
            raise UsageError(f"The sample's number is {sample}; it must lie in 0..{(1 << 63) - 1}.")
        self._sample, self.steps = sample, 0
        self._state.clear()
        self._fired[:] = 0
        self._held: NDArray[Any] | None = None
        self._draws = np.zeros((0, self._inputs), np.int64)
        self.spikes: Spikes = {name: _read_only(np.zeros(self._program.cells, np.bool_), cells) for name, cells in self._cells.items()}

    def step(self, frame: NDArray[Any] | None = None) -> Spikes:
        """Make a time step.

        What a frame holds depends on the encoding. events: the payloads of this step; without a frame there are none. graded, rate:
        the values presented at this step; without a frame, those of the step before. current, host: the sample, at step 0; it enters
        once, so that later steps take none, or the same again.

        Args:
            frame: integers 0..levels in the shape of the network's input, or flat.

        Returns:
            By population, in the network's order, the spikes of this step: (neurons,) booleans, read-only.

        Raises:
            UsageError: a frame of another shape or type, out of range, missing at step 0, or changed where the encoding holds it.
        """
        state, t = self._state, self.steps
        row = state.sent[t % self._program.depth]
        row[: self._inputs] = self._payloads(None if frame is None else _flat(self.network, frame))
        self._advance(t)
        fired = row.astype(np.bool_)
        fired.flags.writeable = False
        self.spikes = {name: fired[cells] for name, cells in self._cells.items()}
        self._fired += fired[-self._fired.size :]
        self.steps = t + 1
        return self.spikes

    @checked()
    def run(self, frames: Iterable[NDArray[Any] | None]) -> Spikes:
        """Make a time step for every frame.

        Args:
            frames: an array (steps, ...), or anything that yields frames, each as `step` takes it.

        Returns:
            By population, its spikes (steps, neurons).

        Raises:
            UsageError: see `step`; the steps before the invalid frame have been made.
        """
        made = [self.step(frame) for frame in frames]
        return {
            name: np.array([spikes[name] for spikes in made], np.bool_).reshape(len(made), cells.stop - cells.start)
            for name, cells in self._cells.items()
        }

    @checked()
    def present(self, values: NDArray[Any], *, sample: int = 0) -> Spikes:
        """Reset, and present one sample for the time steps of the network: what `spikeloom.run` does with it.

        Args:
            values: as a run takes them: in the input's shape; with `events`, a frame for each of the time steps.
            sample: see `reset`.

        Returns:
            By population, its spikes (timesteps, neurons).

        Raises:
            UsageError: see `step`; or another number of frames than the network has time steps.
        """
        steps = self.network.timesteps
        self.reset(sample)
        if not self.network.input.is_temporal:
            return self.run([values, *[None] * (steps - 1)])
        reference.check_shape(self.network, values.shape)
        return self.run(values.reshape(steps, -1))

    @property
    def counts(self) -> NDArray[np.int64]:
        """The output spikes of each class since the reset, (classes,)."""
        return self._fired.reshape(self.network.classes, self.network.votes).sum(axis=1)

    @property
    def prediction(self) -> int:
        """The class with the most output spikes since the reset; the lowest index wins a tie."""
        return int(self.counts.argmax())

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that `restore` needs, as arrays by name: `np.savez(path, **session.state())` saves it."""
        held = np.zeros(0, np.int64) if self._held is None else self._held
        numbers, seed = np.array([self.steps, self._sample], np.int64), np.array([self._seed], np.uint64)
        network = np.frombuffer(self._program.digest, np.uint8)
        kept = {"u": self._state.u, "v": self._state.v, "sent": self._state.sent, "fired": self._fired, "held": held}
        return {name: array.copy() for name, array in (kept | {"numbers": numbers, "seed": seed, "network": network}).items()}

    @checked(state="Pass what Session.state() returned, or numpy.load(path) of a file of it.")
    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to an earlier state, that of another session of the same network included, with its sample and its seed.

        Raises:
            UsageError: the state of another network, or not a session's state.
        """
        now = self.state()
        found = {name: np.asarray(state[name]) for name in now if name in state}
        if len(found) < len(now):
            raise UsageError(f"The state lacks {', '.join(sorted(now.keys() - found.keys()))}. Pass what Session.state() returned.")
        if not np.array_equal(found["network"], now["network"]):
            raise UsageError("The state is that of a session on another network. Restore it in a session on the network that it came from.")
        held, numbers = found.pop("held"), found["numbers"]
        fits = all(a.shape == now[name].shape and a.dtype == now[name].dtype for name, a in found.items())
        if not fits or held.shape not in ((0,), (self._inputs,)) or held.dtype.kind not in "ui" or numbers.min() < 0:
            raise UsageError("The state is damaged: its arrays have other shapes or types. Pass what Session.state() returned.")
        self.reset(int(numbers[1]))
        self.steps, self._seed = int(numbers[0]), int(found["seed"][0])
        self._state.u[:], self._state.v[:], self._state.sent[:], self._fired[:] = (found[n] for n in ("u", "v", "sent", "fired"))
        self._held = held.copy() if held.size else None
        last = self._state.sent[(self.steps - 1) % self._program.depth].astype(np.bool_)
        self.spikes = {name: _read_only(last, cells) for name, cells in self._cells.items()}

    def _with_numpy(self, t: int) -> None:
        stepping.advance(self._program, self._state, t)

    def _payloads(self, frame: NDArray[Any] | None) -> Any:
        """Return the input of this step: (inputs,), or 0 for none."""
        entry = self.network.input
        if entry.is_temporal:
            return 0 if frame is None else frame
        if frame is None and self._held is None:
            raise UsageError(f"Step 0 needs a frame: with the encoding {entry.encoding} later steps hold it.")
        if entry.is_once:
            return self._enter_once(frame)
        if frame is not None:
            self._held = frame.astype(np.int64) if entry.is_rate_coded else frame.copy()
        return self._drawn() if entry.is_rate_coded else self._held

    def _enter_once(self, frame: NDArray[Any] | None) -> Any:
        """Return the sample at step 0, and nothing later."""
        if self.steps == 0 and frame is not None:
            self._held = frame.copy()
            return frame
        if frame is not None and not np.array_equal(frame, self._held):  # pyright: ignore[reportArgumentType]
            raise UsageError(
                f"The frame of step {self.steps} differs from that of step 0. With the encoding {self.network.input.encoding} a sample "
                f"enters once: call reset() before the next, or compile with --encoding graded or rate for one that changes."
            )
        return 0

    def _drawn(self) -> NDArray[np.bool_]:
        """Return the rate code's spikes of this step."""
        place = self.steps % DRAWN
        if place == 0 or not len(self._draws):
            begin = self.steps - place
            steps = range(begin, begin + DRAWN)
            draws = drawn(self._inputs, self.network.input.levels, steps, seed=self._seed, number=self._sample)
            self._draws = draws.astype(np.int64)
        return self._draws[place] < self._held  # pyright: ignore[reportOptionalOperand]


def _read_only(array: NDArray[Any], cells: slice) -> NDArray[Any]:
    view = array[cells]
    view.flags.writeable = False
    return view


def _with_kernel(program: stepping.Program, state: stepping.State) -> Any:
    from .native.kernels.stepping import advance  # numba takes a while to import

    p, s = program, state
    tables = p.layers, p.arriving, p.pointers, p.targets.view(np.uint32), p.weights, p.bias, p.alive
    arrays = s.u, s.v, s.sums, s.sent, s.places, s.held, s.seen, s.order
    return lambda t: advance(t, *tables, *arrays)  # pyright: ignore[reportUnknownLambdaType]


def _flat(network: Network, frame: Any) -> NDArray[Any]:
    """Return a frame as (inputs,) unsigned integers within the input's range."""
    try:
        array = np.asarray(frame)
    except (ValueError, TypeError) as error:
        raise UsageError(f"The frame is no array ({error}). Pass integers 0..{network.input.levels}.") from error
    array = array.view(np.uint8) if array.dtype == np.bool_ else array
    declared = network.populations[0].shape
    if array.shape != declared and not axes.fits(array.shape, declared):
        way_out = axes.advice(array.shape, declared) or " Pass one frame at a time, or all of them to run()."
        raise UsageError(f"The frame has the shape {array.shape}; the network takes {declared}.{way_out}")
    _check_range(network.input, array)
    return array.reshape(-1)


def _check_range(entry: InputSpec, array: NDArray[Any]) -> None:
    if array.dtype == np.uint8 and entry.levels >= 255:
        return
    if array.dtype.kind not in "ui":
        raise UsageError(f"The frame is {array.dtype}; the network takes integers 0..{entry.levels}.")
    if array.size and (array.min() < 0 or array.max() > entry.levels):
        raise UsageError(f"The frame's values run from {array.min()} to {array.max()}; the network takes integers 0..{entry.levels}.")
