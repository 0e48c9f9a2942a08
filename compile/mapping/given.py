"""What a user says of a mapping: the core of some or all neurons, the places of cores, and the cores of layers.

Cores are numbered as in the mapping. Neurons that are not named are left to the mapper, which puts them on cores of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...errors import DoesNotFitError, UsageError, unknown_name
from ...hwmodels.chip import Chip
from ...network.model import Network

Int = NDArray[np.int64]
LEFT = -1  # the core of a neuron that is left to the mapper
MOST = 1_000_000  # cores that one pin may name

__all__ = ["LEFT", "Given", "Settled", "cores_of_text", "said_cores"]


@dataclass(frozen=True)
class Given:
    """A whole or partial mapping.

    `core_of`: by population, the core of each of its neurons, removed ones counted, `LEFT` where it is not said; `places`: by core, its
    chip and its slot on that chip, of all cores or of none; `pins`: by population, the cores that its neurons are shared out among;
    `where`: what the messages call it.
    """

    core_of: Mapping[str, Int] = field(default_factory=dict[str, Int])
    places: Mapping[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    pins: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    where: str = "the mapping"

    def settled(self, network: Network, chip: Chip) -> Settled:
        """Return what this says of the neurons of a network that is ready to be mapped.

        Raises:
            UsageError: a population, neuron or core that does not exist, or one that is named twice; what there is is listed.
        """
        for name in [*self.core_of, *self.pins]:
            self._check_population(name, network)
        parts: list[Int] = [np.zeros(0, np.int64)]
        ignored = 0
        for p in network.on_chip:
            cores = self.core_of.get(p.name, np.full(p.size, LEFT))
            if cores.size > p.size:
                raise UsageError(
                    f"{self.where} names the neuron {cores.size - 1:,} of {p.name}, whose neurons are 0 to {p.size - 1:,} in the compiled "
                    f"network. Those without use are removed first; write the mapping of a compiled network with export --to mapping."
                )
            cores = np.concatenate([cores, np.full(p.size - cores.size, LEFT)]).astype(np.int64)
            ignored += int((cores[~p.living] != LEFT).sum())
            parts.append(cores[p.living])
        fixed = np.concatenate(parts)
        found = Settled(fixed, self._pinned(network, fixed), self.places, self.where, ignored)
        found.check(chip)
        return found

    def _check_population(self, name: str, network: Network) -> None:
        known = [p.name for p in network.on_chip]
        if name in known:
            return
        if any(p.name == name for p in network.populations):
            raise UsageError(f"{self.where} names {name}, which has no neurons on the chip. On the chip: {', '.join(known)}.")
        raise unknown_name(f"layer on the chip (in {self.where})", name, known)

    def _pinned(self, network: Network, fixed: Int) -> tuple[tuple[tuple[int, ...], Int], ...]:
        """Return the groups of pinned neurons: the cores, and the numbers of the neurons that share them."""
        numbers, start = dict[str, Int](), 0
        for p in network.on_chip:
            numbers[p.name] = np.arange(start, start + p.count)
            start += p.count
        groups: dict[tuple[int, ...], list[Int]] = {}
        taken: dict[int, tuple[str, tuple[int, ...]]] = {int(c): (self.where, ()) for c in np.unique(fixed[fixed != LEFT])}
        for name, cores in self.pins.items():
            if not cores:
                raise UsageError(f"{name} is pinned to no core. Name at least one.")
            if (fixed[numbers[name]] != LEFT).any():
                raise UsageError(f"{name} is pinned, and {self.where} names cores of its neurons, too. Say one of the two.")
            for core in cores:
                other, shared = taken.setdefault(core, (name, cores))
                if shared != cores:
                    raise UsageError(
                        f"Core {core} is named for {name} and by {other}. Layers may be pinned to the same cores or to different ones, "
                        f"not to some of each other's."
                    )
            groups.setdefault(cores, []).append(numbers[name])
        return tuple((cores, np.concatenate(found)) for cores, found in groups.items())


@dataclass(frozen=True)
class Settled:
    """A mapping as said of the neurons of one network.

    `fixed`: (neurons,) the core of each, `LEFT` where it is not said; `pinned`: cores, and the neurons shared out among them; `places` and
    `where` as in `Given`; `ignored`: how many neurons were named that the compiler had removed.
    """

    fixed: Int
    pinned: tuple[tuple[tuple[int, ...], Int], ...]
    places: Mapping[int, tuple[int, int]]
    where: str
    ignored: int = 0

    @property
    def named(self) -> set[int]:
        """The cores that are named."""
        return {int(c) for c in np.unique(self.fixed[self.fixed != LEFT])} | {c for cores, _ in self.pinned for c in cores}

    @property
    def is_whole(self) -> bool:
        """Whether every neuron has its core."""
        return bool((self.fixed != LEFT).all())

    def check(self, chip: Chip) -> None:
        """Refuse cores and places that the chip does not have.

        Raises:
            UsageError: a core below 0 or beyond the chip's, or places of some cores only.
            DoesNotFitError: a slot or chip that does not exist, or two cores on one slot.
        """
        for core in self.named:
            if not 0 <= core < chip.cores_available:
                raise UsageError(
                    f"{self.where} names core {core:,}; cores are numbered from 0, and {chip.name} has {chip.cores_available:,} of them."
                )
        if not self.places:
            return
        without = sorted(self.named - set(self.places))
        if without or not self.is_whole:
            who = f"core {without[0]} has none" if without else "some neurons are left to the mapper, whose cores have none"
            raise UsageError(f"{self.where} has chip and slot of some cores, and {who}. Say them of all cores of all neurons, or of none.")
        self._check_places(chip)

    def _check_places(self, chip: Chip) -> None:
        chips = max(where for where, _ in self.places.values()) + 1
        offered = chip.cores_offered(chips)
        taken: dict[tuple[int, int], int] = {}
        for core, place in sorted(self.places.items()):
            if not 0 <= place[0] < chip.chips:
                raise DoesNotFitError(f"Core {core} lies on chip {place[0]}; there are {chip.chips:,} of {chip.name}, numbered from 0.")
            if not 0 <= place[1] < offered:
                of = "" if chips == 1 else f" on each of {chips} chips"
                raise DoesNotFitError(f"Core {core} lies in slot {place[1]}; {chip.name} offers {offered}{of}, numbered from 0.")
            if place in taken:
                raise DoesNotFitError(
                    f"The cores {taken[place]} and {core} lie in the same slot, {place[1]} of chip {place[0]}. Give each core a slot."
                )
            taken[place] = core

    def kept_by(self, core_of: Int) -> bool:
        """Whether a finished mapping, whose cores may have other numbers, has these neurons together and apart as said."""
        said = self.fixed != LEFT
        pairs = np.unique(np.stack([self.fixed[said], core_of[said]], axis=1), axis=0)
        alone = all(len(np.unique(core_of[members])) <= len(cores) for cores, members in self.pinned)
        return alone and all(len(np.unique(pairs[:, k])) == len(pairs) for k in (0, 1))


def cores_of_text(text: str, of: str) -> tuple[int, ...]:
    """Return the cores that a text such as "0-7,12" lists, ascending, each once.

    Raises:
        UsageError: it is no such list; `of` says what it is of.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(first) > 9 or len(last) > 9:
            raise UsageError(f"The cores of {of} are {text!r}; write them as 3 or 0-7, several with commas: 0-3,12.")
        end = int(last) if dash else int(first)
        if not int(first) <= end < int(first) + MOST:
            raise UsageError(f"The cores of {of} are {text!r}, in which {part.strip()!r} is no range of cores.")
        found |= set(range(int(first), end + 1))
    return tuple(sorted(found))


def said_cores(cores: Iterable[int]) -> str:
    """Write cores as a text: "0-7,12"."""
    runs: list[list[int]] = []
    for core in sorted(cores):
        if runs and core == runs[-1][1] + 1:
            runs[-1][1] = core
        else:
            runs.append([core, core])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
