"""Each method against a slow, literal transcription of its equations, in float64; each kernel's two forms against each other."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from spikeloom import registry
from spikeloom.train import devices, methods, random_numbers
from spikeloom.train import flat as flats
from spikeloom.train import optimiser_kernels as kernels
from spikeloom.train.layers import SpikingNetwork
from test_methods import conv_network, fake_gradients, flat, linear_network, method_of

F8 = NDArray[np.float64]
LR = 0.01


def doubles(tensor: torch.Tensor) -> F8:
    return tensor.detach().double().numpy().copy()


def gradients(model: SpikingNetwork, step: int) -> F8:
    fake_gradients(model, step)
    return np.concatenate([doubles(w.grad).ravel() for w in model.weights().values() if w.grad is not None])


class Adam:
    """u_t of Adam, literally."""

    def __init__(self, size: int) -> None:
        self.m, self.v, self.t = np.zeros(size), np.zeros(size), 0

    def __call__(self, g: F8) -> F8:
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g * g
        return LR / (1 - 0.9**self.t) * self.m / (np.sqrt(self.v / (1 - 0.999**self.t)) + 1e-8)

    @property
    def rate(self) -> float:
        return LR / (1 - 0.9**self.t)


def noise_of(seed: int, step: int, size: int) -> F8:
    """Normal quantiles chosen by the hash, with Python's integers."""

    def mix(x: int) -> int:
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
            x ^= x >> shift
            x = x * factor % 2**32
        return x

    first, second = (int(w) for w in np.random.SeedSequence([seed, random_numbers.NOISE, step]).generate_state(2))
    ranks = [mix((mix(i ^ first) + second) % 2**32) >> 16 for i in range(size)]
    return np.array([NormalDist().inv_cdf((r + 0.5) / 65536) for r in ranks])


def test_dense_is_torch_s_adam() -> None:
    models = [conv_network(), conv_network()]
    method = method_of("dense", models[0])
    adam = torch.optim.Adam(list(models[1].weights().values()), lr=LR)
    for step in range(8):
        for model in models:
            fake_gradients(model, step)
        method.step(LR, 0.1)
        adam.step()
    torch.testing.assert_close(flat(models[0]), flat(models[1]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("control", "sparsity"), [("open", 0.9), ("open", 0.5), ("closed", 0.9)])
def test_grad_r(control: str, sparsity: float) -> None:
    """At a sparsity of 0.5 the prior lies at 0, and pulls those below it up again."""
    model = conv_network()
    options: dict[str, Any] = {"control": control} | ({"alpha": 0.5} if control == "open" else {})
    method = method_of("grad-r", model, sparsity, **options)
    start = doubles(flat(model))
    theta, sign, adam = np.abs(start), np.sign(start), Adam(start.size)
    mu = math.log(2 * (1 - sparsity)) / 0.5
    for t in range(1, 6):  # no correction falls into the first steps
        u = adam(gradients(model, t))
        prior = adam.rate * 0.5 * np.sign(theta - mu) if control == "open" else 0.0
        theta = theta - sign * u - prior
        method.step(LR, 0.0)
    np.testing.assert_allclose(doubles(method.theta), theta, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(flat(model).numpy(), (method.sign * method.theta.clamp(min=0)).numpy())


def test_a_layer_s_unit_is_the_mean_of_its_live_weights() -> None:
    model = linear_network(6, 5, 4)
    units = method_of("grad-r", model, 0.2).flat.units
    first, second = model.weights().values()
    with torch.no_grad():
        first[:, ::2] = 0
        second[:] = 0
    live = doubles(first).ravel()[doubles(first).ravel() != 0]
    assert units().tolist() == pytest.approx([np.abs(live).mean(), 1.0])


def test_grad_r_s_control_is_one_drift_for_all() -> None:
    model = conv_network()
    method = method_of("grad-r", model, 0.6, every=1000)
    before = doubles(method.theta)
    units = np.repeat(doubles(method.units), [w.numel() for w in model.weights().values()])
    method.control(1.0)
    order = np.sort(before / units)
    drift = order[round(0.6 * before.size) - 1]
    np.testing.assert_allclose(doubles(method.theta), before - drift * units, rtol=1e-4, atol=1e-6)
    assert [float(u) for u in method.units] == pytest.approx([float(w.detach().abs().mean()) for w in conv_network().weights().values()])


def test_deep_r() -> None:
    model = conv_network()
    method = method_of("deep-r", model, 0.7, seed=3, temperature=0.3, l1=0.2)
    theta, sign = doubles(method.theta), doubles(method.sign)
    adam, active = Adam(theta.size), theta > 0
    counts = [int((w != 0).sum()) for w in model.weights().values()]
    reactivated = 0
    for t in range(1, 6):
        u, noise = adam(gradients(model, t)), noise_of(3, t, theta.size)
        moved = theta - sign * u - adam.rate * 0.2 + 0.3 * math.sqrt(adam.rate) * noise
        theta = np.where(active, np.maximum(moved, 0), 0)
        method.step(LR, 0.0)
        now = doubles(method.theta)
        survivors = theta > 1e-4  # those nearer to 0 may round to either side
        np.testing.assert_allclose(now[survivors], theta[survivors], rtol=1e-4, atol=1e-5)
        fresh = (now > 0) & (theta <= 0)
        np.testing.assert_allclose(now[fresh], 1e-6)
        reactivated += int(fresh.sum())
        assert [int((w != 0).sum()) for w in model.weights().values()] == counts
        np.testing.assert_array_equal(flat(model).numpy(), (method.sign * method.theta.clamp(min=0)).numpy())
        theta, active = now, now > 0
    assert reactivated > 100


def test_soft_deep_r() -> None:
    model = conv_network()
    method = method_of("soft-deep-r", model, 0.7, seed=3, temperature=0.3, l1=0.2, every=1000)
    theta, sign, adam = doubles(method.theta), doubles(method.sign), Adam(flat(model).numel())
    floor = -(0.3**2) / 2 * 0.7 / (0.2 * (1 - 0.7))
    dormant = theta[theta <= 0]
    assert dormant.min() >= floor and abs(dormant.mean() / floor - 0.5) < 0.05  # evenly over the range
    came_back = 0
    for t in range(1, 6):
        u, noise = adam(gradients(model, t)), noise_of(3, t, theta.size)
        drift = np.where(theta > 0, sign * u + adam.rate * 0.2, 0)
        new = np.maximum(theta - drift + 0.3 * math.sqrt(adam.rate) * noise, floor)
        came_back += int(((theta <= 0) & (new > 0)).sum())
        method.step(LR, 0.0)
        near = np.minimum(np.abs(theta), np.abs(new)) < 1e-4
        np.testing.assert_allclose(doubles(method.theta)[~near], new[~near], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(flat(model).numpy(), (method.sign * method.theta.clamp(min=0)).numpy())
        theta = doubles(method.theta)
    assert came_back > 50


def test_stds() -> None:
    model = conv_network()
    method = method_of("stds", model, control="open", width=0.08, ramp=1.0)
    theta, adam = doubles(flat(model)), Adam(flat(model).numel())
    for t in range(1, 8):
        theta = theta - adam(gradients(model, t))
        method.step(LR, t / 8)
        d = 0.08 * (1 + math.sin(math.pi * (t / 8 - 0.5))) / 2
        w = np.sign(theta) * np.maximum(np.abs(theta) - d, 0)
        np.testing.assert_allclose(doubles(flat(model)), w, rtol=1e-4, atol=2e-6)
    assert 0.1 < method.sparsity() < 0.9


def test_stds_closed_follows_the_sine() -> None:
    model = linear_network(53, 47, 11)
    method = method_of("stds", model, 0.9, ramp=0.8, every=1)
    for t in range(1, 41):
        fake_gradients(model, t)
        method.step(LR, t / 40)
        wanted = round(round(0.9 * 3008) * (1 + math.sin(math.pi * (min(t / 40 / 0.8, 1) - 0.5))) / 2)
        assert int((flat(model) == 0).sum()) == wanted
        assert method.is_final(t / 40) == (t >= 32)


def test_esl() -> None:
    model = conv_network()
    method = method_of("esl", model, 0.7, every=4, rewirings=1, growth="gradient", share=0.5)
    w, mask, adam = doubles(flat(model)), flat(model).numpy() != 0, Adam(flat(model).numel())
    for t in range(1, 8):
        g = gradients(model, t)
        w = mask * (w - adam(g))
        method.step(LR, t / 20)
        if t == 4:
            w, mask = rewired(model, w, mask, np.abs(g), 0.5 * (1 + math.cos(math.pi * t / 20)) / 2)
        np.testing.assert_array_equal(flat(model).numpy() != 0, mask)
        np.testing.assert_allclose(doubles(flat(model)), w, rtol=1e-4, atol=2e-6)


def rewired(model: SpikingNetwork, w: F8, mask: NDArray[np.bool_], wish: F8, share: float) -> tuple[F8, NDArray[np.bool_]]:
    begin, w, mask = 0, w.copy(), mask.copy()
    for weight in model.weights().values():
        part = np.arange(begin, begin + weight.numel())
        begin += weight.numel()
        live = part[mask[part]]
        count = int(share * live.size)
        assert count > 0
        dropped = live[np.argsort(np.abs(w[live]))[:count]]
        mask[dropped], w[dropped] = False, 0.0
        dead = part[~mask[part]]
        grown = dead[np.argsort(-wish[dead])[:count]]
        mask[grown], w[grown] = True, 1e-6
    return w, mask


@pytest.mark.parametrize(("network", "gated"), [(conv_network, True), (lambda: linear_network(31, 23, 7), False)])
def test_upr(network: Any, gated: bool) -> None:
    """The loss sum(g w_eff) + sum(h gate) + penalty, differentiated by autograd, stepped by torch's Adam, in float64."""
    model = network()
    raw = [w.detach().double().clone().requires_grad_() for w in model.weights().values()]
    method = method_of("upr", model, penalty=3e-4, mask_lr=0.5, search=0.8)
    scores = [torch.zeros_like(w).requires_grad_() for w in raw]
    gates = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in ([(9, 4, 4), (5, 4, 4)] if gated else [])]
    e_w = [64.0, 16.0, 16.0, 1.0] if gated else [1.0, 1.0]
    e_n = [5 * 9 / 1, 10.0]
    adam = torch.optim.Adam([{"params": raw, "lr": LR}, {"params": scores + gates, "lr": 0.5 * LR}])
    beta = 5.0
    for t in range(1, 7):
        fake_gradients(model, t)
        adam.zero_grad()
        loss = torch.zeros((), dtype=torch.float64)
        for w, a, e, held in zip(raw, scores, e_w, model.weights().values(), strict=True):
            soft = torch.sigmoid(beta * a)
            assert held.grad is not None
            loss = loss + (held.grad.double() * w * soft).sum() + 3e-4 * e * soft.sum()
            torch.testing.assert_close(held.detach().double(), (w * soft).detach(), rtol=1e-4, atol=1e-6)
        for a, e, held in zip(gates, e_n, model.gates().values(), strict=False):
            soft = torch.sigmoid(beta * a)
            assert held.grad is not None
            loss = loss + (held.grad.double() * soft).sum() + 3e-4 * e * soft.sum()
            torch.testing.assert_close(held.detach().double(), soft.detach(), rtol=1e-4, atol=1e-6)
        loss.backward()
        adam.step()
        method.step(LR, t / 20)
        beta = 5 * (1000 / 5) ** (t / 20 / 0.8)
    assert bool(model.gates()) == gated
    # The search ends: a > 0 (here the asked number of the largest a), w without its sigmoid, Adam anew.
    fake_gradients(model, 7)
    method.step(0.0, 0.8)
    kept = flat(model) != 0
    assert int(kept.sum()) == flat(model).numel() - round(0.9 * flat(model).numel())
    all_raw, all_scores = (torch.cat([p.detach().view(-1) for p in ps]) for ps in (raw, scores))
    torch.testing.assert_close(flat(model)[kept].double(), all_raw[kept], rtol=1e-3, atol=1e-5)
    if not gated:
        assert all_scores[kept].min() > all_scores[~kept].topk(3).values[-1]  # each layer keeps its best, whatever the others'
    fake_gradients(model, 8)
    tuned, g = Adam(int(kept.sum())), gradients(model, 8)
    expected = doubles(flat(model)[kept]) - tuned(g[kept.numpy()])
    method.step(LR, 0.85)
    np.testing.assert_allclose(doubles(flat(model)[kept]), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(flat(model) != 0, kept)


def test_the_noise_is_normal() -> None:
    key = random_numbers.key_of(1, random_numbers.NOISE, 5, torch.device("cpu"))
    table = random_numbers.normals(torch.device("cpu"), torch.float32)
    drawn = doubles(table[random_numbers.hashed(torch.arange(400_000), key) >> 16])
    assert abs(drawn.mean()) < 0.01 and abs(drawn.std() - 1) < 0.01
    assert abs((drawn**4).mean() - 3) < 0.1
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.01
    np.testing.assert_allclose(drawn[:50], noise_of(1, 5, 50), rtol=1e-3, atol=1e-3)


def test_choices_are_uniform() -> None:
    theta = torch.where(torch.arange(60) % 3 == 0, 1.0, 0.0)
    hits = torch.zeros(60)
    for step in range(3000):
        chosen = random_numbers.uniform_choice(theta, 3, 2 / 3, random_numbers.key_of(0, 9, step, torch.device("cpu")))
        assert chosen.unique().numel() == 3
        hits[chosen] += 1
    assert float(hits[::3].sum()) == 0
    assert float((hits[theta == 0] - 225).abs().max()) < 5 * 15
    many = torch.zeros(10_000)
    spread = torch.cat(
        [random_numbers.uniform_choice(many, 40, 1.0, random_numbers.key_of(0, 9, s, torch.device("cpu"))) for s in range(500)]
    )
    counts = torch.bincount(spread // 1000, minlength=10).float()
    assert float((counts - 2000).abs().max()) < 5 * math.sqrt(2000)


ADAM = (0.9, 0.999, 0.013, 0.4, 1e-8)
FORMS: dict[str, tuple[Any, tuple[float, ...], list[tuple[bool, ...]]]] = {
    "rewiring": (kernels.REWIRING, (*ADAM, 0.004, -0.2, 1e-6), [(False,), (True,)]),
    "langevin": (kernels.LANGEVIN, (*ADAM, 0.004, 0.02, -0.3, 1e-6), [(s, f) for s in (False, True) for f in (False, True)]),
    "soft threshold": (kernels.SOFT_THRESHOLD, (*ADAM, 0.4, 1e-6), [(False,), (True,)]),
    "masked": (kernels.MASKED, (*ADAM, 1e-3), [()]),
    "mask search": (kernels.MASK_SEARCH, (*ADAM, 0.005, 7.0, 7.3, 1e-3), [()]),
}


def arrays_of(name: str, size: int, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    real = [torch.randn(size, generator=generator) for _ in range(9)]
    if name == "rewiring":
        return [real[0], torch.sign(real[1]).to(torch.int8), *real[2:5], real[5].square()]
    if name == "langevin":
        key, table = torch.tensor([12345, 4000000000, seed]), random_numbers.normals(torch.device("cpu"), torch.float32)
        return [real[0], torch.sign(real[1]).to(torch.int8), *real[2:5], real[5].square(), key, table]
    if name == "masked":
        return [real[0], (real[1] > 0).to(torch.int8), *real[2:4], real[4].square()]
    if name == "mask search":
        return [*real[:2], torch.sigmoid(7.0 * real[1]), *real[3:6], real[6].square(), real[7], real[8].square()]
    return [*real[:4], real[4].square()]


@contextmanager
def as_on_cuda() -> Generator[None]:
    """Run what runs on CUDA here: every kernel and choice in its torch form, called as for a device that is no CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "uses_numpy", lambda tensor: False)
        patch.setattr(kernels.Kernel, "_compile", lambda kernel: kernel.written)  # what torch.compile is given
        yield


@pytest.mark.parametrize("name", list(FORMS))
@settings(max_examples=examples(12), deadline=None)
@given(size=st.integers(1, 3000), seed=st.integers(0, 1 << 30), scale=st.floats(0.1, 10))
def test_both_forms_of_a_kernel_agree(name: str, size: int, seed: int, scale: float) -> None:
    kernel, numbers, flags = FORMS[name]
    numbers = (*numbers[:2], numbers[2] * scale, *numbers[3:])
    for chosen in flags:
        ours, theirs = arrays_of(name, size, seed), arrays_of(name, size, seed)
        for _ in range(3):
            kernel(ours, numbers, chosen)
            kernel.written(*theirs, torch.tensor(numbers), *chosen)
        for a, b in zip(ours, theirs, strict=True):
            differ = ~torch.isclose(a, b, rtol=2e-5, atol=2e-6 * max(1.0, scale)) if a.is_floating_point() else a != b
            assert int(differ.sum()) <= int(a.is_floating_point())  # one may lie so near to a bound that rounding decides its side


@settings(max_examples=examples(60), deadline=None)
@given(
    values=st.lists(st.sampled_from([-1.5, -0.0, 0.0, 0.25, 3.0, math.inf]), min_size=1, max_size=60),
    share=st.floats(0, 1),
)
def test_choices_in_torch_are_those_of_numpy(values: list[float], share: float) -> None:
    tensor, rank = torch.tensor(values), 1 + int(share * (len(values) - 1))
    with as_on_cuda():
        assert flats.count_positive(tensor) == sum(v > 0 for v in values)
        assert float(flats.smallest_value(tensor, rank)) == sorted(values)[rank - 1]
        kept = flats.largest(tensor, rank)
    assert int(kept.sum()) == rank and sorted(tensor[kept].tolist()) == sorted(values)[len(values) - rank :]


@pytest.mark.parametrize("name", registry.names(methods))
@settings(max_examples=examples(5), deadline=None)
@given(seed=st.integers(0, 1000), sparsity=st.floats(0.3, 0.97))
def test_a_method_in_torch_alone_takes_the_same_steps(name: str, seed: int, sparsity: float) -> None:
    results: list[torch.Tensor] = []
    zeros: list[int] = []
    for place in (nullcontext, as_on_cuda):
        with place():
            model = conv_network(seed)
            method = method_of(name, model, sparsity, seed)
            for step in range(22):
                fake_gradients(model, 1000 * seed + step)
                method.step(LR, (step + 1) / 40)
            results.append(flat(model))
            method.end_epoch(1.0)
            zeros.append(method.zeros())
    differ = ~torch.isclose(*results, rtol=1e-3, atol=1e-4)
    # two synapses whose order the last bit decides may change places
    assert int(differ.sum()) <= 2 and zeros[0] == zeros[1]


@settings(max_examples=examples(60), deadline=None)
@example(size=1, active=0.0, wanted=1.0, seed=0)
@example(size=4000, active=0.3, wanted=0.3, seed=1)
@given(size=st.integers(1, 4000), active=st.floats(0, 1), wanted=st.floats(0, 1), seed=st.integers(0, 1 << 30))
def test_a_selection_of_fixed_size_draws_what_deep_r_draws(size: int, active: float, wanted: float, seed: int) -> None:
    """The same synapses as `uniform_choice`, which counts; or, where its first draws did not suffice, as many others."""
    generator = torch.Generator().manual_seed(seed)
    theta = torch.where(torch.rand(size, generator=generator) < active, 1.0, -0.5)
    alive = int((theta > 0).sum())
    count = round(wanted * (size - alive))
    key = random_numbers.key_of(seed, random_numbers.REACTIVATION, 3)
    mask = random_numbers.uniform_mask(theta, alive + count, key)
    assert int(mask.sum()) == count and not bool((mask & (theta > 0)).any())
    if not count:
        return
    share = 1.0 - alive / size
    draws = int(1.5 * count / max(share, 1e-9)) + 16
    found = (random_numbers.hashed(torch.arange(draws), key) * size) >> 32
    if draws >= size // 4 or len(found[theta[found] <= 0].unique()) >= count or 2 * draws >= size // 4:
        assert mask.nonzero().view(-1).tolist() == sorted(random_numbers.uniform_choice(theta, count, share, key).tolist())


def test_a_selection_of_fixed_size_is_uniform() -> None:
    """Each of 12 dormant synapses is drawn in a quarter of 1,000 selections of 3, within five standard deviations."""
    theta = torch.tensor([1.0, 0.0, -1.0, -0.5, 2.0] + [0.0] * 8 + [-3.0, 5.0])
    drawn = torch.zeros(15)
    for step in range(1000):
        drawn += random_numbers.uniform_mask(theta, 6, random_numbers.key_of(1, random_numbers.REACTIVATION, step))
    dormant = theta <= 0
    assert int(dormant.sum()) == 12 and not bool(drawn[~dormant].any())
    assert bool(((drawn[dormant] - 250).abs() < 5 * (1000 * 0.25 * 0.75) ** 0.5).all())
