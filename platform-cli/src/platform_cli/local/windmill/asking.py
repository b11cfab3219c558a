"""What is asked of a runtime over HTTP: reading it, and the answers that start nothing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from platform_cli.local.windmill import answers, events
from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.flows.api import Request
from platform_cli.local.windmill.jobs import Jobs
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.shelf import Shelved

Headers = Sequence[tuple[str, str]]


def cancel(jobs: Jobs, job_id: str, request: Request) -> HttpAnswer:
    """End a job outside flows that waits or runs. The body may hold a `reason`."""
    if request.method != "POST":
        return HttpAnswer(405, (("allow", "POST"),), b"")
    try:
        uuid.UUID(job_id)
        given = json.loads(request.body or b"{}")
    except ValueError:
        return answers.text(400, f"Invalid URL: Cannot parse `id` with value `{job_id}`")
    reason = given.get("reason") if isinstance(given, dict) else None
    who = request.reader.permissioned_as.removeprefix("u/") if request.reader else "anonymous"
    match jobs.cancel(job_id, who, reason if isinstance(reason, str) else ""):
        case "ending":
            return answers.text(200, job_id)
        case "over":
            return answers.text(200, f"queued job id {job_id} is already completed")
        case "unknown":
            return answers.plain(404, f"Not found: queued job id {job_id} does not exist")


def no_route(here: Shelved, called_path: str) -> HttpAnswer:
    """404 in the server's words; but a route that is broken may have been meant, and is told instead."""
    broken = [one.error.one_line() for one in here.broken.values() if one.kind == "http_trigger"]
    if broken:
        return answers.plain(
            503, f"No route answers /{called_path}, and not all can be read: {' '.join(broken)}"
        )
    return answers.plain(404, f"Not found: Trigger not found at name /{called_path} (handler.rs:142)")


def content_type(headers: Headers) -> str | None:
    """The content type of a request, or None."""
    return next((value for name, value in headers if name.lower() == "content-type"), None)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is to take its body, as the query says."""

    raw: bool
    wrap_body: bool
    skip_preprocessor: bool


def run_options(query: str) -> RunOptions:
    """Read the query of a run. Raises: RequestRefused (400) for what is not done here."""
    given = events.query_map(query)
    if unknown := sorted(set(given) - {"raw", "wrap_body", "skip_preprocessor", "token"}):
        raise answers.bad_request(
            f"the local runtime does not know the query parameters {', '.join(unknown)}"
        )
    return RunOptions(*(given.get(name) == "true" for name in ("raw", "wrap_body", "skip_preprocessor")))


def webhook_event(body: events.Body, headers: Headers, query: str) -> dict[str, Json]:
    """What the preprocessor of a script gets that is run over the API."""
    return {
        "event": {
            "kind": "webhook",
            "body": body.value,
            "raw_string": body.raw_string,
            "headers": events.header_map(headers),
            "query": events.query_map(query),
        }
    }
