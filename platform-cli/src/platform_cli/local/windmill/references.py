"""`$var:` and `$res:` in job arguments, and who may read what they point to.

Windmill looks for references in every argument of every job, also in what strangers sent, and replaces them
before the script runs. This is that rule with its edges, for attacks are tested against it: an argument is
searched when any text in it *contains* a marker; then every string in it that *starts* with one is replaced,
and every string that is `$` with the name of one of the job's own variables (`$WM_TOKEN`) as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import unquote

from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.answers import HttpAnswer, empty, json_text, plain
from platform_cli.local.windmill.jsonb import Json

_MARKER = re.compile(r"\$(?:var|jsonvar|res|encrypted):")
_MAX_DEPTH = 50
_MAX_LIST_DEPTH = 2
_MAX_LIST_ITEMS = 1000
_I64_MIN, _U64_MAX = -(2**63), 2**64 - 1
OWNER = "superadmin_secret"


@dataclass(frozen=True, slots=True)
class Reader:
    """On whose behalf something is read. `folder` is the one folder it may read; None reads everything."""

    username: str
    email: str
    permissioned_as: str
    folder: str | None
    token_prefix: str = ""

    def may_read(self, path: str) -> bool:
        """Whether `f/<folder>/...` is this reader's."""
        return self.folder is None or path.startswith(f"f/{self.folder}/")

    def as_debug(self, *, kind: str) -> str:
        """How Windmill prints a caller's rights in a refusal."""
        override = f'username_override: Some("{self.username}"), ' if kind == "ApiAuthed" else ""
        tail = ", read_only: false" if kind == "ApiAuthed" else ""
        return (
            f'{kind} {{ email: "{self.email}", username: "{self.permissioned_as.removeprefix("u/")}", '
            f'is_admin: false, is_operator: true, groups: ["all"], '
            f'folders: [("{self.folder}", false, false)], '
            f'scopes: None, {override}token_prefix: Some("{self.token_prefix}"){tail} }}'
        )


class NotReadable(Exception):
    """A variable or resource that this reader does not get; `answer` is what the server says."""

    def __init__(self, answer: HttpAnswer) -> None:
        self.answer = answer
        super().__init__(answer.body.decode("utf-8", "replace"))


class Unresolvable(Exception):
    """A job's arguments hold a reference that cannot be replaced; the message is the job's error."""


@dataclass(frozen=True, slots=True)
class Store:
    """The workspace's resources and variables by path, such as `f/acme/database`."""

    resources: Mapping[str, Json] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)

    def variable(self, path: str, reader: Reader) -> str:
        """One variable. Raises: NotReadable (404, or 401 that says it exists)."""
        path = path.removeprefix("/")
        if path not in self.variables:
            raise NotReadable(plain(404, f"Not found: Variable {path} not found"))
        if not reader.may_read(path):
            raise NotReadable(
                plain(
                    401,
                    f"Not authorized: Variable exists but you don't have access to it:\n{_perms('variable')}",
                )
            )
        return self.variables[path]

    def resource(self, path: str, reader: Reader, reserved: Mapping[str, str] | None = None) -> Json:
        """One resource with its references replaced; `reserved` are a job's own variables, when a job asks.

        Raises: NotReadable.
        """
        return self._interpolated(self._raw_resource(path.removeprefix("/"), reader), reader, reserved, 0)

    def _raw_resource(self, path: str, reader: Reader) -> Json:
        if path not in self.resources:
            raise NotReadable(plain(404, f"Not found: Resource {path} not found"))
        if not reader.may_read(path):
            rights = reader.as_debug(kind="ApiAuthed")
            raise NotReadable(
                plain(
                    401,
                    "Not authorized: Resource exists but you don't have access to it:\n"
                    f"{_perms('resource')}\nauthed as: {rights}",
                )
            )
        return self.resources[path]

    def _interpolated(
        self, value: Json, reader: Reader, reserved: Mapping[str, str] | None, depth: int
    ) -> Json:
        if depth >= _MAX_DEPTH:
            raise NotReadable(plain(500, f"Internal: {_too_deep('')} @resources.rs:811:20"))
        match value:
            case str() if value.startswith("$"):
                return self._referenced(value, reader, reserved, depth)
            case list() if depth <= _MAX_LIST_DEPTH and len(value) <= _MAX_LIST_ITEMS:
                return [self._interpolated(item, reader, reserved, depth + 1) for item in value]
            case dict():
                return {
                    key: self._interpolated(item, reader, reserved, depth + 1) for key, item in value.items()
                }
            case _:
                return value

    def _referenced(self, value: str, reader: Reader, reserved: Mapping[str, str] | None, depth: int) -> Json:
        marker, colon, path = value.partition(":")
        match marker + colon:
            case "$var:":
                return self.variable(path, reader)
            case "$jsonvar:":
                return _json_variable(self.variable(path, reader))
            case "$res:" if "/" not in path:
                raise NotReadable(plain(500, f"Internal: Invalid resource path: {path} @resources.rs:840:28"))
            case "$res:":
                return self._interpolated(self._raw_resource(path, reader), reader, reserved, depth + 1)
            case _:
                return reserved.get(value[1:], value) if reserved and value.startswith("$WM_") else value


def _json_variable(content: str) -> Json:
    try:
        return jsonb.parse(content)
    except ValueError as error:
        raise NotReadable(
            plain(500, f"Internal: Failed to parse $jsonvar value as JSON: {error} @resources.rs:829:17")
        ) from error


def _perms(kind: str) -> str:
    folder = json.dumps({f"u/{OWNER}": True}, indent=2)
    return f"{kind} perms: {{}}\nfolder perms: {folder}"


def _too_deep(name: str) -> str:
    return (
        f"Maximum resource/variable interpolation depth ({_MAX_DEPTH}) exceeded{name}; "
        "this usually indicates a circular `$res:` or `$var:` reference"
    )


def resolve_arguments(
    arguments: Mapping[str, Json], store: Store, reader: Reader, reserved: Mapping[str, str]
) -> dict[str, Json]:
    """The arguments the script really gets. Raises: Unresolvable with the job's error message."""
    found = _Resolution(store, reader, reserved)
    return {
        name: found.resolved(name, _as_numbers(value), 0) if _MARKER.search(jsonb.to_text(value)) else value
        for name, value in arguments.items()
    }


@dataclass(frozen=True, slots=True)
class _Resolution:
    store: Store
    reader: Reader
    reserved: Mapping[str, str]

    def resolved(self, name: str, value: Json, depth: int) -> Json:
        """Replace what starts with a marker; `name` is the innermost key, which the errors tell."""
        if depth >= _MAX_DEPTH:
            message = _too_deep(f" for `{name}`")
            raise Unresolvable(f"Internal: {message} @common.rs:278:20")
        match value:
            case str() if value.startswith("$"):
                return self._reference(name, value)
            case list() if depth <= _MAX_LIST_DEPTH and len(value) <= _MAX_LIST_ITEMS:
                return [self.resolved(name, item, depth + 1) for item in value]
            case dict():
                return {key: self.resolved(key, item, depth + 1) for key, item in value.items()}
            case _:
                return value

    def _reference(self, name: str, value: str) -> Json:
        marker, colon, path = value.partition(":")
        match marker + colon:
            case "$var:":
                return self._variable(name, path)
            case "$jsonvar:":
                try:
                    return jsonb.parse(self._variable(name, path))
                except ValueError as error:
                    raise Unresolvable(
                        f"Internal: Failed to parse $jsonvar value as JSON: {error} @common.rs:299:17"
                    ) from error
            case "$res:":
                return self._resource(name, path)
            case "$encrypted:":
                raise Unresolvable("Internal: Invalid padding @variables.rs:269:14")
            case _:
                return self.reserved.get(value[1:], value)

    def _variable(self, name: str, path: str) -> str:
        try:
            return self.store.variable(_requested(path), self.reader)
        except NotReadable as error:
            raise Unresolvable(f"Not found: Variable {path} not found for `{name}`: {error}") from error

    def _resource(self, name: str, path: str) -> Json:
        if "/" not in path:
            raise Unresolvable(
                f"Internal: Argument `{name}` is an invalid resource path: {path} @common.rs:306:28"
            )
        try:
            return self.store.resource(_requested(path), self.reader, self.reserved)
        except NotReadable as error:
            raise Unresolvable(f"Not found: Resource {path} not found for `{name}`: {error}") from error


def _requested(path: str) -> str:
    """The path the server sees: the worker puts `path` into a URL as it is, so blanks at its end are lost."""
    cleaned = unquote(re.split(r"[?#]", path.rstrip(" \t\r\n"))[0])
    if not cleaned:
        raise NotReadable(empty(404))
    return cleaned


def _as_numbers(value: Json) -> Json:
    """Numbers of a searched argument: 64-bit integers stay, everything else becomes a double."""
    match value:
        case Decimal():
            is_integer = value == value.to_integral_value() and value.as_tuple().exponent == 0
            return value if is_integer and _I64_MIN <= value <= _U64_MAX else _as_double(value)
        case list():
            return [_as_numbers(item) for item in value]
        case dict():
            return {key: _as_numbers(item) for key, item in value.items()}
        case _:
            return value


def _as_double(value: Decimal) -> float:
    double = float(value)
    if double in (float("inf"), float("-inf")):
        raise Unresolvable("Internal: Error while parsing inner arg: number out of range @common.rs:202:21")
    return double


def resource_answer(
    store: Store, path: str, reader: Reader, reserved: Mapping[str, str] | None
) -> HttpAnswer:
    """`GET resources/get_value_interpolated/<path>`."""
    try:
        value = store.resource(path, reader, reserved)
    except NotReadable as error:
        return error.answer
    return json_text(200, jsonb.to_text(value, separators=(",", ":")))


def variable_answer(store: Store, path: str, reader: Reader) -> HttpAnswer:
    """`GET variables/get_value/<path>`."""
    try:
        return json_text(200, json.dumps(store.variable(path, reader), ensure_ascii=False))
    except NotReadable as error:
        return error.answer


def forbidden(kind: str, path: str, reader: Reader) -> HttpAnswer:
    """The refusal to run what somebody may not read: it says that it exists, and what the caller may."""
    rights = reader.as_debug(kind="AuthedRef")
    return plain(
        401,
        f"Not authorized: You are not authorized to access this {kind}: {path} (but it exists). "
        f"Your permissions are: {rights}",
    )
