"""Recipes: training settings from a file (TOML, or a run's settings.json), flags, and --set NAME=VALUE.

Later ones take precedence. The recipes of papers, in the folder `recipes` of the package, and Spikeloom's own go by their names. Does not
import torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from ..errors import DAMAGE, UsageError, unknown_name
from ..files import parse_toml, read_bytes, read_json
from .papers import Here, Paper, here_of, paper_of
from .settings import OPTIONS, TrainSettings

__all__ = ["OwnRecipe", "Published", "merged", "names", "own_names", "own_recipe", "published", "read_recipe"]

PREFIXES = {name.removesuffix("_options"): name for name in OPTIONS}
FOLDER = Path(__file__).resolve().parent.parent / "recipes"
OWN_FOLDER = FOLDER / "own"
FILES = (".toml", ".json")
PAPER, HERE = "paper", "here"


@dataclass(frozen=True)
class Published:
    """A recipe of a paper: its name, file and settings, the paper's figure, and what came out here."""

    name: str
    path: Path
    settings: TrainSettings
    paper: Paper
    here: Here


@dataclass(frozen=True)
class OwnRecipe:
    """A recipe of Spikeloom's own, no paper's: its name, file and settings, and what came out."""

    name: str
    path: Path
    settings: TrainSettings
    here: Here


def own_names() -> list[str]:
    """List the recipes of Spikeloom's own."""
    return sorted(path.stem for path in OWN_FOLDER.glob("*.toml"))


def own_recipe(name: str) -> OwnRecipe:
    """Return a recipe of Spikeloom's own.

    Raises:
        UsageError: an unknown name; the message lists the nearest ones.
    """
    path, settings, document = _named(name, own_names(), OWN_FOLDER)
    return OwnRecipe(name, path, settings, here_of(document.get(HERE, {}), path))


def names() -> list[str]:
    """List the recipes of papers."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def published(name: str) -> Published:
    """Return a recipe of a paper.

    Raises:
        UsageError: an unknown name; the message lists the nearest ones.
    """
    path, settings, document = _named(name, names(), FOLDER)
    return Published(name, path, settings, paper_of(document.get(PAPER, {}), path), here_of(document.get(HERE, {}), path))


def _named(name: str, known: list[str], folder: Path) -> tuple[Path, TrainSettings, dict[str, Any]]:
    """Return the file of a recipe in `folder`, its settings, and all that it says."""
    if name not in known:
        raise unknown_name("recipe", name, known)
    path = folder / f"{name}.toml"
    return path, TrainSettings.read(read_recipe(path)), _toml(path)


def _found(path: Path) -> Path:
    """Return the file of a recipe that is named as a file or, where there is no such file, as a recipe of a paper.

    Raises:
        UsageError: it is neither, and does not look like a file.
    """
    if len(path.parts) != 1 or path.suffix in FILES:
        return path
    try:
        if path.exists():
            return path
    except OSError:  # a name that no file can have
        pass
    if path.name in own_names():
        return OWN_FOLDER / f"{path.name}.toml"
    if path.name not in names():
        raise unknown_name("file or recipe of a paper", path.name, [*names(), *own_names()])
    return FOLDER / f"{path.name}.toml"


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe: a TOML file whose keys are the settings; tables [method_options], [net_options], [data_options].

    The settings.json of a run is a recipe as well: that of the same weights. Its entries that are null are left open. The tables [paper]
    and [here], which say what a recipe is taken from, are checked and left out.

    Args:
        path: the file, or the name of a recipe of a paper (`names`) or of Spikeloom's own (`own_names`).

    Raises:
        FormatError: it cannot be read.
        UsageError: it is neither TOML nor, named .json, the settings of a run; has a key that is not a setting; or an unknown name.
    """
    path = _found(path)
    document = _settings_of_run(path) if path.suffix == ".json" else _toml(path)
    for name, check in ((PAPER, paper_of), (HERE, here_of)):
        if name in document:
            check(document.pop(name), path)
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
