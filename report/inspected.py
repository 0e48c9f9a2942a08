"""What `spikeloom inspect` prints: layers and cores of a network, one core, or one neuron, from the documents of an inspection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from .format import compact, count, percent, shorten, si
from .table import Column, Table, row
from .terminal import table

__all__ = ["core", "neuron", "whole"]

MOST_CORES, MOST_LINKS, MOST_SYNAPSES = 64, 24, 8
PICO = 1e-12


def whole(found: Mapping[str, Any], rates: str) -> RenderableType:
    """Return the layers and the cores of a network; `rates`: a sentence on where the rates are from."""
    used = f"{_several(len(found['cores']), 'core')} of {_several(found['chips'], 'chip')}"
    head = (
        f"{shorten(found['chip'], 40)}, {used}, mapped by: {shorten(found['strategy'], 60)}. {count(found['timesteps'])} time steps, "
        f"{found['encoding']} input. Per sample; {rates}"
    )
    layers = Table(
        "Layers",
        (
            Column("layer", figure=False),
            Column("place", figure=False),
            Column("neurons"),
            Column("synapses"),
            Column("rate"),
            Column("SOPs"),
            Column("messages"),
            Column("cores", figure=False),
        ),
        tuple(
            row(
                shorten(n["name"], 24),
                n["place"],
                count(n["neurons"]),
                count(n["synapses"]),
                f"{n['rate']:.4f}",
                compact(n["sops_per_sample"]),
                compact(n["messages_per_sample"]),
                _runs(n["cores"]),
            )
            for n in found["layers"]
        ),
    )
    cores = Table(
        "Cores",
        (
            Column("core"),
            Column("place", figure=False),
            Column("neurons"),
            Column("words"),
            Column("in"),
            Column("out"),
            Column("fullest", figure=False),
            Column("SOPs"),
            Column("layers", figure=False),
        ),
        tuple(
            row(
                str(c["core"]),
                f"{c['chip']}:{c['slot']}",
                *(count(c["used"][name]) for name in ("neurons", "synapse_words", "input_axons", "output_axons")),
                _fullest(c),
                compact(c["sops_per_sample"]),
                ", ".join(f"{shorten(n['layer'], 20)} {count(n['neurons'])}" for n in c["layers"]),
            )
            for c in found["cores"][:MOST_CORES]
        ),
        note=_rest(len(found["cores"]), MOST_CORES, "cores; --json has all") or "place: chip and slot; in, out: axons",
    )
    return _stack(Text(head), table(layers), table(cores))


def core(found: Mapping[str, Any], rates: str) -> RenderableType:
    """Return one core: what it holds of each limit, its neurons, what it receives and sends."""
    column, line = found["tile"]
    head = f"Core {found['core']}: slot {found['slot']} of chip {found['chip']}, tile {column},{line}. Per sample; {rates}"
    limits = Table(
        "Limits",
        (Column("resource", figure=False), Column("used"), Column("of"), Column("share")),
        tuple(
            row(name.replace("_", " "), count(used), count(found["limits"][name]), percent(used / max(found["limits"][name], 1), 1))
            for name, used in found["used"].items()
        ),
    )
    layers = Table(
        "Neurons",
        (Column("layer", figure=False), Column("neurons"), Column("which", figure=False)),
        tuple(row(shorten(n["layer"], 24), count(n["neurons"]), shorten(n["which"], 60)) for n in found["layers"]),
    )
    sops = Text(f"SOPs: {compact(found['sops_per_sample'])}")
    links = [_links(title, found[key]) for title, key in (("Receives from", "receives_from"), ("Sends to", "sends_to"))]
    return _stack(Text(head), table(limits), table(layers), sops, *(table(one) for one in links if one.rows))


def neuron(found: Mapping[str, Any], rates: str) -> RenderableType:
    """Return one neuron: where it is, what it receives and drives, and what it costs."""
    parts: list[RenderableType] = [Text(f"{_where(found)} Per sample; {rates}")]
    if found["registers"]:
        parts.append(Text("Registers: " + ", ".join(f"{name} {count(value)}" for name, value in found["registers"].items()) + "."))
    parts += [table(one) for one in (_receives(found), _drives(found), _costs(found), _energy(found)) if one.rows]
    return _stack(*parts)


def _where(found: Mapping[str, Any]) -> str:
    name = f"{shorten(found['layer'], 40)}:{found['neuron']}"
    position = f" (position {','.join(map(str, found['position']))})" if len(found["position"]) > 1 else ""
    if found["core"] is None:
        return f"{name}{position} is off the chip: {found['place']}."
    column, line = found["tile"]
    copies = f" Copies on the cores {_runs(found['copies'])}." if len(found["copies"]) > 1 else ""
    return (
        f"{name}{position} is neuron {found['local']} of core {found['core']}, in slot {found['slot']} of chip {found['chip']}, tile "
        f"{column},{line}.{copies}"
    )


def _receives(found: Mapping[str, Any]) -> Table:
    return Table(
        "Receives from",
        (
            Column("layer", figure=False),
            Column("synapses"),
            Column("exponent"),
            Column("delay"),
            Column("cores", figure=False),
            Column("largest weights, source: weight", figure=False),
        ),
        tuple(
            row(
                shorten(r["source"], 24),
                count(len(r["connections"])),
                str(r["exponent"]),
                str(r["delay"]),
                _runs(r["cores"]) or "off chip",
                _largest(r["connections"]),
            )
            for r in found["receives"]
        ),
    )


def _drives(found: Mapping[str, Any]) -> Table:
    return Table(
        "Drives",
        (Column("core"), Column("axon", figure=False), Column("words"), Column("synapses", figure=False)),
        tuple(
            row(
                str(f["core"]),
                _runs(f["axons"]),
                "-" if f["words"] is None else count(f["words"]) + (f" for {f['sharing'] + 1} sources" if f["sharing"] else ""),
                ", ".join(f"{shorten(name, 24)} {count(number)}" for name, number in f["synapses"].items()),
            )
            for f in found["feeds"][:MOST_LINKS]
        ),
        note=_rest(len(found["feeds"]), MOST_LINKS, "cores; --json has all"),
    )


def _costs(found: Mapping[str, Any]) -> Table:
    lines: list[tuple[str, str]] = []
    if found["own_words"] is not None:
        lines += [("words of its core that it alone takes", count(found["own_words"]))]
        lines += [("input axons of its core for it alone", count(found["own_axons"]))]
    if found["sent_words"] is not None:
        lines += [("words of the lists that it drives", count(found["sent_words"]))]
    if found["core"] is not None:
        lines += [("output axons of its core", count(found["output_axons"]))]
    lines += [("spikes per time step", f"{found['rate']:.4f}")]
    if found["core"] is not None:
        lines += [("SOPs at its synapses", compact(found["sops_received_per_sample"]))]
    lines += [("SOPs that its spikes cause", compact(found["sops_caused_per_sample"]))]
    lines += [("messages that it sends", compact(found["messages_per_sample"]))]
    return Table("Costs", (Column("what", figure=False), Column("how much")), tuple(row(*line) for line in lines))


def _energy(found: Mapping[str, Any]) -> Table:
    total = sum(part["pj_per_sample"] for part in found["energy"])
    return Table(
        f"Energy: at least {si(total * PICO, 'J')}",
        (Column("component", figure=False), Column("count"), Column("each"), Column("energy"), Column("status", figure=False)),
        tuple(
            row(p["name"], compact(p["count_per_sample"]), si(p["pj_each"] * PICO, "J"), si(p["pj_per_sample"] * PICO, "J"), p["status"])
            for p in found["energy"]
        ),
        note="without static power",
    )


def _links(title: str, links: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        title,
        (Column("from or to", figure=False), Column("axons"), Column("messages")),
        tuple(row(shorten(n["name"], 40), count(n["axons"]), compact(n["messages_per_sample"])) for n in links[:MOST_LINKS]),
        note=_rest(len(links), MOST_LINKS, "lines; --json has all"),
    )


def _fullest(found: Mapping[str, Any]) -> str:
    """Name the limit of which a core has used the largest share."""
    shares = {name: used / max(found["limits"][name], 1) for name, used in found["used"].items()}
    name = max(shares, key=lambda one: shares[one])
    return f"{name.replace('_', ' ')} {percent(shares[name], 0)}"


def _largest(connections: Sequence[Mapping[str, Any]]) -> str:
    order = sorted(connections, key=lambda c: (-abs(c["weight"]), c["source"]))
    shown = ", ".join(f"{c['source']}: {c['weight']}" for c in order[:MOST_SYNAPSES])
    return f"{shown}, ..." if len(order) > MOST_SYNAPSES else shown


def _runs(numbers: Sequence[int]) -> str:
    """Write whole numbers as a text: "0-7, 12"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return shorten(", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs), 40)


def _several(number: int, what: str) -> str:
    return f"{count(number)} {what}{'s' * (number != 1)}"


def _rest(number: int, most: int, what: str) -> str:
    return f"and {count(number - most)} more {what}" if number > most else ""


def _stack(*parts: RenderableType) -> Group:
    """Put parts under each other with an empty line between."""
    return Group(*(piece for index, part in enumerate(parts) for piece in ((Text(""), part) if index else (part,))))
