"""What the official CLI calls the files of scripts: by language, and by summary inside flows. Pure."""

from __future__ import annotations

import re
from typing import Final

SCRIPT_EXTENSIONS: Final = {
    "python3": "py",
    "bun": "ts",
    "deno": "deno.ts",
    "nativets": "fetch.ts",
    "go": "go",
    "bash": "sh",
    "powershell": "ps1",
    "postgresql": "pg.sql",
    "mysql": "my.sql",
    "bigquery": "bq.sql",
    "oracledb": "odb.sql",
    "snowflake": "sf.sql",
    "mssql": "ms.sql",
    "duckdb": "duckdb.sql",
    "graphql": "gql",
    "php": "php",
    "rust": "rs",
    "csharp": "cs",
    "nu": "nu",
    "ansible": "playbook.yml",
    "java": "java",
    "ruby": "rb",
    "rlang": "r",
}
"""The extension of a script's file, where `defaultTs` is `bun`. `bunnative` is written as `bun`."""

_INLINE_EXTENSIONS: Final = {
    **SCRIPT_EXTENSIONS,
    "nativets": "native.ts",
    "bunnative": "ts",
    "frontend": "frontend.js",
}
_LANGUAGES = {extension: language for language, extension in SCRIPT_EXTENSIONS.items()} | {"bun.ts": "bun"}

_INLINE_LANGUAGES = {
    extension: language for language, extension in _INLINE_EXTENSIONS.items() if language != "bunnative"
} | {"bun.ts": "bun"}

_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])", re.IGNORECASE)


def language_of(extension: str) -> str | None:
    """The language of a script's file by all that follows the first dot of its name; None for no script."""
    return _LANGUAGES.get(extension)


def language_by_ending(name: str) -> str | None:
    """The language of a file whose name may hold other dots, by its longest known ending."""
    parts = name.rpartition("/")[2].split(".")
    known = (_LANGUAGES.get(".".join(parts[at:])) for at in range(1, len(parts)))
    return next((language for language in known if language), None)


def inline_language(extension: str) -> str | None:
    """The language of a script inside an app by its extension; None when it is none."""
    return _INLINE_LANGUAGES.get(extension)


def inline_extension(language: str) -> str:
    """The extension of a script inside a flow or an app."""
    return _INLINE_EXTENSIONS.get(language, "no_ext")


def file_name(text: str, *, keep_case: bool = False) -> str:
    """A summary as the name of a file; empty when nothing of it may stand in one."""
    name = _FORBIDDEN.sub("", text.replace(" ", "_"))
    name = re.sub(r"_+", "_", name).strip("._")
    if not keep_case:
        name = name.lower()
    return f"_{name}" if _DEVICES.fullmatch(name) else name


class Names:
    """Gives each script of one flow, or of one app, its own name. One counter is shared by all duplicates."""

    def __init__(self, *, unnamed: str = "inline_script", keep_case: bool = False) -> None:
        self._unnamed = unnamed
        self._keep_case = keep_case
        self._taken: set[str] = set()
        self._count = 0

    def take(self, text: str) -> str:
        """The next name, made from a summary, without extension."""
        base = file_name(text, keep_case=self._keep_case)
        name = base or f"{self._unnamed}_0"
        while name.lower() in self._taken:
            self._count += 1
            name = f"{base or self._unnamed}_{self._count}"
        self._taken.add(name.lower())
        return name
