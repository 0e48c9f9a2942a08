"""Settings, options and recipes: what is refused, what is coerced, what overrides what, and that all survive JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from spikeloom import registry
from spikeloom.errors import FormatError, UsageError
from spikeloom.train import TrainSettings, methods, networks
from spikeloom.train.recipe import merged, read_recipe
from spikeloom.train.settings import FREE_AT_RESUME

EVERYTHING: dict[str, Any] = {
    "data": "digits", "net": "other", "method": "grad-r", "sparsity": 0.5, "epochs": 7, "batch_size": 16, "lr": 0.02,
    "schedule": "one-cycle", "warmup": 0.2, "timesteps": 4, "loss": "tet", "tet_lambda": 0.05, "augment": "published", "seed": 3,
    "weight_bits": 4, "qat_fraction": 0.5, "qat_lr": 0.1, "tune_fraction": 0.4, "ema": 0.9, "validation_fraction": 0.2,
    "init": "runs/other",
    "device": "cpu", "precision": "bf16", "compile": True, "threads": 3, "data_dir": "data",
    "method_options": {"ramp": 0.4}, "net_options": {"hidden": (30, 20)},
    "data_options": {"x": 1}, "loss_options": {"tet_lambda": 0.3}, "schedule_options": {"warmup": 0.3}, "augment_options": {"y": 2},
    "optimizer": "sgd",
    "optimizer_options": {"momentum": 0.9},
    "cuda_options": {"graph": "off", "tf32": False, "cudnn": "plain"},
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    control: Literal["closed", "open"] = "closed"
    alpha: float = 1e-3
    hidden: tuple[int, ...] = (800,)
    crop: tuple[int, int] = (1, 2)
    flag: bool = False
    limit: int | None = 5


def module() -> types.ModuleType:
    made = types.ModuleType("made")
    made.Options = Options  # type: ignore[attr-defined]
    return made


def test_every_setting_survives_json() -> None:
    assert set(EVERYTHING) == {f.name for f in fields(TrainSettings)}
    settings = TrainSettings(**EVERYTHING)
    for f in fields(TrainSettings):
        assert getattr(settings, f.name) != f.default, f"{f.name} is its default, so this test says nothing of it"
    assert TrainSettings.read(json.loads(json.dumps(settings.document()))) == settings


def test_a_run_from_before_there_were_options_of_losses_is_resumed() -> None:
    settings = TrainSettings("digits")
    saved = settings.document()
    for name in ("loss_options", "schedule_options", "augment_options", "optimizer", "optimizer_options", "cuda_options"):
        del saved[name]
    settings.check_same(saved, Path("run"))
    with pytest.raises(UsageError, match=r"loss\.tet_lambda = None, not 0\.3|tet_lambda"):
        TrainSettings("digits", loss="tet", loss_options={"tet_lambda": 0.3}).check_same(saved | {"loss": "tet"}, Path("run"))


@pytest.mark.parametrize("name", [n for n in EVERYTHING if n not in FREE_AT_RESUME])
def test_resuming_compares_every_setting(name: str) -> None:
    settings = TrainSettings(**EVERYTHING)
    saved = json.loads(json.dumps(settings.document()))
    settings.check_same(saved, Path("run"))
    saved[name] = {"another": 1} if name.endswith("_options") else "another"
    with pytest.raises(UsageError, match=name):
        settings.check_same(saved, Path("run"))


def test_what_was_left_open_is_no_difference_at_resume() -> None:
    asked = TrainSettings("digits")
    saved = asked.resolved(1437, device="cuda").document()
    assert (saved["batch_size"], saved["lr"], saved["timesteps"], saved["device"]) == (35, 1e-2, 8, "cuda")
    asked.check_same(saved, Path("run"))


def test_open_settings_follow_network_and_data() -> None:
    asked = TrainSettings("digits")
    assert asked.resolved(60000, convolutional=True).lr == 1e-3
    assert asked.resolved(60000).batch_size == 128
    assert asked.resolved(100, frames=10).timesteps == 10
    assert replace(asked, timesteps=10).resolved(100, frames=10).timesteps == 10
    with pytest.raises(UsageError, match="10 frames"):
        replace(asked, timesteps=8).resolved(100, frames=10)
    kept = replace(asked, lr=0.5, batch_size=3, device="cpu").resolved(100, convolutional=True, device="cuda")
    assert (kept.lr, kept.batch_size, kept.device) == (0.5, 3, "cpu")


BAD: list[tuple[str, Any, str]] = [
    ("sparsity", 1.0, "0 <= sparsity < 1"), ("sparsity", float("nan"), "sparsity"), ("epochs", 0, "epochs"), ("epochs", True, "epochs"),
    ("batch_size", 0, "batch_size"), ("lr", 0.0, "lr"), ("lr", 1.5, "lr"), ("schedule", "cosin", "Did you mean 'cosine'"),
    ("warmup", 1.0, "warmup"), ("timesteps", 5000, "timesteps"), ("loss", "mes", "Did you mean 'mse'"), ("tet_lambda", -0.1, "tet_lambda"),
    ("augment", "some", "augment"), ("seed", -1, "seed"), ("weight_bits", 9, "2..8"), ("qat_fraction", 0.0, "qat_fraction"),
    ("tune_fraction", 1.0, "tune_fraction"), ("ema", 1.0, "ema is 1.0; it must be 0 <= ema < 1"),
    ("qat_lr", 0.0, "qat_lr"), ("validation_fraction", 1.0, "validation_fraction"), ("device", "gpu", "device"),
    ("precision", "bf17", "Did you mean 'bf16'"), ("compile", 1, "true or false"),
]  # fmt: skip


def with_value(name: str, value: Any) -> TrainSettings:
    values: dict[str, Any] = {"data": "digits", name: value}
    return TrainSettings(**values)


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_values_that_make_no_sense(name: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_value(name, value)


def test_integers_are_trained_on_the_cpu() -> None:
    assert TrainSettings("digits", weight_bits=8).wanted_device == "cpu" and TrainSettings("digits").wanted_device == "auto"
    with pytest.raises(UsageError, match="--device cuda"):
        TrainSettings("digits", weight_bits=8, device="cuda")


def test_options_are_read_from_text() -> None:
    texts = {"control": "open", "alpha": "1e-2", "hidden": "400,200", "crop": "3, 4", "flag": "yes", "limit": "none"}
    assert registry.options_of(module(), texts, "m") == Options("open", 0.01, (400, 200), (3, 4), True, None)
    values: dict[str, Any] = {"alpha": 2, "hidden": [4, 5], "flag": False, "limit": 7}
    assert registry.options_of(module(), values, "m") == Options(alpha=2.0, hidden=(4, 5), limit=7)
    assert isinstance(registry.options_of(module(), {"alpha": 2}, "m").alpha, float)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"contrl": "open"}, "no option of the method m called 'contrl'. Did you mean 'control'"),
        ({"control": "shut"}, "'closed' or 'open'"),
        ({"alpha": "x"}, "alpha of the method m is 'x'; it must be a number"),
        ({"alpha": True}, "a number"),
        ({"hidden": "4,x"}, "a whole number, or several with commas"),
        ({"crop": "1,2,3"}, "a whole number, a whole number"),
        ({"flag": "2"}, "true or false"),
        ({"flag": 1}, "true or false"),
        ({"limit": "1.5"}, "a whole number or none"),
    ],
)
def test_options_that_make_no_sense(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registry.options_of(module(), given, "the method m")


def test_a_module_without_options() -> None:
    bare = types.ModuleType("bare")
    assert registry.options_of(bare, {}, "the method bare") is None
    with pytest.raises(UsageError, match="The method bare has no options, but alpha was given"):
        registry.options_of(bare, {"alpha": 1}, "the method bare")


@pytest.mark.parametrize(
    ("package", "kind", "name"), [(p, k, n) for p, k in ((methods, "method"), (networks, "network")) for n in registry.names(p)]
)
def test_every_options_class_survives_json(package: types.ModuleType, kind: str, name: str) -> None:
    found = registry.load(package, kind, name)
    options = registry.options_of(found, {}, name)
    if options is not None:
        values = {f.name: getattr(options, f.name) for f in fields(options)}
        settings = TrainSettings("digits", method_options=values)
        again = TrainSettings.read(json.loads(json.dumps(settings.document())))
        assert registry.options_of(found, again.method_options, name) == options


def test_flags_override_the_recipe_and_set_overrides_flags(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('data = "digits"\nepochs = 3\nlr = 1\nseed = 9\n[net_options]\nhidden = [30, 20]\n[method_options]\nramp = 0.7\n')
    flags = {"epochs": 4, "lr": 0.5, "net.hidden": None, "net.width": "2", "data_dir": None}
    settings = TrainSettings.read(merged(read_recipe(path), flags, ["lr=0.25", "method.ramp = 0.6", "compile=true"]))
    assert (settings.epochs, settings.lr, settings.seed, settings.compile) == (4, 0.25, 9, True)
    assert settings.net_options == {"hidden": (30, 20), "width": "2"} and settings.method_options == {"ramp": "0.6"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epohcs = 3", "Did you mean 'epochs'"),
        ("= 3", "not a TOML file"),
        ("method_options = 3", "must be a table"),
        ("[method]\nramp = 1", "method of training is"),
    ],
)
def test_recipes_that_make_no_sense(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        TrainSettings.read({"data": "digits"} | merged(read_recipe(path), {}, []))


@pytest.mark.parametrize("text", ["epochs", "=3", "epohcs=3", "nett.hidden=3", "method_options=3", "epochs=three", "method.=3"])
def test_set_that_makes_no_sense(text: str) -> None:
    with pytest.raises(UsageError):
        TrainSettings.read(merged({"data": "digits"}, {}, [text]))


def test_a_missing_recipe_and_a_missing_data_set(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="--recipe"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="--data"):
        TrainSettings.read(merged({}, {}, []))


def test_the_command_line_writes_what_it_resolved(spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('data = "digits"\nmethod = "grad-r"\nsparsity = 0.3\nepochs = 3\n[method_options]\ncontrol = "closed"\nramp = 0.7\n')
    words = (
        "--recipe",
        path,
        "--epochs",
        1,
        "--hidden",
        "12,8",
        "-T",
        3,
        "--set",
        "method.ramp=0.6",
        "--set",
        "loss=ce",
        "--device",
        "cpu",
    )
    ended = spikeloom("train", *words, "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    saved = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert (saved["epochs"], saved["sparsity"], saved["timesteps"], saved["loss"], saved["lr"]) == (1, 0.3, 3, "ce", 1e-2)
    assert saved["net_options"]["hidden"] == [12, 8] and saved["method_options"]["ramp"] == 0.6
    again = spikeloom("train", *words, "--out", tmp_path / "run", "--resume", "--json")
    assert again.code == 0 and json.loads(again.out)["epochs"] == 1
    wrong = spikeloom("train", *words, "--set", "method.rmap=1", "--out", tmp_path / "other")
    assert wrong.code == 2 and "Did you mean 'ramp'" in wrong.err
    assert spikeloom("train", "--out", tmp_path / "other").code == 2


def test_the_help_lists_everything_without_torch() -> None:
    code = "import sys, spikeloom.cli as c; sys.argv = ['spikeloom', 'train', '--help']\ntry: c.main()\nexcept SystemExit: pass\n"
    code += "print('torch' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"
    shown = " ".join(done.stdout.replace("-\n", "-").split()).replace("- ", "-")
    for name in [*registry.names(methods), *registry.names(networks)]:
        assert name in shown
    for f in fields(TrainSettings):
        assert f.name.endswith("_options") or f"--{f.name.replace('_', '-')}" in shown, f.name
