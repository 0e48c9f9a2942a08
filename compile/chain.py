"""The order of the passes: one explicit list, with plug-ins inserted where they ask to be.

Fold first, so that later passes deal with one kind of reset; record before anything is dropped; drop dead neurons before quantisation,
where they would cost time; encode before quantisation, since a threshold depends on the value of a payload unit; turn memoryless
units into neurons once their inputs are quantised; drop again, since rounding and lowering leave more dead neurons; balance delays after
the last pass that drops layers, then check everything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from .. import registry
from ..errors import UsageError
from . import passes
from .api import CompileOptions, Pass
from .passes.balance import Balance
from .passes.check import Check
from .passes.drop_dead import DropDead
from .passes.encode import Encode
from .passes.fold import Fold
from .passes.lower import Lower
from .passes.quantise import Quantise
from .passes.record import Record
from .pipeline import named

__all__ = ["balance", "front", "loihi", "with_plug_ins"]

OURS = {kind.name for kind in (Fold, Record, DropDead, Encode, Quantise, Lower, Balance, Check)}


def loihi(options: CompileOptions, *, plain: bool = False) -> tuple[Pass, ...]:
    """Return the passes for a chip whose neurons are Loihi's. `plain`: see `Quantise`."""
    quantise = Quantise(options.weight_bits, options.calibration, options.seed, options.granularity, plain, _clips(options))
    check = Check(options.calibration, options.seed)
    return (*front(options), quantise, Lower(), DropDead(), balance(options), check)


def _clips(options: CompileOptions) -> dict[str, float] | None:
    """Return the clips that earlier calibration chose for these very options."""
    known = options.calibrated
    if known is None or options.calibration is not None or options.granularity != "layer" or str(options.weight_bits) != known.weight_bits:
        return None
    return dict(known.clips)


def front(options: CompileOptions) -> tuple[Pass, ...]:
    """Return the passes before quantisation, which all targets share."""
    return (Fold(), Record(), DropDead(), Encode(options.chip, options.encoding))


def balance(options: CompileOptions) -> Balance:
    """Return the pass that balances delays within the synaptic delays of the chip."""
    return Balance(options.chip.limit("max_delay"), chip=options.chip.name)


def with_plug_ins(chain: Sequence[Pass], options: CompileOptions) -> tuple[Pass, ...]:
    """Return a target's passes with each plug-in after the pass that its `AFTER` names; several after the same pass are ordered by name.

    Raises:
        UsageError: a plug-in without `AFTER` or `create`, one whose pass is not named like its file, or one whose `AFTER` is no pass of
            the chain; the names are listed.
    """
    waiting = {name: _plug_in(name) for name in registry.names(passes) if name not in OURS}
    made = [(name, instance, name) for name, instance in named(chain)]  # and the pass that it follows
    while waiting:
        known = [name for name, _, _ in made]
        name = next((n for n, module in waiting.items() if module.AFTER in known), None)
        if name is None:
            break
        module = waiting.pop(name)
        at = max(i for i, (own, _, behind) in enumerate(made) if module.AFTER in (own, behind)) + 1
        made.insert(at, (name, _made(name, module, options), module.AFTER))
    for name, module in waiting.items():
        raise UsageError(
            f"The plug-in {name} ({module.__file__}) runs after the pass {module.AFTER!r}, which this target does not have. "
            f"Its passes: {', '.join(n for n, _, _ in made)}."
        )
    return tuple(instance for _, instance, _ in made)


def _plug_in(name: str) -> Any:
    module: ModuleType = registry.load(passes, "pass", name)
    for needed, what in (("AFTER", 'the name of the pass that it follows, such as AFTER = "encode"'), ("create", "create(options)")):
        if not hasattr(module, needed):
            raise UsageError(f"The pass {name} ({module.__file__}) has no {needed}; a plug-in needs {what}.")
    return module


def _made(name: str, module: Any, options: CompileOptions) -> Pass:
    """Build a plug-in's pass."""
    instance = module.create(options)
    if not (isinstance(instance, Pass) and dataclasses.is_dataclass(instance) and instance.name == name):
        raise UsageError(
            f"What create of the pass {name} ({module.__file__}) returns is no such pass; it must be an instance of a frozen dataclass "
            f'with name: ClassVar[str] = "{name}" and run(network).'
        )
    return instance
