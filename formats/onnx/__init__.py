"""The exported network, `model.onnx`: the one definition that training writes and the compiler reads.

One time step of a `Network` as an ONNX graph. Weights are sparse initializers; synapses and neurons are model-local
functions of standard operators, so onnxruntime runs the file and Netron draws it; neuron state enters and leaves by name:

    inputs   input (N, sources), v_<population> and, for integer neurons, u_<population>: (N, neurons), zeros at the first step
    outputs  s_<population> (the spikes), and v_<population>_out, u_<population>_out for the next step

Float networks compute in float64: sums of float32 weights are then exact in any order (up to a spread of exponents no
trained network has), which is what makes onnxruntime's spikes torch's spikes. Integer networks hold their sums in float64
(exact below 2^53) and their state in int64. Convolutions are written as a matrix product over shifted maps, since onnxruntime's own
has no float64. Time steps, input encoding, output neurons per class and provenance are metadata.
"""

from __future__ import annotations

from pathlib import Path

from ...files import read_bytes, write_bytes
from ...network.model import Network
from .reader import from_bytes
from .writer import check, to_bytes

SUFFIXES = (".onnx",)
REFUSED = {  # options of other formats, and why this one has no use for them
    "dt": "its neurons count in time steps, not in seconds",
    "timesteps": "it was trained with time steps of its own",
    "spike_when": "its neurons say it themselves",
    "reset": "its neurons say it themselves",
    "readout": "its output spikes",
    "input": "it says itself what its samples are",
    "levels": "it says itself what its samples are",
}

__all__ = ["REFUSED", "SUFFIXES", "check", "from_bytes", "read", "to_bytes", "write"]


def write(network: Network, path: Path) -> Path:
    """Write `network` to `path`, atomically.

    Raises:
        OutputError: the folder cannot be written to.
    """
    return write_bytes(path, to_bytes(network))


def read(path: Path) -> Network:
    """Read a model.onnx.

    Raises:
        FormatError: it is missing, damaged, foreign or newer than this version.
    """
    return from_bytes(read_bytes(path, "the network"), str(path))
