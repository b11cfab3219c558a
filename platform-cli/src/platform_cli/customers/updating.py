"""A newer template for a customer that drifted from it: a three-way merge of whole folders.

Base is the template at the customer's `template_version`, rendered with the customer's values; theirs is the
template of this checkout, rendered with the same values; ours is the customer's folder. What the template did
not change stays, what the customer did not change follows, and what both changed is merged line by line, in
settings key by key. Nothing is written while anything conflicts, unless conflict markers are asked for.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import cast

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from platform_cli.customers.history import find_template
from platform_cli.customers.placing import place_changes
from platform_cli.customers.profile import CUSTOMER_FILE, read_written
from platform_cli.customers.template import Template, read_template, render
from platform_cli.sync.items import Json
from platform_cli.sync.texts import merge_text, stretches
from platform_core.errors import InvalidInput, UnreadableFile
from platform_core.tenancy.policy import Policy, describe_problems

POLICY = "config/policy.toml"
_VERSION = re.compile(r"^template_version\s*=\s*[0-9]+", re.MULTILINE)
_MARK = re.compile(r"<{7} ")


class Act(StrEnum):
    """What an update does with one file."""

    ADDED = "added"
    UPDATED = "updated"
    MERGED = "merged"
    """Both changed it, and both changes stand."""
    REMOVED = "removed"
    KEPT = "kept"
    """The template changed what the customer took out: it stays out."""
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file: what becomes of it. `content` is None for one that goes; `lines` are those in conflict.

    For a conflict `content` holds conflict markers, and `lines` count in the file as it is now.
    """

    path: str
    act: Act
    content: bytes | None = field(default=None, repr=False)
    lines: tuple[int, ...] = ()
    says: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """What a newer template comes to for one customer."""

    folder: Path
    before: int
    after: int
    changes: tuple[FileChange, ...]

    @property
    def conflicts(self) -> tuple[FileChange, ...]:
        """The files that a person decides about."""
        return tuple(change for change in self.changes if change.act is Act.CONFLICT)


def plan_update(root: Path, name: str) -> Update:
    """What the template of this checkout would change for a customer. Changes nothing.

    Raises: UnreadableFile, InvalidInput, NotFound when git's history lacks the customer's version.
    """
    folder = root / "customers" / name
    written, newest = read_written(folder), read_template(root)
    if written.template_version > newest.version:
        raise InvalidInput(
            f"{name} has version {written.template_version} of the template, this checkout {newest.version}",
            next_step="Bring this checkout up to date first.",
        )
    if written.template_version == newest.version:
        return Update(folder, newest.version, newest.version, ())
    base = _rendered(find_template(root, written.template_version), folder)
    theirs = _rendered(newest, folder)
    changes = tuple(_changes(base, _files(folder, {*base, *theirs}), theirs))
    return Update(folder, written.template_version, newest.version, changes)


def apply_update(update: Update, *, markers: bool = False) -> list[Path]:
    """Write the update into the folder, the version last; the files written come back.

    Raises: InvalidInput naming every conflict, unless `markers` writes them into the files.
    """
    if update.conflicts and not markers:
        raise InvalidInput(
            f"{len(update.conflicts)} files conflict: {'; '.join(map(describe, update.conflicts))}",
            next_step="Edit them so that one side is meant, or run again with --markers and edit then.",
        )
    if update.before == update.after:
        return []
    contents = {change.path: change.content for change in update.changes if change.act is not Act.KEPT}
    identity = (update.folder / CUSTOMER_FILE).read_text(encoding="utf-8")
    moved = _VERSION.sub(f"template_version = {update.after}", identity, count=1)
    return place_changes(update.folder, {**contents, CUSTOMER_FILE: moved.encode()})


def describe(change: FileChange) -> str:
    """One file of an update, with the lines in conflict."""
    lines = f" lines {', '.join(map(str, change.lines))}" if change.lines else ""
    return f"{change.path}{lines}{f' ({change.says})' if change.says else ''}"


def _rendered(template: Template, folder: Path) -> dict[str, bytes]:
    """The folder's own facts are not part of what is merged."""
    files = render(template, read_written(folder).profile)
    del files[CUSTOMER_FILE]
    return files


def _files(folder: Path, paths: set[str]) -> dict[str, bytes]:
    """Those of the template's files that the customer has."""
    try:
        return {path: (folder / path).read_bytes() for path in paths if (folder / path).is_file()}
    except OSError as error:
        raise UnreadableFile(f"{folder} cannot be read: {error.strerror}") from error


# --- One file -----------------------------------------------------------------------------------------------


def _changes(
    base: Mapping[str, bytes], ours: Mapping[str, bytes], theirs: Mapping[str, bytes]
) -> Iterator[FileChange]:
    for path in sorted({*base, *ours, *theirs}):
        change = _change(path, base.get(path), ours.get(path), theirs.get(path))
        if change is not None:
            yield change


def _change(path: str, base: bytes | None, ours: bytes | None, theirs: bytes | None) -> FileChange | None:
    if theirs in (base, ours):
        return None
    if theirs is None:
        if ours == base:
            return FileChange(path, Act.REMOVED)
        return FileChange(path, Act.CONFLICT, ours, says="changed here, and gone from the template")
    if ours is None:
        if base is None:
            return FileChange(path, Act.ADDED, theirs)
        return FileChange(path, Act.KEPT, says="taken out here, and changed in the template")
    return FileChange(path, Act.UPDATED, theirs) if ours == base else _merged(path, base or b"", ours, theirs)


def _merged(path: str, base: bytes, ours: bytes, theirs: bytes) -> FileChange:
    try:
        texts = (base.decode("utf-8"), ours.decode("utf-8"), theirs.decode("utf-8"))
    except UnicodeDecodeError:
        return FileChange(path, Act.CONFLICT, ours, says="it is no text")
    merge = merge_text(*texts, ours_name="this customer", theirs_name="the template")
    if not path.endswith((".yaml", ".toml")):
        return _judged(path, merge.text, merge.conflicts, texts)
    wanted = _merged_settings(path, texts)
    for candidate in (merge.text, _line_by_line(texts)):
        if wanted is not None and not _MARK.search(candidate) and _settings(path, candidate) == wanted:
            return FileChange(path, Act.MERGED, candidate.encode(), says=_policy_problem(path, candidate))
    if merge.conflicts:
        return _judged(path, merge.text, merge.conflicts, texts)
    return FileChange(path, Act.CONFLICT, ours, says="both sides put it together to something else")


def _judged(path: str, text: str, conflicts: int, texts: tuple[str, str, str]) -> FileChange:
    if not conflicts:
        return FileChange(path, Act.MERGED, text.encode())
    return FileChange(path, Act.CONFLICT, text.encode(), lines=tuple(_places(texts)))


def _places(texts: tuple[str, str, str]) -> Iterator[int]:
    """The lines of our text at which both sides changed the same."""
    line = 1
    for base, ours, theirs in stretches(*texts):
        if base != ours != theirs != base:
            yield line
        line += len(ours)


# --- Settings: YAML and TOML --------------------------------------------------------------------------------


_CLASH = "<<<<<<< \n"


class _Clash(Exception):
    pass


def _line_by_line(texts: tuple[str, str, str]) -> str:
    """Neighbouring lines that each one side changed: a setting has a line of its own."""
    merged: list[str] = []
    for base, ours, theirs in stretches(*texts):
        if ours in (theirs, base):
            merged += theirs
        elif theirs == base:
            merged += ours
        elif len(base) == len(ours) == len(theirs):
            lines = zip(base, ours, theirs, strict=True)
            merged += [t if o in (b, t) else o if t == b else _CLASH for b, o, t in lines]
        else:
            merged.append(_CLASH)
    return "".join(merged)


def _settings(path: str, text: str) -> Json:
    """What the text says. None for what is no settings at all."""
    try:
        if path.endswith(".toml"):
            return cast("Json", tomllib.loads(text))
        return cast("Json", YAML(typ="safe", pure=True).load(text))
    except (tomllib.TOMLDecodeError, YAMLError):
        return None


def _merged_settings(path: str, texts: tuple[str, str, str]) -> Json:
    """What the three come to, key by key; None when both changed the same key."""
    try:
        return _agreed(*(_settings(path, text) for text in texts))
    except _Clash:
        return None


_ABSENT: Json = "\0absent"


def _agreed(base: Json, ours: Json, theirs: Json) -> Json:
    if ours in (theirs, base) and type(ours) in (type(theirs), type(base)):
        return theirs
    if theirs == base:
        return ours
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        raise _Clash
    before = base if isinstance(base, dict) else {}
    merged = {
        name: _agreed(before.get(name, _ABSENT), ours.get(name, _ABSENT), theirs.get(name, _ABSENT))
        for name in [*ours, *(name for name in theirs if name not in ours)]
    }
    return {name: value for name, value in merged.items() if value != _ABSENT}


def _policy_problem(path: str, text: str) -> str:
    """What is wrong with a merged policy, though each side was well: it is said, and people correct it."""
    if path != POLICY:
        return ""
    try:
        Policy.model_validate(tomllib.loads(text))
    except ValidationError as error:
        return describe_problems(error)
    return ""
