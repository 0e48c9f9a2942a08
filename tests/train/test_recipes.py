"""The recipes of papers: each is read, named after its figure, and trains two steps; weights of the published networks, layer by layer."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graphgen import single_threaded  # noqa: F401  # pyright: ignore[reportUnusedImport]
from spikeloom import registry
from spikeloom.data.dataset import Dataset, Split
from spikeloom.errors import UsageError
from spikeloom.train import networks
from spikeloom.train.loop import Trainer
from spikeloom.train.parts import Parts
from spikeloom.train.recipe import Published, names, own_names, own_recipe, published, read_recipe
from spikeloom.train.settings import TrainSettings

ROOT = Path(__file__).resolve().parents[2]
SHAPES = {"mnist": (28, 28), "cifar10": (3, 32, 32), "cifar100": (3, 32, 32), "imagenet": (3, 224, 224), "cifar10-dvs": (2, 48, 48)}
CLASSES = {"cifar100": 100, "imagenet": 1000}
# Beside those in facts of the papers' code: a convolution has C_out C_in k^2 weights, a linear layer in * out.
LAYERS = {
    "fc": [800 * 784, 10 * 800],
    "6conv2fc": [256 * 3 * 9, *[256 * 256 * 9] * 5, 2048 * 16384, 100 * 2048],
    "vggsnn": [64 * 2 * 9, 128 * 64 * 9, 256 * 128 * 9, 256 * 256 * 9, 512 * 256 * 9, *[512 * 512 * 9] * 3, 10 * 512 * 9],
    "sew-resnet18": [
        *[64 * 3 * 49, *[64 * 64 * 9] * 4],
        *[n for c in (128, 256, 512) for n in (c * c // 2 * 9, c * c * 9, c * c // 2, c * c * 9, c * c * 9)],
        1000 * 512,
    ],
}
TOTALS = {"fc": 635_200, "6conv2fc": 36_715_264, "vggsnn": 9_263_232, "sew-resnet18": 11_678_912}


def label(percent: float) -> str:
    """How a connectivity is written in a recipe's name: whole percents from 3 on."""
    return f"{percent:.0f}" if percent >= 3 else f"{percent:g}"


def invented(settings: TrainSettings) -> Dataset:
    """Samples of the data set's shape and name, of four classes."""
    rng, shape, temporal = np.random.default_rng(0), SHAPES[settings.data], settings.data == "cifar10-dvs"
    whole = (settings.timesteps or 0, *shape) if temporal else shape
    levels = 1 if temporal else 255
    split = Split(rng.integers(0, levels + 1, (4, *whole), np.uint8), np.arange(4))
    return Dataset(settings.data, split, split, 4, levels, shape, temporal)


@pytest.mark.parametrize("name", names())
def test_a_recipe_takes_two_steps_at_small_width(name: str, tmp_path: Path) -> None:
    settings = published(name).settings
    size = {"hidden": (20,)} if settings.net == "fc" else {"width": 2}
    parts = Parts.of(replace(settings, net_options={**settings.net_options, **size}, device="cpu"))
    data = invented(settings)
    steps = settings.timesteps or 8
    model = parts.build_model(data, steps)
    whole = parts.settings.resolved(len(data.train), convolutional=settings.net != "fc", frames=data.timesteps)
    trainer = Trainer(whole, data, model, parts.build_method(model, whole), tmp_path, None)
    before = {key: w.detach().clone() for key, w in model.weights().items()}
    for step, progress in enumerate((1e-6, 2e-6)):
        x, labels = trainer.feed.take(torch.tensor([0, 1]), integer=False)
        x = trainer.augment(x, torch.Generator().manual_seed(step))
        loss = trainer.step(x, labels, (whole.lr or 0.0) * trainer.schedule(progress), progress)
        assert math.isfinite(float(loss))
    assert any(not torch.equal(before[key], w) for key, w in model.weights().items())


@pytest.mark.parametrize("name", names())
def test_what_a_recipe_says_agrees_with_its_settings(name: str) -> None:
    recipe = published(name)
    paper, settings = recipe.paper, recipe.settings
    assert paper.differs, "nothing that the papers do is expressed whole yet"
    if paper.connectivity is not None:
        assert settings.sparsity == pytest.approx(1 - paper.connectivity / 100, abs=1e-9)
        assert name.rpartition("-")[2] == label(paper.connectivity) or settings.method == "dense"
    method, _, rest = name.partition("-")
    assert method == settings.method.replace("-", "") and rest.startswith(settings.data.replace("-", ""))
    if paper.weights is not None:
        assert paper.weights == TOTALS[settings.net]
    for page in re.findall(r"docs/[\w/.-]+\.md", recipe.path.read_text()):
        assert (ROOT / page).exists()


@pytest.mark.parametrize("name", own_names())
def test_a_recipe_of_our_own_goes_by_its_name(name: str, spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    recipe = own_recipe(name)
    assert recipe.settings.sparsity == pytest.approx(1 - float(name.rpartition("-")[2]) / 100)
    assert TrainSettings.read(read_recipe(Path(name))) == recipe.settings and recipe.settings.pruning_epochs == 80
    shown, document = spikeloom("recipes", name).out, json.loads(spikeloom("recipes", name, "--json").out)
    assert recipe.here.note in shown and document["settings"]["tune_fraction"] == 0.6 and document["paper"] is None
    assert name in spikeloom("recipes").err and name in (ROOT / "docs/recipes.md").read_text()


def test_a_recipe_of_our_own_trains(spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    words = ("--data", "digits", "--epochs", 3, "--hidden", 20, "-T", 2, "--augment", "none", "--device", "cpu", "--threads", 1)
    text = own_recipe("mnist-10").path.read_text().split("[augment_options]")[0]
    (tmp_path / "small.toml").write_text(text)
    spikeloom("train", "--recipe", tmp_path / "small.toml", *words, "--out", tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["pruned"] + row["regrown"] > 0 for row in rows] == [True, False, False]


def test_the_figures_are_those_of_the_papers() -> None:
    found = {name: (r.paper.published_accuracy, r.paper.connectivity) for name in names() for r in [published(name)]}
    assert found["gradr-cifar10-5"] == (92.03, 5.08) and found["dense-cifar10"] == (92.84, 100.0)
    assert found["gradr-mnist-6"] == (96.90, 5.63) and found["upr-cifar10-0.63"] == (90.65, 0.63)
    assert found["esl-cifar10dvs-10"] == (None, 10.0) and found["upr-imagenet"] == (None, None)
    assert published("esl-cifar10dvs-10").paper.describe_accuracy() == "-0.28 points"


@pytest.mark.parametrize("net", TOTALS)
def test_weights_by_layer_are_the_published_ones(net: str) -> None:
    data = {"fc": "mnist", "6conv2fc": "cifar10", "vggsnn": "cifar10-dvs", "sew-resnet18": "imagenet"}[net]
    module = registry.load(networks, "network", net)
    options = registry.options_of(module, {}, net)
    with torch.device("meta"):
        model = module.build(SHAPES[data], CLASSES.get(data, 10), 4, options, temporal=data == "cifar10-dvs")
    counts = [w.numel() for w in model.weights().values()]
    assert sorted(counts) == sorted(LAYERS[net]) and sum(counts) == TOTALS[net]
    if net != "sew-resnet18":  # whose shortcuts may come before or after the branch
        assert counts == LAYERS[net]


def test_a_recipe_goes_by_its_name_and_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read = read_recipe(Path("gradr-cifar10-5"))
    assert read["epochs"] == 2048 and not {"paper", "here"} & read.keys()
    assert TrainSettings.read(read) == published("gradr-cifar10-5").settings
    Path("gradr-cifar10-5").write_text("epochs = 3\n")
    assert read_recipe(Path("gradr-cifar10-5")) == {"epochs": 3}
    with pytest.raises(UsageError, match=r"no file or recipe of a paper called 'gradr-cifar-5'.*Did you mean 'gradr-cifar10-5'"):
        read_recipe(Path("gradr-cifar-5"))
    with pytest.raises(UsageError, match="no recipe called 'gradr'"):
        published("gradr")


FIGURE = 'title = "t"\nvenue = "v"\nsource = "s"\nstatus = "code"\ncounted = "weights"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("paper = 3", r"\[paper\] of .* must be a table"),
        ("[paper]\ntitel = 3", "Did you mean 'title'"),
        ('[paper]\ntitle = "t"', r"\[paper\] of .*r\.toml lacks venue"),
        (f"[paper]\n{FIGURE}", "needs accuracy .* or points"),
        (f"[paper]\n{FIGURE}accuracy = 101", "accuracy is 101.0; it must be a percentage"),
        (f"[paper]\n{FIGURE.replace('code', 'rumour')}accuracy = 90", "status of the table"),
        ("[here]\naccuracy = 3", "if ran = true"),
        ("[here]\nran = true", "if ran = true"),
    ],
)
def test_a_table_of_a_paper_that_makes_no_sense(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'data = "digits"\n{text}\n')
    with pytest.raises(UsageError, match=message):
        read_recipe(path)


def test_the_command_lists_them_and_shows_one(spikeloom: Callable[..., Any]) -> None:
    rows = json.loads(spikeloom("recipes", "--json").out)
    assert [row["name"] for row in rows] == names()
    found = next(row for row in rows if row["name"] == "gradr-cifar10-5")
    assert (found["data"], found["method"], found["accuracy"], found["connectivity"]) == ("cifar10", "grad-r", 92.03, 5.08)
    assert found["here"]["ran"] is False and found["paper"]["status"] == "cited"
    listed = spikeloom("recipes").out
    assert all(name in listed for name in names())
    shown = spikeloom("recipes", "gradr-cifar10-5").out
    recipe = published("gradr-cifar10-5")
    assert all(f"- {line}" in shown for line in recipe.paper.differs) and "92.03 %" in shown
    assert json.loads(spikeloom("recipes", "gradr-cifar10-5", "--json").out) == found


def test_a_recipe_trains_from_the_command_line(spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    """By name, with flags that make it small; the settings that they leave are the recipe's."""
    words = ("--data", "digits", "--epochs", 1, "--hidden", 8, "-T", 2, "--set", "augment=none", "--device", "cpu")
    spikeloom("train", "--recipe", "gradr-mnist-26", *words, "--out", tmp_path / "run")
    settings = json.loads((tmp_path / "run/settings.json").read_text())
    assert (settings["method"], settings["sparsity"], settings["batch_size"], settings["lr"]) == ("grad-r", 0.7429, 128, 0.001)


def test_the_table_in_the_documentation_is_that_of_the_files() -> None:
    page = (ROOT / "docs/recipes.md").read_text()
    assert [line for line in map(row, map(published, names())) if line not in page.splitlines()] == []


def test_the_settings_in_the_documentation_are_those_of_the_files() -> None:
    page = (ROOT / "docs/recipes.md").read_text()
    wanted = list(dict.fromkeys(settings_row(published(name)) for name in names()))
    assert [line for line in page.splitlines() if line.startswith("| `") and line.count("|") == 11] == wanted
    assert {line.split("`")[1] for line in wanted} == {group(published(name)) for name in names()}, (
        "files of a group differ in sparsity alone"
    )


def group(recipe: Published) -> str:
    """A recipe's name without its connectivity."""
    percent = recipe.paper.connectivity
    return recipe.name if percent in (None, 100.0) else f"{recipe.name.rpartition('-')[0]}-*"


def settings_row(recipe: Published) -> str:
    """The settings of a group of recipes in docs/recipes.md: what the files set; an empty cell: the default, for want of the paper's."""
    s = recipe.settings
    given = read_recipe(Path(recipe.name))
    named = {"lr", "epochs", "batch_size", "timesteps", "schedule", "loss"} & given.keys()

    def of(options: dict[str, Any], *left_out: str) -> list[str]:
        return [f"{k} {_short(v)}" for k, v in options.items() if k not in left_out]

    optimizer = f"{s.optimizer} {s.lr:g}" if "lr" in named else ""
    moved = ", ".join([optimizer, *of(dict(s.optimizer_options))] if optimizer else [])
    schedule = ", ".join([s.schedule, *of(dict(s.schedule_options))]) if "schedule" in named else ""
    loss = s.loss + (f", lambda {s.tet_lambda:g}" if "tet_lambda" in given else "") if "loss" in named else ""
    net = ", ".join([s.net, *of(dict(s.net_options), "mean", "std")])
    standard = "yes" if "mean" in s.net_options else "no"
    sizes = [str(getattr(s, name)) if name in named else "" for name in ("epochs", "batch_size", "timesteps")]
    cells = [f"`{group(recipe)}`", *sizes, moved, schedule, loss, standard, net, ", ".join([s.method, *of(dict(s.method_options))])]
    return f"| {' | '.join(cells)} |"


def _short(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ",".join(map(_short, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def row(recipe: Published) -> str:
    """A recipe's line in docs/recipes.md."""
    paper = recipe.paper
    share = "unknown" if paper.connectivity is None else f"{paper.connectivity:g} %"
    return f"| `{recipe.name}` | {paper.describe_accuracy()} | {share} | {paper.status} | {recipe.here.describe()} |"
