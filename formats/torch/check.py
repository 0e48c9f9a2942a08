"""The proof of an import: the network and the module it was read from send the same spikes, layer by layer, in float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import MismatchError
from ...network import reference
from ...network.model import Network, Reading
from .build import Drawn, Neurons, gains
from .run import Recorded, Recording

__all__ = ["reading", "rounding", "same_output", "same_spikes"]

NEAR = 1e-9  # relative difference of inputs that counts as rounding


def same_spikes(network: Network, found: Recorded, values: NDArray[np.int64]) -> None:
    """Compare every layer's input and spikes with the module's, given the spikes that the module's earlier layers sent.

    So the first layer that differs is where the import went wrong, and later layers do not hide it; if none differs, neither does the
    whole network, by induction.

    Raises:
        MismatchError: the layer, the place, and why.
    """
    neurons = {n.name: n for n in found.neurons}
    for name, spikes, streams in _layers(network, found.recordings, values):
        recording, where = found.recordings[name], neurons[name].where
        if not neurons[name].cell.late:  # its late reset is a separate connection
            _check_arriving(network, neurons[name], recording, streams)
        wanted = recording.sent
        if (spikes == wanted).all():
            continue
        sample, step, neuron = (int(n) for n in np.argwhere(spikes != wanted)[0])
        does = ("spikes", "does not") if wanted[sample, step, neuron] else ("does not spike", "does")
        raise MismatchError(
            f"The network read from the module differs from it first at {where}: in sample {sample}, step {step}, neuron {neuron} "
            f"{does[0]} in the module and {does[1]} in the network ({int((spikes != wanted).sum()):,} of {wanted.size:,} spikes differ). "
            f"The same arrives in both, so its neurons do not follow the equation of their class, or a potential lies within rounding of "
            f"the threshold. Use the class as it is, or another sample."
        )


def _layers(
    network: Network, recordings: Mapping[str, Recording], values: NDArray[np.int64]
) -> Iterator[tuple[str, NDArray[np.bool_], dict[str, NDArray[Any]]]]:
    """Yield the layers of neurons with the network's spikes, and the spikes of the module in all layers up to them."""
    real = reference.check_values(network, values) * network.input.scale
    steps = real if network.input.is_temporal else np.repeat(real[:, None], network.timesteps, axis=1)
    streams: dict[str, NDArray[Any]] = {network.populations[0].name: steps}
    for group in network.components():
        known = {p.name: recordings[p.name].sent for p in group if p.name in recordings}
        spikes = reference.float_component(network, group, streams)
        streams = streams | spikes | known
        for name in known:
            yield name, spikes[name], streams


def _check_arriving(network: Network, neurons: Neurons, recording: Recording, streams: Mapping[str, NDArray[Any]]) -> None:
    """Compare a layer's input, in the network on the module's spikes, with its input in the module.

    Raises:
        MismatchError: they differ by more than rounding.
    """
    name, where, gain = neurons.name, neurons.where, gains(neurons)
    received = recording.received if gain is None else recording.received * gain
    arriving = np.broadcast_to(network.population(name).biases.astype(np.float64), received.shape).copy()
    for projection in network.inputs_of(name):
        weights, source = projection.synapses.operator(np.float64), streams[projection.source]
        for t in range(projection.lag, network.timesteps):
            arriving[:, t] += (weights @ source[:, t - projection.lag].T.astype(np.float64)).T
    apart = np.abs(arriving - received)
    worst = float(apart.max())
    if worst > NEAR * max(1.0, float(np.abs(received).max())):
        step = int(np.argwhere(apart > worst / 2)[:, 1].min())
        raise MismatchError(
            f"The network read from the module differs from it first at {where}: what arrives there differs by up to {worst:.3g}, first at "
            f"step {step}. The module does other things at other time steps, or an operation before {where} depends on the data. Make its "
            f"forward the same at every step."
        )


def same_output(drawn: Drawn, recordings: Mapping[str, Recording], returned: NDArray[np.float64]) -> None:
    """Compare the module's output, summed over its time steps, with the output spikes by class.

    Raises:
        MismatchError: they differ.
    """
    network = drawn.exact
    last = network.populations[-1].name
    if last not in recordings:
        return
    counts = reference.class_counts(recordings[last].sent, network.votes) * drawn.factor
    flat = returned.reshape(len(returned), -1)
    if flat.shape != counts.shape or not np.allclose(flat, counts, rtol=1e-9, atol=1e-9):
        raise MismatchError(
            f"The module returns {flat[0][:4].tolist()}... where the spikes of {last} over all steps make {counts[0][:4].tolist()}...: "
            f"it does not count those of every step alike. Return the spikes of its last layer, or their sum or mean over time."
        )


def rounding(network: Network, recordings: Mapping[str, Recording], values: NDArray[np.int64]) -> tuple[str, ...]:
    """Return a warning if rounding weights to float32 changes spikes."""
    changed = sum(int((found != recordings[name].sent).sum()) for name, found, _ in _layers(network, recordings, values))
    if not changed:
        return ()
    return (f"Weights rounded to float32 change {changed:,} spikes of the sample, whose potentials lie that close to a threshold.",)


def reading(warnings: tuple[str, ...]) -> Reading:
    """Return what reading the module found, for the network."""
    return Reading("module", warnings, "Check that the module itself spikes there: trained weights, and samples as it was trained on.")
