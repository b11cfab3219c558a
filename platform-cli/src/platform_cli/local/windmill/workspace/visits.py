"""One request on its way to a verb: who asks, of which workspace, with what body; and how refusals look."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from platform_cli.local.windmill import answers
from platform_cli.local.windmill.answers import HttpAnswer, RequestRefused
from platform_cli.local.windmill.jsontext import explain
from platform_cli.local.windmill.loopback import Asked
from platform_cli.local.windmill.workspace.instance import Instance, Workspace
from platform_cli.local.windmill.workspace.rows import Raw, Row, members, to_json

DEPLOYERS = "wm_deployers"
_MOST_LISTED, _LISTED = 10_000, 1000
_PROPER = re.compile(r"[ufg](/[\w-]+){2,}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token came with the request, as a member of the workspace it is about."""

    email: str
    username: str
    is_admin: bool
    is_operator: bool
    groups: frozenset[str]
    is_superadmin: bool = False
    token: str = ""

    @property
    def grantees(self) -> frozenset[str]:
        """How rights name this person: `u/name`, and `g/group` for each of their groups."""
        return frozenset({f"u/{self.username}", *(f"g/{group}" for group in self.groups)})

    @property
    def may_preserve(self) -> bool:
        """Whether `preserve_permissioned_as` is heard."""
        return self.is_admin or DEPLOYERS in self.groups


@dataclass(frozen=True, slots=True)
class Visit:
    """A request whose path was understood. `path` is the item's, decoded; `parts` what else the path held."""

    instance: Instance
    workspace: Workspace
    caller: Caller
    asked: Asked
    path: str
    parts: tuple[str, ...]
    base_url: str = ""

    def parameter(self, name: str) -> str | None:
        """A parameter of the query."""
        found = parse_qs(self.asked.query, keep_blank_values=True).get(name)
        return found[0] if found else None

    def flag(self, name: str) -> bool:
        """Whether a parameter is `true`."""
        return self.parameter(name) == "true"

    def rights_on(self, path: str) -> dict[str, bool]:
        """The rights the folder of a path gives."""
        if not path.startswith("f/"):
            return {}
        folder = self.workspace.folders.find(path.split("/")[1])
        return dict(folder["extra_perms"]) if folder else {}

    def sees(self, path: str, extra_perms: Row | None = None) -> bool:
        """Whether the caller may read what lies at a path."""
        return self.caller.is_admin or self._granted(path, extra_perms, writing=False)

    def may_write(self, path: str, extra_perms: Row | None = None) -> bool:
        """Whether the caller may change what lies at a path."""
        return self.caller.is_admin or self._granted(path, extra_perms, writing=True)

    def _granted(self, path: str, extra_perms: Row | None, *, writing: bool) -> bool:
        if path.startswith(f"u/{self.caller.username}/"):
            return True
        given = [*self.rights_on(path).items(), *(extra_perms or {}).items()]
        return any(who in self.caller.grantees and (may or not writing) for who, may in given)

    def starters(self, rows: Iterable[Row]) -> list[Row]:
        """Schedules or routes that `path_start` and `path` ask for and the caller sees, newest first."""
        start, target = self.parameter("path_start") or "", self.parameter("path")
        found = [
            row
            for row in rows
            if row["path"].startswith(start)
            and target in {None, row["script_path"]}
            and self.sees(row["path"], row["extra_perms"])
        ]
        return sorted(found, key=lambda row: str(row["edited_at"]), reverse=True)

    def page(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that `page` and `per_page` ask for."""
        size = min(_number(self.parameter("per_page"), _LISTED), _MOST_LISTED)
        at = max(1, _number(self.parameter("page"), 1))
        return list(rows[(at - 1) * size : at * size])

    def body(self, *required: str) -> Body:
        """The JSON object that was sent.

        Raises: RequestRefused in the server's words when there is none, or one of `required` is missing.
        """
        return Body.read(self.asked, required)


def _number(text: str | None, instead: int) -> int:
    return int(text) if text is not None and text.isdigit() else instead


class Body:
    """A JSON object that was sent."""

    def __init__(self, found: dict[str, tuple[Any, str]]) -> None:
        self._members = found

    @classmethod
    def read(cls, asked: Asked, required: Sequence[str] = ()) -> Body:
        """Read it. Raises: RequestRefused."""
        text = sent_text(asked)
        try:
            found = members(text)
        except ValueError:
            _parse(text)
            raise RequestRefused(undeserializable("invalid type: expected struct", text)) from None
        for name in required:
            if found.get(name, (None, ""))[0] is None and not (name in found and name == "value"):
                raise RequestRefused(undeserializable(f"missing field `{name}`", text))
        return cls(found)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def get(self, name: str, instead: Any = None) -> Any:  # Any: JSON
        """A member's value; `instead` when it is absent or null."""
        value = self._members.get(name, (None, ""))[0]
        return instead if value is None else value

    def raw(self, name: str) -> Raw | None:
        """A member as the text it was sent as; None when it is absent or null."""
        value, text = self._members.get(name, (None, ""))
        return None if value is None else Raw(text)

    def values(self) -> Row:
        """All members."""
        return {name: value for name, (value, _) in self._members.items()}


def sent_text(asked: Asked) -> str:
    """The JSON text of a request. Raises: RequestRefused when it does not say that it is JSON."""
    if not asked.header("content-type").startswith("application/json"):
        raise RequestRefused(answers.text(415, "Expected request with `Content-Type: application/json`"))
    try:
        return asked.body.decode("utf-8")
    except UnicodeDecodeError as error:
        why = "Failed to parse the request body as JSON: invalid unicode code point"
        raise RequestRefused(answers.text(400, f"{why} at line 1 column {error.start}")) from error


def sent_value(asked: Asked) -> Any:  # Any: JSON
    """The JSON value of a request, of any type. Raises: RequestRefused."""
    return _parse(sent_text(asked))


def _parse(text: str) -> Any:  # Any: JSON
    try:
        return json.loads(text)
    except ValueError as error:
        why = explain(text.encode("utf-8", "surrogatepass"))
        raise RequestRefused(answers.text(400, f"Failed to parse the request body as JSON: {why}")) from error


def undeserializable(why: str, text: str) -> HttpAnswer:
    """A 422 about a field, with the place where the body ends."""
    lines = text.split("\n")
    where = f"line {len(lines)} column {len(lines[-1].encode())}"
    return answers.text(422, f"Failed to deserialize the JSON body into the target type: {why} at {where}")


# --- Answers ----------------------------------------------------------------------------------------------


def said(text: str, status: int = 200) -> HttpAnswer:
    """A sentence, as the server confirms a deed."""
    return answers.text(status, text)


def as_json(value: object, status: int = 200) -> HttpAnswer:
    """A JSON answer."""
    return answers.json_text(status, to_json(value))


def refused(text: str) -> RequestRefused:
    """A 400 of the server's own."""
    return answers.bad_request(text)


def missing(text: str) -> RequestRefused:
    """A 404 of the server's own."""
    return RequestRefused(answers.plain(404, f"Not found: {text}"))


def unauthorized(text: str) -> RequestRefused:
    """A 401 of the server's own: known, and not allowed."""
    return RequestRefused(answers.plain(401, f"Not authorized: {text}"))


def needs_admin(visit: Visit) -> None:
    """Raises: RequestRefused with a 403 unless the caller is an administrator of the workspace."""
    if not visit.caller.is_admin:
        raise RequestRefused(answers.plain(403, f"Require Admin privileges for {visit.caller.username}"))


def broken(text: str) -> RequestRefused:
    """A 500 with what the server calls internal."""
    return RequestRefused(answers.plain(500, f"Internal: {text}"))


def database_refused(text: str, where: str) -> RequestRefused:
    """A 400 that comes from PostgreSQL itself, with the place in the server's code."""
    return RequestRefused(answers.plain(400, f"SqlErr: error returned from database: {text} @{where}"))


def not_granted(table: str, where: str) -> RequestRefused:
    """What a write into a folder says to who may not write there."""
    return database_refused(f'new row violates row-level security policy for table "{table}"', where)


def check_path(path: str, table: str, where: str) -> None:
    """Raises: RequestRefused when no item can have this path."""
    if not _PROPER.fullmatch(path):
        raise database_refused(f'new row for relation "{table}" violates check constraint "proper_id"', where)
