"""The process group that torchrun started for a run: sums and messages over gloo, requests to stop through its key-value store.

The store answers at once, so a process can check between two batches whether another has failed; gloo's collectives end with an error
when a process dies, so that no other waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from ..errors import BackendError, UsageError

__all__ = ["Processes", "joined"]

PATIENCE = timedelta(days=7)  # for the slowest; a process that died is noticed at once
START = timedelta(minutes=10)
STOP = "spikeloom/stop"


@dataclass
class Processes:
    """See `runtime.shards.Peers`. `exchanges`: the number so far; a request to stop refers to the next one."""

    rank: int
    size: int
    store: Store
    exchanges: int = 0

    def add(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum over the processes."""
        total = torch.from_numpy(values.copy())
        _all(lambda: distributed.all_reduce(total))
        return total.numpy()

    def exchange(self, message: bytes) -> list[bytes]:
        """Return each process's message, by rank."""
        self.exchanges += 1
        lengths = self.add(np.bincount([self.rank], weights=[len(message)], minlength=self.size).astype(np.int64))
        sent = torch.zeros(int(lengths.max()), dtype=torch.uint8)
        sent[: len(message)] = torch.from_numpy(np.frombuffer(message, np.uint8).copy())
        found = [torch.empty_like(sent) for _ in range(self.size)]
        _all(lambda: distributed.all_gather(found, sent))
        return [bytes(f[:n].numpy()) for f, n in zip(found, lengths.tolist(), strict=True)]

    def stop(self) -> None:
        """Ask the other processes to take part in the next exchange."""
        self.store.set(f"{STOP}/{self.exchanges}", str(self.rank))

    def stopped(self) -> bool:
        """Return whether another process has asked for that."""
        return self.store.check([f"{STOP}/{self.exchanges}"])


def _all(collective: Callable[[], object]) -> None:
    """Take part in a collective; if another process has died, this is an OSError."""
    try:
        collective()
    except RuntimeError as error:
        raise ConnectionError(str(error).splitlines()[0]) from error


@contextmanager
def joined() -> Generator[Processes]:
    """Join the processes that the environment names, as torchrun sets it: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.

    Raises:
        UsageError: a variable is missing or invalid.
        BackendError: the other processes cannot be reached.
    """
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"WORLD_SIZE asks for several processes, but RANK or WORLD_SIZE is not a number ({error}). Use torchrun."
        ) from error
    if missing or not 0 <= rank < size:
        what = f"{' and '.join(missing)} not set" if missing else f"RANK is {rank} of {size}"
        raise UsageError(f"WORLD_SIZE asks for {size} processes, but {what}. Start them with torchrun.")
    try:
        store, _, _ = next(iter(rendezvous("env://", rank, size, timeout=START)))
        distributed.init_process_group("gloo", store=PrefixStore("gloo", store), rank=rank, world_size=size, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise BackendError(f"Process {rank} of {size} cannot reach the others: {str(error).splitlines()[0]}") from error
    try:
        yield Processes(rank, size, store)
    finally:
        distributed.destroy_process_group()
