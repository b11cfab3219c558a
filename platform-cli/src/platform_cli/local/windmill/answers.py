"""From a job's result to an HTTP answer, as Windmill's routes and `run_wait_result` do it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.jsonb import Json
from platform_core.errors import InvalidInput

Headers = tuple[tuple[str, str], ...]

_SMALLEST_STATUS, _STATUS_LIMIT = 100, 1000
_U16_MAX = 65_535
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What goes back over HTTP. Header names are lower case; there is no content-length among them."""

    status: int
    headers: Headers
    body: bytes

    @property
    def content_type(self) -> str:
        """The content type, or an empty string when the answer has none."""
        return dict(self.headers).get("content-type", "")


class RequestRefused(InvalidInput):
    """Windmill refuses this request before any script runs; `answer` is what it says."""

    code = "request_refused"

    def __init__(self, answer: HttpAnswer) -> None:
        """The message is the first line of the answer."""
        self.answer = answer
        super().__init__(answer.body.decode("utf-8", "replace").split("\n")[0] or f"HTTP {answer.status}")


def plain(status: int, text: str) -> HttpAnswer:
    """How Windmill's own errors look."""
    return HttpAnswer(status, (("content-type", "text/plain"),), text.encode("utf-8", "replace"))


def text(status: int, content: str) -> HttpAnswer:
    """How the web framework under Windmill answers a bare string."""
    return HttpAnswer(
        status, (("content-type", "text/plain; charset=utf-8"),), content.encode("utf-8", "replace")
    )


def empty(status: int) -> HttpAnswer:
    """An answer without body and without content type."""
    return HttpAnswer(status, (), b"")


def json_text(status: int, content: str) -> HttpAnswer:
    """An answer whose body is already JSON."""
    return HttpAnswer(status, (("content-type", "application/json"),), content.encode())


def bad_request(why: str) -> RequestRefused:
    """A 400 in Windmill's words."""
    return RequestRefused(plain(400, f"Bad request: {why}"))


def to_answer(result: str, *, ok: bool) -> HttpAnswer:
    """Shape the answer from a job's result, a JSON text as PostgreSQL keeps it.

    The keys `windmill_status_code`, `windmill_headers`, `windmill_content_type` (or `wm_*`) of a result
    object take over; when one of them has the wrong type, the whole object is the answer instead.
    """
    value = jsonb.parse(result)
    shape = _shape(value) if isinstance(value, dict) else None
    if shape is None or (shape.status is None and shape.headers is None and shape.content_type is None):
        return json_text(200 if ok else 422, result)
    status = (
        shape.status
        if shape.status is not None
        else _default_status(ok=ok, has_result=shape.result is not None)
    )
    if not _SMALLEST_STATUS <= status < _STATUS_LIMIT:
        return plain(500, "Invalid status code")
    headers: dict[str, str] = {}
    for name, content in (shape.headers or {}).items():
        if not _HEADER_NAME.fullmatch(name):
            return plain(
                500, f"Internal: Invalid header name {name}: invalid HTTP header name @execution.rs:415:25"
            )
        if not _HEADER_VALUE.fullmatch(content):
            return plain(
                500,
                f"Internal: Invalid header value {content}: failed to parse header value"
                " @execution.rs:418:25",
            )
        headers[name.lower()] = content
    return _with_body(status, headers, shape)


@dataclass(frozen=True, slots=True)
class _Shape:
    status: int | None
    content_type: str | None
    headers: dict[str, str] | None
    result: Json


def _with_body(status: int, headers: dict[str, str], shape: _Shape) -> HttpAnswer:
    if shape.content_type is not None:
        if not _HEADER_VALUE.fullmatch(shape.content_type):
            return plain(
                500,
                f"Internal: Invalid content type {shape.content_type}: failed to parse header value"
                " @execution.rs:435:25",
            )
        headers["content-type"] = shape.content_type
        body = shape.result if isinstance(shape.result, str) else _result_text(shape.result)
        return HttpAnswer(status, tuple(headers.items()), body.encode())
    if shape.result is None:
        return HttpAnswer(status, tuple(headers.items()), b"")
    headers.setdefault("content-type", "application/json")
    return HttpAnswer(status, tuple(headers.items()), jsonb.to_text(shape.result).encode())


def _result_text(result: Json) -> str:
    return "" if result is None else jsonb.to_text(result)


def _default_status(*, ok: bool, has_result: bool) -> int:
    if not ok:
        return 422
    return 200 if has_result else 204


def _shape(value: dict[str, Json]) -> _Shape | None:
    """The four known keys, or None when one of them is not of its type or is there under both names."""
    found: dict[str, Json] = {}
    for key in ("status_code", "content_type", "headers"):
        names = [name for name in (f"windmill_{key}", f"wm_{key}") if name in value]
        if len(names) > 1:
            return None
        found[key] = value[names[0]] if names else None
    status, content_type, headers = found["status_code"], found["content_type"], found["headers"]
    if status is not None and not _is_u16(status):
        return None
    if content_type is not None and not isinstance(content_type, str):
        return None
    if headers is not None and not (
        isinstance(headers, dict) and all(isinstance(content, str) for content in headers.values())
    ):
        return None
    return _Shape(
        status=int(status) if isinstance(status, Decimal) else None,
        content_type=content_type,
        headers={name: str(content) for name, content in headers.items()} if headers is not None else None,
        result=value.get("result"),
    )


def _is_u16(value: Json) -> bool:
    return isinstance(value, Decimal) and value.as_tuple().exponent == 0 and 0 <= value <= _U16_MAX
