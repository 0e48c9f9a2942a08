"""A user's `torch.nn.Module` as the training loop sees it: how it is called, what its output means, and which weights are pruned.

All of this follows from importing it (`formats.torch`), which proves on some samples that the module can be compiled: one that cannot be is
refused before it is trained.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from ..data.dataset import OWN, Dataset
from ..errors import DoesNotFitError, MismatchError, NetworkError, SpikeloomError, UsageError
from ..formats.torch.build import Neurons
from ..formats.torch.module import note_scale, proven_on
from ..formats.torch.run import Call
from ..formats.torch.states import copied, reset_states, widened
from ..network.model import Network
from .model import IntegerPart, Model
from .neurons import HALF
from .own_integers import IntegerLayer, check, in_integers, integer_layers, integer_network, parts_of
from .quantise import IntegerArithmetic, choose_arithmetic
from .subject import ModuleWeights, unwrapped

__all__ = ["Options", "OwnModule", "identity_of", "made", "network_of", "own_module"]

PROVEN = 4  # training samples on which a module and the network read from it are compared
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
IN_YOUR_LOOP = "If it is not to be compiled, train it in a loop of your own, with spikeloom.train.prune."


@dataclass(frozen=True)
class Options:
    """What can be set of a module of your own.

    Args:
        exempt: names of layers, or of modules that hold some, as in `named_modules`, patterns (head.*) or kinds (conv, linear, first,
            last), whose weights are neither pruned nor counted in the sparsity.
        unpruned: likewise, of layers whose weights are not pruned, but counted.
    """

    exempt: tuple[str, ...] = ()
    unpruned: tuple[str, ...] = ()


def identity_of(module: nn.Module) -> str:
    """Return `own:CLASS:DIGEST`, the name of a module in settings: the same for modules of the same layers, whatever their weights.

    Raises:
        UsageError: it has parameters that hold no numbers.
    """
    module = unwrapped(module)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer) or tensor.device.type == "meta":
            what = "is on the device meta" if tensor.device.type == "meta" else "is of a lazy layer"
            raise UsageError(f"{name} {what} and holds no numbers yet. Load or initialise it, or run the module on a batch first.")
    shapes = [f"{name} {tuple(t.shape)} {t.dtype}" for name, t in module.state_dict().items()]
    digest = hashlib.sha256("\n".join([ADDRESS.sub("", repr(module)), *shapes]).encode()).hexdigest()
    return f"{OWN}{type(module).__name__}:{digest[:16]}"


def made(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return the module that `make` makes, its random weights drawn from the seed; the caller's random numbers are left untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


@dataclass(frozen=True)
class Reading:
    """What importing a module found.

    `shape`: of a sample at a time step; `call`: how the module is called; `factor`: of what it returns, summed over the steps, to the
    spikes of a class; `votes`: output neurons per class; `sizes`: neurons by layer, the output last.
    """

    shape: tuple[int, ...]
    call: Call
    factor: float
    votes: int
    classes: int
    sizes: Mapping[str, int] = field(repr=False)


def own_module(module: nn.Module, dataset: Dataset, timesteps: int, options: Options, weight_bits: int | None = None) -> OwnModule:
    """Return a user's module, ready for the training loop.

    Args:
        module: any that `compile_network` takes, in any mode and on any device; trained in place. Wrappers such as
            DistributedDataParallel are taken off.
        weight_bits: of the integers that it is to be trained in; None: floats alone.

    Raises:
        UsageError: it does not run on the samples, has fewer outputs than there are classes, weights that cannot be pruned, or, with
            `weight_bits`, a layer without an integer form.
        NetworkError, MismatchError, DoesNotFitError: it cannot be compiled; the message names the layer.
    """
    module = unwrapped(module)
    ModuleWeights(module, options.exempt, options.unpruned)  # what cannot be pruned is refused first: the message says more of it
    try:
        drawn = proven_on(
            copied(module).cpu().eval(),
            dataset.train.values[:PROVEN],
            timesteps,
            events=dataset.temporal,
            levels=dataset.levels,
            scale=1.0 / dataset.levels,
        )
    except (NetworkError, MismatchError, DoesNotFitError) as error:
        raise type(error)(f"{error} {IN_YOUR_LOOP}") from error
    network, found = drawn.network, drawn.found
    if network.classes < dataset.classes:
        raise UsageError(
            f"The module tells {network.classes} classes apart, and {dataset.name} has labels 0..{dataset.classes - 1}. Give its last "
            f"layer {dataset.classes} outputs, or correct the labels."
        )
    sizes = {p.name: p.size for p in network.spiking}
    reading = Reading(tuple(found.shape), found.call, drawn.factor, network.votes, network.classes, sizes)
    made = OwnModule(module, reading, dataset, timesteps, options, found.neurons)
    note_scale(module, 1.0 / dataset.levels)
    if weight_bits is not None:
        made.check_integers(dataset, weight_bits)
    return made


class OwnModule(Model):
    """A user's module. `state_dict` and the names of parameters are the module's own.

    Attributes:
        module: the user's.
        reading: what importing it found.
    """

    def __init__(
        self,
        module: nn.Module,
        reading: Reading,
        dataset: Dataset,
        timesteps: int,
        options: Options,
        neurons: list[Neurons] | None = None,
    ) -> None:
        super().__init__()
        self.module, self.reading = module, reading
        self.timesteps, self.classes, self.temporal = timesteps, reading.classes, dataset.temporal
        self.found = ModuleWeights(module, options.exempt, options.unpruned)
        self.exempt, self.unpruned = self.found.exempt, self.found.unpruned
        self.neurons, self.layers = neurons or [], dict[str, IntegerLayer]()
        self.arithmetic: dict[str, IntegerArithmetic] | None = None
        self.spikes: dict[str, list[Tensor]] | None = None

    # --- the module's own names ----------------------------------------------------------------------------------------

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the module's state, under its own names."""
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the module's state."""
        return self.module.load_state_dict(state_dict, strict, assign)

    def weights(self) -> dict[str, nn.Parameter]:
        """Return the weights of linear and convolutional layers by name, but for exempt ones and those without gradients."""
        return self.found.weights()

    def positions(self) -> dict[str, Tensor]:
        """Return one synapse per weight."""
        return self.found.positions()

    def counted(self) -> dict[str, nn.Parameter]:
        """Return the weights that are not pruned and count in the sparsity."""
        return self.found.counted()

    def normalised(self) -> dict[str, tuple[nn.Module, nn.Module]]:
        """Return the layers that stand before batch normalisation in one nn.Sequential, each with it."""
        return self.found.normalised()

    def others(self) -> dict[str, nn.Parameter]:
        """Return the other parameters with gradients, by name."""
        return self.found.others()

    @property
    def last(self) -> str:
        """The name of the output layer."""
        return list(self.reading.sizes)[-1]

    @property
    def largest(self) -> int:
        """The number of neurons in the largest layer."""
        return max(self.reading.sizes.values())

    # --- running ---------------------------------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """Return what the module returns, as (T, N, classes), or (1, N, classes) where it is a sum or mean over the steps, then as a mean.

        Args:
            x: (N, ...), or (N, T, ...) for temporal samples: real values; the integers themselves in integers.

        Raises:
            UsageError: the module raises something, or returns another shape.
        """
        if self.arithmetic is None:
            return self._output(x)
        with in_integers(self.module, self.layers, self.arithmetic, self.spikes):
            return self._output(x.double())

    def _output(self, x: Tensor) -> Tensor:
        reset_states(self.module)
        call, shape = self.reading.call, self.reading.shape
        x = x.reshape(*x.shape[:2], *shape).transpose(0, 1) if self.temporal else x.reshape(len(x), *shape)
        samples = x.shape[1] if self.temporal else len(x)
        if call.form == "step":
            inputs = list(x) if self.temporal else [x] * self.timesteps
            output = torch.stack([self._run(each) for each in inputs])
        elif call.form == "sequence":
            output = self._run(x if self.temporal else x.expand(self.timesteps, *x.shape))
        else:
            output = self._run(x)
        output = output if call.by_step else (output / (self.reading.factor * self.reading.votes * self.timesteps)).unsqueeze(0)
        if tuple(output.shape) != (len(output), samples, self.classes):
            raise UsageError(
                f"The module returns a tensor of shape {tuple(output.shape)} for {samples} samples, and is trained on spikes of "
                f"{self.classes} classes, (T, N, {self.classes}). Flatten its output."
            )
        return output.float() if output.dtype in HALF else output

    def _run(self, x: Tensor) -> Tensor:
        try:
            return cast(Tensor, self.reading.call.spikes(self.module(x)))
        except SpikeloomError:
            raise
        except Exception as error:  # the user's own forward, and torch's functions: anything may be raised there
            said = str(error).splitlines()[0] if str(error) else ""
            raise UsageError(
                f"The module raises {type(error).__name__} on a tensor of shape {tuple(x.shape)}: {said}. "
                f"{'Ask for a batch_size of at least 2.' if 'more than 1 value per channel' in said else 'It ran in evaluation mode.'}"
            ) from error

    def counts(self, output: Tensor) -> Tensor:
        """Return the spikes of each class (N, classes)."""
        total = output.to(torch.float64).sum(0)
        whole = 1.0 / self.reading.factor if self.reading.call.by_step else float(self.reading.votes * self.timesteps)
        return (total * whole).round()

    def copied(self) -> OwnModule:
        """Return a copy in float64, in evaluation mode, its neurons at rest."""
        copy = object.__new__(OwnModule)
        nn.Module.__init__(copy)
        copy.module, copy.reading = widened(self.module), self.reading
        copy.timesteps, copy.classes, copy.temporal = self.timesteps, self.classes, self.temporal
        copy.exempt, copy.unpruned = self.exempt, self.unpruned
        copy.found, copy.neurons, copy.layers = self.found, self.neurons, self.layers
        copy.arithmetic, copy.spikes = self.arithmetic, None
        return copy.eval()

    # --- integers --------------------------------------------------------------------------------------------------------

    @property
    def is_integer(self) -> bool:
        """Whether the layers run the chip's integer arithmetic."""
        return self.arithmetic is not None

    def integer_parts(self) -> dict[str, IntegerPart]:
        """Return the layers with integer arithmetic, by name."""
        return parts_of(self.module, self.layers)

    def use_integers(self, arithmetic: Mapping[str, IntegerArithmetic] | None) -> None:
        """Run integer arithmetic from now on, or floats."""
        self.arithmetic = dict(arithmetic) if arithmetic else None

    def train(self, mode: bool = True) -> OwnModule:
        """Set train mode; in integers the module stays in evaluation mode: no dropout, whose factors are no integers."""
        super().train(mode)
        self.module.train(mode and not self.is_integer)
        return self

    def check_integers(self, dataset: Dataset, bits: int) -> None:
        """Compare the module in integers with the network read from it, on a few samples and with its present weights.

        Raises:
            UsageError: they differ, or the module has layers without an integer form.
        """
        self.layers = integer_layers(self.module, self.neurons)
        levels, arithmetic = dataset.levels, dict[str, IntegerArithmetic]()
        for name, part in self.integer_parts().items():
            bias, top = None if part.bias is None else part.bias.numpy(), levels if part.is_first else 1
            arithmetic[name] = choose_arithmetic(part.weight.numpy(), part.neuron, bits, top, 1.0 / top, bias)
        network = integer_network(self.module, self.layers, arithmetic, dataset, self.timesteps)
        values, copy = np.asarray(dataset.train.evenly(PROVEN).values), self.copied()
        copy.use_integers(arithmetic)
        check(copy.spikes_of(torch.tensor(values, dtype=torch.float64)), network, values)

    def spikes_of(self, x: Tensor) -> dict[str, list[Tensor]]:
        """Return, by layer, the spikes of each step (n, ...) that the module sends in integers on samples of integers."""
        self.spikes = {}
        with torch.no_grad():
            self(x)
        found, self.spikes = self.spikes, None
        return {name: list(sent) for name, sent in found.items()}

    @contextmanager
    def restored(self) -> Generator[None]:
        """Give each part of the module its mode back in the end, and its neurons their rest."""
        modes = {part: part.training for part in self.module.modules()}
        try:
            yield
        finally:
            reset_states(self.module)
            for part, mode in modes.items():
                part.training = mode


def network_of(model: OwnModule, dataset: Dataset) -> Network:
    """Return the network of a trained module, proven on some training samples.

    Args:
        model: of any precision, on any device.

    Raises:
        SpikeloomError: any error that `formats.torch.read_module` raises.
    """
    if model.arithmetic is not None:
        return integer_network(model.module, model.layers, model.arithmetic, dataset, model.timesteps)
    drawn = proven_on(
        copied(model.module).cpu().eval(),
        np.asarray(dataset.train.evenly(PROVEN).values),
        model.timesteps,
        events=dataset.temporal,
        levels=dataset.levels,
        scale=1.0 / dataset.levels,
    )
    return drawn.network
