"""Flows over time: the clock that is handed in, people who answer, runtimes that come and go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from platform_cli.local import postgres
from platform_cli.local.windmill.flows.approvals import Answer
from platform_cli.local.windmill.flows.engine import FlowMoved
from platform_cli.local.windmill.flows.state import StateTaken
from platform_cli.local.windmill.jobs import JobEnded, JobStarted
from platform_cli.local.windmill.runtime import Runtime
from platform_cli.local.windmill.server import serving
from platform_core.errors import ConfigurationError, NotFound, Unavailable
from tests.support.windmill import add_script, send
from tests.support.written_flows import JobApi, add_flow, identity, new_state, step, until

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
HELLO = "def main(name='x'):\n    return {'hi': name}\n"
SLOW = "import time\ndef main():\n    time.sleep(600)\n"
ASKS = {
    "modules": [
        {
            **step("asks", "f/acme/hello"),
            "suspend": {
                "required_events": 1,
                "timeout": 3600,
                "resume_form": {
                    "schema": {
                        "properties": {
                            "amount": {"type": "number", "title": "<b>Monto</b>"},
                            "sure": {"type": "boolean"},
                        }
                    }
                },
            },
        },
        step("answered", "f/acme/echo", value="=resume", who="=approvers"),
    ]
}


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        """The time."""
        return self.at


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A customer with a few flows."""
    folder = tmp_path / "customers"
    add_script(folder, "hello", HELLO)
    add_script(folder, "echo", "def main(**given):\n    return given\n")
    add_script(folder, "slow", SLOW)
    add_script(folder, "boom", "def main():\n    raise ValueError('boom')\n")
    add_flow(folder, "asks", ASKS)
    sleeps = {**step("a", "f/acme/hello"), "sleep": {"type": "static", "value": 3600}}
    add_flow(folder, "sleeps", {"modules": [sleeps, identity("b")]})
    retries = {**step("a", "f/acme/boom"), "retry": {"constant": {"attempts": 1, "seconds": 3600}}}
    add_flow(folder, "retries", {"modules": [retries, identity("b")]})
    add_flow(folder, "slow", {"modules": [step("a", "f/acme/slow"), identity("b")]})
    add_flow(
        folder, "plain", {"modules": [step("a", "f/acme/hello", name="=flow_input.name"), identity("b")]}
    )
    return folder


@pytest.fixture
def dsn(cluster: postgres.Cluster) -> str:
    """A fresh state."""
    return new_state(cluster)


@contextmanager
def _opened(root: Path, dsn: str, **more: object) -> Iterator[tuple[Runtime, HandClock]]:
    clock = HandClock()
    with Runtime(root, {}, mode="cold", state_dsn=dsn, clock=clock, **more) as runtime:  # type: ignore[arg-type]  # as given
        yield runtime, clock


def _state(dsn: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as db:
        return db.execute("SELECT step_id, state, outcome FROM flows.job ORDER BY number").fetchall()


def test_a_flow_that_sleeps_goes_on_when_the_clock_says_so(root: Path, dsn: str) -> None:
    """Not a moment before, however long the machine waits."""
    with _opened(root, dsn) as (runtime, clock):
        flow = runtime.start_flow("f/acme/sleeps", {})
        until(lambda: ("b", "queued", None) in _state(dsn), "the step after the sleep to be queued")
        clock.at = START + HOUR - timedelta(seconds=1)
        assert not runtime.engine.wait(flow, 0.3)

        clock.at = START + HOUR
        runtime.engine.wake()

        assert runtime.flow_result(flow, 20).value == {"hi": "x"}


def test_a_step_that_failed_is_tried_again_when_the_clock_says_so(root: Path, dsn: str) -> None:
    """After its distance, and as often as it says."""
    with _opened(root, dsn) as (runtime, clock):
        flow = runtime.start_flow("f/acme/retries", {})
        until(lambda: _state(dsn)[2:] == [("a", "queued", None)], "the second try to be queued")
        assert not runtime.engine.wait(flow, 0.3)

        clock.at = START + HOUR

        result = runtime.flow_result(flow, 20)
        assert result.error is not None
        assert (result.error["name"], result.error["step_id"]) == ("ValueError", "a")
        assert _state(dsn) == [
            (None, "done", "failure"),
            ("a", "done", "failure"),
            ("a", "done", "failure"),
        ]


def test_a_flow_nobody_answers_ends_when_its_time_is_over(root: Path, dsn: str) -> None:
    """Also when the runtime that let it wait is gone."""
    with _opened(root, dsn) as (runtime, _):
        flow = runtime.start_flow("f/acme/asks", {})
        until(lambda: (None, "suspended", None) in _state(dsn), "the flow to wait")

    with _opened(root, dsn) as (runtime, clock):
        assert not runtime.engine.wait(flow, 0.3)
        clock.at = START + HOUR
        result = runtime.flow_result(flow, 20)

    assert result.error == {"name": "SuspendedTimedOut", "message": "Timed out waiting to be resumed"}


def test_a_flow_that_waits_holds_no_thread(root: Path, dsn: str) -> None:
    """Fifty of them cost what one does."""
    with _opened(root, dsn) as (runtime, _):
        flows = [runtime.start_flow("f/acme/asks", {}) for _ in range(50)]
        until(lambda: sum(row[1] == "suspended" for row in _state(dsn)) == len(flows), "all of them to wait")
        until(lambda: not runtime.engine.busy, "the last thread to be free")

        for flow in flows:
            assert runtime.engine.answer(flow, Answer(1, "ana", True)).kept
        assert all(runtime.flow_result(flow, 60).ok for flow in flows)


def test_an_answer_counts_once_and_a_late_one_not_at_all(root: Path, dsn: str) -> None:
    """The second of two people learns that it was decided."""
    with _opened(root, dsn) as (runtime, _), serving(runtime) as url:
        api = JobApi(url, runtime.admin_token)
        flow = api.start("f/acme/asks", {})
        waiting = api.waiting(flow)["flow_status"]["modules"][1]["job"]
        urls = api.urls(waiting, 7, "ana")

        first = send(url, "GET", urls["resume"])
        again = send(url, "GET", urls["cancel"])
        ended = api.ended(flow)
        late = send(url, "GET", api.urls(waiting, 8)["resume"])

    assert (first.status, again.status, late.status) == (201, 500, 500)
    assert "resume request already sent" in again.text or "not in queue" in again.text
    assert "parent flow not in queue" in late.text
    assert ended["result"] == {"value": None, "who": ["ana"]}


def test_the_state_belongs_to_one_runtime(root: Path, dsn: str) -> None:
    """A second one is told, and does nothing."""
    with _opened(root, dsn), pytest.raises(StateTaken, match="Another runtime"):
        Runtime(root, {}, mode="cold", state_dsn=dsn)


def test_a_closed_runtime_leaves_its_running_step_to_the_next(root: Path, dsn: str) -> None:
    """The step is started again; when it dies every time, it is given up."""
    started: list[JobStarted] = []
    for _ in range(4):
        started.clear()
        with _opened(root, dsn, on_start=started.append) as (runtime, _):
            flow = runtime.start_flow("f/acme/slow", {}) if not _state(dsn) else ""
            until(lambda: started, "the step to start")
    with _opened(root, dsn) as (runtime, _):
        until(lambda: _state(dsn)[0][1] == "done", "the flow to end")

    assert flow == ""
    assert _state(dsn) == [(None, "done", "failure"), ("a", "done", "failure")]


def test_what_happens_in_a_flow_is_told(root: Path, dsn: str) -> None:
    """Steps with their place, the flow at its end, and that it waits."""
    ended: list[JobEnded] = []
    moved: list[FlowMoved] = []
    with _opened(root, dsn, on_end=ended.append, on_move=moved.append) as (runtime, _):
        plain = runtime.start_flow("f/acme/plain", {"name": "ana"})
        assert runtime.flow_result(plain, 20).value == {"hi": "ana"}
        until(lambda: len(ended) == 3, "the end to be told")
        waits = runtime.start_flow("f/acme/asks", {})
        until(lambda: moved[-1].state == "suspended", "the wait to be told")

    told = [(one.path, one.kind, one.ok, one.flow_job_id, one.step_id) for one in ended[:3]]
    assert told == [
        ("f/acme/hello", "script", True, plain, "a"),
        ("", "identity", True, plain, "b"),
        ("f/acme/plain", "flow", True, "", ""),
    ]
    assert [(one.job_id, one.state) for one in moved] == [
        (plain, "running"),
        (waits, "running"),
        (waits, "suspended"),
    ]


def test_a_flow_that_does_not_end_in_time_goes_on(root: Path, dsn: str) -> None:
    """Whoever waits is told, and may ask again."""
    with _opened(root, dsn) as (runtime, _), pytest.raises(Unavailable, match="has not ended"):
        runtime.run_flow("f/acme/asks", {}, timeout_s=0.2)


def test_an_unknown_flow_and_a_runtime_without_state_are_refused(root: Path, dsn: str) -> None:
    """With the known ones, and with what is missing."""
    with _opened(root, dsn) as (runtime, _), pytest.raises(NotFound, match="no flow f/acme/none") as unknown:
        runtime.start_flow("f/acme/none", {})
    assert "f/acme/plain" in unknown.value.next_step
    with Runtime(root, {}, mode="cold") as runtime, pytest.raises(ConfigurationError, match="runs no flows"):
        runtime.start_flow("f/acme/plain", {})


def test_another_customers_robot_sees_and_ends_nothing(root: Path, dsn: str) -> None:
    """The flow is not there for it, nor may it begin one."""
    with _opened(root, dsn) as (runtime, _), serving(runtime) as url:
        mine, other = JobApi(url, runtime.admin_token), JobApi(url, runtime.token_for("other"))
        robot = JobApi(url, runtime.token_for("acme"))
        flow = robot.start("f/acme/asks", {})
        mine.waiting(flow)

        statuses = [
            other.get(f"jobs_u/get/{flow}").status,
            other.get(f"jobs_u/completed/get_result_maybe/{flow}").status,
            other.post(f"jobs_u/queue/cancel/{flow}", {}).status,
            other.post("jobs/run/f/f/acme/asks", {}).status,
            send(url, "GET", f"/api/w/prod/jobs_u/get/{flow}").status,
        ]

        assert statuses == [404, 404, 404, 401, 401]
        assert other.get("jobs/list").json == []
        assert robot.job(flow)["suspend"] == 1


def _page(api: JobApi, flow: str) -> str:
    return api.urls(flow, 1)["approvalPage"]


def test_the_approval_page_shows_its_form_and_takes_one_answer(root: Path, dsn: str) -> None:
    """In the reader's language, without JavaScript, with every text escaped; a wrong token shows nothing."""
    with _opened(root, dsn) as (runtime, _), serving(runtime) as url:
        api = JobApi(url, runtime.admin_token)
        flow = api.start("f/acme/asks", {})
        api.waiting(flow)
        page = _page(api, flow)

        spanish = send(url, "GET", page, headers=[("accept-language", "es-CL,es;q=0.9")])
        english = send(url, "GET", page, headers=[("accept-language", "fr,en;q=0.5")])
        forged = send(url, "GET", f"{page[:-4]}0000")
        number = spanish.text.split('name="number" value="')[1].split('"')[0]
        form = f"number={number}&who=Ana%20P%C3%A9rez&field.amount=12.50&field.sure=on&answer=approve"
        headers = [("content-type", "application/x-www-form-urlencoded")]
        posted = send(url, "POST", page, form.encode(), headers)
        ended = api.ended(flow)
        again = send(url, "POST", page, form.encode(), headers)

    assert (spanish.status, english.status, forged.status) == (200, 200, 403)
    assert "Este paso espera su respuesta" in spanish.text
    assert "This step waits for your answer" in english.text
    assert "&lt;b&gt;Monto&lt;/b&gt;" in spanish.text
    assert "<b>Monto" not in spanish.text
    assert "<script" not in spanish.text
    assert "default-src 'none'" in spanish.headers["content-security-policy"]
    assert "asks" not in forged.text
    assert "quedó aprobado" in posted.text or "it is approved" in posted.text
    assert ended["result"] == {"value": {"sure": True, "amount": 12.5}, "who": ["Ana Pérez"]}
    assert "no espera ninguna respuesta" in again.text


def test_the_page_refuses_too(root: Path, dsn: str) -> None:
    """And the flow says who did."""
    with _opened(root, dsn) as (runtime, _), serving(runtime) as url:
        api = JobApi(url, runtime.admin_token)
        flow = api.start("f/acme/asks", {})
        api.waiting(flow)
        headers = [("content-type", "application/x-www-form-urlencoded")]

        bad = send(url, "POST", _page(api, flow), b"number=x&answer=approve", headers)
        send(url, "POST", _page(api, flow), b"number=5&who=Ana&answer=refuse", headers)

        assert bad.status == 403
        assert api.ended(flow)["result"]["error"]["message"] == "Disapproved by Ana"


def test_a_canceled_step_is_killed_at_once(root: Path, dsn: str) -> None:
    """Its flow ends as canceled, with who did it and why."""
    started: list[JobStarted] = []
    with _opened(root, dsn, on_start=started.append) as (runtime, _):
        flow = runtime.start_flow("f/acme/slow", {})
        until(lambda: started, "the step to start")

        runtime.engine.cancel(flow, by="ana", reason="enough")

        result = runtime.flow_result(flow, 20)
        assert result.error is not None
        assert result.error["message"] == "Job canceled: enough by ana"
        until(lambda: not Path(f"/proc/{started[0].pid}").exists(), "the process to be gone")


def test_many_flows_at_once_all_end(root: Path, dsn: str) -> None:
    """From many threads, on one state."""
    results: list[object] = []

    def run(runtime: Runtime, number: int) -> None:
        results.append(runtime.run_flow("f/acme/plain", {"name": str(number)}, timeout_s=60).value)

    with _opened(root, dsn) as (runtime, _):
        threads = [threading.Thread(target=run, args=(runtime, number)) for number in range(12)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    assert sorted(str(one) for one in results) == sorted(str({"hi": str(number)}) for number in range(12))
