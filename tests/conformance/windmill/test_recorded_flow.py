"""The requests about one flow recorded on a real Windmill 1.743.0, in their order, sent to the local one.

The flow is the one the official command line wrote; its inline Python alone is another, for the recorded one
imports a package that is not installed here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platform_cli.local import postgres
from platform_cli.local.windmill.runtime import Runtime
from platform_cli.local.windmill.server import serving
from tests.support.windmill import Answer, post_json, send
from tests.support.written_flows import JobApi, new_state, path_of

RECORDED: dict[str, Any] = json.loads(
    Path(__file__).with_name("recorded_flow.json").read_text(encoding="utf-8")
)
EXCHANGES = {exchange["name"]: exchange for exchange in RECORDED["exchanges"]}
_CHANGES = {"created_at", "started_at", "completed_at", "scheduled_for", "duration_ms", "flow_jobs_duration"}
_NOT_KEPT = {"script_hash", "worker", "content", "lock", "leaf_jobs"}
"""What belongs to the server's machines and versions, and the inline Python."""
_STABLE = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"/[0-9a-f]{64}"), "/<signature>"),
    (re.compile(r"token=[0-9a-f]{64}"), "token=<token>"),
    (re.compile(r"http://127.0.0.1:\d+"), "<url>"),
)


@pytest.fixture
def served(cluster: postgres.Cluster, tmp_path: Path) -> Iterator[JobApi]:
    """The recorded flow, served."""
    for name, content in RECORDED["files"].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    with Runtime(tmp_path, {}, state_dsn=new_state(cluster)) as runtime, serving(runtime) as url:
        yield JobApi(url, runtime.admin_token)


def _stable(value: Any) -> Any:  # Any: any JSON
    if isinstance(value, dict):
        return {name: _stable(item) for name, item in value.items() if name not in _CHANGES | _NOT_KEPT}
    if isinstance(value, list):
        return [_stable(item) for item in value]
    if isinstance(value, str):
        for pattern, instead in _STABLE:
            value = pattern.sub(instead, value)
    return value


def _same(name: str, answer: Answer) -> None:
    recorded = EXCHANGES[name]["response"]
    assert (recorded["status"], recorded["content_type"]) == (
        answer.status,
        answer.headers.get("content-type", ""),
    )
    body = (
        json.loads(answer.body) if answer.headers.get("content-type") == "application/json" else answer.text
    )
    assert _stable(recorded["body"]) == _stable(body)


def test_the_recorded_life_of_a_flow_is_lived_here_too(served: JobApi) -> None:
    """Begun, suspended, answered, ended: status, content type and body of each request."""
    begun = served.post("jobs/run/f/f/acme/review", EXCHANGES["run_flow"]["request"]["body"])
    _same("run_flow", begun)
    flow = begun.text
    served.waiting(flow)
    _same("job_get_suspended_flow", served.get(f"jobs_u/get/{flow}"))
    asked = served.get(f"jobs/resume_urls/{flow}/7?approver=staff")
    _same("resume_urls", asked)
    urls = json.loads(asked.body)
    sent = json.dumps(EXCHANGES["resume"]["request"]["body"]).encode()
    kind = [("content-type", "application/json")]
    _same("resume", send(served.base_url, "POST", path_of(urls["resume"]), sent, kind))
    served.ended(flow)
    _same("job_get_completed_flow", served.get(f"jobs_u/get/{flow}"))
    _same("jobs_list", served.get("jobs/list?per_page=2&script_path_start=f/acme/"))


@pytest.mark.parametrize(
    ("method", "tail", "body", "content_type", "status", "text"),
    [
        ("POST", "", b"", "", 415, "Expected request with `Content-Type: application/json`"),
        ("POST", "", b"a=1", "text/plain", 415, "Expected request with `Content-Type: application/json`"),
        (
            "POST",
            "",
            b"{",
            "application/json",
            400,
            "Failed to parse the request body as JSON: EOF while parsing an object at line 1 column 1",
        ),
        ("POST", "?approver=x", b"{}", "application/json", 500, "Error: Invalid signature @jobs.rs:3770:5"),
        ("PUT", "", b"{}", "application/json", 405, ""),
        ("GET", "", b"", "", 201, ""),
    ],
)
def test_an_answer_is_refused_as_the_server_refuses_it(  # noqa: PLR0913, PLR0917 - one row of a table
    served: JobApi, method: str, tail: str, body: bytes, content_type: str, status: int, text: str
) -> None:
    """Measured on 2026-11-25 on the same version."""
    flow = served.start("f/acme/review", {"name": "ana"})
    served.waiting(flow)
    url = served.urls(flow, 7)["resume"]
    headers = [("content-type", content_type)] if content_type else []

    answer = send(served.base_url, method, url + tail, body, headers)

    assert (answer.status, answer.text) == (status, text)


def test_an_answer_given_twice_counts_once(served: JobApi) -> None:
    """While the flow is still there, it is said that it was given; afterwards, that the flow is over."""
    flow = served.start("f/acme/review", {"name": "ana"})
    served.waiting(flow)
    url = served.urls(flow, 7)["resume"]

    first, again = send(served.base_url, "GET", url), send(served.base_url, "GET", url)
    served.ended(flow)
    late = send(served.base_url, "GET", url)

    over = f"Error: job not found or parent flow not in queue: {flow} @jobs.rs:3874:18"
    assert first.status == 201
    assert (again.status, late.status) == (500, 500)
    assert again.text in {EXCHANGES["resume_again"]["response"]["body"], over}
    assert late.text == over


def test_unknown_jobs_and_flows_are_answered_as_the_server_does(served: JobApi) -> None:
    """Measured on 2026-11-25 on the same version."""
    unknown = "87f2f699-4373-4219-a85f-1d6d1fa5aa6a"

    answers = [
        served.get(f"jobs_u/get/{unknown}"),
        served.post(f"jobs_u/queue/cancel/{unknown}", {"reason": "x"}),
        served.post("jobs/run/f/f/acme/none", {}),
        served.get(f"jobs/resume_urls/{unknown}/7"),
    ]

    assert [(answer.status, answer.text) for answer in answers[:3]] == [
        (404, f"Not found: Job not found at name {unknown} (jobs.rs:1688)"),
        (404, f"Not found: queued job id {unknown} does not exist"),
        (404, "Not found: flow not found at name f/acme/none (lib.rs:1778)"),
    ]
    assert answers[3].status == 200


def test_a_flow_that_is_waited_for_answers_with_its_result(served: JobApi) -> None:
    """As a script does, and the end can be asked for again by its id."""
    flow = served.start("f/acme/review", {"name": "ana"})
    served.waiting(flow)
    post_json(served.base_url, served.urls(flow, 1)["resume"], {"approved": True})
    ended = served.ended(flow)

    maybe = served.get(f"jobs_u/completed/get_result_maybe/{flow}").json
    assert maybe == {
        "started": True,
        "success": ended["success"],
        "completed": True,
        "result": ended["result"],
    }
    assert served.get(f"jobs_u/completed/get_result/{flow}").json == ended["result"]
    assert served.get(f"jobs_u/get_root_job_id/{flow}").json == flow
    assert served.get(f"jobs_u/get_logs/{flow}").text.endswith("Flow job completed with success\n")
