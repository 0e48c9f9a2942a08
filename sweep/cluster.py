"""Pieces of work on the workers of a Dask cluster, each in its own process; Dask reruns whatever was lost with a worker.

The workers need the same Spikeloom and the same files under the same paths, which is checked before anything is sent.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import secrets
import subprocess
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, TypeVar

from .. import __version__
from ..errors import DAMAGE, BackendError, SpikeloomWarning, UsageError
from ..files import write_text
from .workers import how_it_ended

__all__ = ["CONNECT_SECONDS", "RETRIES", "Site", "complete", "each", "site_of", "unfit"]

CONNECT_SECONDS = 10
RETRIES = 2  # of a piece whose own process died; the scheduler's `allowed-failures` limits how many workers may die with a piece
LIBRARIES = ("torch", "spikingjelly", "numpy", "scipy")  # other versions may produce different bits
OURS = "SPIKELOOM_"

Piece = TypeVar("Piece")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Site:
    """What a worker needs, or is given, to produce the same results as this process."""

    token: str
    folder: str  # the current folder, from which relative paths are read
    probe: str  # a file that contains the token
    versions: dict[str, str]
    environment: dict[str, str]


class _LostError(Exception):
    """The process of a piece died. Dask retries tasks that raise."""


def each(
    work: Callable[[Piece], Done], pieces: Sequence[Piece], address: str, threads: int, out: Path, lost: Callable[[Piece, str], Done]
) -> Iterator[tuple[Piece, Done]]:
    """Yield every piece with its result, in the order in which they finish. However this ends, nothing is left running on the cluster.

    Args:
        work: called in processes on the workers, so the function, its argument and its result must be importable and picklable.
        pieces: started in this order, as many at once as the workers have threads.
        address: that of the scheduler, such as tcp://10.0.0.1:8786.
        threads: threads that torch and numba may use in each process.
        out: a folder that must be visible to all workers under the same path.
        lost: returns the result for a piece that was lost too often, from the piece and what happened to it.

    Raises:
        UsageError: dask.distributed is not installed.
        BackendError: nothing answers at the address within CONNECT_SECONDS; the scheduler or a worker has another Spikeloom or other
            libraries, or does not see the files; the connection to the scheduler was lost.
    """
    distributed = _distributed()
    with _quiet(), closing(_connected(distributed, address)) as client, site_of(out) as site:
        _check(client, address, site)
        tasks = {
            client.submit(
                partial(complete, work, piece, threads, site), key=f"spikeloom-{i}-{site.token}", pure=False, retries=RETRIES
            ): piece
            for i, piece in enumerate(pieces)
        }
        try:
            for task in distributed.as_completed(tasks, loop=client.loop):
                piece = tasks[task]
                yield piece, _result(distributed, address, task, partial(lost, piece))
        finally:
            _end_all(client, list(tasks), site)


@contextmanager
def _quiet() -> Generator[None]:
    """Keep distributed from logging, with tracebacks, what `each` itself reports."""
    logger = logging.getLogger("distributed.client")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise UsageError(
            "A sweep on a cluster needs dask.distributed. Install it with: pip install 'spikeloom[cluster]', or leave --scheduler out."
        ) from error


def _connected(distributed: Any, address: str) -> Any:
    """Return a client of the scheduler at an address.

    Raises:
        BackendError: there is none. distributed's own client may wait far longer than it was told to, so a preliminary request checks
            whether a scheduler answers.
    """
    try:
        found = asyncio.run(asyncio.wait_for(_identity(distributed, address), CONNECT_SECONDS))
        if found["type"] != "Scheduler":
            raise BackendError(f"At {address} there is a Dask {found['type'].lower()}. Give the address that `dask scheduler` prints.")
        return distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (*DAMAGE, OSError, RuntimeError, ImportError) as error:
        reason = str(error).partition("\n")[0].removesuffix(".") or "no answer"
        raise BackendError(
            f"No Dask scheduler answers at {address!r} within {CONNECT_SECONDS} seconds: {reason}. Start one with `dask scheduler` and "
            "give the address that it prints, such as tcp://10.0.0.1:8786."
        ) from error


async def _identity(distributed: Any, address: str) -> dict[str, Any]:
    async with distributed.rpc(address, connection_args=distributed.Security().get_connection_args("client")) as remote:
        return await remote.identity()


@contextmanager
def site_of(out: Path) -> Generator[Site]:
    """Describe this sweep to the workers; while it lasts, a file in `out` shows whether they see the same folder."""
    token = secrets.token_hex(8)
    probe = out.resolve() / f".shared-{token}"
    ours = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    try:
        write_text(probe, token)
        yield Site(token, str(Path.cwd()), str(probe), _versions(), ours)
    finally:
        probe.unlink(missing_ok=True)


def _versions() -> dict[str, str]:
    found = {"spikeloom": __version__}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def _check(client: Any, address: str, site: Site) -> None:
    """Check the scheduler and the workers already connected; those that join later check themselves.

    Raises:
        BackendError: one of them could not do the work, or would produce different results.
    """
    found = client.get_versions(packages=["spikeloom"])  # needs none of our code on the other side
    here = found["client"]["packages"]["spikeloom"]
    others = {f"scheduler {address}": found["scheduler"]} | {f"worker {name}": its for name, its in found["workers"].items()}
    for who, its in others.items():
        there = its["packages"].get("spikeloom")
        if there != here:
            raise BackendError(
                f"The {who} runs in a Python {'without Spikeloom' if there is None else f'with Spikeloom {there}'}. Install Spikeloom "
                f"{__version__} there: scheduler and workers need the same environment as this process."
            )
    if not found["workers"]:
        warnings.warn(f"No worker has joined {address} yet. The sweep begins with the first one.", SpikeloomWarning, stacklevel=2)
        return
    for who, reason in client.run(partial(unfit, site), on_error="return").items():
        if reason is not None:
            raise BackendError(f"The worker {who} {reason if isinstance(reason, str) else _other_code(reason)}")


def _other_code(error: BaseException) -> str:
    reason = " ".join(str(error).split()).removesuffix(".")
    return f"could not run Spikeloom {__version__}: {type(error).__name__}: {reason}. Give scheduler and workers the same environment."


def unfit(site: Site) -> str | None:
    """Return why this process, a worker, cannot do the work; None if it can."""
    for name, found in _versions().items():
        if found != site.versions[name]:
            return (
                f"has {name} {found}; this process has {name} {site.versions[name]}. Install the same versions in both: results must not "
                "depend on where a cell is run."
            )
    if not Path(site.folder).is_dir():
        return (
            f"does not see the folder {site.folder}, from which the sweep was started. Start it from a folder that all workers share, "
            "under the same path."
        )
    probe = Path(site.probe)
    with suppress(OSError, ValueError):
        if probe.read_text(encoding="utf-8") == site.token and os.access(probe.parent, os.W_OK):
            return None
    return (
        f"does not see the sweep's folder {probe.parent}, or cannot write to it. Name an --out that all workers share, under the same path."
    )


def complete(work: Callable[[Piece], Done], piece: Piece, threads: int, site: Site) -> tuple[str | None, Done | None]:
    """On a worker: do the work in a separate process; return why this worker cannot, or None, and the result."""
    reason = unfit(site)
    if reason is not None:
        return reason, None
    ours, theirs = Pipe()
    with closing(ours):
        command = [sys.executable, "-P", "-m", "spikeloom.sweep.child", str(theirs.fileno())]
        process = subprocess.Popen(
            command,
            cwd=site.folder,
            env=site.environment | dict(os.environ),
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        _running.setdefault(site.token, set()).add(process)
        try:
            if site.token in _ended:
                process.kill()
            ours.send((work, piece, threads))
            return None, ours.recv()
        except (EOFError, ConnectionError) as error:
            raise _LostError(how_it_ended(process.wait())) from error
        finally:
            _running[site.token].discard(process)
            ours.close()  # this ends the process, whatever it is doing
            process.wait()


_running: dict[str, set[subprocess.Popen[bytes]]] = {}  # in a worker: the processes, by the token of their sweep
_ended: set[str] = set()


def _end(token: str) -> None:
    """On a worker: end the processes of a sweep, as Dask itself stops nothing that has begun."""
    _ended.add(token)
    for process in tuple(_running.get(token, ())):
        process.kill()


def _end_all(client: Any, tasks: list[Any], site: Site) -> None:
    """Release all tasks, and end those still running."""
    if client.status != "running":
        return
    unfinished = any(not task.done() for task in tasks)
    with suppress(OSError, RuntimeError, ValueError):  # a scheduler that is gone has nothing to end
        client.cancel(tasks, force=True)
        if unfinished:
            client.run(partial(_end, site.token), on_error="ignore")


def _result(distributed: Any, address: str, task: Any, lost: Callable[[str], Done]) -> Done:
    """Return the result of a task that is done.

    Raises:
        BackendError: the worker could not run it, or the scheduler is gone.
    """
    if task.cancelled():
        raise BackendError(
            f"The connection to the scheduler {address} was lost. Finished cells are kept; repeat the command once it runs again."
        )
    error = task.exception()
    if isinstance(error, distributed.KilledWorker):
        return lost("ended every worker that it was given to, as happens when memory runs out")
    if isinstance(error, _LostError):
        return lost(f"was tried {RETRIES + 1} times; its process {error}")
    if error is not None:
        raise BackendError(f"The cluster of {address} {_other_code(error)}")
    reason, done = task.result()
    if reason is not None:
        raise BackendError(f"A worker of {address} {reason}")
    return done
