"""Recipes: training settings from a file (TOML, or a run's settings.json), flags, and --set NAME=VALUE.

Later ones take precedence. Does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from ..errors import DAMAGE, UsageError, unknown_name
from ..files import parse_toml, read_bytes, read_json
from .settings import OPTIONS, TrainSettings

__all__ = ["merged", "read_recipe"]

PREFIXES = {name.removesuffix("_options"): name for name in OPTIONS}


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe: a TOML file whose keys are the settings; tables [method_options], [net_options], [data_options].

    The settings.json of a run is a recipe as well: that of the same weights. Its entries that are null are left open.

    Raises:
        FormatError: it cannot be read.
        UsageError: it is neither TOML nor, named .json, the settings of a run; or has a key that is not a setting.
    """
    document = _settings_of_run(path) if path.suffix == ".json" else _toml(path)
    for name, value in document.items():
        _require_setting(name, f"setting in {path}")
        if name in OPTIONS and not isinstance(value, dict):
            raise UsageError(f"{path}: {name} is {value!r}; it must be a table, a line [{name}] with the options under it.")
    return document


def _toml(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_bytes(path, "the recipe", "Name a TOML file with --recipe."))
    except DAMAGE as error:
        raise UsageError(f"{path} is not a TOML file: {error}. A line of a recipe is like  epochs = 20.") from error


def _settings_of_run(path: Path) -> dict[str, Any]:
    document = read_json(path, "the settings of a run", "Name a TOML file, or the settings.json of a run, with --recipe.")
    if not isinstance(document, dict):
        raise UsageError(f"{path} does not hold the settings of a run. Name a TOML file, or the settings.json of a run, with --recipe.")
    return {name: value for name, value in cast("dict[str, Any]", document).items() if value is not None}


def _require_setting(name: str, kind: str) -> None:
    known = [f.name for f in fields(TrainSettings)]
    if name not in known:
        raise unknown_name(kind, name, known)


def merged(recipe: Mapping[str, Any], flags: Mapping[str, Any], chosen: Iterable[str]) -> dict[str, Any]:
    """Return the settings by name for `TrainSettings.read`: the recipe's, overridden by the flags, overridden by --set.

    Args:
        recipe: from `read_recipe`.
        flags: settings by name, options as "net.hidden"; None: not given.
        chosen: texts NAME=VALUE, where NAME is a setting, or method.x, net.x or data.x for an option of the method, network or data set.

    Raises:
        UsageError: a text of another form, or an unknown setting.
    """
    settings: dict[str, Any] = dict(recipe)
    for name in OPTIONS:
        settings[name] = dict(cast("Mapping[str, Any]", recipe.get(name, {})))
    for name, value in flags.items():
        if value is not None:
            _put(settings, name, value)
    for text in chosen:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {text!r} must be NAME=VALUE, such as --set method.ramp=0.5.")
        _put(settings, name.strip(), value.strip())
    return settings


def _put(settings: dict[str, Any], name: str, value: Any) -> None:
    part, dot, option = name.partition(".")
    if dot and part in PREFIXES and option:
        settings[PREFIXES[part]][option] = value
        return
    if dot:
        raise unknown_name("part with options", part, PREFIXES)
    if name in OPTIONS:
        raise UsageError(f"--set {name}=... must name one option: --set {name.removesuffix('_options')}.NAME=VALUE.")
    _require_setting(name, "setting")
    settings[name] = value
