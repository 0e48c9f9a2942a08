"""Options of formats and of data, as several commands take them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..python_file import split_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..compile.sources import Data
    from ..data.dataset import Dataset

__all__ = ["fed", "is_module", "module_of", "named", "only_data", "own_samples", "pinned"]

DATA = "data."


def named(flags: Mapping[str, Any], chosen: list[str]) -> dict[str, Any]:
    """Return options by name: the given flags, and NAME=VALUE words, which take precedence."""
    given = {name: value for name, value in flags.items() if value is not None}
    for word in chosen:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {word} is not of the form NAME=VALUE.")
        given[name.strip()] = value.strip()
    return given


def pinned(words: list[str]) -> dict[str, str]:
    """Return the cores of each layer of LAYER=CORES words."""
    found: dict[str, str] = {}
    for word in words:
        layer, equals, cores = (part.strip() for part in word.partition("="))
        if not equals or not layer or not cores:
            raise UsageError(f"--pin {word} is not of the form LAYER=CORES, such as hidden1=0-7.")
        if layer in found:
            raise UsageError(f"--pin names {layer} twice. Name its cores in one: {layer}=0-3,8.")
        found[layer] = cores
    return found


def fed(given: Mapping[str, Any], data: str | None, labels: Path | None, data_dir: Path | None) -> tuple[dict[str, Any], Data | None]:
    """Return the options of the format, and the data for the network, whose own options begin with `data.`.

    Raises:
        UsageError: options or labels of data are given without data.
    """
    own = {name.removeprefix(DATA): value for name, value in given.items() if name.startswith(DATA)}
    rest = {name: value for name, value in given.items() if not name.startswith(DATA)}
    if data is not None:
        from ..data.samples import samples_of

        return rest, samples_of(data, labels=labels, folder=data_dir, options=own)
    if own or labels is not None:
        what = ", ".join([f"--set {DATA}{name}=" for name in own] + ([] if labels is None else ["--labels"]))
        raise UsageError(
            f"{what} needs data, and none is named. Add --data NAME, or --data SAMPLES (.npz, .npy, HDF5, a folder, FILE.py:NAME)."
        )
    return rest, None


def own_samples(data: str, labels: Path | None, options: Mapping[str, Any]) -> Dataset | None:
    """Return the user's own samples as a data set for training; None where `data` names a data set.

    Raises:
        UsageError: labels for a data set, no test samples, or an option that samples do not have.
        SpikeloomError: samples that cannot be read.
    """
    from ..data.samples import Loaded, Own, samples_of

    made = samples_of(data, labels=labels, options=options)
    return made.dataset if isinstance(made, Loaded) else made.dataset() if isinstance(made, Own) else None


def is_module(source: str) -> bool:
    """Return whether a source is of the form FILE.py:NAME, or at least a Python file."""
    return split_name(source) is not None or source.endswith(".py")


def module_of(source: Path, weights: Path | None) -> Any:
    """Return the module that FILE.py:NAME builds, with its weights; any other source unchanged.

    Raises:
        UsageError: a Python file without a name, no such module, weights for another source, or weights that are a pickle.
        FormatError: weights that are damaged or belong to another module.
    """
    code = split_name(str(source))
    if code is not None:
        from ..formats.torch.load import load_module, load_weights

        module = load_module(*code)
        if weights is not None:
            load_weights(module, weights)
        return module
    if source.suffix == ".py":
        raise UsageError(f"{source} is a Python file. Name what makes your module in it: {source}:NAME.")
    if weights is not None:
        raise UsageError(f"--weights {weights} is for your own module, FILE.py:NAME; {source} has weights of its own. Leave it out.")
    return source


def only_data(chosen: list[str], command: str) -> dict[str, Any]:
    """Return the options of the data set among NAME=VALUE words, for a command that has no other options.

    Raises:
        UsageError: another option.
    """
    given = named({}, chosen)
    for name in given:
        if not name.startswith(DATA):
            raise UsageError(
                f"--set {name}= is not an option of `spikeloom {command}`, which takes options of its data only: --set {DATA}NAME=VALUE."
            )
    return {name.removeprefix(DATA): value for name, value in given.items()}
