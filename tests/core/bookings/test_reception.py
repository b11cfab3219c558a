"""What a calendar says becomes the same rows in any order, and each family hears each thing once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_core import app
from platform_core.bookings import reception
from platform_core.bookings.contracts import BookingEvent
from platform_core.errors import PolicyInvalid
from platform_core.inbox import events
from platform_core.inbox.events import Delivery
from platform_core.messaging.contracts import Ignored, TextMessage
from platform_core.values import Cancelled, Dead, Done
from tests.connectors.calendly.deliveries import PAYLOADS
from tests.support.bookings import PHONE, PHONE_QUESTION, PUPIL_QUESTION, STARTS, Academy, Calendar
from tests.support.databases import TenantDatabase

TUESDAY = STARTS + timedelta(days=1)


def test_a_booking_becomes_a_row_a_contact_and_one_message_in_local_time(academy: Academy) -> None:
    """Nothing is guessed: the pupil from the configured question, the course from the policy's table."""
    assert academy.hears(Calendar(number=1).made()) == ["B1 is booked"]

    assert academy.rows_of_bookings() == [
        {
            "source": "calendly",
            "source_id": "https://api.calendly.com/scheduled_events/E1/invitees/I1",
            "rescheduled_from": "",
            "rescheduled_to": "",
            "name": "Ana Rojas",
            "email": "ana@example.org",
            "kind": "Clase de prueba Robótica",
            "starts_at": STARTS,
            "ends_at": STARTS + timedelta(hours=1),
            "booked_at": academy.clock.now() - timedelta(hours=1),
            "contact_id": 1,
            "pupil": "Leo Rojas",
            "course": "Robótica",
            "state": "booked",
            "canceled_at": None,
            "no_show": False,
            "no_show_at": None,
            "student_id": None,
            "decided_at": None,
            "decline_reason": "",
        }
    ]
    assert academy.rows("SELECT phone, name FROM messaging.contact") == [
        {"phone": PHONE, "name": "Ana Rojas"}
    ]
    assert academy.rows("SELECT purpose, values, recheck FROM messaging.outbox") == [
        {
            "purpose": "booking.confirmed",
            "values": {"pupil": "Leo Rojas", "course": "Robótica", "date": "04-03-2026", "time": "15:00"},
            "recheck": "booking",
        }
    ]
    assert academy.alerts() == []


def test_the_message_is_sent_in_the_policys_own_words(academy: Academy) -> None:
    """Inside the window as text."""
    academy.booked()
    with academy.tenant_db.admin() as admin:
        admin.execute("UPDATE messaging.contact SET last_inbound_at = %s", (academy.clock.now(),))

    assert academy.send_all() == [Done("accepted by the provider")]
    ((message, _),) = academy.client.sent
    assert isinstance(message, TextMessage)
    assert message.body.startswith(
        "¡Hola! La clase de prueba de Robótica de Leo Rojas quedó agendada para el 04-03-2026"
    )


# --- Any order, any number of times -----------------------------------------------------------------------


def moved() -> tuple[Calendar, Calendar, list[BookingEvent]]:
    """A booking that was made, then moved: its three events in their natural order."""
    first = Calendar(number=1)
    second = Calendar(number=2, starts_at=TUESDAY, replaces=first)
    return first, second, [first.made(), first.canceled(moved_to=second), second.made()]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_a_reschedule_leaves_the_same_rows_in_every_order_and_every_repetition(
    academy: Academy, order: Sequence[int]
) -> None:
    """The old one points to the new one and back; only the new one is told, and never a cancellation."""
    _, second, events = moved()

    academy.hears(*[events[number] for number in order])
    rows = academy.rows_of_bookings()
    academy.hears(*events, *reversed(events))

    assert academy.rows_of_bookings() == rows
    by_id = {str(row["source_id"])[-2:]: row for row in rows}
    assert {
        key: (row["state"], str(row["rescheduled_from"])[-2:], str(row["rescheduled_to"])[-2:])
        for key, row in by_id.items()
    } == {
        "I1": ("rescheduled", "", "I2"),
        "I2": ("booked", "I1", ""),
    }
    assert by_id["I1"]["canceled_at"] == academy.clock.now() - timedelta(minutes=30)
    told = academy.told()
    assert [purpose for purpose, _, state in told if state == "queued"] == ["booking.rescheduled"]
    assert {purpose for purpose, _, _ in told} <= {"booking.confirmed", "booking.rescheduled"}
    assert second.starts_at == by_id["I2"]["starts_at"]


def test_every_order_of_every_event_ends_in_one_set_of_rows(academy: Academy) -> None:
    """Moved, missed, unmarked: 120 orders of the same five events."""
    first = Calendar(number=1)
    second = Calendar(number=2, starts_at=TUESDAY, replaces=first)
    story: list[BookingEvent] = [
        first.made(),
        first.canceled(moved_to=second),
        second.made(),
        second.no_show(),
        second.no_show(marked=False, minute=5),
    ]
    seen = []
    for order in itertools.permutations(story):
        with academy.tenant_db.admin() as admin:
            admin.execute("TRUNCATE bookings.booking, messaging.outbox RESTART IDENTITY CASCADE")
        academy.hears(*order)
        seen.append(academy.rows_of_bookings())

    assert len(seen) == 120
    assert [rows for rows in seen if rows != seen[0]] == []
    assert [row["state"] for row in seen[0]] == ["rescheduled", "booked"]


def test_two_workers_that_take_in_the_pair_at_once_miss_nothing(
    academy: Academy, tenant_db: TenantDatabase
) -> None:
    """Neither sees what the other has not committed; whoever is second waits for its turn."""
    pairs = []
    for number in range(10, 26, 2):
        first = Calendar(number=number)
        second = Calendar(number=number + 1, replaces=first, starts_at=TUESDAY)
        pairs.append((first.made(), second.made()))

    def hear(event: BookingEvent) -> None:
        with tenant_db.connect() as connection:
            academy.on_bookings(connection).hears(event)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hear, [event for pair in pairs for event in pair]))

    states = academy.rows("SELECT state, count(*)::int AS count FROM bookings.booking GROUP BY 1 ORDER BY 1")
    assert states == [{"state": "booked", "count": 8}, {"state": "rescheduled", "count": 8}]


# --- Cancelled, missed ------------------------------------------------------------------------------------


def test_a_cancellation_withdraws_what_waits_and_is_told_once(academy: Academy) -> None:
    """However often it comes."""
    booking = Calendar(number=1)
    academy.hears(booking.made(), booking.canceled(), booking.canceled())

    assert academy.told() == [("booking.confirmed", "1", "cancelled"), ("booking.canceled", "1", "queued")]
    assert [one.state for one in academy.bookings()] == ["canceled"]


def test_a_cancellation_that_comes_first_is_told_and_the_booking_never_confirmed(academy: Academy) -> None:
    """The late confirmation would contradict it."""
    booking = Calendar(number=1)
    academy.hears(booking.canceled(), booking.made())

    assert academy.told() == [("booking.canceled", "1", "queued")]


def test_a_message_that_waits_is_asked_again_when_it_is_sent(academy: Academy) -> None:
    """The cancellation was written by somebody who could not see the message."""
    academy.booked()
    with academy.tenant_db.admin() as admin:
        admin.execute("UPDATE bookings.booking SET state = 'canceled', canceled_at = now()")

    assert academy.send_all() == [Cancelled("not needed any more: booking")]
    assert academy.client.sent == []


def test_of_a_class_that_began_nobody_is_told(academy: Academy) -> None:
    """A late or repeated delivery tells no family about yesterday."""
    academy.clock.at = STARTS
    first = Calendar(number=1)
    second = Calendar(number=2, starts_at=STARTS)
    academy.hears(first.made(), second.made(), second.canceled())

    assert academy.told() == []
    assert [one.state for one in academy.bookings()] == ["booked", "canceled"]


def test_a_mark_is_taken_back_by_the_newer_word_only(academy: Academy) -> None:
    """Both cross each other on the way."""
    booking = Calendar(number=1)
    academy.hears(booking.made(), booking.no_show(marked=False, minute=5), booking.no_show())
    assert [one.state for one in academy.bookings()] == ["booked"]

    academy.hears(booking.no_show(minute=9))
    assert [one.state for one in academy.bookings()] == ["no_show"]


def test_what_a_person_decided_no_calendar_undoes(academy: Academy) -> None:
    """The facts are kept beside it."""
    booking = Calendar(number=1)
    academy.hears(booking.made())
    academy.enrol(1)

    academy.hears(booking.canceled(), booking.no_show())

    (row,) = academy.rows_of_bookings()
    assert (row["state"], row["no_show"], row["canceled_at"] is None) == ("enrolled", True, False)
    assert "booking.canceled" not in {purpose for purpose, _, _ in academy.told()}


# --- What is missing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "lacks"),
    [
        ({"answers": {PUPIL_QUESTION: "Leo"}}, ["phone"]),
        ({"answers": {PUPIL_QUESTION: "Leo", PHONE_QUESTION: "9 1234 5678"}}, ["phone"]),
        ({"answers": {PUPIL_QUESTION: "Leo", PHONE_QUESTION: "llámenme"}}, ["phone"]),
        ({"answers": {PHONE_QUESTION: PHONE}}, ["pupil"]),
        ({"answers": {PHONE_QUESTION: PHONE, PUPIL_QUESTION: "  "}}, ["pupil"]),
        ({"answers": {PHONE_QUESTION: PHONE, PUPIL_QUESTION: "x" * 121}}, ["pupil"]),
        ({"kind": "Reunión de apoderados"}, ["course"]),
        ({"answers": {}, "kind": "Otra"}, ["phone", "pupil", "course"]),
    ],
)
def test_what_is_missing_is_asked_of_a_person_once_and_never_guessed(
    academy: Academy, changed: dict[str, Any], lacks: list[str]
) -> None:
    """The booking is kept; nobody is written to; the alert holds no word of the parent's."""
    booking = Calendar(number=1, **changed)
    academy.hears(booking.made(), booking.made())

    (view,) = academy.bookings()
    assert list(view.lacks) == lacks
    assert academy.told() == []
    assert academy.jobs("alert.raised") == [
        {
            "kind": "booking.incomplete",
            "severity": "P2",
            "subject": "B1",
            "dedupe": "booking.incomplete:1",
            "detail": {"booking": "B1", "lacks": lacks},
        }
    ]


@pytest.mark.parametrize(
    ("phone", "answer", "found"),
    [
        ("+56 9 0000 0021", "", PHONE),
        ("", "+56-9-0000-0021", PHONE),
        ("", "(+56) 9 0000.0021", PHONE),
        ("+56 9 1111 1111", "+56 9 0000 0021", PHONE),
        ("+56 9 0000 0021", "no tengo", PHONE),
        ("", "+56\u00a09\u20110000\u20110021", PHONE),
        ("", "56900000021", None),
        ("", "+0 900 0000", None),
        ("", "+56 9 0000 0021 o +56 9 1", None),
        ("", "＋５６９０００００２１", None),
    ],
)
def test_a_phone_is_one_with_its_country_or_none(
    academy: Academy, phone: str, answer: str, found: str | None
) -> None:
    """The configured question first; spaces and dashes do not count, letters do."""
    assert academy.policy.bookings is not None
    slot = Calendar(phone=phone, answers={PHONE_QUESTION: answer}).slot

    assert reception.find_phone(slot, academy.policy.bookings) == found


def test_questions_are_recognised_whatever_their_case_and_spaces(academy: Academy) -> None:
    """Somebody types them twice: in Calendly and in the policy."""
    assert academy.policy.bookings is not None
    slot = Calendar(answers={"  NOMBRE del  niño o niña ": " Leo\n Rojas "}).slot

    assert reception.find_pupil(slot, academy.policy.bookings) == "Leo Rojas"


def test_a_hostile_name_is_kept_as_text(academy: Academy) -> None:
    """What PostgreSQL cannot store is replaced; whoever shows the rest escapes it."""
    answers = {PUPIL_QUESTION: "<script>\x00</script>", PHONE_QUESTION: PHONE}
    academy.hears(Calendar(answers=answers).made())

    assert [one.pupil for one in academy.bookings()] == ["<script>\ufffd</script>"]


# --- As a job ---------------------------------------------------------------------------------------------


def stored(academy: Academy, event: object) -> int:
    """An event of Calendly in the inbox."""
    delivery = Delivery(
        source="calendly",
        endpoint="bookings",
        event_id=f"calendly:{hash(json.dumps(event))}",
        event_type="invitee.created",
        body=json.dumps(event).encode(),
        headers=[],
        signed_at=academy.clock.now(),
        stale=False,
    )
    with academy.tx() as tx:
        return events.receive(tx, delivery).event_id


def recorded(name: str) -> dict[str, object]:
    """A recorded event of Calendly."""
    event = json.loads(Path(PAYLOADS / f"{name}.json").read_text())["event"]
    assert isinstance(event, dict)
    return event


def test_the_job_of_a_stored_event_finds_its_reader_by_its_source(academy: Academy) -> None:
    """Not the messaging provider's; twice is once."""
    event_id = stored(academy, recorded("created"))

    outcomes = [academy.run(app.handle_event, {"event": event_id}) for _ in range(2)]

    assert outcomes == [Done("B1 is booked"), Done("handled before")]
    assert [one.name for one in academy.bookings()] == ["John Doe"]


def test_an_unknown_type_is_handled_without_effect_and_says_so(academy: Academy) -> None:
    """New types are additions."""
    event_id = stored(academy, recorded("unknown_type"))

    assert isinstance(academy.run(app.handle_event, {"event": event_id}), Done)
    assert academy.rows("SELECT state, note FROM inbox.event") == [
        {
            "state": "handled",
            "note": "ignored routing_form_submission.created: nothing here acts on this type",
        }
    ]
    assert academy.bookings() == []


def test_an_event_of_the_first_version_is_unreadable_and_alerts(academy: Academy) -> None:
    """A person looks; nothing of it is read."""
    event = {**recorded("created"), "payload": {"invitee": {"name": "Joe"}, "event": {"start_time": "x"}}}
    event_id = stored(academy, event)

    assert isinstance(academy.run(app.handle_event, {"event": event_id}), Dead)
    assert academy.rows("SELECT state FROM inbox.event") == [{"state": "unreadable"}]
    assert academy.alerts() == ["inbox.unreadable"]


def test_a_customer_without_bookings_in_its_policy_fails_loudly_and_can_go_on_later(academy: Academy) -> None:
    """The event is failed, not lost: redriving its job handles it once the section is there."""
    event_id = stored(academy, recorded("created"))
    whole = academy.policy
    academy.without("bookings")

    with pytest.raises(PolicyInvalid, match="nothing about bookings"):
        academy.run(app.handle_event, {"event": event_id})
    assert academy.rows("SELECT state FROM inbox.event") == [{"state": "failed"}]

    academy.policy = whole
    assert academy.run(app.handle_event, {"event": event_id}) == Done("B1 is booked")


def test_what_is_ignored_needs_no_policy(academy: Academy) -> None:
    """Nothing is written."""
    academy.without("bookings")

    assert academy.hears(Ignored(type="x", reason="y")) == ["ignored x"]
