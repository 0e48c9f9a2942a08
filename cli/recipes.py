"""The command `spikeloom recipes`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .shared import AsJson, next_step, print_json, render, say

if TYPE_CHECKING:
    from ..train.recipe import OwnRecipe, Published

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="List the recipes of papers, with their figures.")(recipes)


def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe: its file, and what differs from the paper.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the recipes of papers: published accuracy and connectivity, and what came out here. `train --recipe NAME` trains one."""
    from ..train.recipe import names, own_names, own_recipe, published

    if name in own_names():
        recipe = own_recipe(name)
        print_json(_own_document(recipe)) if as_json else _show_own(recipe)
        return
    found = [published(each) for each in (names() if name is None else [name])]
    if as_json:
        print_json([_document(recipe) for recipe in found] if name is None else _document(found[0]))
    elif name is None:
        _list(found)
    else:
        _show(found[0])


def _document(recipe: Published) -> dict[str, Any]:
    settings, paper = recipe.settings, recipe.paper
    return {
        "name": recipe.name,
        "file": str(recipe.path),
        "data": settings.data,
        "net": settings.net,
        "method": settings.method,
        "accuracy": paper.published_accuracy,
        "connectivity": paper.connectivity,
        "settings": settings.document(),
        "paper": asdict(paper),
        "here": asdict(recipe.here),
    }


def _own_document(recipe: OwnRecipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "file": str(recipe.path),
        "settings": recipe.settings.document(),
        "paper": None,
        "here": asdict(recipe.here),
    }


def _show_own(recipe: OwnRecipe) -> None:
    print(f"{recipe.name}: a recipe of Spikeloom's own, no paper's; {_in_words(recipe)}")
    print(f"run here: {recipe.here.describe()}. {recipe.here.note}".rstrip())
    print(f"file: {recipe.path}")
    say(next_step("train", "--recipe", recipe.name, "--out", f"runs/{recipe.name}"))


def _in_words(recipe: OwnRecipe) -> str:
    settings = recipe.settings
    return f"{settings.data}, {settings.net}, {settings.method}, connectivity {100 * (1 - settings.sparsity):g} %, {settings.epochs} epochs"


def _list(found: list[Published]) -> None:
    from rich.table import Table

    from ..train.papers import COUNTED, STATUS
    from ..train.recipe import own_names, own_recipe

    table = Table("recipe", "data", "method", "accuracy", "connect.", "status", "here", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for recipe in sorted(found, key=_place):
        paper, settings = recipe.paper, recipe.settings
        share = "" if paper.connectivity is None else f"{paper.connectivity:g} %{' *' * (paper.counted == 'synapses')}"
        table.add_row(recipe.name, settings.data, settings.method, paper.describe_accuracy(), share, paper.status, recipe.here.describe())
    render(table)
    say("")
    say(f"connect.: {COUNTED['weights']}; *: {COUNTED['synapses']}")
    say("status of the figures: " + "; ".join(f"{key}: {meaning}" for key, meaning in STATUS.items()))
    say("here: what came out when the recipe was run with Spikeloom")
    say("Spikeloom's own, no paper's: " + "; ".join(f"{own.name} ({_in_words(own)})" for own in map(own_recipe, own_names())))
    say(f"What differs from the paper: spikeloom recipes NAME. {next_step('train', '--recipe', 'gradr-mnist-6', '--out', 'runs/gradr')}")


def _place(recipe: Published) -> tuple[str, str, float]:
    """By method and data set, then from dense to sparse."""
    return recipe.settings.method, recipe.settings.data, -(recipe.paper.connectivity or 0.0)


def _show(recipe: Published) -> None:
    from ..train.papers import COUNTED, STATUS

    paper = recipe.paper
    print(f"{recipe.name}: {paper.title} ({paper.venue}; {paper.source})")
    dense = "" if paper.dense is None else f" (dense: {paper.dense:.2f} %)"
    extra = f"; {paper.note}" if paper.note else ""
    print(f"published: {paper.describe_accuracy()}{dense} at a connectivity of {paper.describe_connectivity()}{extra}")
    print(f"connectivity of {paper.counted}: {COUNTED[paper.counted]}")
    print(f"status of the figures: {paper.status}, {STATUS[paper.status]}")
    print(f"run here: {recipe.here.describe()}. {recipe.here.note}".rstrip())
    print(f"file: {recipe.path}")
    print("What differs from the paper:" if paper.differs else "Nothing is known to differ from the paper.")
    for line in paper.differs:
        print(f"- {line}")
    say(next_step("train", "--recipe", recipe.name, "--out", f"runs/{recipe.name}"))
