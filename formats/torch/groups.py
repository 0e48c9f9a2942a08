"""Neurons of a layer with different time constants: a population for each of them, since neurons of a population share theirs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from .build import Neurons, Part
from .expressions import Expression
from .run import Recorded, Recording

__all__ = ["split"]


def split(found: Recorded) -> tuple[Recorded, dict[str, list[Part]]]:
    """Return a recording in which layers of neurons of several kinds are several layers, and the parts of each such layer by its name.

    Raises:
        NetworkError: as many time constants as do not fit the layer.
    """
    neurons: list[Neurons] = []
    recordings: dict[str, Recording] = dict(found.recordings)
    parts: dict[str, list[Part]] = {}
    names = {n.name for n in found.neurons}
    for layer in found.neurons:
        if layer.cell.groups is None:
            neurons.append(layer)
            continue
        groups = _fitted(layer.cell.groups, layer).ravel()
        gain = None if layer.cell.gain is None else _fitted(layer.cell.gain, layer).ravel()
        received, sent = recordings[layer.name].received, recordings.pop(layer.name).sent
        parts[layer.name] = []
        for number, kind in enumerate(layer.cell.kinds):
            places = np.flatnonzero(groups == number)
            name = f"{layer.name}.{number + 1}"
            while name in names:
                name += "_"
            names.add(name)
            cell = replace(layer.cell, neuron=kind, groups=None, kinds=(), gain=None if gain is None else gain[places])
            arriving = Expression("gather", (layer.arriving,), (len(places),), layer.where, places)
            neurons.append(Neurons(name, layer.where, (len(places),), cell, arriving))
            recordings[name] = Recording(received[..., places], sent[..., places])
            parts[layer.name].append(Part(name, places))
    return replace(found, neurons=neurons, recordings=recordings), parts


def _fitted(values: NDArray[np.generic], layer: Neurons) -> NDArray[np.generic]:
    try:
        return np.broadcast_to(values, layer.shape)
    except ValueError as error:
        raise NetworkError(f"{layer.where} has parameters of the shape {values.shape} for neurons of the shape {layer.shape}.") from error
