"""NIR: graphs of primitives with continuous time, read as networks with time steps, and written."""

from .reader import SUFFIXES, Options, from_document, known, known_of, read
from .writer import Options as WriteOptions
from .writer import graph_of, write

__all__ = ["SUFFIXES", "Options", "WriteOptions", "from_document", "graph_of", "known", "known_of", "read", "write"]
