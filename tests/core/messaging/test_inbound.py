from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from psycopg import errors as pg

from platform_core.errors import JobInterrupted, NotFound
from platform_core.inbox import events
from platform_core.messaging import contacts, inbound
from platform_core.messaging.contracts import ContactOptedOut, Ignored, InboundEvent, Party
from platform_core.values import Cancelled, Dead, Done
from tests.support.databases import TenantDatabase
from tests.support.messaging import NOON, PARENT, Desk, image_message, reported, text_message

HOUR = timedelta(hours=1)


def handle(desk: Desk, event: int, *, attempt: int = 1) -> object:
    """Run the event's job."""
    return desk.run(inbound.handle_event, {"event": event}, attempt=attempt)


def state_of(desk: Desk, event: int) -> tuple[str, str]:
    """The event's state and note."""
    with desk.tx() as tx:
        found = events.get_event(tx, event)
    return found.state, found.note


def everything(desk: Desk) -> list[list[dict[str, object]]]:
    """All rows a message may touch, for before and after."""
    return [
        desk.rows(statement)
        for statement in (
            "SELECT id, phone, name, last_inbound_at, opted_out_at FROM messaging.contact ORDER BY id",
            "SELECT id, wamid, contact_id, event_id FROM messaging.message ORDER BY id",
            "SELECT id, state FROM messaging.outbox ORDER BY id",
        )
    ]


def test_an_image_becomes_a_message_and_a_job_that_captures_it(desk: Desk) -> None:
    """Contact, message, window and follow-up job are written together, and the event is handled."""
    event = desk.event(image_message())

    assert handle(desk, event) == Done("1 applied")

    with desk.tx() as tx:
        message = inbound.list_messages(tx)[0]
        contact = contacts.get_contact(tx, message.contact_id)
    assert (contact.phone, contact.name, contact.last_inbound_at) == (PARENT.phone, "Ana", NOON)
    assert (message.provider, message.wamid, message.type, message.event_id) == (
        "fake",
        "wamid.1",
        "image",
        event,
    )
    assert (message.attachment_link, message.attachment_mime) == ("https://media.example/1", "image/jpeg")
    assert (message.attachment_caption, message.attachment_sha256) == ("pago", "aGFzaA==")
    assert desk.jobs("message.received") == [{"message": message.id}]
    assert state_of(desk, event) == ("handled", "")


def test_a_text_opens_the_window_and_may_be_an_answer(desk: Desk) -> None:
    """Free text has no receipt in it, but staff may have asked: stored, window refreshed, passed on."""
    handle(desk, desk.event(text_message()))

    with desk.tx() as tx:
        message = inbound.list_messages(tx)[0]
        assert contacts.get_contact(tx, message.contact_id).last_inbound_at == NOON
    assert (message.text, message.attachment_link) == ("Hola", None)
    assert desk.jobs("message.received") == [{"message": message.id}]


def test_a_message_from_the_future_opens_the_window_from_now(desk: Desk) -> None:
    """A provider's clock ahead of ours must not keep the window open for longer."""
    handle(desk, desk.event(text_message(sent_at=NOON + HOUR)))

    assert desk.rows("SELECT last_inbound_at FROM messaging.contact") == [{"last_inbound_at": NOON}]


def test_the_same_message_under_a_new_event_id_changes_nothing(desk: Desk) -> None:
    """The wamid guards the business act: one message, one job, and not even the contact is touched."""
    handle(desk, desk.event(image_message()))
    before = everything(desk)

    again = desk.event(image_message(sender=Party(phone=PARENT.phone, name="Otra")))

    assert handle(desk, again) == Done("1 applied")
    assert everything(desk) == before
    assert len(desk.jobs("message.received")) == 1


def test_a_handled_event_is_left_alone(desk: Desk) -> None:
    """The job may run again after a crash between its work and its own end."""
    event = desk.event(image_message())
    handle(desk, event)
    before = everything(desk)

    assert [handle(desk, event) for _ in range(2)] == [Done("handled before")] * 2
    assert everything(desk) == before


def test_two_workers_with_one_event_write_it_once(tenant_db: TenantDatabase, desk: Desk) -> None:
    """Two real connections at the same moment: one applies it, the other finds it handled."""
    event = desk.event(image_message())
    start = threading.Barrier(2)

    def work(_: int) -> str:
        with tenant_db.connect() as connection:
            worker = desk.on(connection)
            start.wait(timeout=20)
            outcome = handle(worker, event)
        assert isinstance(outcome, Done)
        return outcome.note

    with ThreadPoolExecutor(2) as pool:
        notes = sorted(pool.map(work, range(2)))

    assert notes == ["1 applied", "handled before"]
    assert len(desk.rows("SELECT id FROM messaging.message")) == 1
    assert len(desk.jobs("message.received")) == 1


def test_two_workers_with_one_message_under_two_event_ids_write_it_once(
    tenant_db: TenantDatabase, desk: Desk
) -> None:
    """The unique wamid decides between them."""
    found = [desk.event(image_message()), desk.event(image_message())]
    start = threading.Barrier(2)

    def work(event: int) -> object:
        with tenant_db.connect() as connection:
            worker = desk.on(connection)
            start.wait(timeout=20)
            return handle(worker, event)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(work, found))

    assert outcomes == [Done("1 applied")] * 2
    assert len(desk.rows("SELECT id FROM messaging.message")) == 1
    assert len(desk.jobs("message.received")) == 1


def test_a_person_without_a_phone_is_a_contact_too(desk: Desk) -> None:
    """People may hide their number; the user id is enough."""
    handle(desk, desk.event(text_message(sender=Party(user_id="CL.123"))))

    assert desk.rows("SELECT phone, user_id FROM messaging.contact") == [{"phone": None, "user_id": "CL.123"}]


def test_text_that_postgresql_refuses_is_stored_with_a_mark(desk: Desk) -> None:
    """A NUL in a caption does not lose the receipt; the bytes are whole in the inbox."""
    event = desk.event(image_message(caption="a\x00b"))

    assert handle(desk, event) == Done("1 applied")

    with desk.tx() as tx:
        assert inbound.list_messages(tx)[0].attachment_caption == "a\ufffdb"
        assert rb"a\u0000b" in events.get_event(tx, event).body


@pytest.mark.parametrize(
    ("part", "note"),
    [
        (
            Ignored(type="whatsapp.smb.message.echoes", reason="our own staff"),
            "ignored whatsapp.smb.message.echoes",
        ),
        (Ignored(type="call.\x00", reason="unknown"), "ignored call.\ufffd"),
    ],
)
def test_what_nothing_acts_on_is_kept_as_handled(desk: Desk, part: InboundEvent, note: str) -> None:
    """Unknown types and our own staff's messages leave a note and nothing else."""
    event = desk.event(part)

    assert isinstance(handle(desk, event), Done)
    state, kept = state_of(desk, event)
    assert (state, kept.split(":")[0]) == ("handled", note)
    assert desk.rows("SELECT id FROM messaging.contact") == []


def test_opting_out_and_in_again_is_remembered(desk: Desk) -> None:
    """A stop is honoured for a contact we never met, too; news without a time count from their signing."""
    handle(desk, desk.event(ContactOptedOut(contact=PARENT, opted_out=True, changed_at=NOON)))
    handle(desk, desk.event(ContactOptedOut(contact=PARENT, opted_out=False, changed_at=NOON - HOUR)))
    after_old_news = desk.rows("SELECT opted_out_at FROM messaging.contact")

    desk.clock.move(HOUR)
    handle(desk, desk.event(ContactOptedOut(contact=PARENT, opted_out=False)))

    assert after_old_news == [{"opted_out_at": NOON}]
    assert desk.rows("SELECT opted_out_at FROM messaging.contact") == [{"opted_out_at": None}]


@pytest.mark.parametrize(
    "body",
    [b"not json", b"[1]", b'[{"kind":"delivery.reported"}]', b"\xff\xfe"],
    ids=["no JSON", "a list of numbers", "lacks fields", "not UTF-8"],
)
def test_an_event_nobody_can_read_is_kept_for_a_person(desk: Desk, body: bytes) -> None:
    """Unreadable, alerted once, a dead letter; the bytes stay."""
    event = desk.event(body=body)

    outcomes = [handle(desk, event) for _ in range(2)]

    assert all(isinstance(outcome, Dead) for outcome in outcomes)
    assert state_of(desk, event) == ("unreadable", "The body is none of ours")
    assert desk.alerts() == ["inbox.unreadable"]


@pytest.mark.parametrize(
    "part",
    [
        text_message("w2", sender=Party(phone="not a phone")),
        text_message("w2", sender=Party()),
        text_message(wamid=""),
        text_message(wamid="w\x00"),
        reported("sent", provider_message_id=""),
    ],
    ids=["no phone", "nobody", "no wamid", "unstorable wamid", "no message id"],
)
def test_a_part_that_cannot_be_stored_makes_the_event_unreadable_as_a_whole(
    desk: Desk, part: InboundEvent
) -> None:
    """Nothing of the event is written by halves."""
    event = desk.event(image_message(), part)

    assert isinstance(handle(desk, event), Dead)
    assert state_of(desk, event)[0] == "unreadable"
    assert everything(desk) == [[], [], []]


def test_a_corrected_connector_handles_an_unreadable_event(desk: Desk) -> None:
    """Redriving the job after the correction brings the event home."""
    event = desk.event(body=b"old format")
    handle(desk, event)
    desk.connector = type(desk.connector)(
        **{
            **{name: getattr(desk.connector, name) for name in desk.connector.__slots__},
            "to_events": lambda _body: [text_message()],
        }
    )

    assert handle(desk, event) == Done("1 applied")
    assert state_of(desk, event) == ("handled", "")


def test_an_event_whose_last_attempt_fails_says_so(desk: Desk, tenant_db: TenantDatabase) -> None:
    """Earlier attempts leave it received; the last one marks it; a redrive handles it."""
    event = desk.event(image_message())
    with tenant_db.admin() as admin:
        admin.execute("ALTER TABLE messaging.message ADD CONSTRAINT broken CHECK (type <> 'image')")
        states = []
        for attempt in (7, 8):
            with pytest.raises(pg.CheckViolation):
                handle(desk, event, attempt=attempt)
            states.append(state_of(desk, event))
        admin.execute("ALTER TABLE messaging.message DROP CONSTRAINT broken")

    assert states == [("received", ""), ("failed", "CheckViolation")]
    assert handle(desk, event) == Done("1 applied")
    assert state_of(desk, event)[0] == "handled"


def test_a_worker_that_lost_its_job_leaves_the_event_to_the_next(desk: Desk) -> None:
    """It does not even call it failed: another worker may be handling it."""
    event = desk.event(image_message())
    desk.interrupted = True

    with pytest.raises(JobInterrupted):
        handle(desk, event, attempt=8)

    desk.interrupted = False
    assert state_of(desk, event) == ("received", "")
    assert handle(desk, event) == Done("1 applied")


def test_a_held_event_is_not_handled(desk: Desk) -> None:
    """Whatever queued the job, only a release lets it through."""
    event = desk.event(image_message())
    with desk.tenant_db.admin() as admin:
        admin.execute("UPDATE inbox.event SET stale = true, state = 'held' WHERE id = %s", (event,))

    assert isinstance(handle(desk, event), Cancelled)
    assert everything(desk) == [[], [], []]


def test_one_event_may_say_several_things(desk: Desk) -> None:
    """All of them or none, in the provider's order."""
    event = desk.event(image_message("w1"), text_message("w2"), reported("sent"))

    assert handle(desk, event) == Done("3 applied")
    assert [row["wamid"] for row in desk.rows("SELECT wamid FROM messaging.message ORDER BY id")] == [
        "w1",
        "w2",
    ]


def test_messages_of_a_merged_contact_are_listed_under_the_one_that_stays(desk: Desk) -> None:
    """A message keeps its contact through merges."""
    handle(desk, desk.event(image_message("w1", sender=Party(user_id="u1"))))
    handle(desk, desk.event(image_message("w2", sender=Party(phone=PARENT.phone))))
    handle(desk, desk.event(image_message("w3", sender=Party(phone=PARENT.phone, user_id="u1"))))
    stays = desk.contact()

    with desk.tx() as tx:
        listed = inbound.list_messages(tx, contact_id=stays)
        assert inbound.get_message(tx, listed[-1].id) == listed[-1]

    assert [(one.wamid, one.contact_id) for one in listed] == [("w3", stays), ("w2", stays), ("w1", stays)]


def test_an_unknown_message_is_not_found(desk: Desk) -> None:
    """By its id as people write it."""
    with desk.tx() as tx, pytest.raises(NotFound, match="no message M7"):
        inbound.get_message(tx, 7)
