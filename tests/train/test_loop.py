"""The loop with every network, method and setting that there is: learning, resuming to the same bits, starting from a run."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from spikeloom import registry
from spikeloom.data.dataset import Dataset, Split
from spikeloom.errors import FormatError, PausedError, SpikeloomError, SpikeloomWarning, UsageError
from spikeloom.train import TrainedRun, TrainSettings, fit, loop, methods, networks, threads
from spikeloom.train.feed import Feed
from spikeloom.train.layers import SpikingNetwork
from spikeloom.train.parts import Parts
from spikeloom.train.running import train_run

SIDE = 32
# Options that make a network or method small and quick; what is not listed has its defaults.
SMALL: dict[str, dict[str, Any]] = {"fc": {"hidden": (20,)}}


def colours(count: int = 48) -> Dataset:
    """Images of three channels whose class is a bright corner."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 4, count)
    values = rng.integers(0, 60, (count, 3, SIDE, SIDE)).astype(np.uint8)
    half = SIDE // 2
    for image, label in zip(values, labels, strict=True):
        row, column = half * (label // 2), half * (label % 2)
        image[:, row : row + half, column : column + half] += 150
    split = Split(values, labels.astype(np.int64))
    return Dataset("colours", split, split.take(slice(0, 16)), 4, 255, (3, SIDE, SIDE))


def test_download_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def load(name: str, folder: Path | None, **options: Any) -> Dataset:
        asked.append({"name": name, "folder": folder} | options)
        return colours()

    monkeypatch.setattr("spikeloom.train.parts.load_dataset", load)
    for download in (True, False):
        settings = recipe(data="digits", data_dir="somewhere", epochs=1)
        train_run(settings, tmp_path / str(download), download=download)
        assert asked.pop() == {"name": "digits", "folder": Path("somewhere"), "options": {}, "download": download}


@pytest.fixture
def coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the data set digits be `colours`."""
    monkeypatch.setattr("spikeloom.train.parts.load_dataset", lambda *args, **options: colours())


def options_of_net(net: str) -> dict[str, Any]:
    """The smallest form of a network: `SMALL`, or a width of 4 channels (a thirty-second, where the width is a factor)."""
    kind = getattr(registry.load(networks, "network", net), "Options", None)
    if net in SMALL or kind is None or not hasattr(kind(), "width"):
        return SMALL.get(net, {})
    return {"width": 4 if isinstance(kind().width, int) else 1 / 32}


def recipe(**changed: Any) -> TrainSettings:
    values: dict[str, Any] = {
        "data": "digits", "epochs": 3, "batch_size": 16, "timesteps": 2, "validation_fraction": 0.2, "device": "cpu",
        "net_options": {"hidden": (20,)},
    }  # fmt: skip
    return TrainSettings(**(values | changed))


class StoppedError(Exception):
    """What ends a training in the middle of an epoch."""


def stopped_and_resumed(settings: TrainSettings, folder: Path, monkeypatch: pytest.MonkeyPatch, epoch: int) -> TrainedRun:
    """Train, stop in the middle of `epoch` (from 0 on), and resume."""
    real = loop.Trainer.step

    def step(self: loop.Trainer, *args: Any) -> torch.Tensor:
        done = real(self, *args)
        if self.epoch == epoch and args[3] > (epoch + 0.5) / settings.float_epochs:
            raise StoppedError
        return done

    with monkeypatch.context() as patched:
        patched.setattr(loop.Trainer, "step", step)
        with pytest.raises(StoppedError):
            train_run(settings, folder)
    torch.manual_seed(99)  # another process has other random numbers
    return train_run(settings, folder, resume=True)


def assert_same(one: TrainedRun, two: TrainedRun) -> None:
    assert (one.folder / "model.safetensors").read_bytes() == (two.folder / "model.safetensors").read_bytes()
    assert one.stages == two.stages and one.sparsity == two.sparsity
    rows = [[json.loads(line) | {"seconds": 0} for line in (r.folder / "metrics.jsonl").read_text().splitlines()] for r in (one, two)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("net", registry.names(networks))
def test_every_network_trains_and_resumes_to_the_same_bits(
    net: str, coloured: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = recipe(net=net, net_options=options_of_net(net), method="grad-r", sparsity=0.6, loss="tet", epochs=2)
    whole = train_run(settings, tmp_path / "whole")
    assert_same(whole, stopped_and_resumed(settings, tmp_path / "parts", monkeypatch, 1))
    assert abs(whole.sparsity - 0.6) < 1e-3
    state = load_file(whole.folder / "model.safetensors")
    normed = any(name.endswith("running_mean") for name in state)
    assert [s.name for s in whole.stages] == (["float", "folded"] if normed else ["float"])


@pytest.mark.parametrize("method", registry.names(methods))
def test_every_method_trains_and_resumes_to_the_same_bits(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = recipe(method=method, sparsity=0.0 if method == "dense" else 0.7, epochs=4, batch_size=32)
    whole = train_run(settings, tmp_path / "whole")
    for epoch in (0, 2):
        assert_same(whole, stopped_and_resumed(settings, tmp_path / f"parts{epoch}", monkeypatch, epoch))


def test_augmentation_and_one_cycle_resume_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Augmentation that draws numbers of its own each step; the digits have no published one, so the loop gets one here."""

    def published(name: str, shape: tuple[int, ...], temporal: bool) -> Any:
        return lambda x, generator: x * torch.rand((len(x), *(1,) * (x.dim() - 1)), generator=generator)

    monkeypatch.setattr("spikeloom.train.augment.published", published)
    settings = recipe(method="grad-r", sparsity=0.5, augment="published", schedule="one-cycle", loss="ce")
    whole = train_run(settings, tmp_path / "whole")
    assert_same(whole, stopped_and_resumed(settings, tmp_path / "parts", monkeypatch, 1))
    plain = train_run(replace(settings, augment="none"), tmp_path / "plain")
    assert (plain.folder / "model.safetensors").read_bytes() != (whole.folder / "model.safetensors").read_bytes()


def paused(settings: TrainSettings, folder: Path) -> None:
    """A run that stopped after its first epoch, at a time limit that had passed before it."""
    with pytest.MonkeyPatch.context() as patched, pytest.raises(PausedError):
        late = iter([0.0])
        patched.setattr(loop.Trainer, "_check_time", lambda self, end: next(late, None) is None and _pause())
        train_run(settings, folder)


def _pause() -> None:
    raise PausedError("paused")


def test_a_resume_keeps_the_number_of_threads(tmp_path: Path) -> None:
    before, settings = torch.get_num_threads(), recipe(threads=3)
    whole = train_run(settings, tmp_path / "whole")
    paused(settings, tmp_path / "parts")
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore", SpikeloomWarning)  # of more threads than cores
        real = loop.Trainer.step
        patched.setattr(loop.Trainer, "step", lambda *given: (seen.append(torch.get_num_threads()), real(*given))[1])
        assert_same(whole, train_run(replace(settings, threads=None), tmp_path / "parts", resume=True))
    assert set(seen) == {3} and torch.get_num_threads() == before


def test_small_training_steps_take_one_thread(tmp_path: Path) -> None:
    """Threads wait for each other in every operation: beside a busy core an epoch of the digits on two of them took five times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        run = train_run(recipe(), tmp_path / "run")
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    saved = [json.loads((tmp_path / "run" / name).read_text())["threads"] for name in ("settings.json", "train.json")]
    assert run.settings.threads == 1 and saved == [1, 1]


def test_the_work_decides_on_the_threads() -> None:
    assert [threads.suitable(work, 4) for work in (0, 64 * 800 * 32, 2 * threads.THREAD_WORK, 1 << 40)] == [1, 1, 2, 4]


def test_an_epoch_does_not_last_as_long_as_its_kernels_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = iter(range(0, 1_000_000, 1000))
    monkeypatch.setattr(loop, "compiling_seconds", lambda: float(next(waited)))
    assert max(train_run(recipe(), tmp_path / "run").epoch_seconds) < 1.0


def test_a_resume_on_something_else_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paused(recipe(threads=2), tmp_path / "run")
    monkeypatch.setattr("spikeloom.train.platform.products", lambda: "another BLAS")
    with pytest.warns(SpikeloomWarning) as caught:
        train_run(recipe(threads=1), tmp_path / "run", resume=True)
    texts = sorted(str(w.message) for w in caught if w.category is SpikeloomWarning)
    assert len(texts) == 2 and "continues with 1 threads, as requested" in texts[0] and "now another BLAS" in texts[1]
    assert sorted(json.loads((tmp_path / "run" / "train.json").read_text())["warnings"]) == texts
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["threads"] == 1


def test_products_that_depend_on_alignment_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikeloom.train.platform.depends_on_alignment", lambda threads: "(2, 3) x (3, 4) has 5 results")
    with pytest.warns(SpikeloomWarning, match=r"\(2, 3\) x \(3, 4\) has 5 results.*MKL_CBWR"):
        train_run(recipe(epochs=1), tmp_path / "run")


@pytest.mark.parametrize("loss", ["mse", "ce", "tet"])
@pytest.mark.parametrize("schedule", ["cosine", "warmup-cosine", "one-cycle", "constant"])
def test_every_loss_and_schedule_learns(loss: Any, schedule: Any, tmp_path: Path) -> None:
    run = train_run(recipe(loss=loss, schedule=schedule, epochs=4, timesteps=4, net_options={"hidden": (60,)}), tmp_path / "run")
    assert run.accuracy > 0.7
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["loss"] < rows[0]["loss"]
    named = {
        "loss",
        "lr",
        "validation_accuracy",
        "sparsity",
        "connectivity",
        "connectivity_unrolled",
        "pruned",
        "regrown",
        "seconds",
    }
    assert named <= set(rows[0])
    if schedule == "constant":
        assert {r["lr"] for r in rows} == {1e-2}


def test_bf16_trains_and_keeps_float32_weights(coloured: None, tmp_path: Path) -> None:
    run = train_run(recipe(precision="bf16", net_options={"hidden": (20,)}, epochs=2), tmp_path / "run")
    state = load_file(run.folder / "model.safetensors")
    assert all(t.dtype == torch.float32 for t in state.values())
    exact = train_run(recipe(net_options={"hidden": (20,)}, epochs=2), tmp_path / "float32")
    assert (exact.folder / "model.safetensors").read_bytes() != (run.folder / "model.safetensors").read_bytes()


def test_a_failing_compiler_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler here")

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: real(model, backend=failing))
    with pytest.raises(SpikeloomError, match=r"(?s)no compiler here.*Leave out --compile"):
        train_run(recipe(compile=True), tmp_path / "run")


def test_compile_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[Any] = []

    def eager(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: real(model, backend=eager))
    compiled = train_run(recipe(compile=True, epochs=1), tmp_path / "compiled")
    plain = train_run(recipe(epochs=1), tmp_path / "plain")
    assert graphs
    assert (compiled.folder / "model.safetensors").read_bytes() == (plain.folder / "model.safetensors").read_bytes()


def test_augmentation_that_nobody_published_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no published augmentation for the data set digits"):
        train_run(recipe(augment="published"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_gentle_augmentation_gives_the_integer_stage_integers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool]] = []
    step = loop.Trainer.step

    def watched(self: loop.Trainer, x: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append((self.model.is_integer, torch.equal(x, x.round())))
        return step(self, x, *rest)

    monkeypatch.setattr(loop.Trainer, "step", watched)
    settings = recipe(augment="gentle", weight_bits=8, epochs=2, qat_fraction=0.5)
    gentle = train_run(settings, tmp_path / "gentle")
    assert (True, True) in seen and (False, False) in seen and (True, False) not in seen
    plain = train_run(replace(settings, augment="none"), tmp_path / "plain")
    assert (plain.folder / "model.safetensors").read_bytes() != (gentle.folder / "model.safetensors").read_bytes()


def test_starting_from_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train_run(recipe(), tmp_path / "first")
    seen: list[dict[str, torch.Tensor]] = []
    real = Parts.build_method

    def build_method(self: Parts, model: SpikingNetwork, settings: TrainSettings) -> Any:
        seen.append({name: t.clone() for name, t in model.state_dict().items()})
        return real(self, model, settings)

    monkeypatch.setattr(Parts, "build_method", build_method)
    second = train_run(recipe(init=str(first.folder), epochs=1, method="grad-r", sparsity=0.5, seed=4), tmp_path / "second")
    saved = load_file(first.folder / "model.safetensors")
    assert list(seen[0]) == list(saved) and all(torch.equal(seen[0][name], t) for name, t in saved.items())
    file = train_run(
        recipe(init=str(first.folder / "model.safetensors"), epochs=1, method="grad-r", sparsity=0.5, seed=4), tmp_path / "third"
    )
    assert (file.folder / "model.safetensors").read_bytes() == (second.folder / "model.safetensors").read_bytes()
    (first.folder / "model.safetensors").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("spikeloom.train.running.load_init", None)  # a checkpoint needs the first run no more
        (second.folder / "train.json").unlink()
        assert train_run(second.settings, second.folder, resume=True).stages == second.stages


def test_starting_from_what_does_not_fit(tmp_path: Path) -> None:
    first = train_run(recipe(epochs=1), tmp_path / "first")
    with pytest.raises(UsageError, match=r"weight has shape \(20, 64\), not \(21, 64\)"):
        train_run(recipe(init=str(first.folder), net_options={"hidden": (21,)}), tmp_path / "run")
    with pytest.raises(UsageError, match="another network"):
        train_run(recipe(init=str(first.folder), net_options={"hidden": (20, 20)}), tmp_path / "run")
    with pytest.raises(FormatError, match="--init"):
        train_run(recipe(init=str(tmp_path / "none")), tmp_path / "run")
    (tmp_path / "damaged").write_bytes((first.folder / "model.safetensors").read_bytes()[:-3])
    with pytest.raises(FormatError, match="damaged"):
        train_run(recipe(init=str(tmp_path / "damaged")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_integers_only_for_networks_that_have_them(coloured: None, tmp_path: Path) -> None:
    refused = 0
    for net in registry.names(networks):
        module = registry.load(networks, "network", net)
        options = registry.options_of(module, options_of_net(net), net)
        if not module.build((3, SIDE, SIDE), 4, 2, options, temporal=False).supports_integers:
            refused += 1
            with pytest.raises(UsageError, match="Leave out --weight-bits"):
                train_run(recipe(net=net, net_options=options_of_net(net), weight_bits=8), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert refused == len(registry.names(networks)) - 1, "fc, and only fc, trains in integers"


def test_a_convolutional_network_has_its_own_default_rate(coloured: None, tmp_path: Path) -> None:
    for net in registry.names(networks):
        if net != "fc":
            run = train_run(recipe(net=net, net_options=options_of_net(net), epochs=1), tmp_path / net)
            saved = json.loads((run.folder / "settings.json").read_text())
            assert saved["lr"] == 1e-3 and saved["device"] == "cpu"
            return
    pytest.skip("there is no other network than fc")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"net_options": {"hiden": 3}}, "no option of the network fc called 'hiden'. Did you mean 'hidden'"),
        ({"method_options": {"nonesuch": 3}}, "method dense"),
        ({"data_options": {"nonesuch": 3}}, "data set digits"),
        ({"timesteps": 0}, "timesteps"),
    ],
)
def test_options_that_do_not_exist(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        train_run(recipe(**changed), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_option_is_written_out_and_compared(tmp_path: Path) -> None:
    run = train_run(recipe(method="grad-r", sparsity=0.5, epochs=1), tmp_path / "run")
    saved = json.loads((run.folder / "settings.json").read_text())
    assert saved["net_options"]["hidden"] == [20] and saved["method_options"]["control"] == "closed"
    with pytest.raises(UsageError, match=r"method_options\.ramp"):
        train_run(recipe(method="grad-r", sparsity=0.5, epochs=1, method_options={"ramp": "0.25"}), run.folder, resume=True)
    ramp = saved["method_options"]["ramp"]
    same = recipe(method="grad-r", sparsity=0.5, epochs=1, method_options={"ramp": str(ramp)})
    assert train_run(same, run.folder, resume=True) == run


def test_the_best_epoch_keeps_its_running_statistics(coloured: None, tmp_path: Path) -> None:
    """model.safetensors is one epoch's whole state: its statistics are those that validated best, not the last ones."""
    for net in registry.names(networks):
        run = train_run(recipe(net=net, net_options=options_of_net(net), epochs=3), tmp_path / net)
        state = load_file(run.folder / "model.safetensors")
        tracked = [name for name in state if name.endswith("num_batches_tracked")]
        if tracked:
            steps = -(-39 // 16)  # 48 samples less the fifth held out: 38 or 39
            assert {int(state[name]) for name in tracked} == {run.best_epoch * steps}
            return
    pytest.skip("there is no network with batch normalisation")


def test_the_other_parameters_are_trained(coloured: None, tmp_path: Path) -> None:
    for net in registry.names(networks):
        module = registry.load(networks, "network", net)
        model = module.build((3, SIDE, SIDE), 4, 2, registry.options_of(module, options_of_net(net), net), temporal=False)
        if model.others():
            ids = {id(p) for p in model.others().values()}
            names = {name for name, p in model.named_parameters() if id(p) in ids}
            run = train_run(recipe(net=net, net_options=options_of_net(net), epochs=2), tmp_path / net)
            state = load_file(run.folder / "model.safetensors")
            norms = [name for name in names if name.endswith("weight")]
            assert norms and any(not torch.equal(state[name], torch.ones_like(state[name])) for name in norms)
            return
    pytest.skip("no network has parameters beside its weights")


def test_a_feed_gives_the_samples_asked_for() -> None:
    data = colours(10)
    feed = Feed(data.train, 255, torch.device("cpu"))
    chosen = torch.tensor([7, 2, 2])
    x, labels = feed.take(chosen, integer=False)
    assert x.dtype == torch.float32 and labels.tolist() == data.train.labels[[7, 2, 2]].tolist()
    np.testing.assert_array_equal(x.numpy(), data.train.values[[7, 2, 2]].astype(np.float32) / np.float32(255))
    assert torch.equal(feed.take(chosen, integer=True)[0], torch.from_numpy(data.train.values[[7, 2, 2]]).float())


def test_fit_passes_every_setting_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import inspect
    from dataclasses import fields

    seen: list[TrainSettings] = []
    monkeypatch.setattr("spikeloom.train.fitting.train_run", lambda settings, out, **_: seen.append(settings))
    given: dict[str, Any] = {
        "data": "x", "net": "n", "method": "m", "sparsity": 0.5, "epochs": 7, "batch_size": 16, "lr": 0.02, "schedule": "constant",
        "warmup": 0.2, "timesteps": 4, "loss": "ce", "tet_lambda": 0.05, "augment": "published", "seed": 3, "weight_bits": 4,
        "qat_fraction": 0.5, "qat_lr": 0.1, "tune_fraction": 0.4, "ema": 0.9, "validation_fraction": 0.2, "init": "i", "device": "cpu",
        "precision": "bf16", "compile": True, "threads": 5, "data_dir": "d", "method_options": {"a": 1}, "net_options": {"b": 2},
        "data_options": {"c": 3},
        "loss_options": {"d": 4}, "schedule_options": {"e": 5}, "augment_options": {"f": 6},
        "optimizer": "sgd", "optimizer_options": {"g": 7}, "cuda_options": {"tf32": False},
    }  # fmt: skip
    assert {f.name for f in fields(TrainSettings)} == set(given)
    assert set(given) | {"out", "hidden", "resume", "download", "time_limit", "progress"} == set(inspect.signature(fit).parameters)
    fit(**given, out=tmp_path)
    assert seen == [TrainSettings(**given)]
    fit("x", hidden=(3,), out=tmp_path)
    assert seen[1] == TrainSettings("x", net_options={"hidden": (3,)})


def test_a_truncated_part_of_the_checkpoint_is_named(tmp_path: Path) -> None:
    run = train_run(recipe(epochs=1), tmp_path / "run")
    (run.folder / "train.json").unlink()
    path = run.folder / "checkpoint.safetensors"
    from safetensors import safe_open

    with safe_open(str(path), "pt") as opened:  # type: ignore[no-untyped-call]
        metadata = opened.metadata()
    tensors = load_file(path)
    name = next(n for n in tensors if n.startswith("best.float/"))
    del tensors[name]
    save_file(tensors, path, metadata)
    with pytest.raises(FormatError, match="best float weights are of another network"):
        train_run(recipe(epochs=1), run.folder, resume=True)


def test_a_run_moved_elsewhere_resumes(tmp_path: Path) -> None:
    run = train_run(recipe(epochs=1), tmp_path / "run")
    shutil.move(run.folder, tmp_path / "moved")
    assert train_run(recipe(epochs=1), tmp_path / "moved", resume=True).stages == run.stages


def test_neurons_that_a_run_removed_stay_removed_in_one_that_starts_from_it(tmp_path: Path) -> None:
    """UPR's closed gates travel with the weights; a resumed run has them too."""
    small: dict[str, Any] = {"net": "6conv2fc", "net_options": {"width": 4, "votes": 1}, "epochs": 2, "batch_size": 64}
    first = train_run(recipe(**small, method="upr", sparsity=0.5), tmp_path / "first")
    gates = {name: t for name, t in load_file(first.folder / "model.safetensors").items() if name.endswith(".gate")}
    assert gates and all(set(g.unique().tolist()) <= {0.0, 1.0} for g in gates.values())
    settings = recipe(**small, method="dense", init=str(first.folder), seed=4)
    with pytest.raises(PausedError):
        train_run(settings, tmp_path / "second", time_limit=1e-3)
    second = train_run(settings, tmp_path / "second", resume=True)
    after = load_file(second.folder / "model.safetensors")
    assert all(torch.equal(after[name], gate) for name, gate in gates.items())
    third = train_run(recipe(**small, method="upr", sparsity=0.6, init=str(first.folder)), tmp_path / "third")
    assert third.sparsity == pytest.approx(0.6, abs=1e-3)
