"""Hooks of mkdocs (mkdocs.yml): what the site takes from outside docs, and the packages laid out as mkdocstrings looks for them."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHANGES = re.compile(r"\]\(((?:\.\./)+)CHANGELOG\.md\)")
OUTSIDE = re.compile(r"\]\(((?:\.\./)+)((?:examples|benchmarks|tests)/[\w./-]+)\)")
RELATIVE = re.compile(r"\]\((?!\w+:|#)([\w./-]+)(#[\w-]+)?\)")  # in a notebook of examples/
LANGUAGES = {".py": "python", ".sh": "sh", ".toml": "toml"}


def on_startup(command: str, dirty: bool) -> None:
    """Lay the packages out as build/api/spikeloom, since the repository's root is the package and holds much else."""
    place = ROOT / "build/api/spikeloom"
    place.mkdir(parents=True, exist_ok=True)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    names = {name.split(".")[1] for name in packages if "." in name}
    wanted = {name: ROOT / name for name in names} | {path.name: path for path in ROOT.glob("*.py")}
    for old in place.iterdir():
        old.unlink()
    for name, path in wanted.items():
        (place / name).symlink_to(path)


def on_files(files: Any, config: Any) -> Any:
    """Add the changelog, and a page for each file outside docs/ that a page links to."""
    make = import_module(
        "mkdocs.structure.files"
    ).File.generated  # not imported above: it is there only where the extra `docs` is installed
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(make(config, "changes.md", content=changes.replace("](docs/", "](")))
    linked = {path for page in ROOT.glob("docs/**/*.md") for _, path in OUTSIDE.findall(page.read_text(encoding="utf-8"))}
    for path in sorted(linked.union(*map(_linked_by, linked))):
        source = ROOT / path
        if not source.is_file():
            raise FileNotFoundError(f"A page of docs links to {path}, which does not exist.")
        content = source.read_text(encoding="utf-8")
        text = (
            notebook(content, path) if source.suffix == ".ipynb" else f"# {path}\n\n```{LANGUAGES.get(source.suffix, '')}\n{content}```\n"
        )
        page = make(config, f"source/{path}.md", content=text)
        page.inclusion = import_module("mkdocs.structure.files").InclusionLevel.NOT_IN_NAV
        files.append(page)
    return files


def notebook(content: str, path: str) -> str:
    """Return a notebook as a page: its text, its code, and what that printed when it was run."""
    parts: list[str] = []
    for cell in json.loads(content)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(RELATIVE.sub(_page_of, source))
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [_shown(output) for output in cell["outputs"]]
    return "\n\n".join([*parts, f"This page is the notebook `{path}` of the repository."]) + "\n"


def _page_of(match: re.Match[str]) -> str:
    """Return a link of a notebook as one of its page, which lies in source/examples, as do those of other files there."""
    target, anchor = match[1], match[2] or ""
    return f"](../../{target.removeprefix('../docs/')}{anchor})" if target.startswith("../docs/") else f"]({target}.md)"


def _linked_by(path: str) -> set[str]:
    """Return the files beside a notebook that it links to."""
    text = (ROOT / path).read_text(encoding="utf-8") if path.endswith(".ipynb") else ""
    return {f"examples/{match[1]}" for match in RELATIVE.finditer(text) if not match[1].startswith("../")}


def _shown(output: dict[str, Any]) -> str:
    """Return an output of a cell: a picture, or text."""
    data = output.get("data", {})
    if "image/png" in data:
        return f"![what the cell shows](data:image/png;base64,{''.join(data['image/png']).strip()})"
    text = "".join(output.get("text", "")) or "".join(data.get("text/plain", ""))
    return f"```text\n{text.rstrip()}\n```"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links that lead out of docs/ to those pages."""
    up = "../" * page.file.src_uri.count("/")
    markdown = CHANGES.sub(f"]({up}changes.md)", markdown)
    return OUTSIDE.sub(lambda match: f"]({up}source/{match[2]}.md)", markdown)
