"""The job interface over HTTP: look at a flow, answer it, cancel it, in the server's words and statuses.

What `jobs_u/resume` and `jobs_u/cancel` need is the signature in the URL and nothing else; everything below
asks for a token.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs
from uuid import UUID

from platform_cli.local.windmill import answers, jsonb
from platform_cli.local.windmill.answers import HttpAnswer, RequestRefused
from platform_cli.local.windmill.flows import approvals, page, shapes
from platform_cli.local.windmill.flows.engine import Engine
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.references import Reader

_LOG_HINT = "to remove ansi colors, use: | sed 's/\\x1B\\[[0-9;]\\{1,\\}[A-Za-z]//g'\n"
_MOST_LISTED = 100
_SIGNED = re.compile(r"jobs_u/(resume|cancel)/([^/]+)/([^/]+)/([^/]+)")
_CANCEL = re.compile(r"jobs_u/queue/cancel/([^/]+)")
_ABOUT_JOB = re.compile(
    r"jobs_u/(get|completed/get_result_maybe|completed/get_result|get_root_job_id|get_logs)/([^/]+)"
)
_URLS = re.compile(r"jobs/resume_urls/([^/]+)/([^/]+)")
_LIST = "jobs/list"


@dataclass(frozen=True, slots=True)
class Request:
    """What came over HTTP. `tail` is the path below the workspace, `reader` whose token was sent, if any."""

    method: str
    tail: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    reader: Reader | None

    def parameter(self, name: str) -> str | None:
        """A parameter of the query, the first one of that name."""
        found = parse_qs(self.query, keep_blank_values=True).get(name)
        return found[0] if found else None


def is_open(tail: str) -> bool:
    """Whether a path needs no token: the signature in it says enough."""
    return _SIGNED.fullmatch(tail) is not None


def handle(engine: Engine, workspace: str, base_url: str, request: Request) -> HttpAnswer | None:
    """Answer a request about jobs; None for a path that is not about them."""
    try:
        return _handle(engine, workspace, base_url, request)
    except RequestRefused as error:
        return error.answer


def _handle(engine: Engine, workspace: str, base_url: str, request: Request) -> HttpAnswer | None:
    tail = request.tail
    if signed := _SIGNED.fullmatch(tail):
        return _answer(engine, request, signed)
    if canceled := _CANCEL.fullmatch(tail):
        return _cancel(engine, request, canceled.group(1))
    if asked := _URLS.fullmatch(tail):
        return _urls(engine, workspace, base_url, request, asked)
    if about := _ABOUT_JOB.fullmatch(tail):
        return _about(engine, workspace, request, about)
    if tail == _LIST:
        return _list(engine, workspace, request)
    return None


# --- Answers of people ------------------------------------------------------------------------------------


def _answer(engine: Engine, request: Request, signed: re.Match[str]) -> HttpAnswer:
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpAnswer(405, (("allow", "GET,HEAD,POST"),), b"")
    what, given_id, number, signature = signed.groups()
    job_id, resume_id = _uuid(given_id, 1), _u32(number, 2)
    value = _sent(request)
    approver = request.parameter("approver")
    if (odd := re.search(r"[^0-9a-fA-F]", signature)) is not None:
        where = f"Invalid character {odd.group()!r} at position {odd.start()}"
        return answers.plain(500, f"HexErr: {where} @jobs.rs:3770:22")
    right = approvals.sign(engine.state.signing_key, job_id, resume_id, approver)
    if not hmac.compare_digest(right, signature.lower()):
        return answers.plain(500, "Error: Invalid signature @jobs.rs:3770:5")
    said = engine.answer(job_id, approvals.Answer(resume_id, approver, what == "resume", value))
    if said.kept:
        return answers.empty(201)
    if said.given_before:
        return answers.plain(500, "Error: resume request already sent @jobs.rs:3665:67")
    return answers.plain(500, f"Error: job not found or parent flow not in queue: {job_id} @jobs.rs:3874:18")


def _sent(request: Request) -> Json:
    """What came along: JSON in the body of a POST, base64 of JSON as `payload` of a GET."""
    if request.method == "POST":
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise RequestRefused(answers.text(415, "Expected request with `Content-Type: application/json`"))
        return _json(request.body, "Failed to parse the request body as JSON")
    payload = request.parameter("payload")
    if payload is None:
        return None
    try:
        text = base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestRefused(answers.text(400, f"invalid base64: {error}")) from error
    return _json(text, "invalid json")


def _json(text: bytes, problem: str) -> Json:
    try:
        value = jsonb.parse(text.decode("utf-8"))
        jsonb.to_text(value)
    except (ValueError, UnicodeDecodeError) as error:
        raise RequestRefused(answers.text(400, f"{problem}: {error}")) from error
    return value


def _cancel(engine: Engine, request: Request, given_id: str) -> HttpAnswer:
    job_id = _uuid(given_id, "id")
    if request.reader is None:
        return answers.plain(401, "Not authorized: Unauthorized")
    body = _json(request.body, "Failed to parse the request body as JSON") if request.body else {}
    reason = body.get("reason") if isinstance(body, dict) else None
    job = shapes.find_job(engine.state, job_id)
    if job is None or not _may_see(request, job):
        return answers.plain(404, f"Not found: queued job id {job_id} does not exist")
    said = engine.cancel(
        job_id, by=request.reader.username, reason=reason if isinstance(reason, str) else None
    )
    if said.was_done:
        return answers.text(200, f"queued job id {job_id} is already completed")
    return answers.text(200, job_id)


def _urls(
    engine: Engine, workspace: str, base_url: str, request: Request, asked: re.Match[str]
) -> HttpAnswer:
    job_id, resume_id = _uuid(asked.group(1), 1), _u32(asked.group(2), 2)
    approver = request.parameter("approver")
    if request.parameter("flow_level") == "true":
        job_id = approvals.flow_of(engine.state, job_id) or job_id
    found = approvals.urls(engine.state, base_url, workspace, job_id, resume_id, approver)
    return answers.json_text(200, jsonb.to_text(found))


# --- Looking ----------------------------------------------------------------------------------------------


def _about(engine: Engine, workspace: str, request: Request, about: re.Match[str]) -> HttpAnswer:
    what, job_id = about.group(1), _uuid(about.group(2), "id")
    job = shapes.find_job(engine.state, job_id)
    if job is None or not _may_see(request, job):
        return answers.plain(404, f"Not found: Job not found at name {job_id} (jobs.rs:1688)")
    match what:
        case "get":
            return answers.json_text(200, jsonb.to_text(shapes.job_json(job, workspace)))
        case "get_root_job_id":
            return answers.json_text(200, f'"{job.root_id}"')
        case "get_logs":
            return answers.plain(200, _LOG_HINT + job.logs)
        case "completed/get_result":
            return _result(job)
        case _:
            return _result_maybe(job)


def _result(job: shapes.JobView) -> HttpAnswer:
    if job.result is None:
        return answers.plain(404, f"Not found: Completed job not found at name {job.id} (jobs.rs:5063)")
    return answers.json_text(200, job.result)


def _result_maybe(job: shapes.JobView) -> HttpAnswer:
    started = str(job.started_at is not None).lower()
    if not job.is_done:
        return answers.json_text(
            200, f'{{"started":{started},"success":null,"completed":false,"result":null}}'
        )
    ok = str(job.ok).lower()
    return answers.json_text(
        200, f'{{"started":true,"success":{ok},"completed":true,"result":{job.result or "null"}}}'
    )


def _list(engine: Engine, workspace: str, request: Request) -> HttpAnswer:
    per_page = min(int(_number(request.parameter("per_page"), _MOST_LISTED)), _MOST_LISTED)
    at = max(1, int(_number(request.parameter("page"), 1)))
    found = shapes.list_jobs(
        engine.state,
        path_start=request.parameter("script_path_start") or "",
        path=request.parameter("script_path_exact") or "",
        parent=_parent(request),
        limit=per_page,
        skipped=(at - 1) * per_page,
    )
    mine = [job for job in found if _may_see(request, job)]
    return answers.json_text(200, jsonb.to_text(shapes.listed(mine, workspace)))


def _parent(request: Request) -> str | None:
    given = request.parameter("parent_job")
    return None if given is None else _uuid(given, "parent_job")


def _may_see(request: Request, job: shapes.JobView) -> bool:
    """Whether the caller may look at a job: its path, or the flow it is in, is in the caller's folder."""
    reader = request.reader
    return reader is not None and (reader.folder is None or reader.folder == job.reader.folder)


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else default


def _uuid(text: str, where: str | int) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        at = f"`{where}`" if isinstance(where, str) else f"value at index {where}"
        why = f"Invalid URL: Cannot parse {at} with value `{text}`: UUID parsing failed"
        raise RequestRefused(answers.text(400, why)) from error


def _u32(text: str, index: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > approvals.LARGEST_RESUME_ID:
        why = f"Invalid URL: Cannot parse value at index {index} with value `{text}` to a `u32`"
        raise RequestRefused(answers.text(400, why))
    return int(text)


# --- The page for people ----------------------------------------------------------------------------------

_PAGE = re.compile(r"/approve/([^/]+)/([^/]+)")


def handle_page(engine: Engine, workspace: str, path: str, request: Request) -> HttpAnswer | None:
    """The approval page; None for another path. Its token lets one flow be answered."""
    found = _PAGE.fullmatch(path)
    if found is None or found.group(1) != workspace:
        return None
    try:
        flow_id = _uuid(found.group(2), 2)
    except RequestRefused as error:
        return error.answer
    right = approvals.sign_page(engine.state.signing_key, flow_id)
    token = request.parameter("token") or ""
    language = page.language_of(request.headers.get("accept-language", ""), request.parameter("lang"))
    if not hmac.compare_digest(right, token):
        return page.refused(language)
    job = shapes.find_job(engine.state, flow_id)
    if job is None:
        return page.refused(language)
    asked = page.Asked.of(engine, job)
    if request.method != "POST" or asked is None:
        return page.show(language, job, asked, path=f"{path}?{request.query}")
    return _page_answer(engine, request, asked, language)


def _page_answer(engine: Engine, request: Request, asked: page.Asked, language: page.Language) -> HttpAnswer:
    form = _form(request.body)
    given = page.read_form(form, asked)
    if given is None:
        return page.refused(language)
    said = engine.answer(asked.job_id, given)
    return page.done(language, given, kept=said.kept)


def _form(body: bytes) -> Mapping[str, Sequence[str]]:
    try:
        return parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=100)
    except (UnicodeDecodeError, ValueError):
        return {}
