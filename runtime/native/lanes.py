"""The native simulator: numba kernels over lanes of samples, exact.

Feed-forward sums do not depend on the order of spikes, so layers are run one after another, each for all time steps at once: a block of
samples lies side by side, and each weight is loaded once for all of them and all steps. Convolutions slide their surviving taps over
padded planes and are never unrolled. Blocks are distributed over threads, each with its own buffers. Dense flat networks go through
matrix products (`dense`), a single sample of a flat network event by event (`latency`); networks with lags, and so all recurrent
ones, run in `recurrent`.
"""

from __future__ import annotations

import os
import queue
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...network.model import Network
from ..backends.api import BackendOptions, Recording
from . import chain, dense, recurrent
from .chain import Chain, ChainWorker
from .dense import DenseProgram, DenseWorker
from .latency import OneSample
from .program import Program, prepare
from .worker import Worker, in_words

TOGETHER = 16  # blocks that a thread takes at once at most
FEW = 3  # up to this many samples, maps are run one by one, not eight per byte


@dataclass(frozen=True)
class _Prepared:
    """A network's program, and its products or its chain where it has one of them."""

    program: Program
    dense: DenseProgram | None = None
    chain: Chain | None = None

    def worker(self, options: BackendOptions) -> Callable[..., Worker | DenseWorker | ChainWorker]:
        """Return what makes a thread; a chain counts no steps, and gives the last layer's spikes alone."""
        if self.dense is not None:
            return partial(DenseWorker, self.dense)
        if self.chain is not None and not (options.by_step or options.rasters):
            return partial(ChainWorker, self.chain)
        return partial(Worker, self.program)


_last: list[tuple[weakref.ref[Network], bool, _Prepared | None]] = []  # the last one prepared: a run comes in batches


def _prepared(network: Network, few: bool) -> _Prepared | None:
    """Return the prepared network, cached if it is the last one; None if the network's maps do not fit the kernels."""
    for held, shape, made in _last[:1]:
        if held() is network and shape == few:
            return made
    program = prepare(network, few)
    made = None if program is None else _Prepared(program)
    if program is not None and not few:
        made, products = _Prepared(program, None, chain.prepare(program)), dense.prepare(network, program)
        if products is not None and (products.sure or dense.wins(products, made.worker(BackendOptions(rasters=False)))):
            made = _Prepared(program, products)
    _last[:] = [(weakref.ref(network), few, made)]
    return made


def _shared_out(samples: int, lanes: int, threads: int) -> queue.SimpleQueue[range]:
    """Return the samples in blocks, several together where each thread still takes some: a call takes as long as a small block."""
    together = min(max(-(-samples // lanes) // (4 * threads), 1), TOGETHER) * lanes
    blocks: queue.SimpleQueue[range] = queue.SimpleQueue()
    for start in range(0, samples, together):
        blocks.put(range(start, min(start + together, samples)))
    return blocks


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends.api` for the interface."""
    if any(p.lag for p in network.projections):
        return recurrent.simulate(network, events, options)
    made = _prepared(network, len(events) <= FEW)
    if made is None:  # maps that the kernels do not support: every synapse one by one
        return simulate(network.flat.network, events, options).spread(network.flat)
    program = made.program
    if len(events) == 1 and not program.maps:
        return OneSample(network, program).recording(events)
    steps = network.timesteps
    wanted = network.spiking if options.rasters else network.spiking[-1:]
    wide = {p.name: np.empty((len(events), steps, in_words(p.size)), np.bool_) for p in wanted}
    threads = max(min(options.threads or os.cpu_count() or 1, -(-len(events) // program.lanes)), 1)
    blocks, make = _shared_out(len(events), program.lanes, threads), made.worker(options)
    workers = [make(options.by_step) for _ in range(threads)]
    with ThreadPoolExecutor(len(workers)) as pool:
        for done in [pool.submit(worker.run, blocks, events, wide) for worker in workers]:
            done.result()
    totals = {p.name: sum((w.sums[p.name] for w in workers), np.zeros((2, 1), np.int64)) for p in network.spiking}
    fired, active = ({name: total[kind] for name, total in totals.items()} for kind in (0, 1))
    entering = [worker.entering for worker in workers if isinstance(worker, ChainWorker)]
    fired |= {program.entry: np.sum(entering, axis=0)} if entering else {}
    by_step = {p.name: sum((w.steps[p.name] for w in workers), np.zeros((steps, 1), np.int64)) for p in network.spiking if options.by_step}
    return Recording({p.name: wide[p.name][:, :, : p.size] for p in wanted}, active, fired, by_step or None)
