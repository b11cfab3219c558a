"""httpx without the command line it brings along.

`import httpx` also imports the program `httpx`, whenever click, rich and pygments are there as they are here;
that takes longer than all the rest of it, at the start of every command. It does without when that part
cannot be imported, which is what is arranged here, for as long as the import takes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

_PROGRAM = "httpx._main"


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Let the import of a module fail meanwhile. One that was imported before stays."""
    if name in sys.modules:
        yield
        return
    modules = cast("dict[str, object]", sys.modules)
    modules[name] = None  # Python's own way to say that there is no such module
    try:
        yield
    finally:
        del modules[name]


with _without(_PROGRAM):
    import httpx

__all__ = ["httpx"]
