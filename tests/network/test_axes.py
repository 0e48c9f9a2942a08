"""Shapes are compared axis by axis: all but axes of 1 and flat arrays is refused, with the transposition that would fit."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import nir as written
import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import float_network
from spikeloom.compile import compile_network
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import FormatError, UsageError
from spikeloom.formats.nir.reader import Options, from_document
from spikeloom.network import reference
from spikeloom.network.axes import advice, fits, frames_fit, transposition
from spikeloom.network.model import InputSpec, Network
from spikeloom.runtime import run
from spikeloom.runtime.encoding import encode

nir: Any = written  # whose stubs know one form of a shape
shapes = st.lists(st.integers(1, 5), min_size=1, max_size=5).map(tuple)


@settings(max_examples=examples(300), deadline=None)
@given(shapes, st.randoms(use_true_random=False), st.lists(st.integers(0, 5), max_size=2))
@example((8, 8, 3), None, [])
def test_what_fits_lies_alike_in_memory(shape: tuple[int, ...], random: Any, ones: list[int]) -> None:
    """Shapes that fit have the same numbers in the same order; the transposition that is advised brings them there."""
    wider = list(shape)
    for place in ones:
        wider.insert(min(place, len(wider)), 1)
    assert fits(wider, shape) and fits(shape, wider) and fits((prod(shape),), shape) and fits(shape, (1, prod(shape)))
    assert not fits(shape, (prod(shape) + 1,))
    order = list(range(len(shape)))
    if random is not None:
        random.shuffle(order)
    arriving = tuple(shape[i] for i in order)
    found = transposition(arriving, shape)
    assert found is not None
    values = np.arange(prod(shape)).reshape(shape)
    moved = values.transpose(order)
    assert np.transpose(moved, found).reshape(-1).shape == (prod(shape),)
    assert tuple(n for n in np.transpose(moved, found).shape if n != 1) == tuple(n for n in shape if n != 1)
    if fits(arriving, shape) and len(set(shape)) == len(shape):  # then nothing moved but axes of 1
        assert (moved.reshape(-1) == values.reshape(-1)).all()


def test_the_transposition_is_one_that_a_user_can_copy() -> None:
    assert advice((8, 8, 3), (3, 8, 8), batched=True) == " Transpose with x.transpose(0, 3, 1, 2)."
    assert advice((2, 10, 34, 34), (10, 2, 34, 34), batched=True) == " Transpose with x.transpose(0, 2, 1, 3, 4)."
    assert advice((2, 8, 4), (2, 4, 8)) == " Transpose with x.transpose(0, 2, 1)."
    assert advice((5, 4, 34, 34), (10, 2, 34, 34), batched=True) == "" == advice((7,), (8,))


def of_shape(shape: tuple[int, ...], *, timesteps: int, temporal: bool, levels: int = 255) -> Network:
    made = float_network(6, sizes=(prod(shape), 30, 10), timesteps=timesteps)
    entry = replace(made.populations[0], shape=shape)
    spec = InputSpec(levels, 1 / levels, "events" if temporal else "direct")
    return replace(made, populations=(entry, *made.spiking), input=spec)


@pytest.fixture(scope="module")
def static() -> DeployedNetwork:
    return compile_network(of_shape((3, 4, 5), timesteps=4, temporal=False))


@pytest.fixture(scope="module")
def temporal() -> DeployedNetwork:
    return compile_network(of_shape((2, 3, 5), timesteps=6, temporal=True, levels=1))


RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (9, 3, 4, 5)).astype(np.uint8)
FRAMES = RNG.integers(0, 2, (9, 6, 2, 3, 5)).astype(np.uint8)


def test_images_in_another_order_are_refused(static: DeployedNetwork) -> None:
    good = run(static, IMAGES)
    for same in (IMAGES.reshape(9, -1), IMAGES[:, None], IMAGES[..., None], IMAGES.reshape(9, 1, 60)):
        assert run(static, same).sops_per_sample == good.sops_per_sample
    for order in ((0, 2, 3, 1), (0, 3, 2, 1), (0, 1, 3, 2)):
        wrong = IMAGES.transpose(order)
        with pytest.raises(UsageError, match=r"The samples have the shape \(.*\); the network takes \(3, 4, 5\). Transpose with") as caught:
            run(static, wrong)
        advised = ast.literal_eval(str(caught.value).split("x.transpose")[1].rstrip("."))
        assert (wrong.transpose(advised) == IMAGES).all()
    with pytest.raises(UsageError, match=r"have the shape \(6, 10\); the network takes \(3, 4, 5\)\. Use the data it was trained on"):
        run(static, IMAGES.reshape(9, 6, 10))


def test_frames_in_another_order_are_refused(temporal: DeployedNetwork) -> None:
    good = run(temporal, FRAMES)
    for same in (FRAMES.reshape(9, -1), FRAMES.reshape(9, 6, 30), FRAMES[:, :, None], FRAMES[:, None], FRAMES != 0):
        assert run(temporal, same).sops_per_sample == good.sops_per_sample
    for order, way_out in (((0, 1, 3, 4, 2), "(0, 1, 4, 2, 3)"), ((0, 2, 1, 3, 4), "(0, 2, 1, 3, 4)")):
        with pytest.raises(UsageError) as caught:
            run(temporal, FRAMES.transpose(order))
        said = "the network takes (2, 3, 5) at each of 6 time steps, (6, 2, 3, 5). Transpose with x.transpose" + way_out
        assert said in str(caught.value)
    with pytest.raises(UsageError, match=r"\(3, 4, 3, 5\); the network takes \(2, 3, 5\) at each of 6 time steps"):
        run(temporal, FRAMES.reshape(9, 3, 4, 3, 5))


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(1, 4), st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), st.permutations(range(4)))
def test_frames_that_fit_are_the_frames(timesteps: int, shape: tuple[int, ...], order: list[int]) -> None:
    """Whatever is taken for (T, *shape) has its numbers in that order."""
    whole = (timesteps, *shape)
    values = np.arange(prod(whole)).reshape(whole)
    moved = values.transpose([i for i in order if i < len(whole)])
    if frames_fit(moved.shape, timesteps, shape) and len({n for n in whole if n > 1}) == len([n for n in whole if n > 1]):
        assert (moved.reshape(whole) == values).all()
    assert frames_fit(whole, timesteps, shape) and frames_fit((prod(whole),), timesteps, shape)


def test_every_way_in_checks_alike(static: DeployedNetwork) -> None:
    wrong = IMAGES.transpose(0, 2, 3, 1)
    network = of_shape((3, 4, 5), timesteps=4, temporal=False)
    for work in (
        lambda: reference.encode(static.network, wrong),
        lambda: encode(static.network, wrong),
        lambda: reference.simulate_float(network, wrong),
        lambda: compile_network(network, calibration=Calibration(wrong, np.zeros(9, np.int64))),
    ):
        with pytest.raises(UsageError, match=r"Transpose with x\.transpose\(0, 3, 1, 2\)"):
            work()


def test_values_far_below_the_levels_are_a_warning(static: DeployedNetwork, temporal: DeployedNetwork) -> None:
    def said(network: DeployedNetwork, values: Any) -> list[str]:
        return [w for w in run(network, values).warnings if w.startswith("Sample values run")]

    assert said(static, IMAGES) == said(temporal, FRAMES) == []
    for values in (IMAGES > 99, (IMAGES > 99).astype(np.uint8)):
        assert said(static, values) == [
            "Sample values run from 0 to 1; the network takes integers 0..255, where 255 stands for 1. If 1 stands for 1 in these samples, "
            "multiply them by 255."
        ]
    assert "from 0 to 15" in said(static, IMAGES // 17)[0] and "multiply them by 17" in said(static, IMAGES // 17)[0]
    assert said(static, IMAGES // 4) == []


def test_booleans_are_events(temporal: DeployedNetwork, spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    """Also from a mapped file; True is 1."""
    temporal.save(tmp_path / "t.loom")
    np.save(tmp_path / "x.npy", FRAMES != 0)
    np.save(tmp_path / "i.npy", FRAMES)
    found = [json.loads(spikeloom("run", tmp_path / "t.loom", "--data", tmp_path / f"{n}.npy", "--check", "--json").out) for n in "xi"]
    assert found[0]["sops_per_sample"] == found[1]["sops_per_sample"] > 0 and found[0]["predictions"] == found[1]["predictions"]


# --- NIR ----------------------------------------------------------------------------------------------------------------


def lif(shape: tuple[int, ...]) -> Any:
    full = np.full(shape, 1.0)
    return nir.LIF(tau=full * 2e-4, r=full, v_leak=full * 0, v_threshold=full, v_reset=full * 0)


def conv(sides: tuple[int, int] | None, channels: int = 2, out: int = 2) -> Any:
    return nir.Conv2d(sides, np.ones((out, channels, 3, 3)), (1, 1), (1, 1), (1, 1), 1, np.zeros(out))


def graph(*nodes: tuple[str, Any], entry: tuple[int, ...] = (2, 4, 8), end: tuple[int, ...] | None = None) -> dict[str, Any]:
    """A chain; its Output says `end`."""
    named: dict[str, Any] = {"input": nir.Input(np.array(entry)), **dict(nodes)}
    names = [*named, "output"]
    last = nir.Output(None if end is None else np.array(end))
    return nir.NIRGraph(named | {"output": last}, list(pairwise(names)), type_check=False).to_dict()


FITTING: list[dict[str, Any]] = [
    graph(("c", conv((4, 8))), ("n", lif((2, 4, 8))), end=(2, 4, 8)),
    graph(("c", conv(None)), ("n", lif((2, 4, 8))), end=(1, 2, 4, 8)),
    graph(("c", conv((4, 8))), ("n", lif((64,))), end=(64,)),
    graph(("c", conv((4, 8))), ("n", lif((2, 1, 1))), end=(64,)),
    graph(("f", nir.Flatten({"input": np.array([2, 4, 8])}, 0, -1)), ("a", nir.Linear(np.ones((3, 64)))), ("n", lif((3,))), end=(3,)),
    graph(("a", nir.Linear(np.ones((3, 64)))), ("n", lif((3,))), end=(1, 3)),
    graph(("c", conv((4, 8), 1)), ("n", lif((2, 4, 8))), entry=(4, 8)),
]


@pytest.mark.parametrize("document", FITTING, ids=range(len(FITTING)))
def test_shapes_that_fit(document: dict[str, Any]) -> None:
    assert from_document(document, Options(timesteps=3)).populations[-1].size in (64, 3)


MISFITS: list[tuple[dict[str, Any], str]] = [
    (graph(("c", conv((8, 4))), ("n", lif((2, 8, 4)))), r"c \(Conv2d\) is of the shape \(2, 8, 4\); \(2, 4, 8\) arrives"),
    (graph(("c", conv((4, 8))), ("n", lif((2, 8, 4)))), r"n \(LIF\) is of the shape \(2, 8, 4\); \(2, 4, 8\) .*x\.transpose\(0, 2, 1\)"),
    (graph(("c", conv((4, 8))), ("n", lif((8, 4, 2)))), r"n \(LIF\) is of the shape \(8, 4, 2\); \(2, 4, 8\) .*x\.transpose\(2, 1, 0\)"),
    (graph(("c", conv((4, 8))), ("s", nir.Scale(np.ones((2, 8, 4)))), ("n", lif((2, 4, 8)))), r"s \(Scale\) is of the shape"),
    (
        graph(("c", conv((4, 8))), ("n", lif((2, 4, 8))), end=(2, 8, 4)),
        r"output \(Output\) is of the shape \(2, 8, 4\); \(2, 4, 8\) arrives",
    ),
    (graph(("a", nir.Linear(np.ones((3, 64)))), ("n", lif((3,))), end=(4,)), r"output \(Output\) is of the shape \(4,\); \(3,\) arrives"),
    (
        graph(("f", nir.Flatten({"input": np.array([4, 8, 2])}, 0, -1)), ("a", nir.Linear(np.ones((3, 64)))), ("n", lif((3,)))),
        r"f \(Flatten\)",
    ),
    (graph(("a", nir.Linear(np.ones((10, 64)))), ("n", lif((10,))), entry=(8, 64)), r"begins with 8.*shape of one sample, \(64,\)"),
]


@pytest.mark.parametrize(("document", "says"), MISFITS, ids=range(len(MISFITS)))
def test_shapes_that_do_not_fit_are_refused(document: dict[str, Any], says: str) -> None:
    with pytest.raises(FormatError, match=says):
        from_document(document, Options(timesteps=3))


def test_sums_of_maps_in_another_order_are_refused() -> None:
    nodes: dict[str, Any] = {
        "input": nir.Input(np.array([2, 4, 8])),
        "a": lif((2, 4, 8)),
        "l": nir.Linear(np.ones((64, 64))),
        "b": lif((2, 8, 4)),
        "n": nir.Flatten({"input": None}, 0, -1),
        "o": lif((64,)),
        "output": nir.Output(np.array([64])),
    }
    edges = [("input", "a"), ("a", "l"), ("l", "b"), ("a", "n"), ("b", "n"), ("n", "o"), ("o", "output")]
    with pytest.raises(
        FormatError, match=r"\(2, 4, 8\).*\(2, 8, 4\), and both lead to n \(Flatten\).*Transpose with x\.transpose\(0, 2, 1\)"
    ):
        from_document(nir.NIRGraph(nodes, edges, type_check=False).to_dict(), Options(timesteps=3))
