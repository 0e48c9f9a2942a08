"""SpikingJelly in multi-step mode; its LIF in float32, in the network's units."""

from __future__ import annotations

from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, nn

from ._torch import runner, weights
from .case import EVEN_HALF, Case, Run

SAMPLES = (1024, 1024)


def prepare(case: Case) -> Run:
    """Return what runs the case."""
    net = nn.Sequential()
    for array, vth in ((case.w1, case.vth1), (case.w2, case.vth2)):
        linear = layer.Linear(array.shape[1], array.shape[0], bias=False)
        linear.weight = nn.Parameter(weights(array), requires_grad=False)
        net.extend([linear, neuron.LIFNode(tau=2.0, decay_input=False, v_threshold=vth + EVEN_HALF, v_reset=0.0)])
    functional.set_step_mode(net, "m")
    net.eval()

    def block(x: Tensor) -> Tensor:
        functional.reset_net(net)
        spikes: Tensor = net(x)
        return spikes

    return runner(case, block)
