"""Worker processes that each do one piece of work after another; one that dies loses only its own piece."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar, cast

__all__ = ["each", "how_it_ended"]

Piece = TypeVar("Piece")
Done = TypeVar("Done")


@dataclass
class _Worker(Generic[Piece]):
    process: BaseProcess
    pipe: Connection
    piece: Piece


def each(
    work: Callable[[Piece], Done], pieces: Sequence[Piece], jobs: int, threads: int, lost: Callable[[Piece, str], Done]
) -> Iterator[tuple[Piece, Done]]:
    """Yield every piece with its result, in the order in which they finish. However this ends, no process is left behind.

    Args:
        work: called in another process, so the function, its argument and its result must be importable and picklable.
        pieces: started in this order.
        jobs: number of processes.
        threads: threads that torch and numba may use in each process.
        lost: returns the result for a piece whose process died, from the piece and how the process ended.
    """
    waiting, busy = list(reversed(pieces)), dict[Connection, _Worker[Piece]]()
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                worker = _start(work, waiting.pop(), threads)
                busy[worker.pipe] = worker
            for ready in wait(list(busy)):
                worker = busy.pop(ready)  # pyright: ignore[reportArgumentType]
                try:
                    done: Done = worker.pipe.recv()
                except (EOFError, ConnectionError):  # the pipe closed before the process sent anything
                    yield worker.piece, lost(worker.piece, _ending(worker))
                    continue
                piece = worker.piece
                if waiting and _give(worker, waiting[-1]):
                    worker = _Worker(worker.process, worker.pipe, waiting.pop())
                    busy[worker.pipe] = worker
                else:
                    _stop(worker)
                yield piece, done
    finally:
        for worker in busy.values():
            worker.process.terminate()
        for worker in busy.values():
            _stop(worker)


def _start(work: Callable[[Piece], Done], piece: Piece, threads: int) -> _Worker[Piece]:
    context = multiprocessing.get_context("spawn")  # torch and its threads do not survive a fork
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
    process.start()
    theirs.close()  # so that the end of the process closes the pipe
    worker = _Worker(process, cast("Connection", ours), piece)
    _give(worker, piece)  # a worker that is already dead is detected when its result is awaited
    return worker


def _give(worker: _Worker[Piece], piece: Piece) -> bool:
    """Send a piece; return whether the worker is still alive."""
    try:
        worker.pipe.send(piece)
    except ConnectionError:
        return False
    return True


def _serve(pipe: Connection, work: Callable[[Piece], Done], threads: int) -> None:
    """Work until the other end of the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one ends the others
    from ..train.threads import limit

    limit(threads)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    while True:
        try:
            piece = pipe.recv()
        except EOFError:
            return
        pipe.send(work(piece))


def _end_with_the_first() -> None:
    """End this process once the parent is gone, for whatever reason: a piece of work may take hours."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _stop(worker: _Worker[Piece]) -> None:
    worker.pipe.close()
    worker.process.join()


def _ending(worker: _Worker[Piece]) -> str:
    _stop(worker)
    return how_it_ended(worker.process.exitcode or 0)


def how_it_ended(code: int) -> str:
    """Describe how a process ended, from its exit code, which is minus the signal's number where a signal ended it."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was ended by the signal {name}" + (", as happens when memory runs out" if name == "SIGKILL" else "")
