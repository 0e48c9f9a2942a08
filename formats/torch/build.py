"""From a module's recording to a network: expressions become signals, and layers of neurons become populations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...errors import DoesNotFitError, NetworkError
from ...network.model import InputSpec, Network, Synapses, Threshold
from ..nir import order, signals
from ..nir.build import Layer, with_late_reset
from ..nir.signals import Kernel, Signal
from .cells import Cell
from .expressions import Expression, leaves

__all__ = ["ENTRY", "Drawn", "Neurons", "Part", "build", "gains"]

ENTRY = "input"
MAX_DENSE = 1 << 28  # entries of a matrix written out from one that applies to every row of a map
READ_OUT = "End it with spiking neurons, one or more a class; a mean or sum over time, and an average of each class's neurons, may follow."


@dataclass(frozen=True)
class Neurons:
    """A layer of neurons as recorded: its input (relative to a step), and the user's name for it."""

    name: str
    where: str
    shape: tuple[int, ...]
    cell: Cell
    arriving: Expression


@dataclass(frozen=True)
class Part:
    """A population made of some neurons of a recorded layer; `places`: their numbers in it."""

    name: str
    places: NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """A network, and the factor between its output spikes by class, summed over the time steps, and what the module returns.

    `exact`: the network with weights in float64. `found`: the recording that it was made from, of `run.record`.
    """

    network: Network
    exact: Network
    factor: float
    found: Any = None


def build(
    shape: tuple[int, ...], neurons: list[Neurons], output: Expression, entry: InputSpec, timesteps: int, parts: Mapping[str, list[Part]]
) -> Drawn:
    """Return the network of the layers that lead to the output, with weights in float32, and the same in float64.

    Args:
        shape: of a sample at one time step.
        output: the module's output at a time step.
        parts: the populations of layers that are several.

    Raises:
        NetworkError: an output that is not the spikes of one layer, or maxima and products of anything but spikes.
        FormatError: weights beyond float32.
        DoesNotFitError: chains of maps too large to multiply out.
    """
    drawing = _Drawing(shape, {n.name: n for n in neurons}, parts, binary_input=entry.levels == 1 and entry.scale == 1.0)
    last, votes, factor = drawing.output(output)
    layers = drawing.layers(last)
    networks: list[Network] = []
    for precision in (np.float32, np.float64):
        populations, projections = order.ordered(ENTRY, shape, layers, last, {}, precision=precision)
        networks.append(Network(populations, projections, timesteps, entry, votes=votes))
    return Drawn(networks[0], networks[1], factor)


def gains(neurons: Neurons) -> NDArray[np.float64] | None:
    """Return the factors of what arrives at the neurons of a layer, (neurons,); None where all are 1.

    Raises:
        NetworkError: as many thresholds as do not fit the layer.
    """
    gain = neurons.cell.gain
    if gain is None:
        return None
    try:
        return np.broadcast_to(gain, neurons.shape).ravel()
    except ValueError as error:
        raise NetworkError(f"{neurons.where} has thresholds of the shape {gain.shape} for neurons of the shape {neurons.shape}.") from error


class _Drawing:
    def __init__(
        self, shape: tuple[int, ...], neurons: Mapping[str, Neurons], parts: Mapping[str, list[Part]], *, binary_input: bool
    ) -> None:
        self.shape, self.neurons, self.parts, self.binary_input = shape, neurons, parts, binary_input
        self.signals: dict[int, Signal] = {}
        self.gates: dict[str, Layer] = {}
        self.made: dict[str, Layer] = {}

    def layers(self, last: str) -> list[Layer]:
        """Return the layers with a path to the last one, in the order in which the module ran them."""
        waiting, needed = [last], set[str]()
        while waiting:
            name = waiting.pop()
            if name in needed or name == ENTRY:
                continue
            needed.add(name)
            layer = self.gates.get(name) or self._layer(self.neurons[name])
            self.made[name] = layer
            waiting += [t.source for t in layer.arriving.terms if t.source]
        names = [n for n in self.neurons if n in needed] + [n for n in self.gates if n in needed]
        return [self.made[n] for n in names]

    def _layer(self, neurons: Neurons) -> Layer:
        x = replace(self.signal(neurons.arriving), shape=neurons.shape)
        neuron, gain = neurons.cell.neuron, gains(neurons)
        if gain is not None:
            x = signals.scaled(x, gain, neurons.where)
        if neurons.cell.late and np.isfinite(neuron.tau):
            x = with_late_reset(neurons.name, neuron, x)
        if neuron.tau_syn != 1.0 and x.bias.any():
            x = signals.added([replace(x, bias=np.zeros(x.size)), signals.constant(x.bias, x.shape)], x.shape)
        return Layer(neurons.name, x.shape, neuron, x, x.bias, np.ones(x.size, np.bool_))

    def output(self, e: Expression) -> tuple[str, int, float]:
        """Return the layer whose spikes are the output, its neurons per class, and the factor of the returned value.

        Raises:
            NetworkError: the output is not the spikes of one layer, nor their averages by class.
        """
        sources = {leaf.name for leaf in leaves(e) if leaf.op == "spikes"}
        signal = self.signal(e)
        names = {t.source for t in signal.terms}
        if len(sources) == 1 and (several := self.parts.get(next(iter(sources)))) is not None:
            raise NetworkError(
                f"{self.neurons[several[0].name].where} gives the output and has neurons of {len(several)} time constants, which make "
                f"{len(several)} layers on a chip. Let the neurons of the output share theirs."
            )
        last = next(iter(names)) if len(names) == 1 else ""
        if len(signal.terms) != 1 or signal.bias.any() or signal.terms[0].lag or last in ("", ENTRY):
            what = f"of {', '.join(sorted(sources))} " if sources else ""
            raise NetworkError(f"The module returns more than the spikes {what}of one layer, and a chip counts spikes. {READ_OUT}")
        matrix = signals.matrix_of(signal.terms[0].link, signal.shape).unrolled()
        each, votes = np.diff(matrix.indptr), matrix.shape[1] // max(matrix.shape[0], 1)
        aside = matrix.indices.size == matrix.shape[1] and (matrix.indices == np.arange(matrix.shape[1])).all()
        if not aside or (each != votes).any() or (matrix.data != matrix.data[0]).any() or matrix.data[0] <= 0:
            raise NetworkError(f"The module returns a weighted sum of the spikes of {last}, and a chip counts spikes. {READ_OUT}")
        return last, votes, float(matrix.data[0])

    # --- signals ------------------------------------------------------------------------------------------------------

    def signal(self, e: Expression) -> Signal:
        """Return an expression's value at each step, as sums of linear maps of spikes."""
        waiting = [e]
        while waiting:  # without recursion: networks are deep
            top = waiting[-1]
            missing = [a for a in top.args if id(a) not in self.signals]
            if missing:
                waiting += missing
            else:
                waiting.pop()
                if id(top) not in self.signals:
                    self.signals[id(top)] = self._signal(top)
        return self.signals[id(e)]

    def _signal(self, e: Expression) -> Signal:
        if e.op in ("input", "spikes"):
            return self._leaf(e)
        if e.op == "zero":
            return Signal(e.shape, (), np.zeros(int(np.prod(e.shape))))
        rule = getattr(self, f"_{e.op}", None)
        if rule is None:
            raise NetworkError(f"{e.where} uses the potential of neurons ({e.op}), and a chip sends spikes. Leave it to the neurons.")
        return rule(e, [self.signals[id(a)] for a in e.args])

    def _leaf(self, e: Expression) -> Signal:
        name = ENTRY if e.op == "input" else e.name
        lag = 0 if e.step is None else e.step
        if lag < 0 or (e.step is not None and not e.late):
            raise NetworkError(
                f"{e.where} uses the spikes of {name} at another time than its own step, or later ones. Use those of each step."
            )
        made = self._joined(self.parts[name], e) if name in self.parts else signals.of_source(name, e.shape)
        return signals.delayed(made, np.full(int(np.prod(e.shape)), lag, np.int64), e.where) if lag else made

    def _joined(self, parts: list[Part], e: Expression) -> Signal:
        """Return the spikes of a layer from those of its populations, each in its places."""
        size, joined = int(np.prod(e.shape)), list[Signal]()
        for part in parts:
            count = len(part.places)
            place = sp.csr_matrix((np.ones(count), (part.places, np.arange(count))), shape=(size, count))
            joined.append(signals.mapped(signals.of_source(part.name, (count,)), _synapses(place), e.shape, e.where))
        return signals.added(joined, e.shape)

    def _view(self, e: Expression, x: list[Signal]) -> Signal:
        return replace(x[0], shape=e.shape)

    def _add(self, e: Expression, x: list[Signal]) -> Signal:
        return signals.added(x, e.shape)

    def _bias(self, e: Expression, x: list[Signal]) -> Signal:
        return replace(x[0], bias=x[0].bias + e.value)

    def _scale(self, e: Expression, x: list[Signal]) -> Signal:
        return signals.scaled(x[0], e.value, e.where)

    def _gather(self, e: Expression, x: list[Signal]) -> Signal:
        count = int(e.value.size)
        places = Synapses(np.arange(count + 1), e.value.astype(np.int32), np.ones(count), (count, x[0].size))
        return signals.mapped(x[0], places, e.shape, e.where)

    def _matrix(self, e: Expression, x: list[Signal]) -> Signal:
        return signals.mapped(x[0], _synapses(e.value), e.shape, e.where)

    def _linear(self, e: Expression, x: list[Signal]) -> Signal:
        weight: NDArray[np.float64] = e.value[0]
        rows = x[0].size // weight.shape[1]
        if rows > 1 and weight.size * rows**2 > MAX_DENSE:
            raise DoesNotFitError(
                f"{e.where} takes {rows:,} rows through one matrix of {weight.shape}, too many to write out. Use a Conv1d."
            )
        return signals.dense(x[0], weight if rows == 1 else np.kron(np.eye(rows), weight), e.shape, e.where)

    def _cat(self, e: Expression, x: list[Signal]) -> Signal:
        numbers = np.arange(int(np.prod(e.shape))).reshape(e.shape)
        parts, start = list[Signal](), 0
        for signal in x:
            stop = start + signal.shape[e.value]
            chosen = np.take(numbers, np.arange(start, stop), axis=e.value).ravel()
            place = sp.csr_matrix((np.ones(chosen.size), (chosen, np.arange(chosen.size))), shape=(numbers.size, chosen.size))
            parts.append(signals.mapped(signal, _synapses(place), e.shape, e.where))
            start = stop
        return signals.added(parts, e.shape)

    def _conv(self, e: Expression, x: list[Signal]) -> Signal:
        kernel: Kernel = e.value[0]
        child = e.args[0]
        if child.op == "cat" and child.value == 0 and kernel.groups == 1:
            return self._conv_of_parts(e, kernel, child)
        return replace(signals.convolved(_maps(x[0]), kernel, e.where), shape=e.shape)

    def _conv_of_parts(self, e: Expression, kernel: Kernel, child: Expression) -> Signal:
        """Return a convolution of concatenated channels as the sum of one per part, which stay taps."""
        parts, start = list[Signal](), 0
        for part in child.args:
            stop = start + part.shape[0]
            own = replace(kernel, weight=kernel.weight[:, start:stop])
            parts.append(replace(signals.convolved(_maps(self.signals[id(part)]), own, e.where), shape=e.shape))
            start = stop
        return signals.added(parts, e.shape)

    def _pool(self, e: Expression, x: list[Signal]) -> Signal:
        size, stride, padding, count = e.value
        maps = _maps(x[0], count)
        return replace(signals.pooled(maps, size, stride, padding, 1.0 / (size[0] * size[1]), e.where), shape=e.shape)

    def _over_time(self, e: Expression, x: list[Signal]) -> Signal:
        return signals.scaled(x[0], np.full(x[0].size, float(e.value)), e.where)

    # --- threshold units -----------------------------------------------------------------------------------------------

    def _gate(self, e: Expression, x: Signal, level: float) -> Signal:
        name = free = f"{e.where.split(' (')[0]}.{e.op}" if e.where != "the module" else e.op
        count = 1
        while name in self.gates or name in self.neurons or name == ENTRY:
            count += 1
            name = f"{free}_{count}"
        x = replace(x, shape=e.shape)
        self.gates[name] = Layer(name, e.shape, Threshold(level), x, x.bias, np.ones(x.size, np.bool_))
        return signals.of_source(name, e.shape)

    def _max(self, e: Expression, x: list[Signal]) -> Signal:
        self._check_spikes(e, e.args[0], "the maximum over windows")
        size, stride, padding, apart = e.value
        channels = e.args[0].shape[0]
        if apart == (1, 1):
            summed = signals.pooled(_maps(x[0]), size, stride, padding, 1.0, e.where)
        else:
            kernel = Kernel(np.ones((channels, 1, *size)), stride, padding, apart, groups=channels)
            summed = signals.convolved(_maps(x[0]), kernel, e.where)
        return self._gate(e, summed, 1.0)

    def _any(self, e: Expression, x: list[Signal]) -> Signal:
        self._check_spikes(e, e.args[0], "the maximum over windows")
        return self._gate(e, signals.mapped(x[0], _synapses(e.value), e.shape, e.where), 1.0)

    def _or(self, e: Expression, x: list[Signal]) -> Signal:
        for part in e.args:
            self._check_spikes(e, part, "the maximum")
        return self._gate(e, signals.added(x, e.shape), 1.0)

    def _and(self, e: Expression, x: list[Signal]) -> Signal:
        """Return  a * b  of spikes or their complements, which is 1 where  a + b >= 2."""
        for part in e.args:
            if not self._is_binary(part) and self._complement(part) is None:
                self._check_spikes(e, part, "the product")
        both = signals.added(x, e.shape)
        level = 2.0 - float(both.bias.flat[0])  # 1 - a adds 1 to the bias
        if level <= 0.0:
            return self._gate(e, replace(both, bias=both.bias - 1.0), 1.0)
        return self._gate(e, replace(both, bias=np.zeros(both.size)), level)

    def _check_spikes(self, e: Expression, part: Expression, what: str) -> None:
        if not self._is_binary(part):
            raise NetworkError(
                f"{e.where} takes {what} of values that are not spikes of 0 and 1 ({part.where} makes them). A chip has it for spikes "
                f"alone: put it behind the neurons, or use an average (AvgPool2d)."
            )

    def _is_binary(self, e: Expression) -> bool:
        if e.op == "spikes" or e.op in ("max", "any", "and", "or"):
            return True
        if e.op == "input":
            return self.binary_input
        return e.op in ("view", "gather", "cat", "zero") and all(self._is_binary(a) for a in e.args)

    def _complement(self, e: Expression) -> Expression | None:
        """Return the spikes s of an expression  1 - s."""
        if e.op in ("view",):
            return self._complement(e.args[0])
        if e.op != "bias" or not (e.value == 1.0).all() or e.args[0].op != "scale" or not (e.args[0].value == -1.0).all():
            return None
        inner = e.args[0].args[0]
        return inner if self._is_binary(inner) else None


def _maps(x: Signal, count: int | None = None) -> Signal:
    """Return a signal of maps as (channels, rows, columns); along one axis a map has one row."""
    shape = x.shape if count is None or len(x.shape) == count + 1 else (1, *x.shape)
    return replace(x, shape=shape if len(shape) == 3 else (shape[0], 1, shape[1]))


def _synapses(matrix: Any) -> Synapses:
    made: Any = sp.csr_matrix(matrix)
    rows, columns = made.shape
    made.eliminate_zeros()
    made.sort_indices()
    return Synapses(made.indptr.astype(np.int64), made.indices.astype(np.int32), made.data.astype(np.float64), (int(rows), int(columns)))
