"""Wrong types: every public function and record refuses them with an error of ours that names argument, value, need and way out."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import pytest
import spikeloom
from netgen import float_network, samples
from numpy.typing import NDArray
from spikeloom import checked as checking
from spikeloom.checked import check_fields, checked, fits
from spikeloom.errors import SpikeloomError, UsageError
from test_public import PACKAGES


class Foreign:
    """Nothing that anybody takes."""


def functions() -> dict[str, Callable[..., Any]]:
    """Every public function by its name, each once, and the public methods that write."""
    found: dict[str, Callable[..., Any]] = {}
    for name in PACKAGES:
        package = importlib.import_module(f"spikeloom.{name}" if name else "spikeloom")
        values = {public: getattr(package, public) for public in package.__all__}
        found |= {f"{v.__module__}.{v.__name__}": v for v in values.values() if inspect.isfunction(v) and inspect.signature(v).parameters}
    deployed, results = spikeloom.DeployedNetwork, spikeloom.Results
    written = {"DeployedNetwork.save": deployed.save, "DeployedNetwork.to_lava": deployed.to_lava}
    return found | written | {"Results.save": results.save, "Results.write_report": results.write_report}


FUNCTIONS = functions()
ARGUMENTS = [(name, argument) for name, f in FUNCTIONS.items() for argument in inspect.signature(f).parameters if argument != "self"]


def right(hint: Any) -> Any:
    """Some value that passes for a type."""
    for value in (*records(), "text", 1, 1.5, True, {}, (), np.zeros((2, 2), np.uint8), lambda: None, Path("x"), None):
        if fits(value, hint):
            return value
    return Everything()


def records() -> tuple[object, ...]:
    """Records that functions take."""
    split = spikeloom.data.Split(np.zeros((2, 3), np.uint8), np.zeros(2, np.int64))
    import torch  # prune's module

    return (
        spikeloom.load(Path(__file__).parents[1] / "older/flat-7.loom"),
        torch.nn.Linear(2, 2),
        spikeloom.train.TrainSettings("digits"),
        spikeloom.sweep.Grid({}, ("dense",), (0.5,), (0,), Path("x")),
        split,
    )


class Everything:
    """Has every attribute."""

    def __getattr__(self, name: str) -> Any:
        return lambda: None


def call_with(function: Callable[..., Any], argument: str, value: Any) -> Any:
    """Call a function with one wrong argument; those before it, which are looked at first, have the right type."""
    signature = inspect.signature(function)
    hints = checking._hints(inspect.unwrap(function))  # pyright: ignore[reportPrivateUsage]
    values: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if name == argument:
            values[name] = value
        elif parameter.default is inspect.Parameter.empty:
            values[name] = Everything() if name == "self" else right(hints[name])
    return function(**values)


def test_there_are_as_many_functions_as_the_packages_offer() -> None:
    assert {name.rsplit(".", 1)[1] for name in FUNCTIONS} >= {"compile_network", "run", "fit", "load", "samples_of", "write", "sweep"}
    assert len(ARGUMENTS) > 80


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_is_checked(name: str) -> None:
    assert hasattr(FUNCTIONS[name], checking.WAYS)
    assert set(getattr(FUNCTIONS[name], checking.WAYS)) <= set(inspect.signature(FUNCTIONS[name]).parameters)
    for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
        assert parameter.kind is not inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_every_argument_refuses_a_wrong_type(name: str, argument: str) -> None:
    with pytest.raises(UsageError, match=rf"^{argument} is a value of the type .*Foreign; {FUNCTIONS[name].__name__} takes .*\. \S.*\.$"):
        call_with(FUNCTIONS[name], argument, Foreign())


@pytest.mark.parametrize("name", ["compile_network", "fit", "load_dataset", "prune", "run", "samples_of", "sweep", "train_run", "write"])
def test_the_docstring_of_a_public_function_stands_alone(name: str) -> None:
    """Every argument, what is returned and what is raised; it sends nobody elsewhere for an argument."""
    function = next(f for full, f in FUNCTIONS.items() if full.endswith(f".{name}"))
    said = inspect.getdoc(function) or ""
    arguments = said.partition("Args:")[2].partition("Raises:")[0]
    for argument in inspect.signature(function).parameters:
        assert re.search(rf"^    {argument}: \S", arguments, re.MULTILINE), argument
    assert "UsageError" in said.partition("Raises:")[2]


RECORDS = (
    "train.TrainSettings",
    "sweep.Grid",
    "runtime.BackendOptions",
    "compile.Calibration",
    "compile.Compilation",
    "data.Split",
    "data.Dataset",
)


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_of_a_record_refuses_a_wrong_type(name: str) -> None:
    package, _, kind = name.partition(".")
    record = getattr(importlib.import_module(f"spikeloom.{package}"), kind)
    hints = checking._hints(record)  # pyright: ignore[reportPrivateUsage]
    for field in dataclasses.fields(record):
        needed = [f for f in dataclasses.fields(record) if f.default is f.default_factory is dataclasses.MISSING]
        values = {f.name: right(hints[f.name]) for f in needed} | {field.name: Foreign()}
        with pytest.raises(UsageError, match=rf"^{field.name} is a value of the type .*Foreign; {kind} takes"):
            record(**values)


DEPLOYED = spikeloom.compile_network(float_network(3, sizes=(20, 14, 5)))
SAMPLES = samples(DEPLOYED.network, 1, 4)


class Case(NamedTuple):
    """A call that cannot work, and what its message says."""

    call: Callable[[], object]
    said: str


def fit(**wrong: Any) -> Any:
    """Train with wrong arguments."""
    function: Callable[..., Any] = spikeloom.train.fit
    return function(**({"data": "digits", "out": "nowhere"} | wrong))


CASES = [
    Case(lambda: spikeloom.compile_network(42), r"source is 42 \(int\); compile_network takes Network or Path or text"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.compile_network(None), "source is None; compile_network takes"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.compile_network(module()), "does not say how many time steps"),
    Case(lambda: spikeloom.compile_network(module(), timesteps=2), "does not say the shape of a sample"),
    Case(lambda: spikeloom.compile_network(module(), timesteps=2, reader={"dt": 1.0}), "option of a module called 'dt'"),
    Case(lambda: spikeloom.compile_network("runs/x", sample=SAMPLES), "for a module of torch"),
    Case(lambda: spikeloom.compile_network("x.onnx", chip=3.5), r"chip is 3\.5 \(float\);.*hwmodels\.names"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.compile_network("x.onnx", target=None), "target is None; compile_network takes text"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.compile_network("x.onnx", seed=True), r"seed is True \(bool\); compile_network takes a whole number"),
    Case(lambda: spikeloom.compile_network("x.onnx", reader={3: 4}), "reader is a value of the type dict"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.compile_network("x.onnx", calibration=3), r"calibration is 3 \(int\).*Give an array"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.compile_network("x.onnx", effort="bset"), "effort"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.compile_network("x.onnx", encoding="x"), "encoding|no network"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.run(None, SAMPLES), r"network is None; run takes.*model\.loom"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.run(DEPLOYED, 3), r"data is 3 \(int\); run takes"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.run(DEPLOYED, "digits"), "the network takes 20 numbers|shape"),
    Case(lambda: spikeloom.run(DEPLOYED, {"a": 1}), "data must be an array of samples"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.run(DEPLOYED, (SAMPLES, 3)), "labels"),
    Case(lambda: spikeloom.run(DEPLOYED, ["a", "b"]), "."),
    Case(lambda: spikeloom.run(DEPLOYED, [[1, 2], [3]]), "."),
    Case(lambda: spikeloom.run(DEPLOYED, SAMPLES.astype(object)), "."),
    Case(lambda: spikeloom.run(DEPLOYED, np.array(["a", "b"])), "."),
    Case(lambda: spikeloom.run(DEPLOYED, SAMPLES * 0.5), "."),
    Case(lambda: spikeloom.run(DEPLOYED, np.float64(3)), "."),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.run(DEPLOYED, SAMPLES, samples=2.5), r"samples is 2\.5 \(float\)"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.run(DEPLOYED, SAMPLES, options={"threads": 2}), r"options is.*BackendOptions"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.runtime.BackendOptions(threads="2"), r"threads is '2' \(str\)"),  # pyright: ignore[reportArgumentType]
    Case(lambda: fit(data=3), r"data is 3 \(int\); fit takes Dataset or .* or text"),
    Case(lambda: fit(timesteps="a"), r"timesteps is 'a' \(str\); fit takes a whole number or none"),
    Case(lambda: fit(sparsity="x"), r"sparsity is 'x' \(str\); fit takes a number"),
    Case(lambda: fit(loss=3), "loss is 3"),
    Case(lambda: fit(loss="nonsense"), "There is no loss called"),
    Case(lambda: fit(hidden=3), r"hidden is 3 \(int\); fit takes a whole number, or several"),
    Case(lambda: fit(hidden=("a",)), "hidden is"),
    Case(lambda: fit(net_options=3), "net_options is 3"),
    Case(lambda: fit(method=None), "method is None; fit takes text"),
    Case(lambda: fit(out=None), "out is None; fit takes Path or text"),
    Case(lambda: fit(progress=3), r"progress is 3 \(int\); fit takes a function or none"),
    Case(lambda: spikeloom.samples_of(object()), "data is a value of the type object; samples_of takes.*torch Dataset"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.load_dataset(SAMPLES), r"name is a value of the type numpy\.ndarray; load_dataset takes text"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.load(3), r"path is 3 \(int\); load takes Path or text"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.load_results({}), "path is a value of the type dict"),  # pyright: ignore[reportArgumentType]
    Case(lambda: spikeloom.hwmodels.load(None), "name is None"),  # pyright: ignore[reportArgumentType]
    Case(lambda: DEPLOYED.save(3), r"path is 3 \(int\); save takes Path or text"),  # pyright: ignore[reportArgumentType]
]


def module() -> Any:
    """A module of torch, as somebody who trained elsewhere has it."""
    torch = pytest.importorskip("torch")
    return torch.nn.Linear(3, 4)


@pytest.mark.parametrize("case", CASES, ids=[str(i) for i in range(len(CASES))])
def test_calls_that_cannot_work_say_why(case: Case) -> None:
    with pytest.raises(SpikeloomError, match=case.said) as raised:
        case.call()
    assert len(str(raised.value)) < 600


class Sized(Protocol):
    """A Protocol with a property."""

    @property
    def size(self) -> int: ...


class Lazy:
    """A property that must not be computed to be found."""

    @property
    def size(self) -> int:
        raise AssertionError


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (np.int64(3), int, True),
        (np.float32(3), float, True),
        (3, float, True),
        (3.0, int, False),
        (True, int, False),
        (True, float, False),
        (True, bool, True),
        (1, bool, False),
        (None, int | None, True),
        ("x", Literal["y"], True),
        (3, Literal["y"], False),
        ([1, 2], tuple[int, ...], True),
        ((1, "a"), tuple[int, str], True),
        ((1, 2, 3), tuple[int, int], False),
        ({"a": 1}, Mapping[str, int], True),
        ({"a": "b"}, Mapping[str, int], False),
        (np.zeros(3), NDArray[Any], True),
        ([1.0], NDArray[Any], False),
        (Lazy(), Sized, True),
        (np.zeros(3), Sized, True),
        (3, Sized, False),
        (print, Callable[[int], None], True),
        (3, Callable[[int], None], False),
    ],
)
def test_what_fits(value: object, hint: Any, expected: bool) -> None:
    assert fits(value, hint) is expected


def test_a_checked_function_is_what_it_was() -> None:
    @checked(b="Leave it out.")
    def add(a: int, *, b: int = 2) -> int:
        """Add."""
        return a + b

    assert (add(1), add(1, b=5), add.__doc__, str(inspect.signature(add))) == (3, 6, "Add.", "(a: 'int', *, b: 'int' = 2) -> 'int'")
    with pytest.raises(UsageError, match=r"^b is 'x' \(str\); add takes a whole number\. Leave it out\.$"):
        add(1, b="x")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="missing"):
        add()  # pyright: ignore[reportCallIssue]


def test_a_record_is_held_to_its_fields() -> None:
    @dataclasses.dataclass(frozen=True)
    class Record:
        count: int

    check_fields(Record(3))
    with pytest.raises(UsageError, match=r"count is 'x' \(str\); Record takes a whole number"):
        check_fields(Record("x"))  # pyright: ignore[reportArgumentType]
