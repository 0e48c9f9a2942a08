"""The command `spikeloom zoo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError
from .shared import AsJson, DataDir, next_step, print_json, render, say

if TYPE_CHECKING:
    from pathlib import Path

    from ..network.zoo import Entry
    from ..runtime.claims import Claim

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="List the trained networks of the package, check their figures.")(zoo)


def zoo(
    name: Annotated[str | None, typer.Argument(help="Show this network: how it was trained and deployed.")] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compile it, run it on all test samples, compare with the record; exit code 4 if it differs."),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the trained networks of the package. Commands that take a network take zoo:NAME."""
    from ..network.zoo import entry, name_of, names

    found = [entry(each) for each in (names() if name is None else [name_of(name) or name])]
    if check:
        _check(found, data_dir, name is None, as_json)
    elif as_json:
        print_json([_document(e) for e in found] if name is None else _document(found[0]))
    elif name is None:
        _list(found)
    else:
        _show(found[0])


def _document(entry: Entry) -> dict[str, Any]:
    return {"name": entry.name, "source": f"zoo:{entry.name}"} | entry.model_dump(mode="json", exclude={"name"})


def _list(found: list[Entry]) -> None:
    from rich.table import Table

    table = Table("network", "data", "connect.", "weights", "float", "deployed", "samples", box=None, pad_edge=False)
    for entry in found:
        trained, deployed = entry.training, entry.deployed
        share = f"{trained.connectivity:g} %"
        figures = (f"{trained.accuracy:.2f} %", f"{deployed.accuracy:.2f} %", f"{deployed.samples:,}")
        table.add_row(entry.name, trained.data, share, f"{entry.weights_left:,}", *figures)
    for column in table.columns:
        column.no_wrap = True
    render(table)
    say("")
    say("weights: those that are not 0; connect.: their share of all weights; float, deployed: accuracy on that many test samples")
    say(f"Name one wherever a network is named: zoo:NAME. {next_step('run', f'zoo:{found[0].name}')}")


def _show(entry: Entry) -> None:
    trained, deployed = entry.training, entry.deployed
    print(f"{entry.name}: {trained.network} on {trained.data}, {trained.method}, seed {trained.seed}")
    print(f"connectivity {trained.connectivity:g} %: {entry.weights_left:,} weights that are not 0, of {trained.weights:,}")
    print(f"accuracy as a float network: {trained.accuracy:.2f} %")
    print(
        f"accuracy deployed: {deployed.accuracy:.2f} % of {deployed.samples:,} test samples (target {deployed.target}, chip "
        f"{deployed.chip}, weight bits {deployed.weight_bits})"
    )
    print(f"trained with Spikeloom {trained.version}: {' && '.join([*trained.before, trained.command])}")
    print(f"file: {entry.path}, SHA-256 {entry.sha256}")
    say(next_step("zoo", entry.name, "--check"))


def _check(found: list[Entry], data_dir: Path | None, is_list: bool, as_json: bool) -> None:
    from ..runtime.claims import measured

    claims: list[Claim] = []
    missing: list[str] = []
    for entry in found:
        try:
            claims.append(measured(entry.name, data_dir))
        except DataError as error:
            if not is_list:
                raise
            missing.append(f"{entry.name}: not checked. {error}")
            continue
        if not as_json:
            claim = claims[-1]
            outcome = "as claimed" if claim.holds else f"and not {claim.claimed:,} as claimed"
            print(f"{claim.name}: {claim.right:,} of {claim.samples:,} test samples right ({claim.right / claim.samples:.2%}), {outcome}")
    if as_json:
        documents = [{"name": c.name, "samples": c.samples, "claimed": c.claimed, "right": c.right, "holds": c.holds} for c in claims]
        print_json(documents if is_list else documents[0])
    for text in missing:
        say(text)
    for claim in claims:
        claim.require()
