"""Named statements: each noun keeps its SQL in a `queries.sql` beside it.

A statement is introduced by `-- name: claim_approve` and a few comment lines that say what it is for, which
states it moves, what it locks and what a replay does. It ends where the next one begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from platform_core.errors import ConfigurationError

_NAME = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class Queries(Mapping[str, bytes]):
    """The statements of one file, by name. Bytes, so that psycopg takes them as they were written."""

    def __init__(self, path: Path) -> None:
        """Read and split the file. Raises: ConfigurationError on a duplicate name or a missing file."""
        self.path = path
        self._statements = dict(_split(path))

    def __getitem__(self, name: str) -> bytes:
        """The statement of that name. Raises: ConfigurationError naming the file."""
        try:
            return self._statements[name]
        except KeyError:
            raise ConfigurationError(f"{self.path.name} has no statement named {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        """Names in file order."""
        return iter(self._statements)

    def __len__(self) -> int:
        """How many statements the file has."""
        return len(self._statements)


def _split(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    marks = list(_NAME.finditer(text))
    seen: set[str] = set()
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        name = mark["name"]
        if name in seen:
            raise ConfigurationError(f"{path} names {name!r} twice")
        seen.add(name)
        yield name, text[mark.end() : following.start() if following else len(text)].strip().encode()


def load_queries(module_file: str) -> Queries:
    """The `queries.sql` beside a module: `load_queries(__file__)`."""
    return Queries(Path(module_file).with_name("queries.sql"))
