"""Writes a deployed network as a folder: a Python package that needs lava-nc and NumPy alone, a README, an example and a pyproject.toml."""

from __future__ import annotations

import ast
import io
import keyword
import re
import sys
from pathlib import Path

import numpy as np

from ...errors import OutputError
from ...files import make_folder, write_bytes
from ...network.model import Network
from . import texts
from .source import Written, write_source

SUFFIXES = (".lava",)
MARK = "# Written by spikeloom export --to lava."
TAKEN = {"lava", "numpy", "scipy", "networkx", "spikeloom", "processes", "example", "site", "test", "tests"}

__all__ = ["SUFFIXES", "package_files", "write_integers"]


def write_integers(network: Network, path: Path) -> Path:
    """Write the folder `path`; the package in it is called like the folder. Other files in the folder stay.

    Raises:
        NetworkError: Lava cannot compute the network exactly; the population or projection, the limit and a way out are named.
        OutputError: `path` is a file or a folder with something else in it, or cannot be written to.
    """
    name = package_name(path)
    files = package_files(network, name)
    if path.is_dir() and any(path.iterdir()) and not _is_ours(path):
        raise OutputError(f"{path} holds other files, and no earlier export. Name a new or empty folder with --out.")
    make_folder(path)
    for relative, content in files.items():
        write_bytes(path / relative, content)
    return path


def package_name(path: Path) -> str:
    """Return the name of the package in the folder `path`: an identifier that no module of Python or Lava has."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", path.absolute().name).strip("_").lower() or "network"
    name = f"network_{name}" if name[0].isdigit() else name
    return f"{name}_network" if keyword.iskeyword(name) or name in TAKEN or name in sys.stdlib_module_names else name


def package_files(network: Network, name: str) -> dict[str, bytes]:
    """Return the files of the folder, by relative path; those of the package are in the folder `name`.

    Raises:
        NetworkError: as `write_integers`.
    """
    written = write_source(network, name)
    modules = {part: _static(part) for part in ("compat", "encoding")}
    texts_by_path = {
        "README.md": texts.readme(written, name),
        "pyproject.toml": f"{MARK}\n{texts.pyproject(written, name)}",
        "example.py": texts.example(written, name),
        f"{name}/__init__.py": texts.init(name),
        f"{name}/network.py": written.source,
        f"{name}/processes/__init__.py": '"""Building blocks, alone in their folder: Lava executes what lies beside a process."""\n',
        f"{name}/processes/blocks.py": _static("blocks"),
    } | {f"{name}/{part}.py": text for part, text in modules.items()}
    for path, text in texts_by_path.items():
        if path.endswith(".py"):
            ast.parse(text, path, feature_version=(3, 10))
    return {path: text.encode() for path, text in texts_by_path.items()} | {f"{name}/arrays.npz": _packed(written)}


def _is_ours(folder: Path) -> bool:
    try:
        return (folder / "pyproject.toml").read_text(encoding="utf-8").startswith(MARK)
    except (OSError, UnicodeDecodeError):
        return False


def _static(part: str) -> str:
    """Return a file that every package has, without its comments for our own type checker."""
    text = (Path(__file__).parent / "exported" / f"{part}.py").read_text(encoding="utf-8")
    return text.replace("# pyright: reportMissingImports=false\n# Lava is optional: these types are checked where it is installed.\n\n", "")


def _packed(written: Written) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **written.arrays)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()
