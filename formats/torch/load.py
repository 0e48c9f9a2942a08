"""A module from a user's own Python file, and its weights from a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ...errors import DAMAGE, FormatError, UsageError
from ...python_file import named_in

__all__ = ["load_module", "load_weights"]

PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")


def load_module(path: Path, name: str) -> torch.nn.Module:
    """Run a Python file and return what its function, class or variable `name` is or makes, in eval mode.

    Raises:
        UsageError: no such file or name, a file that raises, or something that is no module.
    """
    made = named_in(path, name, lambda found: found if isinstance(found, torch.nn.Module) else found(), "your module")
    if not isinstance(made, torch.nn.Module):
        raise UsageError(f"{path}:{name} makes a {type(made).__name__}, not a torch.nn.Module. Return the module.")
    return made.eval()


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load weights by the names of the module's state_dict.

    Raises:
        UsageError: a pickle, which may run anything that is in it; or no such file.
        FormatError: a damaged file, or names and shapes that are not the module's.
    """
    if path.suffix in PICKLED:
        written = path.with_suffix(".safetensors").name
        raise UsageError(
            f"{path} is a pickle, which may run anything when it is opened, and is not read. Where you trust it, write it as safetensors: "
            f"from safetensors.torch import save_file; save_file(torch.load({path.name!r}, weights_only=True), {written!r})"
        )
    if not path.is_file():
        raise UsageError(f"There is no file {path}. Write it with safetensors.torch.save_file(module.state_dict(), {path.name!r}).")
    try:
        given: Mapping[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError, *DAMAGE) as error:
        raise FormatError(f"{path} is not a safetensors file, or is truncated ({error}). Write it again.") from error
    own: Mapping[str, Any] = module.state_dict()
    missing, unknown = [n for n in own if n not in given], [n for n in given if n not in own]
    if missing or unknown:
        parts = [f"lacks {_some(missing)}"] * bool(missing) + [f"has {_some(unknown)}, which the module has not"] * bool(unknown)
        raise FormatError(f"{path} {' and '.join(parts)}. Save the state_dict of this very module.")
    for name, tensor in given.items():
        if tuple(tensor.shape) != tuple(own[name].shape):
            raise FormatError(f"{path}: {name} has the shape {tuple(tensor.shape)}; the module's has {tuple(own[name].shape)}.")
    module.load_state_dict(dict(given))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
