"""Forms, HTML, async routes and cancelled jobs, as a Windmill 1.743.0 server was measured to answer them."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from platform_cli.local.windmill.runtime import JobEnded, JobStarted, Runtime
from platform_cli.local.windmill.server import serving
from tests.support.windmill import ECHO, EVENT, Answer, add_route, add_script, send

FORM = [("content-type", "application/x-www-form-urlencoded")]
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS",
    "access-control-allow-headers": "content-type, authorization",
}
SCRIPTS = {
    "event": EVENT,
    "plain": ECHO,
    "boom": "def main():\n    raise ValueError('boom')\n",
    "slow": "import time\ndef main():\n    print('begun', flush=True)\n    time.sleep(600)\n",
    "html": (
        "def main():\n    return {'windmill_content_type': 'text/html; charset=utf-8', 'result': '<p>hola'}\n"
    ),
    "moved": (
        "def main():\n    return {'windmill_content_type': 'text/html; charset=utf-8', 'windmill_headers': "
        "{'Content-Security-Policy': \"default-src 'none'\", 'set-cookie': 'a=b; Path=/; HttpOnly'}, "
        "'windmill_status_code': 303, 'result': '<p>hola'}\n"
    ),
}


@dataclass(slots=True)
class Served:
    """A runtime behind HTTP, and what it told of its jobs."""

    url: str
    runtime: Runtime
    started: list[JobStarted]
    ended: list[JobEnded]

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: list[tuple[str, str]] | None = None
    ) -> Answer:
        """One request."""
        return send(self.url, method, path, body, headers or ())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same routes as on the server that was measured."""
    root = tmp_path_factory.mktemp("customers")
    for name, code in SCRIPTS.items():
        add_script(root, name, code)
    add_route(root, "event", "acme/form/*rest")
    add_route(root, "plain", "acme/formplain")
    add_route(root, "html", "acme/html", http_method="get", raw_string=False)
    add_route(root, "moved", "acme/moved", http_method="get", raw_string=False)
    add_route(root, "plain", "acme/async/:id", request_type="async", raw_string=False)
    add_route(root, "boom", "acme/asyncboom", request_type="async", raw_string=False)
    add_route(root, "plain", "acme/asyncget", request_type="async", raw_string=False, http_method="get")
    started, ended = list[JobStarted](), list[JobEnded]()
    with (
        Runtime(root, {}, mode="cold", on_start=started.append, on_end=ended.append) as runtime,
        serving(runtime) as url,
    ):
        yield Served(url, runtime, started, ended)


def _event(answer: Answer) -> dict[str, object]:
    found = json.loads(answer.body)
    return {name: found[name] for name in ("raw_string", "body", "query", "params", "path")}


@pytest.mark.parametrize(
    ("content_type", "body", "fields"),
    [
        (
            "application/x-www-form-urlencoded",
            "action=approve&note=Se%C3%B1or+%26+%2B+x&action=reject&empty=",
            {"action": "reject", "note": "Señor & + x", "empty": ""},
        ),
        ("application/x-www-form-urlencoded", "", {}),
        ("application/x-www-form-urlencoded", "note=%ud800", {"note": "%ud800"}),
        ("application/x-www-form-urlencoded; charset=UTF-8", "a=1&b", {"a": "1", "b": ""}),
    ],
)
def test_a_form_arrives_exactly_and_decoded(
    served: Served, content_type: str, body: str, fields: Mapping[str, str]
) -> None:
    """`raw_string` is the text as it was posted; of a doubled field the last is in `body`."""
    answer = served.ask(
        "POST", "/api/r/acme/form/claims/C12/decide?x=1", body.encode(), [("content-type", content_type)]
    )

    assert _event(answer) == {
        "raw_string": body,
        "body": fields,
        "query": {"x": "1"},
        "params": {"rest": "claims/C12/decide"},
        "path": "acme/form/claims/C12/decide",
    }


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"note=%24var%3Af%2Facme%2Fsecret", 422, "Variable f/acme/secret not found for `note`"),
        (b"note=%00x", 400, "SqlErr: error returned from database: unsupported Unicode escape sequence"),
        (b"note=\xff", 400, "Bad request: invalid utf8: invalid utf-8 sequence of 1 bytes from index 5"),
    ],
)
def test_a_form_that_the_server_refuses_is_refused_before_the_script(
    served: Served, body: bytes, status: int, says: str
) -> None:
    """A field that begins with a reference, a NUL, bytes that are no text."""
    answer = served.ask("POST", "/api/r/acme/form/a", body, FORM)

    assert answer.status == status
    assert says in answer.body.decode()


def test_a_form_becomes_arguments_where_there_is_no_preprocessor(served: Served) -> None:
    """With the exact text beside them, because the route asks for it."""
    answer = served.ask("POST", "/api/r/acme/formplain", b"action=approve&amount=45000", FORM)

    assert json.loads(answer.body) == {
        "action": "approve",
        "amount": "45000",
        "raw_string": "action=approve&amount=45000",
    }


@pytest.mark.parametrize("path", ["/api/r/acme/form", "/api/r/acme/form/"])
def test_a_wildcard_does_not_answer_its_own_beginning(served: Served, path: str) -> None:
    """The home of a panel needs a route of its own."""
    answer = served.ask("POST", path, b"", FORM)

    assert answer.status == 404
    assert answer.body == b"Not found: Trigger not found at name /acme/form (handler.rs:142)"


def test_html_goes_out_with_the_scripts_own_headers_and_status(served: Served) -> None:
    """Windmill adds what browsers need for other origins, and no policy of its own."""
    html, moved = served.ask("GET", "/api/r/acme/html"), served.ask("GET", "/api/r/acme/moved")
    length = {"content-length": "7"}

    assert (html.status, html.body) == (200, b"<p>hola")
    assert html.headers == {"content-type": "text/html; charset=utf-8", **CORS, **length}
    assert moved.status == 303
    assert moved.headers == {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": "default-src 'none'",
        "set-cookie": "a=b; Path=/; HttpOnly",
        **CORS,
        **length,
    }


def test_an_async_route_answers_with_the_jobs_id_whatever_becomes_of_it(served: Served) -> None:
    """201 at once; the job runs, with the request's arguments, and may fail unseen."""
    post = served.ask("POST", "/api/r/acme/async/7", b'{"a":1}', [("content-type", "application/json")])
    boom = served.ask("POST", "/api/r/acme/asyncboom", b"{}", [("content-type", "application/json")])
    get = served.ask("GET", "/api/r/acme/asyncget?x=1")
    bad = served.ask("POST", "/api/r/acme/async/7", b'{"a":', [("content-type", "application/json")])
    jobs = [answer.body.decode() for answer in (post, boom, get)]
    _until(lambda: {one.job_id for one in served.ended} >= set(jobs))

    assert [answer.status for answer in (post, boom, get)] == [201, 201, 201]
    assert {answer.headers["content-type"] for answer in (post, boom, get)} == {"text/plain; charset=utf-8"}
    assert len({uuid.UUID(job) for job in jobs}) == 3
    assert [one.ok for job in jobs for one in served.ended if one.job_id == job] == [True, False, True]
    assert bad.status == 400
    assert bad.body == b"Bad request: invalid json: EOF while parsing a value at line 1 column 5"


def test_a_running_job_is_cancelled_over_http_and_says_by_whom(served: Served) -> None:
    """Its id is the answer; who waits gets 422, and asking again finds it over."""
    bearer = [("authorization", f"Bearer {served.runtime.admin_token}")]
    answers: list[Answer] = []
    waiting = threading.Thread(
        target=lambda: answers.append(
            served.ask("POST", "/api/w/prod/jobs/run_wait_result/p/f/acme/slow", b"{}", bearer)
        )
    )
    waiting.start()
    _until(lambda: any(job.path == "f/acme/slow" for job in served.started))
    job_id = next(job.job_id for job in served.started if job.path == "f/acme/slow")
    cancel = f"/api/w/prod/jobs_u/queue/cancel/{job_id}"
    first = served.ask("POST", cancel, b'{"reason":"no longer wanted"}', bearer)
    waiting.join(20)
    again = served.ask("POST", cancel, b"{}", bearer)
    other = "11111111-3b01-de65-f7df-11d8aada2cb3"
    unknown = served.ask("POST", f"/api/w/prod/jobs_u/queue/cancel/{other}", b"{}", bearer)
    nonsense = served.ask("POST", "/api/w/prod/jobs_u/queue/cancel/zzz", b"{}", bearer)

    assert (first.status, first.body.decode()) == (200, job_id)
    assert answers[0].status == 422
    assert json.loads(answers[0].body) == {
        "error": {
            "name": "ExecutionErr",
            "message": "execution error:\njob process terminated due to cancelled by superadmin_secret "
            "(reason: no longer wanted)",
        }
    }
    assert (again.status, again.body.decode()) == (200, f"queued job id {job_id} is already completed")
    assert (unknown.status, unknown.body.decode()) == (
        404,
        f"Not found: queued job id {other} does not exist",
    )
    assert nonsense.status == 400
    assert nonsense.body.startswith(b"Invalid URL: Cannot parse `id` with value `zzz`")


def _until(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError
