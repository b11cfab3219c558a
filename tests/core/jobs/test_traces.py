"""Which receipt a job comes from, and a span of every run."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from platform_core.jobs import queue
from platform_core.jobs.contracts import HandlerSpec, JobContext, NewJob, RunCounts
from platform_core.jobs.tracing import Span, current_trace, root_trace
from platform_core.observability.otlp import SpanFile
from platform_core.values import Dead, Done, Outcome, Retry, Snooze
from tests.support.databases import TenantDatabase
from tests.support.queues import add, look, make_runner

TRACES = "SELECT job_id, kind, trace FROM jobs.done ORDER BY job_id"


def test_what_a_handler_enqueues_belongs_to_the_trace_of_its_job(tenant_db: TenantDatabase) -> None:
    """Over generations and through a retry; the job that begins a trace stores none."""
    first, other = add(tenant_db, "root", "root")

    def root(context: JobContext) -> Outcome:
        with context.tx() as tx:
            queue.enqueue(tx, "child", {})
        return Done()

    def child(context: JobContext) -> Outcome:
        if context.job.attempt == 1:
            return Retry("once more")
        with context.tx() as tx:
            queue.enqueue_many(tx, [NewJob("leaf", {})])
        return Done()

    counts = make_runner(
        tenant_db, {"root": root, "child": child, "leaf": lambda _: Done()}, concurrency=1
    ).run_until_empty()
    roots = [root_trace(tenant_db.name, job_id) for job_id in (first, other)]

    assert counts == RunCounts(done=6, retried=2)
    assert [(kind, trace) for _, kind, trace in look(tenant_db, TRACES)] == [
        ("root", None),
        ("root", None),
        ("child", roots[0]),
        ("child", roots[1]),
        ("leaf", roots[0]),
        ("leaf", roots[1]),
    ]


def test_a_coroutine_sees_the_trace_of_its_own_job(tenant_db: TenantDatabase) -> None:
    """Also the second one that runs on the same loop; outside a job there is no trace."""
    ids = add(tenant_db, "a", "a", "a")
    seen: list[UUID | None] = []

    async def handle(_context: JobContext) -> Outcome:
        seen.append(current_trace())
        return Done()

    make_runner(tenant_db, {"a": HandlerSpec(handle)}, concurrency=1).run_until_empty()

    assert seen == [root_trace(tenant_db.name, job_id) for job_id in ids]
    assert current_trace() is None


def test_every_run_of_a_handler_leaves_one_span_with_its_outcome(tenant_db: TenantDatabase) -> None:
    """Retries and snoozes are runs of their own; a job that never ran leaves none."""
    answers: dict[str, list[Outcome]] = {
        "good": [Done()],
        "flaky": [Retry("not yet"), Retry("not yet"), Done()],
        "dead": [Dead("never")],
        "sleepy": [Snooze("later", after=timedelta(0)), Done()],
    }

    def handle(context: JobContext) -> Outcome:
        return answers[context.job.kind].pop(0)

    ids = dict(zip((*answers, "unknown"), add(tenant_db, *answers, "unknown"), strict=True))
    spans: list[Span] = []
    make_runner(tenant_db, dict.fromkeys(answers, handle), record_spans=spans.extend).run_until_empty()

    assert sorted((span.kind, span.attempt, span.outcome) for span in spans) == [
        ("dead", 1, "dead"),
        ("flaky", 1, "retried"),
        ("flaky", 2, "retried"),
        ("flaky", 3, "done"),
        ("good", 1, "done"),
        ("sleepy", 1, "done"),
        ("sleepy", 1, "snoozed"),
    ]
    assert {span.job_id for span in spans} == set(ids.values()) - {ids["unknown"]}
    assert all(span.duration_ns >= 0 and span.waited_s >= 0 for span in spans)


def test_a_run_that_was_given_up_leaves_a_span_too(tenant_db: TenantDatabase) -> None:
    """The longest run of all must not be the one that nobody sees."""
    release = threading.Event()

    def deaf(_context: JobContext) -> Outcome:
        release.wait(20)
        return Done()

    add(tenant_db, "deaf")
    spans: list[Span] = []
    spec = HandlerSpec(deaf, timeout_s=0.1, max_attempts=1)
    make_runner(tenant_db, {"deaf": spec}, grace_s=0.1, record_spans=spans.extend).run_until_empty()
    release.set()

    assert [(span.kind, span.outcome, span.duration_ns >= 2e8) for span in spans] == [("deaf", "dead", True)]


def test_as_many_spans_as_runs_over_several_threads(tenant_db: TenantDatabase) -> None:
    """Each of them with an identifier of its own."""
    jobs = 400
    with tenant_db.connect() as tx:
        queue.enqueue_many(tx, [NewJob("a", {})] * jobs)
    spans: list[Span] = []
    make_runner(
        tenant_db, {"a": lambda _: Done()}, concurrency=3, record_spans=spans.extend
    ).run_until_empty()

    assert (len(spans), len({span.span_id for span in spans})) == (jobs, jobs)


def test_a_span_file_holds_lines_that_a_collector_reads(tenant_db: TenantDatabase, tmp_path: Path) -> None:
    """One request a line, identifiers in hexadecimal, instants as text, and the status of the outcome."""
    add(tenant_db, "good", "bad")
    file = tmp_path / "spans.jsonl"
    with SpanFile(file, tenant="acme") as spans:
        make_runner(
            tenant_db, {"good": lambda _: Done(), "bad": lambda _: Dead("no")}, record_spans=spans.record
        ).run_until_empty()
    requests = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    resources = [resource for request in requests for resource in request["resourceSpans"]]
    written = [span for found in resources for scope in found["scopeSpans"] for span in scope["spans"]]

    assert {fact["key"]: fact["value"] for fact in resources[0]["resource"]["attributes"]} == {
        "service.name": {"stringValue": "platform-jobs"},
        "tenant": {"stringValue": "acme"},
    }
    assert sorted((span["name"], span["kind"], span["status"]) for span in written) == [
        ("bad", 1, {"code": 2}),
        ("good", 1, {"code": 1}),
    ]
    for span in written:
        assert re.fullmatch(r"[0-9a-f]{32}", span["traceId"])
        assert re.fullmatch(r"[0-9a-f]{16}", span["spanId"])
        assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"]) > 1_700_000_000 * 10**9
