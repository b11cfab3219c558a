from __future__ import annotations

import pytest

from platform_core import audit
from platform_core.errors import (
    ConfigurationError,
    IdempotencyConflict,
    InvalidInput,
    NotFound,
    PermissionDenied,
    StateConflict,
)
from platform_core.jobs import queue
from platform_core.messaging import inbound, outbound
from platform_core.messaging.contracts import Party
from platform_core.messaging.lifecycle import OutboxState
from platform_core.values import Actor, Cancelled, Done
from tests.support.messaging import NOON, Desk, reported

SUPPORT = Actor("support", "oncall")


def make_ambiguous(desk: Desk, dedupe_key: str = "claim:1:received") -> int:
    """A message whose worker was killed in the call."""
    outbox_id = desk.message(dedupe_key)

    def die(_external_id: str) -> None:
        raise KeyboardInterrupt

    desk.client.during = die
    with pytest.raises(KeyboardInterrupt):
        desk.send(outbox_id)
    desk.client.during = lambda _external_id: None
    desk.send(outbox_id)
    return outbox_id


def resolve(desk: Desk, outbox_id: int, verdict: str, actor: Actor = SUPPORT) -> None:
    """A person looked at the provider's console."""
    with desk.tx() as tx:
        outbound.resolve_ambiguous(
            tx, outbox_id, actor, "sent" if verdict == "sent" else "not_sent", now=desk.clock.now()
        )


def test_a_message_is_a_row_and_a_job_in_the_callers_transaction(desk: Desk) -> None:
    """The row names what it is about; the job names the row."""
    outbox_id = desk.message()

    row = desk.outbox(outbox_id)
    assert (row.state, row.purpose, row.form) == (OutboxState.QUEUED, "claim.received", None)
    assert (row.subject_type, row.subject_id, row.values) == ("claim", "1", {"claim": "C1"})
    assert (row.generation, row.attempts, row.queued_at) == (1, 0, NOON)
    assert desk.jobs("outbox.queued") == [{"outbox": outbox_id}]


def test_asking_again_under_the_same_key_is_the_same_message(desk: Desk) -> None:
    """Three times asked, one row, one job."""
    assert len({desk.message() for _ in range(3)}) == 1
    assert len(desk.jobs("outbox.queued")) == 1


def test_a_key_that_belongs_to_another_message_is_refused(desk: Desk) -> None:
    """The same key for another contact or purpose is a mistake of the caller, not a replay."""
    desk.message("key")
    other = desk.contact(Party(phone="+56900000002"))

    with pytest.raises(IdempotencyConflict, match="belongs to message"), desk.tx() as tx:
        outbound.queue_message(
            tx,
            purpose="claim.received",
            contact_id=other,
            dedupe_key="key",
            values={"claim": "C1"},
            policy=desk.policy,
            now=NOON,
        )


def test_a_message_without_its_values_is_refused_when_asked_for(desk: Desk) -> None:
    """Nothing is queued that could not be written later."""
    contact_id = desk.contact()

    with pytest.raises(InvalidInput, match="needs a value"), desk.tx() as tx:
        outbound.queue_message(
            tx,
            purpose="claim.received",
            contact_id=contact_id,
            dedupe_key="key",
            values={},
            policy=desk.policy,
            now=NOON,
        )
    assert desk.rows("SELECT id FROM messaging.outbox") == []


def test_what_is_queued_about_a_subject_is_cancelled_with_its_jobs(desk: Desk) -> None:
    """Sent messages stay; a second call finds none; the job that runs anyway sends nothing."""
    sent, first, second = desk.sent("a"), desk.message("b"), desk.message("c")

    with desk.tx() as tx:
        counts = [outbound.cancel_queued(tx, now=NOON, subject=("claim", "1")) for _ in range(2)]
        states = [view.state for view in queue.list_jobs(tx, kind="outbox.queued")]

    assert counts == [2, 0]
    assert [desk.outbox(one).state for one in (sent.id, first, second)] == [
        "accepted",
        "cancelled",
        "cancelled",
    ]
    assert [state for state in states if state == "cancelled"] == ["cancelled", "cancelled"]
    assert desk.send(first) == Cancelled("the message is cancelled")
    assert len(desk.client.sent) == 1


def test_one_message_is_cancelled_by_its_key(desk: Desk) -> None:
    """And only that one."""
    first, second = desk.message("a"), desk.message("b")

    with desk.tx() as tx:
        assert outbound.cancel_queued(tx, now=NOON, dedupe_key="b") == 1

    assert [desk.outbox(one).state for one in (first, second)] == ["queued", "cancelled"]


@pytest.mark.parametrize("named", [{}, {"subject": ("claim", "1"), "dedupe_key": "a"}])
def test_cancelling_needs_exactly_one_name(desk: Desk, named: dict[str, object]) -> None:
    """Nothing is cancelled by leaving both out."""
    with desk.tx() as tx, pytest.raises(InvalidInput, match="either the subject or the dedupe key"):
        outbound.cancel_queued(tx, now=NOON, **named)  # type: ignore[arg-type]  # what a careless caller does


def test_a_person_who_saw_it_sent_closes_an_ambiguous_message(desk: Desk) -> None:
    """It counts as accepted, nothing is sent, and the act is on record."""
    outbox_id = make_ambiguous(desk)

    resolve(desk, outbox_id, "sent")

    with desk.tx() as tx:
        trail = audit.list_entries(tx, action="message.resolved")
    assert desk.outbox(outbox_id).state == "accepted"
    assert len(desk.client.sent) == 1
    assert [(entry.target, dict(entry.detail)) for entry in trail] == [
        (("outbox", str(outbox_id)), {"verdict": "sent"})
    ]


def test_a_person_who_saw_it_was_not_sent_sends_it_under_a_new_id(desk: Desk) -> None:
    """The same row, a new generation, a new job; the provider sees two different external ids."""
    outbox_id = make_ambiguous(desk)

    resolve(desk, outbox_id, "not_sent")
    desk.send(outbox_id)

    first, second = (external_id for _, external_id in desk.client.sent)
    row = desk.outbox(outbox_id)
    assert (row.state, row.generation, row.attempts) == ("accepted", 2, 2)
    assert (first.split(".")[0], first.split(".")[1], second.split(".")[1]) == (
        second.split(".")[0],
        "1",
        "2",
    )
    assert desk.jobs("outbox.queued") == [{"outbox": outbox_id}] * 2


@pytest.mark.parametrize("verdict", ["sent", "not_sent"])
def test_a_message_is_resolved_once(desk: Desk, verdict: str) -> None:
    """The second person hears what the state is."""
    outbox_id = make_ambiguous(desk)
    resolve(desk, outbox_id, verdict)

    with pytest.raises(StateConflict, match="not ambiguous"):
        resolve(desk, outbox_id, verdict)


def test_a_report_that_proves_the_person_wrong_stops_the_second_send(desk: Desk) -> None:
    """Not sent, said the person; delivered, says the provider, before the second send begins."""
    outbox_id = make_ambiguous(desk)
    first = desk.outbox(outbox_id).external_id
    resolve(desk, outbox_id, "not_sent")

    desk.run(
        inbound.handle_event,
        {"event": desk.event(reported("delivered", external_id=first, provider_message_id="p1"))},
    )

    assert desk.send(outbox_id) == Done("nothing to send: the message is delivered")
    assert len(desk.client.sent) == 1


def test_a_failure_of_the_first_send_does_not_fail_the_second(desk: Desk) -> None:
    """Reports of an earlier generation agree with the person: it was not sent."""
    outbox_id = make_ambiguous(desk)
    first = desk.outbox(outbox_id).external_id
    resolve(desk, outbox_id, "not_sent")
    desk.send(outbox_id)

    desk.run(
        inbound.handle_event,
        {"event": desk.event(reported("failed", external_id=first, provider_message_id="p1", minute=9))},
    )

    assert desk.outbox(outbox_id).state == "accepted"


def test_only_who_may_redrive_may_resolve(desk: Desk) -> None:
    """A stranger's verdict could send a parent the same message twice."""
    outbox_id = make_ambiguous(desk)

    with pytest.raises(PermissionDenied):
        resolve(desk, outbox_id, "not_sent", Actor("user", "stranger"))
    assert desk.outbox(outbox_id).state == "ambiguous"


def test_messages_are_listed_newest_first_by_state_and_subject(desk: Desk) -> None:
    """A list with a limit, whole rows."""
    sent, waiting = desk.sent("a"), desk.message("b")

    with desk.tx() as tx:
        everything = outbound.list_messages(tx)
        queued = outbound.list_messages(tx, state=OutboxState.QUEUED)
        others = outbound.list_messages(tx, subject=("claim", "2"))
        newest = outbound.list_messages(tx, subject=("claim", "1"), limit=1)

    assert [one.id for one in everything] == [waiting, sent.id]
    assert [one.id for one in queued] == [waiting]
    assert others == []
    assert newest == [desk.outbox(waiting)]


def test_an_unknown_message_is_not_found(desk: Desk) -> None:
    """Also when a person wants to resolve it."""
    with pytest.raises(NotFound, match="no message S99"):
        resolve(desk, 99, "sent")


def test_a_policy_that_lost_a_text_refuses_new_messages(desk: Desk) -> None:
    """The decision that wanted to write it is not taken half."""
    desk.policy = desk.policy.model_copy(update={"texts": {}})

    with pytest.raises(ConfigurationError, match=r"no text for 'claim\.received'"):
        desk.message()
    assert desk.rows("SELECT id FROM messaging.outbox") == []
