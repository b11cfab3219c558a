from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from platform_core.errors import (
    AmbiguousOutcome,
    AuthRejected,
    ConfigurationError,
    ContractDrift,
    InvalidInput,
    JobInterrupted,
    NotFound,
    PermanentRefusal,
    PlatformError,
    PreconditionUnmet,
    RateLimited,
    RecipientOptedOut,
    TransientFailure,
)
from platform_core.messaging import contacts, inbound, outbound
from platform_core.messaging.contracts import Party, TemplateMessage, TextMessage
from platform_core.messaging.outbound import UNREPORTED_AFTER
from platform_core.tenancy.policy import Policy
from platform_core.values import Cancelled, Dead, Done, Retry, Snooze
from tests.support.databases import TenantDatabase
from tests.support.messaging import NOON, PARENT, Desk, image_message, reported, text_message


def write(desk: Desk) -> None:
    """The parent writes now: the window is open."""
    desk.run(
        inbound.handle_event,
        {"event": desk.event(text_message(f"w{desk.clock.now()}", sent_at=desk.clock.now()))},
    )


def test_inside_the_window_the_customers_text_is_sent(desk: Desk) -> None:
    """With its placeholders filled, to the phone, under our own id."""
    write(desk)

    outbox_id = desk.message()
    outcome = desk.send(outbox_id)

    row = desk.outbox(outbox_id)
    message, external_id = desk.client.sent[0]
    assert outcome == Done("accepted by the provider")
    assert isinstance(message, TextMessage)
    assert "C1" in message.body
    assert message.to == Party(phone=PARENT.phone)
    assert (row.state, row.form, row.external_id, row.attempts) == ("accepted", "text", external_id, 1)
    assert (row.provider_message_id, row.sending_at, row.accepted_at) == (f"ycm_{external_id}", NOON, NOON)


def test_the_form_is_chosen_when_it_is_sent_not_when_it_was_asked_for(desk: Desk) -> None:
    """Asked for inside the window, sent outside it: a template."""
    write(desk)
    outbox_id = desk.message()
    desk.clock.move(timedelta(hours=24))

    desk.send(outbox_id)

    assert isinstance(desk.client.sent[0][0], TemplateMessage)
    assert desk.outbox(outbox_id).form == "template"


def test_who_opted_out_gets_nothing(desk: Desk) -> None:
    """Also when they opted out after it was asked for."""
    outbox_id = desk.message()
    with desk.tx() as tx:
        contacts.set_opt_out(tx, desk.outbox(outbox_id).contact_id, opted_out=True, changed_at=NOON)

    assert desk.send(outbox_id) == Cancelled("the contact wants no messages")
    assert desk.outbox(outbox_id).state == "suppressed"
    assert desk.client.sent == []


@pytest.mark.parametrize(("wanted", "state"), [(True, "accepted"), (False, "cancelled")])
def test_what_is_not_wanted_any_more_is_cancelled_at_the_last_moment(
    desk: Desk, wanted: bool, state: str
) -> None:
    """The question about the subject is asked in the transaction that commits to sending."""
    outbox_id = desk.message(recheck="reminder")
    desk.wanted["reminder", "1"] = wanted

    desk.send(outbox_id)

    assert desk.outbox(outbox_id).state == state
    assert len(desk.client.sent) == int(wanted)


def test_a_message_goes_to_the_contact_that_took_over(desk: Desk) -> None:
    """Asked for before the merge, sent after it."""
    contact_id = desk.contact(Party(user_id="u1"))
    with desk.tx() as tx:
        outbox_id = outbound.queue_message(
            tx,
            purpose="claim.received",
            contact_id=contact_id,
            dedupe_key="key",
            values={"claim": "C1"},
            policy=desk.policy,
            now=NOON,
        ).outbox_id
    desk.contact(Party(phone=PARENT.phone))
    desk.contact(Party(phone=PARENT.phone, user_id="u1"))

    desk.send(outbox_id)

    assert desk.client.sent[0][0].to == Party(phone=PARENT.phone, user_id="u1")


def test_a_sent_message_is_not_sent_again(desk: Desk) -> None:
    """Whatever the job does afterwards."""
    sent = desk.sent()

    assert [desk.send(sent.id) for _ in range(3)] == [Done("nothing to send: the message is accepted")] * 3
    assert len(desk.client.sent) == 1
    assert desk.outbox(sent.id) == sent


def test_two_workers_with_one_message_send_it_once(tenant_db: TenantDatabase, desk: Desk) -> None:
    """Two real connections: the second finds it sending, calls it ambiguous, and the answer settles it."""
    outbox_id = desk.message()
    start, calling = threading.Barrier(2), threading.Event()

    def work(_: int) -> object:
        with tenant_db.connect() as connection:
            worker = desk.on(connection)
            start.wait(timeout=20)
            outcome = worker.send(outbox_id)
            calling.set()
            return outcome

    def outlast_the_other(_external_id: str) -> None:
        calling.wait(timeout=20)

    desk.client.during = outlast_the_other
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(work, range(2)))

    assert len(desk.client.sent) == 1
    assert desk.outbox(outbox_id).state == "accepted"
    assert sorted(getattr(one, "note", "") for one in outcomes) == [
        "accepted by the provider",
        "interrupted in the call before: ambiguous, waits for its report",
    ]


@pytest.mark.parametrize(
    "error",
    [AmbiguousOutcome(), ContractDrift(), PlatformError("something new")],
    ids=["timeout", "strange answer", "unknown"],
)
def test_a_send_that_may_have_happened_is_ambiguous_and_never_replayed(desk: Desk, error: Exception) -> None:
    """However often its job is run again."""
    outbox_id = desk.message()
    desk.client.answers = [error]

    outcomes = [desk.send(outbox_id) for _ in range(4)]

    assert outcomes == [
        Done("ambiguous: waits for its report"),
        *[Done("nothing to send: the message is ambiguous")] * 3,
    ]
    assert desk.outbox(outbox_id).state == "ambiguous"
    assert len(desk.client.sent) == 1


@pytest.mark.parametrize("death", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_worker_that_dies_in_the_call_never_sends_twice(desk: Desk, death: type[BaseException]) -> None:
    """The rerun finds `sending` and does not know: ambiguous. The row was there before the call."""
    outbox_id = desk.message()
    states: list[str] = []

    def die(_external_id: str) -> None:
        with desk.tenant_db.connect() as other:
            row = other.execute("SELECT state FROM messaging.outbox WHERE id = %s", (outbox_id,)).fetchone()
        assert row is not None
        states.append(row[0])
        raise death

    desk.client.during = die
    with pytest.raises(death):
        desk.send(outbox_id)
    rerun = desk.send(outbox_id)

    row = desk.outbox(outbox_id)
    assert states == ["sending"]
    assert rerun == Done("interrupted in the call before: ambiguous, waits for its report")
    assert (row.state, row.error_code, row.attempts) == ("ambiguous", "interrupted", 1)
    assert len(desk.client.sent) == 1


def test_a_worker_that_lost_its_job_during_the_call_writes_nothing_more(desk: Desk) -> None:
    """Its lease ended in the call: whoever has the job now finds `sending`, and the report settles it."""
    outbox_id = desk.message()

    def lose_the_lease(_external_id: str) -> None:
        desk.interrupted = True

    desk.client.during = lose_the_lease
    with pytest.raises(JobInterrupted):
        desk.send(outbox_id)
    desk.interrupted = False
    state = desk.outbox(outbox_id).state
    desk.send(outbox_id)

    assert (state, desk.outbox(outbox_id).state) == ("sending", "ambiguous")
    assert len(desk.client.sent) == 1


@pytest.mark.parametrize(
    ("status", "state"),
    [("accepted", "accepted"), ("sent", "accepted"), ("delivered", "delivered"), ("failed", "failed")],
)
def test_the_report_resolves_an_ambiguous_message(desk: Desk, status: str, state: str) -> None:
    """It carries our id: that is what the id is for."""
    outbox_id = desk.message()
    desk.client.answers = [AmbiguousOutcome()]
    desk.send(outbox_id)
    report = reported("sent", external_id=desk.outbox(outbox_id).external_id, provider_message_id="p1")

    desk.run(inbound.handle_event, {"event": desk.event(report.model_copy(update={"status": status}))})

    row = desk.outbox(outbox_id)
    assert (row.state, row.provider_message_id, row.ambiguous_at) == (state, "p1", None)


def test_rate_limits_put_a_message_back_for_as_long_as_the_provider_asks(desk: Desk) -> None:
    """No attempt of the job is burnt, and the same external id is used again: nothing was done."""
    outbox_id = desk.message()
    desk.client.answers = [RateLimited(retry_after_s=30), RateLimited(retry_after_s=5)]

    outcomes = [desk.send(outbox_id) for _ in range(3)]

    assert outcomes == [
        Snooze("the provider asks to wait", timedelta(seconds=30)),
        Snooze("the provider asks to wait", timedelta(seconds=5)),
        Done("accepted by the provider"),
    ]
    assert len({external_id for _, external_id in desk.client.sent}) == 1
    assert desk.alerts() == []


def test_a_provider_that_was_not_reached_is_tried_again(desk: Desk) -> None:
    """Counted, with backoff; the message waits in the queue meanwhile."""
    outbox_id = desk.message()
    desk.client.answers = [TransientFailure()]

    assert desk.send(outbox_id) == Retry("the provider was not reached")
    assert desk.outbox(outbox_id).state == "queued"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AuthRejected(provider_code="UNAUTHORIZED"), "UNAUTHORIZED"),
        (PreconditionUnmet(provider_code="BALANCE_INSUFFICIENT"), "BALANCE_INSUFFICIENT"),
        (ConfigurationError("no account"), "misconfigured"),
    ],
)
def test_what_a_person_must_put_right_pauses_and_is_alerted_once(
    desk: Desk, error: PlatformError, code: str
) -> None:
    """The message waits in the queue, however often it is tried; then it goes out."""
    outbox_id = desk.message()
    desk.client.answers = [error, error, error]

    outcomes = [desk.send(outbox_id) for _ in range(3)]
    paused = desk.outbox(outbox_id)
    desk.send(outbox_id)

    assert all(isinstance(outcome, Snooze) for outcome in outcomes)
    assert (paused.state, paused.paused_code, paused.attempts) == ("queued", code, 3)
    assert desk.alerts() == ["message.paused"]
    assert (desk.outbox(outbox_id).state, desk.outbox(outbox_id).paused_code) == ("accepted", "")


def test_a_customer_without_a_policy_keeps_its_messages(desk: Desk) -> None:
    """Nothing is sent, nothing is lost, a person is told."""

    def no_policy() -> Policy:
        raise ConfigurationError("This customer has no policy")

    outbox_id = desk.message()
    desk.get_policy = no_policy

    assert isinstance(desk.send(outbox_id), Snooze)
    assert desk.outbox(outbox_id).state == "queued"
    assert desk.alerts() == ["message.paused"]


def test_a_refused_message_fails_and_a_person_is_told(desk: Desk) -> None:
    """Sending the same again would be refused again."""
    outbox_id = desk.message()
    desk.client.answers = [PermanentRefusal("Parameter invalid", provider_code="PARAM_INVALID")]

    assert isinstance(desk.send(outbox_id), Dead)
    assert desk.send(outbox_id) == Done("nothing to send: the message is failed")

    row = desk.outbox(outbox_id)
    assert (row.state, row.error_code, row.failed_at) == ("failed", "PARAM_INVALID", NOON)
    assert desk.alerts() == ["message.refused"]


def test_a_message_that_cannot_be_written_fails_before_any_call(desk: Desk) -> None:
    """The policy's text wants a value that this message never had."""
    outbox_id = desk.message()
    write(desk)
    desk.policy = desk.policy.model_copy(update={"texts": {"claim.received": "{unheard_of}"}})

    assert isinstance(desk.send(outbox_id), Dead)
    assert desk.outbox(outbox_id).state == "failed"
    assert desk.client.sent == []


def test_a_recipient_the_provider_refuses_is_opted_out(desk: Desk) -> None:
    """This message failed; the next one is not even tried."""
    first, second = desk.message("a"), desk.message("b")
    desk.client.answers = [RecipientOptedOut(provider_code="RECIPIENT_UNSUBSCRIBED")]

    desk.send(first)
    desk.send(second)

    assert [desk.outbox(one).state for one in (first, second)] == ["failed", "suppressed"]
    assert len(desk.client.sent) == 1


def check(desk: Desk) -> object:
    """Run the one job that looks at what was begun and never reported."""
    (payload,) = desk.jobs("outbox.unreported")
    return desk.run(outbound.check_unreported, payload)


def test_an_unreported_send_waits_before_a_person_hears_of_it(desk: Desk) -> None:
    """Too early it snoozes; then it alerts, once, and says which message."""
    outbox_id = desk.message()
    desk.client.answers = [AmbiguousOutcome()]
    desk.send(outbox_id)

    early = check(desk)
    desk.clock.move(UNREPORTED_AFTER + timedelta(minutes=5))
    late = [check(desk), check(desk)]

    assert early == Snooze("reports may still come", timedelta(minutes=15))
    assert late == [Done("1 of unknown outcome")] * 2
    assert desk.alerts() == ["message.ambiguous"]
    assert desk.jobs("alert.raised")[0]["subject"] == f"outbox:{outbox_id}"
    assert desk.outbox(outbox_id).state == "ambiguous"


def test_a_send_whose_job_is_gone_is_found_too(desk: Desk) -> None:
    """Its worker died, and somebody cancelled the job: the message does not stay `sending` for ever."""

    def die(_external_id: str) -> None:
        raise KeyboardInterrupt

    outbox_id = desk.message()
    desk.client.during = die
    with pytest.raises(KeyboardInterrupt):
        desk.send(outbox_id)
    desk.clock.move(timedelta(minutes=15))

    assert check(desk) == Done("1 of unknown outcome")
    assert (desk.outbox(outbox_id).state, desk.outbox(outbox_id).error_code) == ("ambiguous", "interrupted")
    assert desk.alerts() == ["message.ambiguous"]


def test_one_look_serves_all_sends_of_a_time(desk: Desk) -> None:
    """A hundred messages cost one job, and nobody hears of those that went well."""
    for number in range(100):
        desk.sent(f"claim:{number}")
    desk.clock.move(timedelta(minutes=15))

    assert check(desk) == Done("0 of unknown outcome")
    assert desk.alerts() == []


@pytest.mark.parametrize("payload", [{}, {"outbox": "1"}, {"outbox": None}])
def test_a_job_that_names_no_message_is_refused(desk: Desk, payload: dict[str, object]) -> None:
    """It can never succeed."""
    with pytest.raises(InvalidInput, match="names no message"):
        desk.run(outbound.send, payload)
    with pytest.raises(InvalidInput, match="names no instant"):
        desk.run(outbound.check_unreported, payload)


def test_a_job_of_a_message_that_is_not_there_is_refused(desk: Desk) -> None:
    """By its number."""
    with pytest.raises(NotFound, match="no message 99"):
        desk.send(99)


def test_a_thousand_sends_and_reports_replayed_change_nothing(desk: Desk) -> None:
    """Asked for, sent, reported; then every step again: the same rows, and no second call."""
    asked = [desk.message(f"claim:{number}") for number in range(1000)]
    for outbox_id in asked:
        desk.send(outbox_id)
    told = [
        desk.event(reported("delivered", external_id=external_id, provider_message_id=f"ycm_{external_id}"))
        for _, external_id in desk.client.sent
    ]
    for event in told:
        desk.run(inbound.handle_event, {"event": event})
    before = everything(desk)

    for number in range(1000):
        desk.message(f"claim:{number}")
    for job in (*asked, *asked[:10]):
        desk.send(job)
    for event in told:
        desk.run(inbound.handle_event, {"event": event})

    assert [len(rows) for rows in before] == [1, 0, 1000, 1000]
    assert everything(desk) == before
    assert len(desk.client.sent) == 1000


def test_a_thousand_messages_of_parents_replayed_change_nothing(desk: Desk) -> None:
    """The same events again, and the same messages under new event ids."""
    written = [desk.event(image_message(f"wamid.{number}")) for number in range(1000)]
    for event in written:
        desk.run(inbound.handle_event, {"event": event})
    before = everything(desk)

    renewed = [desk.event(image_message(f"wamid.{number}")) for number in range(1000)]
    for event in (*written, *renewed):
        desk.run(inbound.handle_event, {"event": event})

    assert [len(rows) for rows in before] == [1, 1000, 0, 0]
    assert everything(desk) == before
    assert len(desk.jobs("message.received")) == 1000


def everything(desk: Desk) -> list[list[dict[str, object]]]:
    """All rows of messaging, for before and after."""
    tables = ("contact", "message", "outbox", "delivery_report")
    return [desk.rows(f"SELECT * FROM messaging.{table} ORDER BY id") for table in tables]
