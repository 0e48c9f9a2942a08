"""Progress of long work: a bar on standard error, with the time left."""

from __future__ import annotations

from time import monotonic

from .shared import say

__all__ = ["Bar"]


PLAIN = 10.0  # seconds between plain lines


class Bar:
    """A progress bar on standard error, with the time left; where there is no terminal, a plain line per epoch or every `PLAIN` seconds."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
        self._console = Console(stderr=True)
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(title, total=None, note="")
        self._stage, self._since = "", 0.0
        self._told = monotonic()
        self._counted = (self._told, 0)
        self._validated = ""

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def epoch(self, epoch: int, epochs: int, batch: int, batches: int, metrics: dict[str, float], seconds_left: float) -> None:
        """Show the progress of training; called by `train.fit`."""
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        if "validation_accuracy" in metrics:
            self._validated = f"validation {metrics['validation_accuracy']:.4g} (epoch {epoch})"
        elif self._validated:
            shown += f"  {self._validated}"
        left = f"{int(seconds_left) // 60}:{int(seconds_left) % 60:02d} left"
        note = f"{shown}  {left}"
        self._bar.update(
            self._task, total=epochs * batches, completed=(epoch - 1) * batches + batch, description=f"epoch {epoch}/{epochs}", note=note
        )
        if batch == batches and not self._console.is_terminal:
            say(f"epoch {epoch}/{epochs}  {note}")

    def stage(self, name: str, share: float) -> None:
        """Show the progress of compiling; called by `compile_network`. The time left is an upper limit: a stage may end earlier."""
        if name != self._stage:
            self._stage, self._since = name, monotonic()
        seconds = (monotonic() - self._since) * (1.0 / share - 1.0) if share else 0.0
        left = f"{int(seconds) // 60}:{int(seconds) % 60:02d} left at most" if seconds >= 1.0 else ""
        self._bar.update(self._task, total=1.0, completed=share, description=name, note=left)
        self._plain(f"{name}: {share:.0%}  {left}".rstrip())

    def samples(self, done: int, total: int) -> None:
        """Show the progress of a run; called by `runtime.run`. The first batch may have compiled kernels, later ones do not."""
        note = f"{done:,} of {total:,} samples"
        now, (begun, first) = monotonic(), self._counted
        if first == 0:
            self._counted = now, done
        if first < done < total:
            seconds = (now - begun) * (total - done) / (done - first)
            note += f"  {int(seconds) // 60}:{int(seconds) % 60:02d} left"
        self._bar.update(self._task, total=total, completed=done, note=note)
        self._plain(note)

    def _plain(self, text: str) -> None:
        """Print a line where there is no terminal, now and then."""
        if not self._console.is_terminal and monotonic() - self._told >= PLAIN:
            self._told = monotonic()
            say(text)
