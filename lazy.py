"""Public names of a package that are imported on first use (PEP 562), so that importing the package costs almost nothing.

A package's `__init__.py` says once where each public name comes from:

    if not TYPE_CHECKING:
        __getattr__, __dir__ = lazy.exports(__name__, {"load": ".deployed", "load_results": ".results:load", "train": ".train:"})

and repeats the names in `__all__` and, for type checkers, below `if TYPE_CHECKING`; `tests/project/test_public.py` compares the three.
This file imports nothing, not even typing: it adds to the cost of `import spikeloom`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["exports"]


def exports(package: str, homes: Mapping[str, str], here: tuple[str, ...] = ()) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`.

    Args:
        package: the package's `__name__`.
        homes: by public name, where it comes from: ".module", whose attribute of the same name it is; ".module:other", under
            another name there; ".module:", the module itself.
        here: further public names, which the package defines itself.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it offers {', '.join(listed())}")
        import importlib
        import sys

        home, colon, attribute = homes[name].partition(":")
        module = importlib.import_module(home, package)
        value = module if colon and not attribute else getattr(module, attribute or name)
        setattr(sys.modules[package], name, value)  # the next use finds it at once
        return value

    def listed() -> list[str]:
        return sorted({*homes, *here})

    return get, listed
