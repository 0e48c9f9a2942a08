"""Small systems of several chips, and the way of a message over their mesh, step by step."""

from __future__ import annotations

from typing import Any

from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip

Place = tuple[int, int]


def small_system(*, chips_held: int = 9, cores: int = 6, offered: int = 5, columns: int = 2, rows: int = 2, per_tile: int = 2) -> Chip:
    """Loihi with few cores a chip, in a grid of 3 x 3 chips; hops between chips cost 20 pJ and 50 ns."""
    chip = chips.load("loihi")
    assert chip.system is not None

    def changed(quantity: Any, value: float) -> Any:
        return quantity.model_copy(update={"value": float(value)})

    held = chip.system.model_copy(
        update={
            "chips": changed(chip.system.chips, chips_held),
            "cores_per_chip": changed(chip.system.cores_per_chip, offered),
            "columns": 3,
            "rows": 3,
            "hop_energy": changed(chip.system.hop_energy, 20.0),
            "hop_time": changed(chip.system.hop_time, 50.0),
        }
    )
    mesh = chip.mesh.model_copy(update={"columns": columns, "rows": rows, "cores_per_tile": per_tile})
    limits = chip.limits.model_copy(update={"cores": changed(chip.limits.cores, cores), "neurons": changed(chip.limits.neurons, 4)})
    return chip.model_copy(update={"system": held, "mesh": mesh, "limits": limits})


def walk(a: Place, b: Place) -> list[tuple[Place, Place]]:
    """The steps of a message: along the row first, then along the column."""
    steps: list[tuple[Place, Place]] = []
    x, y = a
    while x != b[0]:
        nearer = x + (1 if b[0] > x else -1)
        steps.append(((x, y), (nearer, y)))
        x = nearer
    while y != b[1]:
        nearer = y + (1 if b[1] > y else -1)
        steps.append(((x, y), (x, nearer)))
        y = nearer
    return steps


def kind(step: tuple[Place, Place], chip: Chip) -> int:
    (x, y), (u, v) = step
    if (x // chip.mesh.columns, y // chip.mesh.rows) != (u // chip.mesh.columns, v // chip.mesh.rows):
        return 2
    return 0 if x != u else 1
