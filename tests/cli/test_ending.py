"""How commands end whatever their standard streams are, and by signals; what killed writers leave is removed."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from spikeloom.cli import ending
from spikeloom.cli.entry import _of_the_system
from spikeloom.files import LEFT_FOR, write_text

HW = [sys.executable, "-m", "spikeloom", "hw", "show", "loihi2"]
SIGNALLED = """
import os, signal, sys, tempfile
from spikeloom.cli import ending, entry
signal.signal(signal.{name}, signal.SIG_DFL)  # below nohup it would be ignored, rightly
def command():
    with tempfile.TemporaryDirectory(dir=sys.argv[1]):
        os.kill(os.getpid(), signal.{name})
        signal.pause()
entry.app = command
entry.main()
"""


def ended(stdout: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(HW, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env={**os.environ, **environment})  # type: ignore[call-overload]


def test_a_full_standard_output_is_an_error_that_says_so() -> None:
    with Path("/dev/full").open("w") as full:
        done = ended(full)
    assert done.returncode == 1
    assert done.stderr.startswith("spikeloom: ") and "No space left" in done.stderr and "Exception ignored" not in done.stderr


def test_a_reader_that_goes_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = ended(writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_a_terminal_lacks_stop_no_command(encoding: str, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        done = ended(out, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("text", "written"), [("a\udcffb", b"a\xffb"), ("\u2013 x", b"? x")])
def test_bytes_of_paths_come_out_as_they_are_and_other_characters_as_marks(text: str, written: bytes) -> None:
    ending.prepare_streams()
    assert text.encode("ascii", ending.REPLACING) == written


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_to_stop_clean_up_and_end_by_the_signal(name: str, tmp_path: Path) -> None:
    words = [sys.executable, "-c", SIGNALLED.format(name=name), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == -getattr(signal, name)
    assert done.stderr.startswith(f"spikeloom: Stopped by {name}.")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "model.loom"
    old, young, other = (tmp_path / name for name in (".model.loom-abcd_123.loom", ".model.loom-abcd_124.loom", ".model.loom-mine.loom"))
    for left in (old, young, other):
        left.touch()
    past = old.stat().st_mtime - LEFT_FOR - 10
    os.utime(old, (past, past))
    os.utime(other, (past, past))
    write_text(path, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([path, young, other])


WORKER = """
import multiprocessing, os, signal, threading, time
from spikeloom.sweep.workers import _end_with_the_first
def work(told):
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    print("at work", flush=True)
    told.send(None)
    time.sleep(600)
if __name__ == "__main__":
    reading, told = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(told,), daemon=True)
    print("begun", flush=True)
    process.start()
    reading.recv()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_of_a_sweep_end_with_a_first_process_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(WORKER)
    # its worker has the same standard output, and would hold it open for ten minutes
    done = subprocess.run([sys.executable, str(tmp_path / "first.py")], stdout=subprocess.PIPE, check=False, timeout=600)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == [b"begun", b"at", b"work"]


def test_a_shortage_is_told_from_an_error() -> None:
    assert "memory" in str(_of_the_system(MemoryError("Unable to allocate 8 GiB")))
    assert "memory" in str(_of_the_system(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")))
    assert _of_the_system(RuntimeError("something else")) is None
    assert _of_the_system(BrokenPipeError(32, "Broken pipe")) == ""


def test_ctrl_c_while_commands_are_imported(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    words = [sys.executable, "-m", "spikeloom", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "spikeloom: Interrupted.\n")
