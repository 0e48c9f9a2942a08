"""Damage to files, at random: to bytes, and to what formats are made of (JSON, lines, HDF5 objects, ONNX messages, tensors)."""

from __future__ import annotations

import copy
import json
import struct
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import onnx

NUMBERS = (0, -1, 1, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**40,
    10**400,
    0.5,
    -1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../../etc/passwd",
    "\0",
    "x" * 5000,
    [],
    [[]],
    {},
    {"": {}},
    [1, 2, 3],
    [-1],
    ["a", None],
)
TOKENS = (
    "0",
    "-1",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "9223372036854775808",
    "1" * 400,
    "0x" + "f" * 5000,
    '""',
    "[]",
    "{}",
    "true",
    "1979-05-27",
    "[" * 300,
    "[" * 5000,
    "9" * 5000,
    '"',
)


def damage(content: bytes, rng: Random) -> bytes:
    """One to four changes of bytes: cut, flip, overwrite, insert, remove, repeat, exchange, or a huge number where one may be."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        _change(data, rng)
    return bytes(data)


def _change(data: bytearray, rng: Random) -> None:
    # half of all changes fall into the first 256 bytes, where headers are
    place = rng.randrange(min(len(data), 256) if rng.random() < 0.5 else len(data)) if data else 0
    length = rng.choice((1, 2, 4, 8, 16, 64, 512))
    piece = bytes(data[place : place + length])
    match rng.randrange(9):
        case 0:
            del data[place:]
        case 1 | 2 if data:
            data[place] ^= 1 << rng.randrange(8)
        case 3:
            data[place : place + length] = bytes([rng.choice((0, 255, 127, 128))]) * len(piece)
        case 4:
            data[place:place] = rng.randbytes(length)
        case 5:
            del data[place : place + length]
        case 6:
            data[place:place] = piece * rng.randint(1, 3)
        case 7:
            other = rng.randrange(len(data)) if data else 0
            data[other : other + length] = piece
        case _:
            form = rng.choice(("<I", ">I", "<Q", ">Q", "<H", ">H"))
            mask = (1 << 8 * struct.calcsize(form)) - 1
            data[place : place + struct.calcsize(form)] = struct.pack(form, rng.choice(NUMBERS) & mask)


def document(value: Any, rng: Random, values: tuple[Any, ...] = VALUES) -> Any:
    """A copy of a JSON document with one to three places replaced, removed, repeated, exchanged or nested deeply."""
    root = {"": copy.deepcopy(value)}
    for _ in range(rng.randint(1, 3)):
        holder, key = rng.choice(list(_places(root)))
        match rng.randrange(6):
            case 0 | 1 | 2:
                holder[key] = copy.deepcopy(rng.choice(values))
            case 3 if holder is not root:
                del holder[key]
            case 4:
                other, name = rng.choice(list(_places(root)))
                holder[key], other[name] = copy.deepcopy(other[name]), copy.deepcopy(holder[key])
            case _:
                if isinstance(holder, list):
                    holder.insert(key, copy.deepcopy(holder[key]))
                else:
                    nested: Any = holder[key]
                    for _ in range(rng.choice((1, 3, 200))):
                        nested = [nested]
                    holder[key] = nested
    return root[""]


def _places(value: Any) -> Any:
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def text(held: str, rng: Random) -> str:
    """Change a JSON text: its values, or now and then with what Python's own reader gives up on."""
    try:
        changed = json.dumps(document(json.loads(held), rng))
    except (ValueError, RecursionError):  # changed so before
        return held[: len(held) // 2]
    if rng.random() < 0.05:
        place = rng.randrange(len(changed))
        changed = changed[:place] + rng.choice(("[" * 100_000, '{"a":' * 100_000, "9" * 5000, "\\ud800", "NaN")) + changed[place:]
    return changed


def json_file(path: Path, rng: Random) -> None:
    """Change a JSON file, or one line of a file of JSON lines."""
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    number = rng.randrange(len(lines))
    lines[number] = text(lines[number], rng)
    path.write_text("\n".join(lines) + "\n")


def toml_file(path: Path, rng: Random) -> None:
    """Change lines of a TOML file: other values, repeated, exchanged or missing lines, tables within tables."""
    lines = path.read_text().splitlines()
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(lines))
        key, equals, _ = lines[place].partition("=")
        match rng.randrange(5):
            case 0 | 1 if equals:
                inside = lines[place].replace(str(rng.randint(0, 9)), rng.choice(TOKENS), 1)
                lines[place] = rng.choice((f"{key}= {rng.choice(TOKENS)}", inside))
            case 2:
                lines.insert(rng.randrange(len(lines)), lines[place])
            case 3 if len(lines) > 1:
                del lines[place]
            case _:
                other = rng.randrange(len(lines))
                lines[place], lines[other] = lines[other], lines[place]
    path.write_text("\n".join(lines) + "\n")


def array(rng: Random, like: Any = None) -> Any:
    """An array that may not be what is expected: of another type, shape or content."""
    if like is not None and like.size and like.dtype.kind in "iufb" and rng.random() < 0.6:
        changed = like.copy()
        match rng.randrange(4):
            case 0:
                kind = np.iinfo(like.dtype) if like.dtype.kind in "iu" else None
                changed.flat[rng.randrange(like.size)] = rng.choice((0, 1, kind.max, kind.min) if kind else (np.nan, np.inf, -1, 1e30))
            case 1:
                changed = changed.ravel()[: rng.randrange(like.size)]
            case 2:
                changed = changed.astype(rng.choice((np.float64, np.int8, np.uint8, np.int64, np.float16)))
            case _:
                changed = changed.reshape(-1, 1)
        return changed
    made: list[Any] = [np.zeros(0), np.zeros((2, 0)), np.array(-1), np.array(2**62), np.full((2, 3, 4, 5), 0.5), np.array([np.nan, np.inf])]
    made += [np.array([2**62, 2**62]), np.array([True]), np.arange(7), np.array(1, np.uint8), np.full(3, -(2**31), np.int32)]
    return rng.choice(made)


def hdf5_file(path: Path, rng: Random) -> None:
    """Change objects of an HDF5 file: other arrays, two exchanged, one removed, moved, linked elsewhere, or text for numbers."""
    with np.errstate(all="ignore"), h5py.File(path, "a") as file:
        for _ in range(rng.randint(1, 2)):
            names: list[str] = []
            file.visit(names.append)
            if not names:
                return
            _change_object(file, rng, *(rng.choice(names) for _ in range(2)))


def _change_object(file: Any, rng: Random, name: str, other: str) -> None:
    held = file.get(name)
    content = held[()] if isinstance(held, h5py.Dataset) else None
    match rng.randrange(6):
        case 0:
            del file[name]
        case 1 | 2:
            del file[name]
            file[name] = array(rng, content if isinstance(content, np.ndarray) else None)
        case 3:
            del file[name]
            file[name] = rng.choice(("LIF", "NIRGraph", "x", "", "input"))
        case 4 if not name.startswith(other) and not other.startswith(name):
            file.move(name, "exchanged")
            file.move(other, name)
            file.move("exchanged", other)
        case _:
            if not name.startswith(f"{other}/") and name != other:
                there = file.get(other)
                del file[name]
                file[name] = h5py.SoftLink(f"/{other}") if there is None or rng.random() < 0.5 else there


def onnx_file(path: Path, rng: Random) -> None:
    """Change messages of an ONNX file: tensors' sizes, types and bytes, nodes, their attributes, the document in its metadata."""
    model = onnx.ModelProto()
    model.ParseFromString(path.read_bytes())
    for _ in range(rng.randint(1, 3)):
        _change_model(model, rng)
    path.write_bytes(model.SerializeToString())


def _change_model(model: Any, rng: Random) -> None:
    graph = model.graph
    if not graph.node:
        return
    node = rng.choice(graph.node)
    match rng.randrange(6):
        case 0 | 1:
            tensors = [*graph.initializer, *(t for s in graph.sparse_initializer for t in (s.values, s.indices))]
            if tensors:
                _change_tensor(rng.choice(tensors), rng)
        case 2 if model.metadata_props:
            entry = rng.choice(model.metadata_props)
            try:
                entry.value = text(entry.value, rng)
            except ValueError:
                entry.value = "nothing"
        case 3 if node.attribute:
            attribute = rng.choice(node.attribute)
            attribute.i, attribute.f = rng.choice((-1, 0, 2**40, 2**62)), rng.choice((float("nan"), 0.0, -1.0, 1e38))
            attribute.ints[:] = [rng.choice((-1, 0, 2**40)) for _ in attribute.ints]
        case 4 if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice([*rng.choice(graph.node).output, "input", ""])
        case _:
            place = rng.randrange(len(graph.node))
            changed = [*graph.node]
            changed[place : place + 1] = rng.choice(([], [node, node]))
            held = [copy.deepcopy(n) for n in changed]
            del graph.node[:]
            graph.node.extend(held)


def _change_tensor(tensor: Any, rng: Random) -> None:
    match rng.randrange(4):
        case 0 if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice((-1, 0, 1, 2**31, 2**40, 2**62))
        case 1:
            tensor.data_type = rng.choice((0, 1, 2, 7, 8, 9, 10, 11, 14, 16, 99))
        case 2:
            tensor.dims.append(rng.choice((0, 1, 2**40)))
        case _ if tensor.int64_data:
            tensor.int64_data[rng.randrange(len(tensor.int64_data))] = rng.choice((-1, 0, 1, 2**31, 2**40, 2**62))
        case _:
            tensor.raw_data = damage(tensor.raw_data, rng)


def safetensors_parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the data of a safetensors file."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def safetensors_file(path: Path, rng: Random) -> None:
    """Change the header of a safetensors file (names, types, shapes, offsets), the document in it, or the tensors' bytes."""
    header, data = safetensors_parts(path.read_bytes())
    inner = header.get("__metadata__", {})
    match rng.randrange(3):
        case 0 if "document" in inner:
            inner["document"] = text(inner["document"], rng)
        case 1:
            data = damage(data, rng)
        case _:
            header = document(header, rng)
    packed = json.dumps(header).encode()
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + data)
