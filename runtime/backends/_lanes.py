"""The native simulator: numba kernels over lanes of samples, exact.

Feed-forward sums do not depend on the order of spikes, so layers are run one after another, each for all time steps at once: a block of
samples lies side by side, and each weight is loaded once for all of them and all steps. Convolutions slide their surviving taps over
padded planes and are never unrolled. Blocks are shared out to threads, each with buffers of its own. Dense flat networks go through
matrix products (`_dense`), a single sample of a flat network event by event (`_latency`); networks with lags, and so all that hear
themselves, run in `_recurrent`.
"""

from __future__ import annotations

import os
import queue
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...compile.network import Network
from . import _dense, _recurrent
from ._base import BackendOptions, Recording
from ._dense import DenseProgram
from ._latency import OneSample
from ._program import Program, prepare
from ._worker import Worker, in_words

FEW = 3  # samples up to which maps are run one by one, not eight in a byte

_last: list[tuple[weakref.ref[Network], bool, Program | None, DenseProgram | None]] = []  # prepared last: a run comes in batches


def _prepared(network: Network, few: bool) -> tuple[Program | None, DenseProgram | None]:
    """Return the program, and the products of a dense network; the last ones if the same was asked for."""
    for held, shape, program, products in _last[:1]:
        if held() is network and shape == few:
            return program, products
    program = prepare(network, few)
    products = None if program is None or few else _dense.prepare(network, program)
    _last[:] = [(weakref.ref(network), few, program, products)]
    return program, products


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the integer network; see `backends._base` for the interface."""
    if any(p.lag for p in network.projections):
        return _recurrent.simulate(network, events, options)
    program, products = _prepared(network, len(events) <= FEW)
    if program is None:  # maps that the kernels do not take: every synapse one by one
        return simulate(network.flat.network, events, options).spread(network.flat)
    if len(events) == 1 and not program.maps:
        return OneSample(network, program).recording(events)
    steps = network.timesteps
    wanted = network.spiking if options.rasters else network.spiking[-1:]
    wide = {p.name: np.empty((len(events), steps, in_words(p.size)), np.bool_) for p in wanted}
    threads = min(options.threads or os.cpu_count() or 1, -(-len(events) // program.lanes) or 1)
    blocks: queue.SimpleQueue[int] = queue.SimpleQueue()
    for start in range(0, len(events), program.lanes):
        blocks.put(start)
    make = partial(Worker, program) if products is None else partial(_dense.DenseWorker, products)
    workers = [make(options.by_step) for _ in range(max(threads, 1))]
    with ThreadPoolExecutor(len(workers)) as pool:
        for done in [pool.submit(worker.run, blocks, events, wide) for worker in workers]:
            done.result()
    totals = {p.name: sum((w.sums[p.name] for w in workers), np.zeros((2, 1), np.int64)) for p in network.spiking}
    fired, active = ({name: total[kind] for name, total in totals.items()} for kind in (0, 1))
    by_step = {p.name: sum((w.steps[p.name] for w in workers), np.zeros((steps, 1), np.int64)) for p in network.spiking if options.by_step}
    return Recording({p.name: wide[p.name][:, :, : p.size] for p in wanted}, active, fired, by_step or None)
