"""Flows that ask staff about claims, as people meet them: seen in Windmill, answered on their own page."""

from __future__ import annotations

import html
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from platform_cli.local.stage import Stage
from platform_core.errors import Unavailable

ENDED = ("rejected", "decided_elsewhere", "decided_elsewhere")
"""What the reviews of the day came to: one was answered on its page, two were decided before anybody did."""

WAITS: Mapping[str, int] = {"answered": 1, "settled": 2}
"""How their waits stand in the customer's own database."""

_PATIENCE_S = 30.0
_LOOK_EVERY_S = 0.02
_TIMEOUT_S = 10.0
_ACTION = re.compile(r'<form method="post" action="([^"]+)">')
_NUMBER = re.compile(r'<input type="hidden" name="number" value="([0-9]+)">')


@dataclass(frozen=True, slots=True)
class Review:
    """One flow that asks about one claim. `step_job` asks and waits; `outcome` is empty while it goes on."""

    flow_job: str
    claim: str
    step_job: str
    is_waiting: bool
    outcome: str


def list_reviews(stage: Stage) -> list[Review]:
    """Every review flow that Windmill knows of. Raises: Unavailable when it does not answer as it does."""
    flow = stage.policy.payments.review_flow
    listed = _ask_windmill(stage, f"jobs/list?per_page=100&script_path_exact=f/{stage.customer}/{flow}")
    return [_review(_ask_windmill(stage, f"jobs_u/get/{one['id']}")) for one in listed]


def wait_for(stage: Stage, ready: Callable[[list[Review]], bool]) -> list[Review]:
    """The reviews once they are as wished, or as they are when patience ends: steps take a moment."""
    gives_up_at = time.monotonic() + _PATIENCE_S
    found = list_reviews(stage)
    while not ready(found) and time.monotonic() < gives_up_at:
        time.sleep(_LOOK_EVERY_S)
        found = list_reviews(stage)
    return found


def outcomes(stage: Stage) -> Counter[str]:
    """What became of every review; one that goes on, or failed, counts under a name that says so."""
    ended = wait_for(stage, lambda found: all(review.outcome for review in found))
    return Counter(review.outcome or "goes on" for review in ended)


def answer_on_page(stage: Stage, review: Review, *, who: str, answer: Mapping[str, str]) -> int:
    """Open the flow's page by the link that Windmill shows, fill its form in and send it; the HTTP status.

    The link is all that is needed, no token. Raises: Unavailable when the page is not one with a form.
    """
    urls = _ask_windmill(stage, f"jobs/resume_urls/{review.step_job}/1")
    status, page = _request(str(urls["approvalPage"]))
    action, number = _ACTION.search(page), _NUMBER.search(page)
    if status != HTTPStatus.OK or action is None or number is None:
        raise Unavailable(f"The page of {review.claim}'s flow asks nothing: HTTP {status}")
    form = {"number": number[1], "who": who, "answer": "approve"}
    form |= {f"field.{name}": value for name, value in answer.items()}
    status, _ = _request(f"{stage.windmill_url}{html.unescape(action[1])}", form=form)
    return status


def _review(job: Mapping[str, Any]) -> Review:
    steps = (job.get("flow_status") or {}).get("modules") or [{}]
    asking = next((step for step in steps if step.get("type") == "WaitingForEvents"), None)
    result = job.get("result")
    ended = job["type"] == "CompletedJob"
    said = result.get("outcome") if isinstance(result, dict) else None
    return Review(
        flow_job=job["id"],
        claim=str(job["args"]["claim"]),
        step_job=str(steps[0].get("job") or ""),
        is_waiting=not ended and asking is not None,
        outcome=str(said or "failed") if ended else "",
    )


def _ask_windmill(stage: Stage, tail: str) -> Any:  # Any: JSON of Windmill's API
    status, text = _request(
        f"{stage.windmill_url}/api/w/{stage.runtime.workspace}/{tail}", token=stage.runtime.admin_token
    )
    if status != HTTPStatus.OK:
        raise Unavailable(f"Windmill answers {status} to {tail.partition('?')[0]}")
    return json.loads(text)


def _request(url: str, *, token: str = "", form: Mapping[str, str] | None = None) -> tuple[int, str]:
    """GET, or POST of a form; status and text."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = None
    if form is not None:
        headers["Content-Type"], body = "application/x-www-form-urlencoded", urlencode(form)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        connection.request("GET" if form is None else "POST", target, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
