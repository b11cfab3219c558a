"""The read models: what a refresh counts, that it misses nothing, and that it equals counting everything."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_core.dashboards import refresh
from platform_core.dashboards.histogram import PER_DOUBLING, lower_ms, percentile_ms
from platform_core.jobs.contracts import NewJob
from platform_core.jobs.queue import enqueue_many, redrive
from platform_core.messaging import reports
from platform_core.payments.lifecycle import Action
from platform_core.values import Actor, Dead, Done
from tests.support.attendance import School
from tests.support.databases import Databases, TenantDatabase
from tests.support.messaging import reported
from tests.support.payments import BRUNO, Treasury, clp
from tests.support.queues import change, look, make_runner

TALLIES = """
    SELECT noun, day, label, outcome, count, amount_minor
    FROM dashboards.tally WHERE count > 0 ORDER BY 1, 2, 3, 4
"""
WITHOUT_RUNS = TALLIES.replace("WHERE", "WHERE noun <> 'run' AND")
LATENCIES = "SELECT kind, day, bucket, count FROM dashboards.latency WHERE count > 0 ORDER BY 1, 2, 3"
ZONE = "America/Santiago"


def counted(db: TenantDatabase) -> list[tuple[Any, ...]]:
    """Every number that is not zero."""
    return look(db, TALLIES) + look(db, LATENCIES)


def refreshed(desk: Treasury | School, zone: str = ZONE) -> refresh.Refreshed:
    """Refresh in a transaction of its own."""
    with desk.tx() as tx:
        return refresh.refresh(tx, timezone=zone, now=desk.clock.now())


def counted_anew(desk: Treasury | School) -> list[tuple[Any, ...]]:
    """What counting everything from nothing says."""
    change(desk.tenant_db, "TRUNCATE dashboards.tally, dashboards.latency, dashboards.refreshed")
    with desk.tx() as tx:
        refresh.rebuild(tx, timezone=ZONE, now=desk.clock.now())
    return counted(desk.tenant_db)


# --- one day, number by number ----------------------------------------------------------------------------


def test_a_receipt_that_became_a_payment_is_counted_where_it_began_and_where_it_ended(
    treasury: Treasury,
) -> None:
    """The claim on its day, the money on the day it was confirmed; jobs wait and are no runs yet."""
    treasury.owe(clp(45_000))
    claim = treasury.receipt_from()
    refreshed(treasury)
    treasury.clock.move(timedelta(days=1))
    treasury.approve(claim, clp(45_000))

    assert refreshed(treasury).whole is False
    first, second = date(2026, 3, 2), date(2026, 3, 3)
    assert look(treasury.tenant_db, WITHOUT_RUNS) == [
        ("claim", first, "whatsapp", "approved", 1, 0),
        ("incoming", first, "image", "", 1, 0),
        ("outgoing", first, "claim.received", "queued", 1, 0),
        ("outgoing", second, "claim.approved", "queued", 1, 0),
        ("payment", second, "CLP", "", 1, 45_000),
    ]


def test_a_payment_taken_back_is_no_payment(treasury: Treasury) -> None:
    """Its number becomes zero; the claim says what became of it."""
    treasury.owe(clp(45_000))
    claim = treasury.receipt_from()
    treasury.approve(claim, clp(45_000))
    refreshed(treasury)
    treasury.clock.move(timedelta(days=9))
    treasury.decide(treasury.request(Action.REVERSE, claim), by=BRUNO)
    refreshed(treasury)

    assert look(
        treasury.tenant_db, "SELECT count, amount_minor FROM dashboards.tally WHERE noun = 'payment'"
    ) == [(0, 0)]
    assert ("claim", date(2026, 3, 2), "whatsapp", "reversed", 1, 0) in look(treasury.tenant_db, TALLIES)


def test_a_debt_counts_once_where_it_was_first_reminded_of_and_as_paid_only_afterwards(
    treasury: Treasury,
) -> None:
    """Two reminders of one debt are one debt; who had paid before is not counted as reminded into paying."""
    debt = treasury.owe(clp(45_000))
    first, second = (one.id for one in treasury.reminders_of(debt)[:2])
    for days, reminder in ((5, first), (4, second)):
        treasury.clock.move(timedelta(days=days))
        treasury.remind(reminder)
    refreshed(treasury)
    reminded = "SELECT day, outcome, count FROM dashboards.tally WHERE noun = 'reminder' AND count > 0"
    before = look(treasury.tenant_db, reminded)
    treasury.clock.move(timedelta(days=1))
    treasury.approve(treasury.receipt_from(), clp(45_000))
    refreshed(treasury)

    assert before == [(date(2026, 3, 7), "open", 1)]
    assert look(treasury.tenant_db, reminded) == [(date(2026, 3, 7), "paid", 1)]


def test_a_report_weeks_later_moves_a_message_on_the_day_it_was_asked_for(treasury: Treasury) -> None:
    """However late it comes, and whatever time the provider gives it."""
    sent = treasury.sent()
    refreshed(treasury)
    treasury.clock.move(timedelta(days=40))
    report = reported("read", external_id=sent.external_id, provider_message_id=str(sent.provider_message_id))
    event = treasury.event(report)
    with treasury.tx() as tx:
        reports.record(tx, report, event=event, now=treasury.clock.now())
    refreshed(treasury)

    assert look(treasury.tenant_db, WITHOUT_RUNS) == [
        ("outgoing", date(2026, 3, 2), "claim.received", "read", 1, 0)
    ]


def test_a_class_counts_by_its_newest_result_and_its_students_by_attendance(
    tenant_db: TenantDatabase,
) -> None:
    """A suspicious class has no students; once it is confirmed all were missing; cancelled it is gone."""
    with tenant_db.connect() as connection:
        school = School(tenant_db, connection)
        school.roster()
        session = school.session()
        school.lives()
        school.ended()
        school.compute(session)
        refreshed(school)
        suspicious = look(tenant_db, TALLIES)
        school.confirm(session)
        refreshed(school)
        confirmed = look(tenant_db, "SELECT label, outcome, count FROM dashboards.tally "
                                    "WHERE noun = 'session' AND count > 0 ORDER BY 1, 2")  # fmt: skip

    assert ("session", date(2026, 3, 2), "class", "suspicious_empty", 1, 0) in suspicious
    assert confirmed == [("class", "complete", 1), ("student", "missed", 5)]


# --- runs -------------------------------------------------------------------------------------------------


def test_runs_are_counted_by_how_they_ended_and_a_redriven_failure_is_one_no_longer(
    treasury: Treasury,
) -> None:
    """What a day says of failures is what still stands; durations are of jobs that are due at once."""
    with treasury.tx() as tx:
        enqueue_many(tx, [NewJob(kind, {}) for kind in ("inbox.received", "claim.overdue", "outbox.queued")])
    db = treasury.tenant_db
    make_runner(
        db,
        {
            "inbox.received": lambda _: Done(),
            "claim.overdue": lambda _: Done(),
            "outbox.queued": lambda _: Dead("nobody can read it"),
        },
    ).run_until_empty()
    refreshed(treasury)
    runs = "SELECT label, outcome, count FROM dashboards.tally WHERE noun = 'run' AND count > 0 ORDER BY 1, 2"
    before = look(db, runs)
    dead = look(db, "SELECT job_id FROM jobs.dead")[0][0]
    with treasury.tx() as tx:
        redrive(tx, dead, Actor("user", "ana"))
    refreshed(treasury)

    assert before == [
        ("claim.overdue", "done", 1),
        ("inbox.received", "done", 1),
        ("outbox.queued", "failed", 1),
    ]
    assert look(db, runs) == before[:2]
    assert look(db, "SELECT kind, sum(count) FROM dashboards.latency GROUP BY 1") == [("inbox.received", 1)]


def test_history_that_the_queue_forgot_stays_counted(treasury: Treasury) -> None:
    """A year of runs is told from the tallies; counting everything again takes nothing away from them."""
    with treasury.tx() as tx:
        enqueue_many(tx, [NewJob("inbox.received", {}) for _ in range(3)])
    make_runner(treasury.tenant_db, {"inbox.received": lambda _: Done()}).run_until_empty()
    refreshed(treasury)
    before = counted(treasury.tenant_db)
    change(treasury.tenant_db, "DELETE FROM jobs.done")
    with treasury.tx() as tx:
        refresh.rebuild(tx, timezone=ZONE, now=treasury.clock.now())

    assert before
    assert counted(treasury.tenant_db) == before


# --- days -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "instant", "day"),
    [
        ("America/Santiago", "2026-03-02 02:59:59+00", date(2026, 3, 1)),
        ("America/Santiago", "2026-03-02 03:00:00+00", date(2026, 3, 2)),
        # Midnight of 2026-09-06 does not happen in Santiago: clocks go from 24:00 to 01:00.
        ("America/Santiago", "2026-09-06 03:59:59+00", date(2026, 9, 5)),
        ("America/Santiago", "2026-09-06 04:00:00+00", date(2026, 9, 6)),
        # The last hour of 2026-04-04 happens twice in Santiago.
        ("America/Santiago", "2026-04-05 03:30:00+00", date(2026, 4, 4)),
        # The first hour of 2026-11-01 happens twice in Havana: both are of that day.
        ("America/Havana", "2026-11-01 04:30:00+00", date(2026, 11, 1)),
        ("America/Havana", "2026-11-01 05:30:00+00", date(2026, 11, 1)),
        ("Pacific/Kiritimati", "2026-03-02 10:30:00+00", date(2026, 3, 3)),
        ("Pacific/Pago_Pago", "2026-03-02 10:30:00+00", date(2026, 3, 1)),
    ],
)
def test_a_day_is_one_of_the_customers_zone(treasury: Treasury, zone: str, instant: str, day: date) -> None:
    """Also where midnight is missing or happens twice, and at both ends of the world."""
    treasury.receipt_from()
    change(treasury.tenant_db, "UPDATE payments.claim SET opened_at = %s", instant)
    refreshed(treasury, zone)

    assert look(
        treasury.tenant_db, "SELECT day FROM dashboards.tally WHERE noun = 'claim' AND count > 0"
    ) == [(day,)]


def test_another_zone_counts_everything_again(treasury: Treasury) -> None:
    """Under the new days, with nothing left under the old ones."""
    treasury.clock.move(timedelta(hours=13))  # ten in the evening of the second in Santiago
    treasury.receipt_from()
    refreshed(treasury)
    counts = refreshed(treasury, "Europe/Madrid")

    assert counts.whole is True
    assert {row[1] for row in look(treasury.tenant_db, WITHOUT_RUNS)} == {date(2026, 3, 3)}


# --- nothing is missed ------------------------------------------------------------------------------------


def _any(treasury: Treasury, chance: random.Random, statement: str) -> int | None:
    found = look(treasury.tenant_db, statement)
    return int(chance.choice(found)[0]) if found else None


def _decide(treasury: Treasury, chance: random.Random, action: Action) -> None:
    states = "'approved'" if action is Action.REVERSE else "'pending_review'"
    claim = _any(treasury, chance, f"SELECT id FROM payments.claim WHERE state IN ({states}) ORDER BY id")
    if claim is not None:
        by = Actor("user", "carla") if action is Action.REVERSE else Actor("user", "ana")
        treasury.decide(treasury.request(action, claim), by=by)


def _remind(treasury: Treasury, chance: random.Random) -> None:
    waiting = "SELECT id, round FROM payments.reminder WHERE state = 'scheduled' ORDER BY id"
    found = look(treasury.tenant_db, waiting)
    if found:
        reminder, round_ = chance.choice(found)
        treasury.remind(int(reminder), round_=int(round_))


def _send(treasury: Treasury, chance: random.Random) -> None:
    outbox = _any(treasury, chance, "SELECT id FROM messaging.outbox WHERE state = 'queued' ORDER BY id")
    if outbox is not None:
        treasury.wanted = dict.fromkeys([("reminder", str(number)) for number in range(1000)], True)
        treasury.send(outbox)


def _run(treasury: Treasury) -> None:
    with treasury.tx() as tx:
        enqueue_many(tx, [NewJob("inbox.received", {})])
    make_runner(treasury.tenant_db, {"inbox.received": lambda _: Done()}).run_until_empty()


ACTS: dict[str, Callable[[Treasury, random.Random], object]] = {
    "receipt": lambda treasury, _: treasury.receipt_from(),
    "unreadable": lambda treasury, _: treasury.receipt_from(content=b"<html>"),
    "debt": lambda treasury, _: treasury.owe(
        clp(45_000), due_on=treasury.clock.now().date() + timedelta(days=5)
    ),
    "desk": lambda treasury, _: treasury.at_the_desk(clp(45_000)),
    "approve": lambda treasury, chance: _decide(treasury, chance, Action.APPROVE),
    "reject": lambda treasury, chance: _decide(treasury, chance, Action.REJECT),
    "reverse": lambda treasury, chance: _decide(treasury, chance, Action.REVERSE),
    "remind": _remind,
    "send": _send,
    "later": lambda treasury, chance: treasury.clock.move(timedelta(hours=chance.choice([1, 9, 30]))),
    "refresh": lambda treasury, _: refreshed(treasury),
    "run": lambda treasury, _: _run(treasury),
}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(st.sampled_from(sorted(ACTS)), min_size=4, max_size=25), seed=st.integers(0, 2**32))
def test_refreshing_along_the_way_equals_counting_everything_at_the_end(
    databases: Databases, acts: list[str], seed: int
) -> None:
    """Whatever happens, in whatever order, and whenever somebody refreshes."""
    chance = random.Random(seed)  # noqa: S311 - chooses acts, keeps no secret
    with databases.tenant() as db, db.connect() as connection:
        treasury = Treasury(db, connection)
        treasury.owe(clp(45_000))
        for act in acts:
            ACTS[act](treasury, chance)
        refreshed(treasury)
        along_the_way = counted(db)

        assert refreshed(treasury).whole is False
        assert counted(db) == along_the_way
        assert counted_anew(treasury) == along_the_way


def test_a_change_that_commits_after_a_refresh_began_is_counted_by_the_next(treasury: Treasury) -> None:
    """It was not visible then, whatever its time says; its mark was not either."""
    refreshed(treasury)
    with treasury.tenant_db.connect() as other, other.transaction():
        Treasury.receipt_from(treasury.on(other))
        treasury.clock.move(timedelta(hours=2))
        refreshed(treasury)
        before = look(treasury.tenant_db, "SELECT count FROM dashboards.tally WHERE noun = 'claim'")
    refreshed(treasury)

    assert before == []
    assert look(treasury.tenant_db, "SELECT count FROM dashboards.tally WHERE noun = 'claim'") == [(1,)]


def test_a_refresh_that_is_rolled_back_leaves_everything_to_the_next(treasury: Treasury) -> None:
    """Killed anywhere it has done nothing."""
    refreshed(treasury)
    treasury.receipt_from()
    with treasury.connection.transaction(force_rollback=True):
        refresh.refresh(treasury.connection, timezone=ZONE, now=treasury.clock.now())
    refreshed(treasury)
    along_the_way = counted(treasury.tenant_db)

    assert along_the_way
    assert counted_anew(treasury) == along_the_way


def test_two_refreshes_at_once_count_once(treasury: Treasury) -> None:
    """The second waits for the first, and finds nothing touched."""
    refreshed(treasury)
    treasury.receipt_from()
    found: list[refresh.Refreshed] = []

    def second() -> None:
        with treasury.tenant_db.connect() as connection:
            found.append(refreshed(treasury.on(connection)))

    with treasury.tx() as tx:
        refresh.refresh(tx, timezone=ZONE, now=treasury.clock.now())
        thread = threading.Thread(target=second)
        thread.start()
    thread.join(timeout=20)

    assert found == [refresh.Refreshed(days=0, whole=False)]
    assert look(treasury.tenant_db, "SELECT count FROM dashboards.tally WHERE noun = 'claim'") == [(1,)]


def test_a_tick_asks_once_and_the_job_refreshes(treasury: Treasury) -> None:
    """Cron may report it late, twice or over and over."""
    with treasury.tx() as tx:
        asked = [refresh.request_refresh(tx, now=treasury.clock.now()) for _ in range(3)]
    treasury.receipt_from()
    outcome = treasury.run(refresh.handle, {})

    assert asked == [True, False, False]
    assert isinstance(outcome, Done)
    assert outcome.note.endswith("days counted, all there are")
    assert ("claim", date(2026, 3, 2), "whatsapp", "pending_review", 1, 0) in look(
        treasury.tenant_db, TALLIES
    )


# --- percentiles ------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(min_value=1, max_value=10**8), min_size=1, max_size=200), st.sampled_from([50, 95])
)
def test_a_percentile_of_a_histogram_is_within_a_bucket_of_the_true_one(
    durations: list[int], percent: int
) -> None:
    """By nearest rank, whatever was measured."""
    counts: dict[int, int] = {}
    for duration in durations:
        bucket = max(b for b in range(120) if lower_ms(b) <= duration + 1e-9)
        counts[bucket] = counts.get(bucket, 0) + 1
    true = sorted(durations)[max(1, -(-len(durations) * percent // 100)) - 1]
    found = percentile_ms(counts, percent)

    assert found is not None
    assert true / 2 ** (1 / PER_DOUBLING) <= found * 1.000001
    assert found <= true * 2 ** (1 / PER_DOUBLING) * 1.000001


def test_nothing_measured_has_no_percentile() -> None:
    """Zero is a duration; nothing is not."""
    assert percentile_ms({}, 95) is None
    assert percentile_ms({3: 0}, 95) is None
