"""torch.compile takes a network whole: one graph forward, one backward, with the neurons of both devices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from spikeloom import registry
from spikeloom.train import networks, neurons
from spikeloom.train.layers import SpikingNetwork
from spikeloom.train.neurons import FusedLIFNode
from torch import Tensor

SIZES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "fc": ((16,), {"hidden": (9,)}),
    "6conv2fc": ((3, 8, 8), {"width": 2, "dropout": 0.0}),
}


def network(name: str) -> SpikingNetwork:
    shape, options = SIZES[name]
    module = registry.load(networks, "network", name)
    torch.manual_seed(0)
    built: SpikingNetwork = module.build(shape, 4, 2, registry.options_of(module, options, name), temporal=False)
    return built.train()


def gradients(model: SpikingNetwork, run: Any, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    output = run(x)
    (output.mean(0) - torch.eye(4)[: len(x)]).square().mean().backward()
    return output.detach(), [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("whose", ["ours", "SpikingJelly's"])
@pytest.mark.parametrize("name", ["fc", pytest.param("6conv2fc", marks=pytest.mark.slow)])
def test_forward_and_backward_are_one_graph_each(name: str, whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from functorch.compile import make_boxed_func  # pyright: ignore[reportUnknownVariableType]
    from torch._dynamo.backends.common import aot_autograd  # pyright: ignore[reportUnknownVariableType]

    if whose != "ours":  # as on CUDA
        monkeypatch.setattr(FusedLIFNode, "_fuses", lambda node, inputs: False)
    counts = {"forward": 0, "backward": 0}

    def counting(which: str) -> Any:
        def compiler(graph: Any, inputs: Any) -> Any:
            counts[which] += 1
            return make_boxed_func(graph.forward)

        return compiler

    torch.compiler.reset()
    backend: Any = aot_autograd(fw_compiler=counting("forward"), bw_compiler=counting("backward"))
    model, same, x = network(name), network(name), torch.rand(4, *SIZES[name][0])
    output, grads = gradients(model, torch.compile(model, backend=backend, fullgraph=True), x)
    assert counts == {"forward": 1, "backward": 1}
    expected, wanted = gradients(same, same, x)
    assert torch.equal(output, expected) and len(grads) == len(wanted) > 0
    for grad, want in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, want, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("static", [True, False])
def test_the_neuron_as_an_operation_is_the_neuron(static: bool, soft: bool) -> None:
    constants = (2.5, 0.8, None if soft else -0.1, True, False, 2.0)
    x = torch.randn(1 if static else 5, 3, 7, requires_grad=True)
    v = torch.randn(3, 7, requires_grad=True)
    weight = torch.randn(5, 3, 7)
    spikes, _, last = neurons.lif(x, v, 5, *constants)
    found = torch.autograd.grad((spikes * weight).sum() + last.sum(), [x, v])
    theirs: Any = neurons._FusedLIF.apply(x, v, 5, constants)  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
    wanted = torch.autograd.grad((theirs[0] * weight).sum() + theirs[1].sum(), [x, v])
    assert torch.equal(spikes, theirs[0]) and torch.equal(last, theirs[1])
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    torch.library.opcheck(neurons.lif, (x, v, 5, *constants), test_utils=("test_schema", "test_faketensor", "test_autograd_registration"))
