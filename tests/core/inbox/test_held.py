from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from platform_core import audit
from platform_core.errors import NotFound, PermissionDenied, StateConflict
from platform_core.inbox import events
from platform_core.inbox.events import Delivery, Receipt
from platform_core.inbox.lifecycle import EventState
from platform_core.tenancy.policy import store_policy
from platform_core.values import Actor
from tests.support.databases import TenantDatabase
from tests.support.policies import policy_of

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SUPPORT = Actor("support", "oncall")
HELD = Delivery(
    source="ycloud",
    endpoint="main",
    event_id="evt_1",
    event_type="t",
    body=b"{}",
    headers=[],
    signed_at=NOW,
    stale=True,
)


def receive(tenant_db: TenantDatabase, delivery: Delivery) -> Receipt:
    """Deliver once, in a transaction of its own."""
    with tenant_db.connect() as connection, connection.transaction():
        return events.receive(connection, delivery)


def kinds(tenant_db: TenantDatabase) -> list[tuple[str, object]]:
    """The queued jobs: their kind, and the alert or event they are about."""
    with tenant_db.admin() as admin:
        found = admin.execute("SELECT kind, payload FROM jobs.job ORDER BY id").fetchall()
    return [(kind, payload.get("kind", payload.get("event"))) for kind, payload in found]


def test_a_stale_delivery_is_held_and_alerted_and_has_no_job(tenant_db: TenantDatabase) -> None:
    """Authentic but old: kept apart, nothing acts on it; the same again is a duplicate without an alert."""
    first, second = receive(tenant_db, HELD), receive(tenant_db, HELD)

    assert (first.outcome, second.outcome) == ("held", "duplicate")
    assert (first.job_id, second.job_id) == (None, None)
    assert kinds(tenant_db) == [("alert.raised", "inbox.held")]


def test_a_person_releases_a_held_event_once(tenant_db: TenantDatabase) -> None:
    """Release queues the job and leaves an audit entry; a second release says what the state is."""
    held = receive(tenant_db, HELD)

    with tenant_db.connect() as connection:
        with connection.transaction():
            job = events.release(connection, held.event_id, SUPPORT, now=NOW)
        with pytest.raises(StateConflict) as refused, connection.transaction():
            events.release(connection, held.event_id, SUPPORT, now=NOW)
        event = events.get_event(connection, held.event_id)
        trail = audit.list_entries(connection, action="event.released")

    assert (event.state, event.job_id, event.released_at, event.stale) == ("received", job, NOW, True)
    assert kinds(tenant_db)[-1] == ("inbox.received", held.event_id)
    assert refused.value.message == f"Event E{held.event_id} is received, not held"
    assert [entry.target for entry in trail] == [("event", f"E{held.event_id}")]


def test_a_fresh_delivery_of_the_same_bytes_releases_a_held_event(tenant_db: TenantDatabase) -> None:
    """The provider signs the bytes again, now: what held the first delivery is answered."""
    held = receive(tenant_db, HELD)

    fresh, again = (receive(tenant_db, replace(HELD, stale=False)) for _ in range(2))

    with tenant_db.connect() as connection:
        event = events.get_event(connection, held.event_id)
    assert (fresh.outcome, again.outcome) == ("stored", "duplicate")
    assert (fresh.event_id, fresh.job_id) == (held.event_id, event.job_id)
    assert (event.state, event.note) == ("received", "released by a fresh delivery")
    assert kinds(tenant_db)[1:] == [("inbox.received", held.event_id)]


def test_a_fresh_delivery_with_other_bytes_does_not_release_it(tenant_db: TenantDatabase) -> None:
    """A conflict stays a conflict."""
    held = receive(tenant_db, HELD)

    other = receive(tenant_db, replace(HELD, stale=False, body=b"[]"))

    with tenant_db.connect() as connection:
        assert events.get_event(connection, held.event_id).state is EventState.HELD
    assert other.outcome == "conflict"


@pytest.mark.parametrize("actor", [Actor("user", "stranger"), Actor("contact", "1"), Actor("user", "diego")])
def test_only_who_may_redrive_may_release(tenant_db: TenantDatabase, actor: Actor) -> None:
    """Releasing acts on what might be a replayed recording: viewers and strangers are refused."""
    held = receive(tenant_db, HELD)
    with tenant_db.connect() as connection:
        with connection.transaction():
            store_policy(connection, policy_of(tenant_db), Actor("system", "test"))
        with pytest.raises(PermissionDenied), connection.transaction():
            events.release(connection, held.event_id, actor, now=NOW)
        state = events.get_event(connection, held.event_id).state

    assert state is EventState.HELD


def test_releasing_what_is_not_there_names_it(tenant_db: TenantDatabase) -> None:
    """An unknown event is not found."""
    with tenant_db.connect() as connection, pytest.raises(NotFound, match="no event E999"):
        events.release(connection, 999, SUPPORT, now=NOW)
