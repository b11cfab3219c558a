"""From an HTTP request to a job's arguments: the body by its content type, the event of a preprocessor."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from urllib.parse import parse_qsl, unquote
from uuid import UUID

from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.answers import RequestRefused, bad_request, json_text, plain, text
from platform_cli.local.windmill.jsonb import Json

_VISIBLE = re.compile(r"[\t\x20-\x7e]*", re.ASCII)
_METADATA_KEY = "WEBHOOK__METADATA__"
_MAX_FIELDS = 10_000

BodyKind = Literal["json", "cloud_event", "form", "text", "bytes", "empty"]

# The first prefix that fits decides; anything else is bytes. Upper case does not fit, as on the server.
_KINDS: tuple[tuple[str, BodyKind], ...] = (
    ("application/json", "json"),
    ("application/cloudevents+json", "cloud_event"),
    ("text/plain", "text"),
    ("application/x-www-form-urlencoded", "form"),
    ("application/xml", "text"),
    ("text/xml", "text"),
)


@dataclass(frozen=True, slots=True)
class RawBody:
    """A body whose content type is known and whose bytes were checked, not yet parsed."""

    kind: BodyKind
    data: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """What Windmill makes of a body. `raw_string` is None when the route does not ask for it."""

    value: Json
    raw_string: str | None


def receive_body(content_type: str | None, data: bytes) -> RawBody:
    """Judge the content type, before any route is looked up. Raises: RequestRefused (400)."""
    if content_type is None:
        return RawBody("empty", data) if not data else _decodable("json", data)
    if content_type.startswith("application/cloudevents-batch+json"):
        raise bad_request("Cloud events batching is not supported yet")
    if content_type.startswith("multipart/form-data"):
        raise bad_request("multipart/form-data requires the parquet feature")
    for prefix, kind in _KINDS:
        if content_type.startswith(prefix):
            return RawBody(kind, data) if kind == "form" else _decodable(kind, data)
    return RawBody("bytes", data)


def _decodable(kind: BodyKind, data: bytes) -> RawBody:
    _utf8(data)
    return RawBody(kind, data)


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            raise bad_request(
                f"invalid utf8: incomplete utf-8 byte sequence from index {error.start}"
            ) from error
        length = error.end - error.start
        raise bad_request(
            f"invalid utf8: invalid utf-8 sequence of {length} bytes from index {error.start}"
        ) from error


def parse_body(raw: RawBody, *, use_raw: bool) -> Body:
    """Parse for a route or a run; `use_raw` keeps the exact text too. Raises: RequestRefused (400).

    Bytes that are not UTF-8 arrive base64-encoded in `raw_string`, and nothing says so.
    """
    match raw.kind:
        case "empty":
            return Body({}, "" if use_raw else None)
        case "text":
            return Body({}, _utf8(raw.data))
        case "bytes":
            return Body({}, _text_or_base64(raw.data))
        case "form":
            kept = _utf8(raw.data) if use_raw else None
            return Body(_pairs(raw.data.decode("utf-8", "replace")), kept)
        case "json" | "cloud_event":
            content = _utf8(raw.data)
            return Body(_json(content, cloud_event=raw.kind == "cloud_event"), content if use_raw else None)


def _json(content: str, *, cloud_event: bool) -> Json:
    try:
        value = jsonb.parse(content)
    except jsonb.NotJson as error:
        raise bad_request(f"invalid {'cloudevents+json' if cloud_event else 'json'}: {error}") from error
    except jsonb.NotStorable as error:
        raise database_refusal(error) from error
    except jsonb.TooDeep as error:
        raise too_deep(error) from error
    return _cloud_event(value) if cloud_event and isinstance(value, dict) else value


def _cloud_event(event: dict[str, Json]) -> Json:
    data = event.pop("data", None)
    fields = data if isinstance(data, dict) else {"body": data}
    return {**fields, _METADATA_KEY: event}


def _text_or_base64(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(data).decode("ascii")


def _pairs(query: str) -> dict[str, Json]:
    """Form fields or query parameters; of a doubled name the last wins."""
    return dict(parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=_MAX_FIELDS))


def decode_path(path: str) -> str:
    """A request path as the router sees it. Raises: RequestRefused when it is not UTF-8."""
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError as error:
        raise RequestRefused(text(400, "Invalid URL: Invalid UTF-8 in `path`")) from error


def header_map(headers: Iterable[tuple[str, str]]) -> dict[str, Json]:
    """Names in lower case, the last of a doubled header; a value that is not plain ASCII becomes empty."""
    return {name.lower(): value if _VISIBLE.fullmatch(value) else "" for name, value in headers}


def query_map(query: str) -> dict[str, Json]:
    """The query as the event shows it."""
    return _pairs(query)


def main_arguments(body: Body, *, wrap: bool) -> dict[str, Json]:
    """What `main` gets without a preprocessor: the fields of an object, or the body under `body`."""
    arguments: dict[str, Json]
    arguments = dict(body.value) if isinstance(body.value, dict) and not wrap else {"body": body.value}
    if body.raw_string is not None:
        arguments["raw_string"] = body.raw_string
    return arguments


def database_refusal(error: jsonb.NotStorable) -> RequestRefused:
    """How a body that `jsonb` cannot keep is answered: before any script, at every retry."""
    return RequestRefused(plain(400, f"SqlErr: error returned from database: {error} @jobs.rs:6376:5"))


def too_deep(error: jsonb.TooDeep) -> RequestRefused:
    """How a body is answered that nests deeper than the job's own `json.load` can read."""
    message = f'exit code for "python run": 1, last log lines:\nRecursionError: {error}'
    shape: Json = {"error": {"name": "ExecutionErr", "message": message, "exit_code": Decimal(1)}}
    return RequestRefused(json_text(422, jsonb.to_text(shape)))


def content_type_of(headers: Iterable[tuple[str, str]]) -> str | None:
    """The first content type a request names."""
    return next((value for name, value in headers if name.lower() == "content-type"), None)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a caller of a script or flow may choose in the query; `job_id` is the number of the new job."""

    raw: bool
    wrap_body: bool
    skip_preprocessor: bool
    job_id: str | None = None


def run_options(query: str, *also: str) -> RunOptions:
    """Read the options of a run; `also` are those that its kind knows besides.

    Raises: RequestRefused for a parameter that nothing here does.
    """
    given = query_map(query)
    if unknown := sorted(set(given) - {"raw", "wrap_body", "skip_preprocessor", "token", *also}):
        raise bad_request(f"the local runtime does not know the query parameters {', '.join(unknown)}")
    raw, wrap_body, skip = (given.get(name) == "true" for name in ("raw", "wrap_body", "skip_preprocessor"))
    return RunOptions(raw, wrap_body, skip, _chosen_id(given.get("job_id")))


def _chosen_id(given: Json) -> str | None:
    if given is None:
        return None
    try:
        return str(UUID(str(given)))
    except ValueError:
        raise RequestRefused(
            text(400, "Failed to deserialize query string: job_id: UUID parsing failed")
        ) from None


def webhook_event(body: Body, headers: Iterable[tuple[str, str]], query: str) -> dict[str, Json]:
    """What a preprocessor gets when a script is called by its path."""
    return {
        "event": {
            "kind": "webhook",
            "body": body.value,
            "raw_string": body.raw_string,
            "headers": header_map(headers),
            "query": query_map(query),
        }
    }
