"""Kernels of the native simulator, in numba.

A stream holds the spikes (or payloads) of a population for a block of samples: uint8, (channels, steps, plane). A flat population has a
plane of one position; of a map, positions lie row by row, `pitch` apart, with margins of zeros around them, so that a tap is one
contiguous addition of a shifted plane. The samples lie innermost, `lanes` of them: bytes, or the bits of one. All steps of all samples are
computed side by side: feed-forward sums do not depend on the order of spikes.

numba's cache looks at a function's own file, though others are compiled into it. So compiled code is kept only as long as none of the
kernels' files has changed.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from ...files import write_text

STAMP = "kernels.sha256"


def _forget_stale(folder: Path) -> None:
    """Delete numba's cache beside the kernels when their sources are not those that it was made from."""
    cache = folder / "__pycache__"
    digest = sha256()
    for source in sorted([*folder.glob("*.py"), folder.parents[1] / "hwmodels/fixed_point.py"]):
        digest.update(source.read_bytes())
    with suppress(OSError):  # a folder that is not ours to write: numba caches elsewhere
        cache.mkdir(exist_ok=True)  # stamped before anything is compiled, so that no two processes find it bare
        if (cache / STAMP).is_file() and (cache / STAMP).read_text() == digest.hexdigest():
            return
        for compiled in [*cache.glob("*.nbi"), *cache.glob("*.nbc")]:
            compiled.unlink(missing_ok=True)
        write_text(cache / STAMP, digest.hexdigest())


_forget_stale(Path(__file__).parent)
