"""The template of all customers: read from the checkout, rendered for one of them.

`<<name>>` becomes a value of the customer, and lines between `# <<with WORD ...>>` and `# <<end>>` stay for
those who have every word. Nothing else is touched: Windmill's `$var:`, `${...}` and `{{1}}` pass as they are.
"""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platform_cli.customers.profile import CONNECTORS, CUSTOMER_FILE, LANGUAGES, Profile
from platform_core.errors import ConfigurationError, InvalidInput, UnreadableFile

FOLDER = "customers/_template"
SETTINGS = "template.toml"

_NAME = re.compile(r"<<([a-z_]+)>>")
_WITH = re.compile(r"\s*# <<with ([a-z ]+)>>\s*")
_END = re.compile(r"\s*# <<end>>\s*")
_LEFT = re.compile(r"<<(?:with |end|[a-z_]+>>)")
_SAFE = re.compile(r"[A-Za-z0-9_./+-]*")
_WORDS = frozenset({*CONNECTORS, *LANGUAGES})


@dataclass(frozen=True, slots=True)
class Template:
    """One version of the template. `files` are by path inside it; `parts` are globs by connector."""

    version: int
    files: Mapping[str, bytes] = field(repr=False)
    parts: Mapping[str, tuple[str, ...]]

    def part_of(self, path: str) -> str | None:
        """The connector that a file belongs to, or None when every customer gets it."""
        return next(
            (name for name, globs in self.parts.items() if any(fnmatch.fnmatch(path, one) for one in globs)),
            None,
        )


def read_template(root: Path) -> Template:
    """The template of this checkout. Raises: UnreadableFile, ConfigurationError naming what is wrong."""
    folder = root / FOLDER
    try:
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
    except OSError as error:
        raise UnreadableFile(f"The template {folder} cannot be read: {error.strerror}") from error
    return template_of(files, str(folder))


def template_of(files: Mapping[str, bytes], where: str) -> Template:
    """The template whose files these are. Raises: ConfigurationError naming what is wrong and `where`."""
    settings = files.get(SETTINGS)
    if settings is None:
        raise ConfigurationError(f"{where} has no {SETTINGS}", next_step="Restore the template from git.")
    try:
        found = tomllib.loads(settings.decode("utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{SETTINGS} of {where} is not TOML: {error}") from None
    version, parts = found.get("version"), found.get("parts", {})
    if not isinstance(version, int) or not isinstance(parts, dict):
        raise ConfigurationError(f"{SETTINGS} of {where} has no version, or parts that are no table")
    rest = {path: content for path, content in files.items() if path != SETTINGS}
    return Template(version, rest, {str(name): tuple(map(str, globs)) for name, globs in parts.items()})


# --- Rendering ----------------------------------------------------------------------------------------------


def render(template: Template, profile: Profile) -> dict[str, bytes]:
    """The customer's folder as files by path, customer.toml included.

    Raises: InvalidInput naming file and line of a placeholder or block that means nothing.
    """
    rendered = {
        path: "".join(_rendered(path, content, profile)).encode()
        for path, content in template.files.items()
        if (part := template.part_of(path)) is None or part in profile.words
    }
    rendered[CUSTOMER_FILE] = profile.as_toml(template.version).encode()
    return rendered


def _rendered(path: str, content: bytes, profile: Profile) -> Iterator[str]:
    """The lines of one file."""
    values = profile.placeholders()
    opened, kept = 0, True
    for number, line in enumerate(content.decode("utf-8").splitlines(keepends=True), 1):
        if (block := _WITH.fullmatch(line)) is not None:
            words = frozenset(block[1].split())
            if opened or words - _WORDS:
                raise _problem(path, number, "a block in a block, or a word that nobody has")
            opened, kept = number, words <= profile.words
        elif _END.fullmatch(line) is not None:
            if not opened:
                raise _problem(path, number, "an end without its beginning")
            opened, kept = 0, True
        elif kept:
            yield _filled(path, number, line, values)
    if opened:
        raise _problem(path, opened, "a block that never ends")


def _filled(path: str, number: int, line: str, values: Mapping[str, str]) -> str:
    def value_of(found: re.Match[str]) -> str:
        value = values.get(found[1])
        if value is None:
            raise _problem(path, number, f"the unknown placeholder {found[0]}")
        if path.endswith(".toml"):
            return json.dumps(value, ensure_ascii=False)[1:-1]  # TOML's escapes are those of JSON
        if not _SAFE.fullmatch(value):
            raise _problem(path, number, f"{found[0]}, whose value would need quotes there")
        return value

    filled = _NAME.sub(value_of, line)
    if _LEFT.search(_NAME.sub("", line)) is not None:
        raise _problem(path, number, "a placeholder or block that is written wrongly")
    return filled


def _problem(path: str, number: int, what: str) -> InvalidInput:
    return InvalidInput(f"The template has {what} ({path}:{number})", next_step="Correct the template.")
