"""One trouble is one alert; a job that runs twice counts once; a person looks after it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import errors as pg

from platform_core import audit
from platform_core.db import Tx
from platform_core.errors import InvalidInput, NotFound, PermissionDenied, StateConflict
from platform_core.jobs.contracts import Job
from platform_core.observability import alerts
from platform_core.observability.alerts import MOVES, AlertState, Q, acknowledge, list_alerts, record, resolve
from platform_core.tenancy.policy import store_policy
from platform_core.values import Actor, Dead, Done, Outcome
from tests.hygiene.canaries import PASSWORD
from tests.support.databases import TenantDatabase
from tests.support.messaging import MovingClock
from tests.support.policies import policy_of
from tests.support.queues import build_context
from tests.support.states import moves_done, moves_of, states_in_check

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANA, BRUNO, DIEGO = (Actor("user", name) for name in ("ana", "bruno", "diego"))
HELD = {
    "kind": "event.held",
    "severity": "P2",
    "subject": "E9",
    "detail": {"event": 9},
    "dedupe": "event.held:9",
}

_jobs = itertools.count(1)


def report(
    connection: Tx, payload: Mapping[str, object] = HELD, *, job: int | None = None, at: datetime = NOON
) -> Outcome:
    """Run the handler as the runner would, for a new job or the same one again."""

    @contextmanager
    def tx() -> Iterator[Tx]:
        with connection.transaction():
            yield connection

    found = Job(job or next(_jobs), "alert.raised", payload, 1, 8, None, suspect=False)
    context = build_context(found, tx, lambda: False)
    return record(context._replace(clock=MovingClock(at)))


@pytest.fixture
def tx(tenant_db: TenantDatabase) -> Iterator[Tx]:
    """The customer's login, with members."""
    with tenant_db.connect() as connection:
        store_policy(connection, policy_of(tenant_db), Actor("system", "tests"))
        yield connection


def test_what_is_reported_is_there_to_see(tx: Tx) -> None:
    """Every field, as the job said it."""
    outcome = report(tx)
    [alert] = list_alerts(tx)

    assert outcome == Done(f"A{alert.id}")
    assert alert == alerts.Alert(
        id=alert.id,
        kind="event.held",
        severity=alerts.Severity.P2,
        subject="E9",
        detail={"event": 9},
        occurrences=1,
        first_at=NOON,
        last_at=NOON,
        state=AlertState.OPEN,
        acknowledged_by="",
        resolved_by="",
    )


def test_the_same_trouble_again_is_counted_and_only_grows_graver(tx: Tx) -> None:
    """The newest words stay, with the worst severity."""
    report(tx)
    report(tx, {**HELD, "severity": "P1", "detail": {"try": 2}}, at=NOON + timedelta(hours=1))
    report(tx, {**HELD, "severity": "P3", "detail": {"try": 3}}, at=NOON - timedelta(hours=1))
    report(tx, {**HELD, "dedupe": "event.held:10", "subject": "E10"})

    assert [
        (a.subject, a.severity, a.occurrences, a.first_at, a.last_at, a.detail) for a in list_alerts(tx)
    ] == [
        ("E9", "P1", 3, NOON, NOON + timedelta(hours=1), {"try": 3}),
        ("E10", "P2", 1, NOON, NOON, {"event": 9}),
    ]


def test_a_job_that_runs_twice_counts_once(tx: Tx) -> None:
    """Also when others reported between its two runs, and when the alert is resolved meanwhile."""
    report(tx, job=700)
    report(tx, job=701)
    assert report(tx, job=700) == Done("recorded before")
    [alert] = list_alerts(tx)
    assert alert.occurrences == 2

    resolve(tx, alert.id, ANA, now=NOON)
    assert report(tx, job=701) == Done("recorded before")
    assert list_alerts(tx) == []


def test_runners_that_report_at_once_lose_and_double_nothing(tenant_db: TenantDatabase, tx: Tx) -> None:
    """Twenty jobs of one trouble, each run by two runners together."""

    def run(job: int) -> Outcome:
        with tenant_db.connect() as connection:
            return report(connection, job=job)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(run, [number for number in range(900, 920) for _ in range(2)]))

    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert [alert.occurrences for alert in list_alerts(tx)] == [20]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": None}, "dotted lower-case words"),
        ({"kind": "Loud"}, "dotted lower-case words"),
        ({"severity": "P9"}, "no severity"),
        ({"severity": None}, "no severity"),
        ({"detail": ["x"]}, "not an object"),
    ],
)
def test_a_report_nobody_could_read_is_a_dead_letter(
    tx: Tx, change: Mapping[str, object], reason: str
) -> None:
    """It never becomes readable by trying again."""
    outcome = report(tx, {**HELD, **change})

    assert isinstance(outcome, Dead)
    assert reason in outcome.reason
    assert list_alerts(tx) == []


def test_a_report_that_says_little_is_kept_all_the_same(tx: Tx) -> None:
    """Kind and severity are enough; long texts are cut to what the table holds."""
    report(tx, {"kind": "queue.stuck", "severity": "P1"})
    report(tx, {**HELD, "subject": "x" * 5000, "dedupe": "y" * 5000})

    assert [(a.kind, a.detail, len(a.subject)) for a in list_alerts(tx)] == [
        ("queue.stuck", {}, len("queue.stuck")),
        ("event.held", {"event": 9}, 300),
    ]


def test_an_alert_holds_no_secret_and_no_phone_number(tx: Tx) -> None:
    """It is shown to more people than what caused it."""
    report(
        tx,
        {
            **HELD,
            "subject": "from +56900000001",
            "detail": {
                "dsn": "x",
                "error": f"host=db password={PASSWORD}",
                "to": "56900000001",
                "body": "Hola",
            },
        },
    )
    shown = repr(list_alerts(tx))

    assert PASSWORD not in shown
    assert "5690000" not in shown
    assert "Hola" not in shown


def test_somebody_looks_after_it_until_it_is_over(tx: Tx) -> None:
    """Both steps are on record; a repeat counts on, after the end it is a new alert."""
    report(tx)
    [opened] = list_alerts(tx)
    acknowledge(tx, opened.id, BRUNO, now=NOON)
    report(tx)
    [seen] = list_alerts(tx)
    assert (seen.id, seen.state, seen.acknowledged_by, seen.occurrences) == (
        opened.id,
        "acknowledged",
        "bruno",
        2,
    )

    resolve(tx, opened.id, ANA, now=NOON)
    report(tx)
    assert [(a.id == opened.id, a.state, a.resolved_by) for a in list_alerts(tx, resolved_too=True)] == [
        (False, "open", ""),
        (True, "resolved", "ana"),
    ]
    acts = [(e.action, e.actor.id, e.target[1]) for e in audit.list_entries(tx, target=("alert", None))]
    assert acts == [
        ("alert.resolved", "ana", f"A{opened.id}"),
        ("alert.acknowledged", "bruno", f"A{opened.id}"),
    ]


def test_saying_it_twice_changes_nothing_and_two_people_are_told_apart(tx: Tx) -> None:
    """The second person learns who was first."""
    report(tx)
    [alert] = list_alerts(tx)
    acknowledge(tx, alert.id, BRUNO, now=NOON)
    acknowledge(tx, alert.id, BRUNO, now=NOON)
    with pytest.raises(StateConflict, match=f"A{alert.id} is acknowledged already, by bruno"):
        acknowledge(tx, alert.id, ANA, now=NOON)
    resolve(tx, alert.id, BRUNO, now=NOON)
    resolve(tx, alert.id, BRUNO, now=NOON)
    with pytest.raises(StateConflict, match="is resolved already, by bruno"):
        acknowledge(tx, alert.id, BRUNO, now=NOON)

    assert len(audit.list_entries(tx, target=("alert", None))) == 2


def test_a_viewer_acknowledges_nothing(tx: Tx) -> None:
    """Looking after alerts is work of ops and owners; support may help."""
    report(tx)
    [alert] = list_alerts(tx)
    with pytest.raises(PermissionDenied):
        acknowledge(tx, alert.id, DIEGO, now=NOON)
    acknowledge(tx, alert.id, Actor("support", "os:root"), now=NOON)

    assert list_alerts(tx)[0].acknowledged_by == "os:root"


def test_an_alert_that_is_none_is_named(tx: Tx) -> None:
    """Whether the text is no id or the number is nobody's."""
    assert [alerts.parse_alert_id(text) for text in ("A3", "a3", " 3 ")] == [3, 3, 3]
    for text in ("", "A", "B3", "A0", "A-1", "A3; DROP", "9" * 30):
        with pytest.raises(InvalidInput, match="is not an alert"):
            alerts.parse_alert_id(text)
    with pytest.raises(NotFound, match="There is no alert A999"):
        acknowledge(tx, 999, ANA, now=NOON)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alerts.alert SET state = 'gone'",
        "UPDATE alerts.alert SET state = 'acknowledged'",
        "UPDATE alerts.alert SET state = 'resolved'",
        "UPDATE alerts.alert SET resolved_at = now(), resolved_by = 'x'",
        "UPDATE alerts.alert SET acknowledged_at = now(), acknowledged_by = 'x'",
        "UPDATE alerts.alert SET occurrences = 0",
    ],
)
def test_the_table_refuses_impossible_alerts(tx: Tx, statement: str) -> None:
    """A state and its time belong together."""
    report(tx)
    with pytest.raises(pg.CheckViolation):
        tx.execute(statement.encode())


@pytest.mark.parametrize("statement", ["DELETE FROM alerts.alert", "TRUNCATE alerts.alert CASCADE"])
def test_nothing_is_deleted_by_the_customers_login(tx: Tx, statement: str) -> None:
    """An alert leaves the list by being resolved."""
    with pytest.raises(pg.InsufficientPrivilege):
        tx.execute(statement.encode())


def test_states_moves_and_statements_agree(tenant_db: TenantDatabase) -> None:
    """The prose, the CHECK, the headers and the guards say the same."""
    with tenant_db.admin() as admin:
        assert states_in_check(admin, "alert_state_known") == set(AlertState)
    announced = moves_of(Q)
    assert {move for moves in announced.values() for move in moves} == {(a.value, b.value) for a, b in MOVES}
    for name, moves in announced.items():
        assert moves_done(Q[name]) == moves, name
