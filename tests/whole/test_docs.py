"""The pages of docs: links lead somewhere, commands are words that the command line knows, the tutorial and the code of other pages run."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import spikeloom as package
import typer
from spikeloom import cli

ROOT = Path(package.__file__).resolve().parent
PAGES = sorted(ROOT.glob("docs/**/*.md"))
PLACES = {"S": "0.9", "N": "3"}  # what the reader fills in, where a number is needed
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `spikeloom ...` in indented lines and blocks without a language."""
    lines = [line for language, block in BLOCK.findall(text) if not language for line in block.splitlines()]
    lines += [line[4:] for line in BLOCK.sub("", text).splitlines() if line.startswith("    ")]
    for line in lines:
        for part in line.split("&&"):
            words = shlex.split(part, comments=True) if part.strip().startswith("spikeloom ") else []
            if words and "..." not in words:
                yield [PLACES.get(word, word) for word in words[1:]]


def blocks(name: str) -> list[str]:
    return [block for language, block in BLOCK.findall(text_of(name)) if language == "python"]


def silenced(command: Any) -> Any:
    """Return the command line with commands that read their words and do nothing."""
    for inner in getattr(command, "commands", {}).values():
        silenced(inner)
    if not hasattr(command, "commands"):
        command.callback = lambda **values: None
    return command


def parse(words: list[str]) -> None:
    """Let the command line read the words; it raises what it has to say of them."""
    silenced(typer.main.get_command(cli.app)).main(words, standalone_mode=False)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_and_commands(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert "://" in target or (page.parent / target).exists(), target
    for words in commands(text):
        try:
            parse(words)
        except Exception as error:
            pytest.fail(f"spikeloom {shlex.join(words)}: {error!r}")


def test_an_unknown_option_is_noticed() -> None:
    with pytest.raises(Exception, match="chek"):
        parse(["run", "model.loom", "--chek"])


def test_every_page_is_reached_from_the_readme() -> None:
    seen, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        for target in re.findall(r"\]\(([\w./-]+\.md)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve()
            if path not in seen and path.is_relative_to(ROOT / "docs"):
                seen.add(path)
                waiting.append(path)
    assert set(PAGES) <= seen


def test_the_loop_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("your-loop.md"):
        exec(block, {})
    assert capsys.readouterr().out.startswith("0.9 {")


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tutorial's commands were run, the training shortened, Lava left out where it is not installed."""
    import os
    import sys

    from spikeloom.runtime.backends import lava

    folder, before, words_before = tmp_path_factory.mktemp("tutorial"), Path.cwd(), sys.argv
    os.chdir(folder)
    try:
        for words in commands(text_of("tutorial.md")):
            if "--backend" in words and lava.available() is not None:
                continue
            short = ["--epochs", "8"] if words[0] == "train" else []
            sys.argv = ["spikeloom", *words, *short]
            try:
                cli.main()
            except SystemExit as end:
                assert not end.code, words
    finally:
        os.chdir(before)
        sys.argv = words_before
    return folder


@pytest.mark.chain
def test_the_tutorial(tutorial: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tutorial)
    assert (tutorial / "runs/tutorial/report.html").exists() and (tutorial / "runs/tutorial/loihi.loom").exists()
    pages = "tutorial.md", "files.md", "probes.md", "inspect.md", "words.md"
    for block in ("\n".join(blocks("sessions.md")), *(block for page in pages for block in blocks(page))):
        exec(block, {})
    assert "synaptic operations a digit" in capsys.readouterr().out


@pytest.mark.chain
def test_the_files_of_a_run_are_all_described(tutorial: Path) -> None:
    page = text_of("files.md")
    for path in (tutorial / "runs/tutorial").iterdir():
        name = "results-BACKEND.json" if path.name.startswith("results-") else path.name
        assert f"`{name}" in page or path.name == "loihi.loom", path.name


@pytest.mark.chain
def test_the_parts_of_ones_own(tutorial: Path, tmp_path: Path, spikeloom: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page on extending shows is found in a user's folder, and does what the page says."""
    from spikeloom import registry
    from spikeloom.compile import passes
    from spikeloom.runtime import backends

    for module in (passes, backends):
        monkeypatch.setattr(module, "__path__", list(module.__path__))
    monkeypatch.setenv("SPIKELOOM_PARTS", str(tmp_path))
    for block in blocks("extending.md"):
        place = tmp_path / block.splitlines()[0].removeprefix("# ")
        place.parent.mkdir(parents=True)
        place.write_text(block)
    assert "thin" in registry.names(passes) and "slow" in registry.names(backends)
    run = tmp_path / "run"
    shutil.copytree(tutorial / "runs/tutorial", run)
    ended = spikeloom("compile", run, "--explain")
    assert ended.code == 0 and "weights dropped" in ended.out + ended.err
    ended = spikeloom("run", run / "model.loom", "--backend", "slow", "--samples", "20", "--check")
    assert ended.code == 0, ended.err
