from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_core.errors import AmbiguousOutcome
from platform_core.messaging import inbound, reports
from platform_core.messaging.contracts import DeliveryReported, ReportStatus
from platform_core.messaging.lifecycle import OutboxState
from platform_core.messaging.outbound import OutboxMessage
from platform_core.messaging.reports import Projection, Total, decide_projection
from tests.support.databases import TenantDatabase
from tests.support.messaging import NOON, Desk, accepted, reported


def minute(number: int) -> timedelta:
    """By the provider's clock, after noon."""
    return timedelta(minutes=number)


def total(status: ReportStatus, first: int, last: int | None = None, code: str = "") -> Total:
    """All reports of one status."""
    return Total(status, NOON + minute(first), NOON + minute(first if last is None else last), code)


def tell(desk: Desk, *parts: DeliveryReported) -> None:
    """Each report comes as an event of its own, and is handled."""
    for part in parts:
        desk.run(inbound.handle_event, {"event": desk.event(part)})


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ([], None),
        ([total("accepted", 1)], Projection(OutboxState.ACCEPTED, accepted_at=NOON + minute(1))),
        (
            [total("sent", 2), total("accepted", 1)],
            Projection(OutboxState.ACCEPTED, accepted_at=NOON + minute(1)),
        ),
        (
            [total("delivered", 3), total("sent", 5)],
            Projection(OutboxState.DELIVERED, accepted_at=NOON + minute(3), delivered_at=NOON + minute(3)),
        ),
        (
            [total("read", 4)],
            Projection(
                OutboxState.READ,
                accepted_at=NOON + minute(4),
                delivered_at=NOON + minute(4),
                read_at=NOON + minute(4),
            ),
        ),
        (
            [total("failed", 2, code="131026")],
            Projection(OutboxState.FAILED, failed_at=NOON + minute(2), error_code="131026"),
        ),
        (
            [total("sent", 2), total("failed", 2, code="1")],
            Projection(
                OutboxState.FAILED, accepted_at=NOON + minute(2), failed_at=NOON + minute(2), error_code="1"
            ),
        ),
        (
            [total("failed", 1, code="1"), total("sent", 2)],
            Projection(OutboxState.ACCEPTED, accepted_at=NOON + minute(2)),
        ),
        (
            [total("failed", 1, code="1"), total("delivered", 2)],
            Projection(OutboxState.DELIVERED, accepted_at=NOON + minute(2), delivered_at=NOON + minute(2)),
        ),
        (
            [total("delivered", 2), total("failed", 3, code="1")],
            Projection(
                OutboxState.DELIVERED,
                accepted_at=NOON + minute(2),
                delivered_at=NOON + minute(2),
                error_code="1",
                late_failure=True,
            ),
        ),
    ],
)
def test_the_state_is_a_projection_of_all_reports(totals: list[Total], expected: Projection | None) -> None:
    """Delivery is believed for good, a later failure is a flag, otherwise the newest decides."""
    assert decide_projection(totals) == expected
    assert decide_projection(list(reversed(totals))) == expected


def test_delivery_is_reported_step_by_step(desk: Desk) -> None:
    """The everyday case, found by our own id although the provider's is another."""
    sent = desk.sent()
    states = []
    steps: tuple[ReportStatus, ...] = ("sent", "delivered", "read")
    for number, status in enumerate(steps):
        tell(desk, reported(status, external_id=sent.external_id, provider_message_id="else", minute=number))
        states.append(desk.outbox(sent.id).state)

    assert states == ["accepted", "delivered", "read"]


def test_a_repeated_report_is_counted_and_changes_nothing(desk: Desk) -> None:
    """The same observation three times under three event ids is one row that says so."""
    sent = desk.sent()
    told = reported("delivered", external_id=sent.external_id, minute=1)
    tell(desk, told)
    before = desk.outbox(sent.id)

    tell(desk, told, told)

    with desk.tx() as tx:
        kept = reports.list_reports(tx, sent.id)
    assert desk.outbox(sent.id) == before
    assert [(one.status, one.deliveries) for one in kept] == [("delivered", 3)]


def test_a_late_sent_never_takes_delivery_back(desk: Desk) -> None:
    """Neither by arrival nor by the provider's clock."""
    sent = desk.sent()

    tell(
        desk,
        reported("read", external_id=sent.external_id, minute=2),
        reported("sent", external_id=sent.external_id, minute=1),
        reported("sent", external_id=sent.external_id, minute=9),
    )

    assert desk.outbox(sent.id).state == "read"


def test_a_failure_after_delivery_is_a_flag(desk: Desk) -> None:
    """Another device may fail later: the message was delivered, and the row says both."""
    sent = desk.sent()

    tell(
        desk,
        reported("delivered", external_id=sent.external_id, minute=1),
        reported("failed", external_id=sent.external_id, minute=2, error_code="131026"),
    )

    after = desk.outbox(sent.id)
    assert (after.state, after.late_failure, after.error_code) == ("delivered", True, "131026")
    assert desk.alerts() == []


def test_a_reported_failure_is_alerted_once_and_may_be_taken_back(desk: Desk) -> None:
    """Failed until the provider says otherwise, by its own clock."""
    sent = desk.sent()
    failed = reported("failed", external_id=sent.external_id, minute=1, error_code="131026")

    tell(desk, failed, failed)
    after_failure = desk.outbox(sent.id)
    tell(desk, reported("delivered", external_id=sent.external_id, minute=2))

    assert (after_failure.state, after_failure.error_code) == ("failed", "131026")
    assert desk.alerts() == ["message.failed"]
    assert (desk.outbox(sent.id).state, desk.outbox(sent.id).late_failure) == ("delivered", False)


def test_a_report_that_the_person_wants_no_messages_opts_them_out(desk: Desk) -> None:
    """The provider knows it before we do."""
    sent = desk.sent()

    tell(desk, reported("failed", external_id=sent.external_id, error_code="RECIPIENT_UNSUBSCRIBED"))

    assert desk.rows("SELECT opted_out_at FROM messaging.contact") == [{"opted_out_at": NOON}]


def test_a_report_that_comes_before_the_answer_is_found_by_our_id(desk: Desk) -> None:
    """The answer then finds the message further along, and only adds its ids."""
    outbox_id = desk.message()
    desk.client.during = lambda external_id: tell(
        desk, reported("delivered", external_id=external_id, minute=1)
    )

    desk.send(outbox_id)

    after = desk.outbox(outbox_id)
    assert (after.state, after.delivered_at) == ("delivered", NOON + minute(1))
    assert after.provider_message_id == "ycm_1"


def test_a_report_without_our_id_is_adopted_when_the_answer_tells_the_providers(desk: Desk) -> None:
    """It is kept unmatched meanwhile; by its wamid too, when the provider's own id is not the same."""
    first, second = desk.message("a"), desk.message("b")
    tell(desk, reported("delivered", provider_message_id="ycm_a", minute=1))
    tell(
        desk, reported("read", provider_message_id="other", minute=2).model_copy(update={"wamid": "wamid.b"})
    )
    with desk.tx() as tx:
        unmatched = [one.provider_message_id for one in reports.list_reports(tx, None)]
    desk.client.answers = [accepted("ycm_a"), accepted("ycm_b", wamid="wamid.b")]

    desk.send(first)
    desk.send(second)

    assert unmatched == ["ycm_a", "other"]
    assert (desk.outbox(first).state, desk.outbox(second).state) == ("delivered", "read")


@pytest.mark.parametrize("told_first", [True, False])
def test_an_answer_and_a_report_written_at_the_same_moment_find_each_other(
    tenant_db: TenantDatabase, desk: Desk, told_first: bool
) -> None:
    """Two open transactions that cannot see each other: the second waits for the first."""
    outbox_id = desk.message()
    event = desk.event(reported("delivered", provider_message_id="ycm_1", minute=1))
    told, answered = threading.Event(), threading.Event()
    desk.client.answers = [accepted("ycm_1")]

    def report() -> None:
        with tenant_db.connect() as connection:
            desk.on(connection).run(inbound.handle_event, {"event": event})
        told.set()

    with tenant_db.connect() as blocker, ThreadPoolExecutor(1) as pool:

        def during(_external_id: str) -> None:
            if told_first:
                pool.submit(report)
                told.wait(timeout=20)
            else:
                # The report's transaction meets a row that an unfinished answer holds.
                blocker.execute("BEGIN")
                blocker.execute("SELECT id FROM messaging.outbox WHERE id = %s FOR UPDATE", (outbox_id,))
                waiting.append(pool.submit(report))
                assert not told.wait(timeout=0.3)
                blocker.execute(
                    "UPDATE messaging.outbox SET state = 'accepted', accepted_at = %s,"
                    " provider_message_id = 'ycm_1' WHERE id = %s",
                    (NOON, outbox_id),
                )
                blocker.execute("COMMIT")
                told.wait(timeout=20)
            answered.set()

        waiting: list[object] = []
        desk.client.during = during
        desk.send(outbox_id)

    assert answered.is_set()
    assert desk.outbox(outbox_id).state == "delivered"


def test_a_report_about_a_message_of_nobody_is_kept(desk: Desk) -> None:
    """Staff write from the provider's own console; their reports are kept and match nothing."""
    tell(desk, reported("read", external_id="console-7", provider_message_id="ycm_9"))

    with desk.tx() as tx:
        kept = reports.list_reports(tx, None)
    assert [(one.provider_message_id, one.outbox_id) for one in kept] == [("ycm_9", None)]


OBSERVATION = st.builds(
    reported,
    st.sampled_from(("accepted", "sent", "delivered", "read", "failed")),
    minute=st.integers(0, 5),
    error_code=st.sampled_from(("", "131026", "131048")),
)


def _comparable(row: OutboxMessage) -> OutboxMessage:
    return replace(row, id=0, dedupe_key="", external_id="", provider_message_id=None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    observations=st.lists(OBSERVATION, min_size=1, max_size=6),
    seed=st.integers(0, 10_000),
    answered=st.booleans(),
)
def test_any_order_of_the_same_reports_ends_in_the_same_row(
    desk: Desk, observations: list[DeliveryReported], seed: int, *, answered: bool
) -> None:
    """Shuffled and repeated, after an answer or without one: the projected row is one and the same."""
    shuffled = [*observations, observations[0]]
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    rows = []
    for order in (observations, list(reversed(observations)), shuffled):
        desk.client.answers = [accepted("") if answered else AmbiguousOutcome()]
        sent = desk.sent(f"{seed}:{random.random()}")  # noqa: S311 - a name nobody guesses
        with desk.tx() as tx:
            event = desk.event()
            for part in order:
                named = part.model_copy(
                    update={"external_id": sent.external_id, "provider_message_id": f"p{sent.id}"}
                )
                reports.record(tx, named, event=event, now=desk.clock.now())
        rows.append(_comparable(desk.outbox(sent.id)))

    assert rows[1:] == rows[:1] * 2


def test_two_hundred_reports_out_of_order_by_several_workers_end_right(
    tenant_db: TenantDatabase, desk: Desk
) -> None:
    """Fifty messages, four workers, shuffled: every message is read in the end, every report kept."""
    messages = [desk.sent(f"claim:{number}") for number in range(50)]
    statuses: tuple[ReportStatus, ...] = ("accepted", "sent", "delivered", "read")
    burst = [
        desk.event(
            reported(status, external_id=one.external_id, provider_message_id=f"p{one.id}", minute=number)
        )
        for one in messages
        for number, status in enumerate(statuses)
    ]
    random.Random(7).shuffle(burst)  # noqa: S311 - an order, not a secret

    def work(share: list[int]) -> None:
        with tenant_db.connect() as connection:
            worker = desk.on(connection)
            for event in share:
                worker.run(inbound.handle_event, {"event": event})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [burst[number::4] for number in range(4)]))

    assert {desk.outbox(one.id).state for one in messages} == {OutboxState.READ}
    assert desk.rows("SELECT count(*) AS kept, sum(deliveries) AS told FROM messaging.delivery_report") == [
        {"kept": 200, "told": 200}
    ]
