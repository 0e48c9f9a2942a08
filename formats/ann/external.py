"""Weights in a file beside an ONNX model, which torch.onnx.export writes by default as MODEL.onnx.data.

The model says where its weights are, and nothing in it is trusted: only a plain file name in the model's own folder is opened, no link,
and exactly the number of bytes that the tensor's shape needs is read. The returned model contains the weights.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from ...errors import FormatError

__all__ = ["embed"]

LARGEST = 1_900_000_000  # bytes in total: a protobuf message is limited to 2 GiB, and onnxruntime is given one
BYTES: dict[int, int] = {
    onnx.TensorProto.FLOAT: 4,
    onnx.TensorProto.DOUBLE: 8,
    onnx.TensorProto.FLOAT16: 2,
    onnx.TensorProto.INT64: 8,
    onnx.TensorProto.INT32: 4,
    onnx.TensorProto.BOOL: 1,
}
KEYS = {"location", "offset", "length", "checksum"}
WAY_OUT = "Export it with its weights inside: torch.onnx.export(..., external_data=False), or onnx.save(model, path)"


def embed(model: onnx.ModelProto, path: Path) -> bool:
    """Move the values of every tensor stored beside `path` into the model; return whether there were any.

    Raises:
        FormatError: the other file is missing, is in another folder, is a link or too short, or the byte count differs from what the shape
            needs; the message names the tensor, the file and a way out.
    """
    found = [t for t in _tensors(model.graph) if t.data_location != onnx.TensorProto.DEFAULT or t.external_data]
    total = 0
    for tensor in found:
        size = _size(tensor)
        total += size
        if total > LARGEST:
            raise FormatError(f"its weights in other files take more than {LARGEST:,} bytes. Convert a smaller network")
        raw = _read(tensor, path.parent, size)
        del tensor.external_data[:]
        tensor.ClearField("data_location")
        tensor.raw_data = raw
    return bool(found)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t


def _size(tensor: onnx.TensorProto) -> int:
    if tensor.data_type not in BYTES:
        raise FormatError(f"the tensor {tensor.name!r} holds numbers of the type {tensor.data_type}. Export it with float32 weights")
    count = int(np.prod(list(tensor.dims), dtype=object))
    if any(d < 0 for d in tensor.dims):
        raise FormatError(f"the tensor {tensor.name!r} has the shape {list(tensor.dims)[:8]}. {WAY_OUT}")
    return count * BYTES[tensor.data_type]


def _read(tensor: onnx.TensorProto, folder: Path, size: int) -> bytes:
    said = {entry.key: entry.value for entry in tensor.external_data}
    name, where = said.get("location", ""), f"the tensor {tensor.name!r}"
    if not set(said) <= KEYS or not all(said.get(k, "0").isdecimal() for k in ("offset", "length")):
        raise FormatError(f"{where} does not say where its values lie. {WAY_OUT}")
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name or ":" in name:
        raise FormatError(f"{where} keeps its values in {name!r}; only a file beside the model is read. {WAY_OUT}")
    offset, length = int(said.get("offset", "0")), int(said.get("length", str(size)))
    if length != size or any(tensor.HasField(field) for field in ("raw_data",)):
        raise FormatError(f"{where} of the shape {list(tensor.dims)} needs {size:,} bytes; {length:,} of {name} are given. {WAY_OUT}")
    return _bytes_of(folder / name, offset, length, where)


def _bytes_of(path: Path, offset: int, length: int, where: str) -> bytes:
    """Read part of a regular file, without following a link."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as error:
        raise FormatError(f"{where} keeps its values in {path.name}, which is not beside the model. Put it there. Or: {WAY_OUT}") from error
    except (OSError, ValueError) as error:
        raise FormatError(f"{where} keeps its values in {path.name}, which cannot be read as a file of its own. {WAY_OUT}") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise FormatError(f"{where} keeps its values in {path.name}, which is not a file. {WAY_OUT}")
    with os.fdopen(handle, "rb") as file:
        if offset + length > status.st_size:
            raise FormatError(
                f"{where} lies at {offset:,} to {offset + length:,} of {path.name}, which has {status.st_size:,} bytes. Copy it again. "
                f"Or: {WAY_OUT}"
            )
        file.seek(offset)
        raw = file.read(length)
    if len(raw) != length:
        raise FormatError(f"{path.name} became shorter while it was read. Copy it again")
    return raw
