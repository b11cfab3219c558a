"""Change one person in a policy file and nothing else: comments, order and spacing stay as people wrote them.

The file is edited as text, then read again: when that is not exactly the old policy with the one change, the
file is left alone and a person is asked to edit it.
"""

from __future__ import annotations

import re
import secrets
import tomllib
from pathlib import Path

from platform_core.errors import InvalidPolicy, NotFound, UnreadableFile
from platform_core.tenancy.members import Role, named

_HEADER = re.compile(r"\s*\[\s*members\s*\]\s*(#.*)?")
_TABLE = re.compile(r"\s*\[")
_ENTRY = re.compile(r"""\s*(?:"(?P<quoted>[^"\\]*)"|'(?P<literal>[^']*)'|(?P<bare>[A-Za-z0-9_-]+))\s*=""")
_VALUE = re.compile(r"""=\s*(?:"[^"\\]*"|'[^']*')""")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def read_text(file: Path) -> str:
    """The file as it is, line ends too. Raises: UnreadableFile."""
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "it is not text") or "no reason given"
        raise UnreadableFile(f"The policy {file} cannot be read: {reason}") from error


def replace_text(file: Path, text: str) -> None:
    """Put the new text in the file's place at once. Raises: UnreadableFile when the folder refuses."""
    staging = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        staging.write_bytes(text.encode())
        staging.chmod(file.stat().st_mode & 0o777)
        staging.replace(file)
    except OSError as error:
        staging.unlink(missing_ok=True)
        raise UnreadableFile(
            f"The policy {file} cannot be written: {error.strerror}", next_step="Nothing was changed."
        ) from error


def with_member(text: str, handle: str, role: Role) -> str:
    """The policy with this person in this role: changed in their line, or added after the last one.

    Raises: InvalidPolicy when the file is written in a way this cannot change.
    """
    lines, begin, entries = _members(text)
    found = entries.get(handle)
    if found is not None:
        lines[found] = _VALUE.sub(f'= "{role.value}"', lines[found], count=1)
    else:
        at = max(entries.values(), default=begin) + 1
        key = handle if _BARE.fullmatch(handle) else f'"{handle}"'
        lines.insert(at, f'{key} = "{role.value}"{_line_end(lines[begin])}')
    return _checked(text, "".join(lines), handle, role)


def without_member(text: str, handle: str) -> str:
    """The policy without this person.

    Raises: NotFound when they are not in it, InvalidPolicy when the file is written in a way this cannot
    change.
    """
    lines, _, entries = _members(text)
    if handle not in entries:
        raise NotFound(
            f"{named(handle)} is not a member in the policy file", next_step="See `wmctl member list`."
        )
    del lines[entries[handle]]
    return _checked(text, "".join(lines), handle, None)


def _members(text: str) -> tuple[list[str], int, dict[str, int]]:
    """The lines, where [members] begins, and the line of each person."""
    lines = text.splitlines(keepends=True)
    begin = next((at for at, line in enumerate(lines) if _HEADER.fullmatch(line.rstrip("\r\n"))), None)
    if begin is None:
        raise _not_ours()
    end = next((at for at in range(begin + 1, len(lines)) if _TABLE.match(lines[at])), len(lines))
    entries = {}
    for at in range(begin + 1, end):
        if (found := _ENTRY.match(lines[at])) is not None:
            entries[next(name for name in found.groups() if name is not None)] = at
    return lines, begin, entries


def _line_end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :] or "\n"


def _checked(before: str, after: str, handle: str, role: Role | None) -> str:
    """The new text, when it says what was asked for and nothing else."""
    try:
        wanted, found = tomllib.loads(before), tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        raise _not_ours() from None
    wanted["members"].pop(handle, None)
    if role is not None:
        wanted["members"][handle] = role.value
    if wanted != found:
        raise _not_ours()
    return after


def _not_ours() -> InvalidPolicy:
    return InvalidPolicy(
        "The policy file has no [members] with one person a line, so this cannot change it",
        next_step="Edit [members] yourself, then run `wmctl policy apply`.",
    )
