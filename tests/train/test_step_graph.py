"""Steps that are recorded once and repeated train to the bits of those that are not; what speaks against a recording."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from recorded import CpuRecorder
from spikeloom import registry
from spikeloom.errors import SpikeloomWarning, UsageError
from spikeloom.train import TrainSettings, devices, methods, networks, optimiser_kernels, platform
from spikeloom.train.chosen import Own
from spikeloom.train.cuda_options import CudaOptions
from spikeloom.train.distributed import World
from spikeloom.train.loop import Trainer
from spikeloom.train.methods.dense import Dense
from spikeloom.train.neurons import FusedLIFNode
from spikeloom.train.step_graph import StepGraph, reason_against, step_graph
from torch import Tensor
from trainers import trainer_of

METHODS, NETWORKS = registry.names(methods), registry.names(networks)
SLOW = [pytest.param(n, m, marks=pytest.mark.slow) for n in NETWORKS for m in METHODS if n != "fc" and (n, m) != ("6conv2fc", "upr")]


@pytest.fixture(autouse=True)
def as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Compute as on CUDA, where no step leaves torch's operations."""
    monkeypatch.setattr(devices, "uses_numpy", lambda tensor: False)
    monkeypatch.setattr(optimiser_kernels.Kernel, "_compile", lambda kernel: kernel.written)
    monkeypatch.setattr(FusedLIFNode, "_fuses", lambda node, inputs: False)
    yield


def state_of(trainer: Trainer) -> list[Tensor]:
    adam = trainer.rest.adam
    held = [*trainer.model.state_dict().values(), *(v for v in vars(trainer.method).values() if isinstance(v, Tensor))]
    return held + ([] if adam is None else [t for state in adam.state.values() for t in state.values()])


def recording(trainer: Trainer) -> CpuRecorder:
    recorder = CpuRecorder(lambda: state_of(trainer))
    trainer.graph = StepGraph(trainer, recorder, "on")
    return recorder


def rows_of(trainer: Trainer) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in trainer.rows]


def check_same(one: Trainer, other: Trainer) -> None:
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name]), name
    for name, tensor in one.method.state_tensors().items():
        assert torch.equal(tensor, other.method.state_tensors()[name]), name
    assert rows_of(one) == rows_of(other)


@pytest.mark.parametrize(("net", "method"), [*[("fc", m) for m in METHODS], ("6conv2fc", "upr"), *SLOW])
def test_a_recorded_step_trains_to_the_same_bits(tmp_path: Path, net: str, method: str) -> None:
    """With corrections, rewiring and hardening, dropout, and a smaller batch at the end of each epoch."""
    options: dict[str, Any] = {"every": 4} if method in ("grad-r", "stds", "soft-deep-r", "esl") else {}
    plain, repeated = (trainer_of(tmp_path, net, method, **options) for _ in range(2))
    recorder = recording(repeated)
    for trainer in (plain, repeated):
        trainer.run()
    check_same(plain, repeated)
    assert len(recorder.operations) == (2 if method == "upr" else 1)  # UPR: the search, and fine-tuning


def test_a_method_that_takes_the_place_of_another_is_recorded_anew(tmp_path: Path) -> None:
    trainers = [trainer_of(tmp_path, "fc", "dense", epochs=4) for _ in range(2)]
    recorder = recording(trainers[1])
    for trainer in trainers:
        trainer._run_epoch()  # pyright: ignore[reportPrivateUsage]
        trainer.method = Dense(trainer.model, trainer.settings)  # with moments of its own, and the same `form`
        trainer.run()
    check_same(*trainers)
    assert len(recorder.operations) == 2


class Stale(Dense):
    """A method whose device part takes a number of the host."""

    def prepare(self, lr: float, progress: float) -> None:
        self.number = self.advance(lr)[2]

    def update(self) -> None:
        for layer in self.flat:
            layer.put(layer.values() - self.number * layer.gradient())


def test_a_number_of_the_host_would_be_noticed(tmp_path: Path) -> None:
    plain, repeated = (trainer_of(tmp_path, "fc", "dense") for _ in range(2))
    for trainer in (plain, repeated):
        trainer.method = Stale(trainer.model, trainer.settings)
    recording(repeated)
    for trainer in (plain, repeated):
        trainer.run()
    with pytest.raises(AssertionError):
        check_same(plain, repeated)


class Failing:
    def warming(self) -> AbstractContextManager[None]:
        return nullcontext()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")


def test_where_the_recording_fails_training_goes_on_without(tmp_path: Path) -> None:
    plain, repeated = (trainer_of(tmp_path, "fc", "grad-r") for _ in range(2))
    repeated.graph = StepGraph(repeated, Failing())
    plain.run()
    with pytest.warns(SpikeloomWarning, match="could not be recorded as a CUDA graph, and runs without: operation not permitted when"):
        repeated.run()
    check_same(plain, repeated)
    assert repeated.graph.recorded == 0 and len(repeated.warnings) == 1
    required = trainer_of(tmp_path, "fc", "grad-r")
    required.graph = StepGraph(required, Failing(), "on")
    with pytest.raises(UsageError, match=r"could not be recorded .*Leave out cuda\.graph=on"):
        required.run()


def test_what_speaks_against_a_graph(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, "fc", "grad-r")
    cuda, own = World(device=torch.device("cuda")), Own()

    def reason(world: World = cuda, model: Any = trainer.model, method: Any = trainer.method, outer: Any = None, own: Own = own) -> Any:
        return reason_against(world, model, method, outer, own)

    assert reason() is None
    assert "CPU" in reason(World())
    assert "processes" in reason(replace(cuda, size=2))
    assert "optimizer" in reason(outer=object())
    assert "module of your own" in reason(model=torch.nn.Linear(1, 1))
    assert "loss of your own" in reason(own=Own(loss=lambda output, labels: output.sum()))

    class Whole(type(trainer.method)):
        def step(self, lr: float, progress: float) -> None: ...

    assert "in parts" in reason(method=Whole.__new__(Whole))
    for options in (CudaOptions(), CudaOptions(graph="off")):
        assert step_graph(trainer, options, World(), None, own) is None
    with pytest.raises(UsageError, match=r"cuda\.graph is on, but the run is on the CPU"):
        step_graph(trainer, CudaOptions(graph="on"), World(), None, own)


def test_the_options_of_cuda() -> None:
    read = TrainSettings.read({"data": "digits", "cuda_options": {"tf32": "false", "cudnn": "deterministic"}})
    assert read.cuda == CudaOptions(graph="auto", tf32=False, cudnn="deterministic")
    assert read.document()["cuda_options"] == {"graph": "auto", "tf32": False, "cudnn": "deterministic"}
    assert TrainSettings("digits").document()["cuda_options"] == {}
    for wrong, said in (({"graph": "always"}, "graph"), ({"cudn": "x"}, "cudnn"), ({"tf32": "perhaps"}, "tf32")):
        with pytest.raises(UsageError, match=said):
            TrainSettings("digits", cuda_options=wrong)


def test_torch_is_set_for_cuda_and_the_record_says_how() -> None:
    before = platform.record(1, "cuda")
    with platform.cuda_set(CudaOptions(tf32=False, cudnn="deterministic")):
        within = platform.record(1, "cuda")
        assert within["tf32"] == "products no, convolutions no" and within["cudnn"].endswith(", deterministic")
        with platform.cuda_set(CudaOptions()):
            fast = platform.record(1, "cuda")
            assert fast["tf32"] == "products yes, convolutions yes" and fast["cudnn"].endswith(", benchmark")
    assert platform.record(1, "cuda") == before
    assert set(platform.record(1)) == {"processes", "products", "processor", "torch"}
    assert "tf32 products no" in platform.differences(within, fast)[0]
