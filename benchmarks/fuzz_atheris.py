"""Readers under a fuzzer that is guided by coverage: atheris (Apache-2.0), which is no dependency and need not be there.

    pip install --target .peers/atheris atheris         or: make bench-peers
    PYTHONPATH=.peers/atheris python benchmarks/fuzz_atheris.py ".onnx, handed over" -max_total_time=600

The first word is a reader of benchmarks/fuzz.py; what follows goes to libFuzzer. The corpus begins with the small real file of that
reader; changes that reach new branches of Spikeloom are kept and changed again. It stops at the first input that ends in anything but
reading or an error of ours, and writes it to the working folder.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/data"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/formats"))


def main() -> None:
    """Give the input to a reader, again and again."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ModuleNotFoundError:
        sys.exit("atheris is not installed. Run: pip install --target .peers/atheris atheris, and set PYTHONPATH=.peers/atheris.")
    with atheris.instrument_imports(include=["spikeloom"], enable_loader_override=False):
        import fuzzed
    from spikeloom.errors import SpikeloomError

    if len(sys.argv) < 2 or sys.argv[1] not in fuzzed.READERS:
        sys.exit(f"Name a reader: {', '.join(fuzzed.READERS)}.")
    name = sys.argv.pop(1)
    fuzzed.subprocess.run = fuzzed.forked
    with tempfile.TemporaryDirectory() as folder:
        home, corpus = Path(folder) / "original" / "home", Path(folder) / "corpus"
        home.mkdir(parents=True)
        corpus.mkdir()
        original = fuzzed.READERS[name].make(home)
        (corpus / "original").write_bytes(original.read_bytes())

        def one(content: bytes) -> None:
            path = fuzzed.fresh(original, Path(folder))
            path.write_bytes(content)
            with contextlib.suppress(SpikeloomError):
                fuzzed.READERS[name].read(path)

        atheris.Setup([*sys.argv, str(corpus), f"-max_len={4 * original.stat().st_size}"], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
