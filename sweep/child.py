"""A process for one piece of work on a worker of a cluster: `python -m spikeloom.sweep.child DESCRIPTOR`.

Dask runs its workers as daemons, which multiprocessing does not allow to have children. The descriptor is that of a connection which
delivers the function, its argument and the number of threads, takes the result, and ends this process when it is closed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection, wait

from ..train.threads import limit


def main() -> None:
    """Do the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the request to stop goes to the worker
    pipe: Connection = Connection(int(sys.argv[1]))
    work, piece, threads = pipe.recv()
    limit(threads)
    threading.Thread(target=_end_with_the_worker, args=(pipe,), daemon=True).start()
    pipe.send(work(piece))


def _end_with_the_worker(pipe: Connection) -> None:
    """End this process once the other end is closed, for whatever reason: a piece of work may take hours."""
    wait([pipe])
    os._exit(1)


if __name__ == "__main__":
    main()
