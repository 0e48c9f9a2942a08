"""Compile networks onto neuromorphic cores: `compile_network`, `DeployedNetwork`, `load`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from ..network.model import Network
    from .api import Calibration, CompileOptions, PassResult
    from .compiler import Compilation, compile_network
    from .deployed import DeployedNetwork
    from .files.mapping import save_mapping
    from .files.sanafe import save_sanafe
    from .inspection.inspect import Inspection, inspect
    from .loading import load
    from .words.decode import decode_words
    from .words.encode import encode_words, synapses_of
    from .words.files import load_words, save_words
    from .words.layout import SynapseTable, SynapseWords

__all__ = [
    "Calibration",
    "Compilation",
    "CompileOptions",
    "DeployedNetwork",
    "Inspection",
    "Network",
    "PassResult",
    "SynapseTable",
    "SynapseWords",
    "compile_network",
    "decode_words",
    "encode_words",
    "inspect",
    "load",
    "load_words",
    "save_mapping",
    "save_sanafe",
    "save_words",
    "synapses_of",
]

if not TYPE_CHECKING:  # type checkers assume that a module with __getattr__ has every name
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "Calibration": ".api",
            "Compilation": ".compiler",
            "CompileOptions": ".api",
            "DeployedNetwork": ".deployed",
            "Inspection": ".inspection.inspect",
            "Network": "..network.model",
            "PassResult": ".api",
            "SynapseTable": ".words.layout",
            "SynapseWords": ".words.layout",
            "compile_network": ".compiler",
            "decode_words": ".words.decode",
            "encode_words": ".words.encode",
            "inspect": ".inspection.inspect",
            "load": ".loading",
            "load_words": ".words.files",
            "save_mapping": ".files.mapping",
            "save_sanafe": ".files.sanafe",
            "save_words": ".words.files",
            "synapses_of": ".words.encode",
        },
    )
