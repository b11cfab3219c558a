"""The queue at the command line: run with spans, serve as a service, look at what it costs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from platform_core.jobs import queue
from tests.support.offices import Office
from tests.support.queues import wait_until
from tests.support.wmctl import rows_of


def alert(office: Office, name: str) -> int:
    """A job that any installation can do."""
    with office.app() as app, app.tx() as tx:
        detail = {"kind": "test.trouble", "severity": "P3", "dedupe": f"cli:{name}"}
        return queue.enqueue(tx, "alert.raised", detail).job_id


def is_done(office: Office, job_id: int) -> bool:
    """Whether that job has ended well."""
    found = rows_of(office.admin_dsn, f"SELECT outcome FROM jobs.done WHERE job_id = {job_id}")
    return found == [{"outcome": "done"}]


def test_a_run_appends_a_span_of_each_job_to_a_file(office: Office, tmp_path: Path) -> None:
    """Two runs, one file: whole lines of OTLP/JSON with the customer's name."""
    file = tmp_path / "spans.jsonl"
    jobs = []
    for name in ("first", "second"):
        jobs.append(alert(office, name))
        office.say("job", "run", "--seconds", "20", "--spans", str(file), "-c", office.slug)
    resources = [
        resource
        for line in file.read_text(encoding="utf-8").splitlines()
        for resource in json.loads(line)["resourceSpans"]
    ]
    spans = [span for found in resources for scope in found["scopeSpans"] for span in scope["spans"]]
    named = {
        next(fact["value"]["stringValue"] for fact in span["attributes"] if fact["key"] == "job.id")
        for span in spans
    }

    assert {f"J{job_id}" for job_id in jobs} <= named
    assert {"key": "tenant", "value": {"stringValue": office.slug}} in resources[0]["resource"]["attributes"]


def test_spans_that_cannot_be_written_are_refused_before_anything_runs(
    office: Office, tmp_path: Path
) -> None:
    """The job is untouched."""
    job_id = alert(office, "unwritten")
    said = office.terminal.say(
        "job", "run", "--seconds", "5", "--spans", str(tmp_path / "no" / "spans"), "-c", office.slug
    )

    assert said.code != 0
    assert "cannot be written" in said.err
    assert not is_done(office, job_id)


PRESENT = "SELECT id FROM jobs.lease WHERE worker LIKE 'rounds:%'"


def test_serving_works_what_comes_and_ends_in_order_on_sigterm(office: Office) -> None:
    """It is present while it serves, and leaves no lease of its own behind."""
    of_others = rows_of(office.admin_dsn, "SELECT id FROM jobs.lease")  # of commands that were killed
    command = office.terminal.start("job", "serve", "-c", office.slug, "--hands", "2", "--seconds", "60")
    try:
        wait_until(
            lambda: any(lease not in of_others for lease in rows_of(office.admin_dsn, PRESENT)),
            "it is present",
        )
        job_id = alert(office, "served")
        wait_until(lambda: is_done(office, job_id), "the job is done")
        os.killpg(command.pid, signal.SIGTERM)
        _, err = command.communicate(timeout=30)
    finally:
        if command.poll() is None:
            command.kill()
            command.communicate()

    assert (command.returncode, "Stopped in order." in err) == (0, True)
    left = rows_of(office.admin_dsn, "SELECT id FROM jobs.lease")
    assert [lease for lease in left if lease not in of_others] == []


def test_serving_ends_by_itself_when_its_time_is_over(office: Office) -> None:
    """For a service that somebody restarts now and then."""
    said = office.terminal.run("job", "serve", "-c", office.slug, "--seconds", "1")

    assert (said.code, "Stopped in order." in said.err) == (0, True)


def test_health_says_what_the_queue_holds_and_what_it_costs(office: Office) -> None:
    """Numbers of the queue and of its tables, in one document."""
    said = office.terminal.say("job", "health", "--json", "-c", office.slug)
    document = json.loads(said.out)

    assert (said.code, set(document)) == (0, {"queue", "storage"})
    assert document["queue"]["leases"] == len(rows_of(office.admin_dsn, "SELECT FROM jobs.lease"))
    assert document["storage"]["job_bytes"] > 0
    assert document["storage"]["history_days"] >= 1
    assert 0.0 <= document["storage"]["bloat_ratio"] <= 1.0
