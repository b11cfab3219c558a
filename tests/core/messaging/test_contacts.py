from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from psycopg import errors as pg

from platform_core.errors import InvalidInput, NotFound
from platform_core.messaging import contacts
from platform_core.messaging.contacts import Contact, Identity, Insert, InsertAfterStrip, Keep
from platform_core.messaging.contracts import Party
from tests.support.databases import TenantDatabase
from tests.support.messaging import NOON, Desk

PHONE, OTHER = "+56900000001", "+56900000002"
HOUR = timedelta(hours=1)


def contact(identifier: int, phone: str | None, user_id: str | None) -> Contact:
    """A contact as it is stored."""
    return Contact(identifier, phone, user_id, "", None, None, None)


@pytest.mark.parametrize(
    ("party", "by_phone", "by_user_id", "expected"),
    [
        (Party(phone=PHONE), None, None, Insert()),
        (Party(phone=PHONE, user_id="u1"), None, None, Insert()),
        (Party(phone=PHONE), contact(1, PHONE, None), None, Keep(1, PHONE, None)),
        (Party(phone=PHONE), contact(1, PHONE, "u1"), None, Keep(1, PHONE, "u1")),
        (Party(user_id="u1"), None, contact(1, PHONE, "u1"), Keep(1, PHONE, "u1")),
        (Party(phone=PHONE, user_id="u1"), contact(1, PHONE, None), None, Keep(1, PHONE, "u1")),
        (Party(phone=PHONE, user_id="u1"), None, contact(1, None, "u1"), Keep(1, PHONE, "u1")),
        (Party(phone=PHONE, user_id="u2"), contact(1, PHONE, "u1"), None, Keep(1, PHONE, "u2")),
        (
            Party(phone=PHONE, user_id="u1"),
            contact(1, PHONE, None),
            contact(2, None, "u1"),
            Keep(1, PHONE, "u1", merge=2),
        ),
        (
            Party(phone=PHONE, user_id="u1"),
            contact(1, PHONE, None),
            contact(2, OTHER, "u1"),
            Keep(1, PHONE, "u1", strip=2),
        ),
        (Party(phone=PHONE, user_id="u1"), None, contact(2, OTHER, "u1"), InsertAfterStrip(strip=2)),
        (
            Party(phone=PHONE, user_id="u1"),
            contact(1, PHONE, "u1"),
            contact(1, PHONE, "u1"),
            Keep(1, PHONE, "u1"),
        ),
    ],
)
def test_the_phone_decides_who_a_party_is(
    party: Party, by_phone: Contact | None, by_user_id: Contact | None, expected: Identity
) -> None:
    """A user id alone joins the phone's contact; a user id of another phone is another person's."""
    assert contacts.decide_identity(party, by_phone=by_phone, by_user_id=by_user_id) == expected


def test_the_same_party_is_the_same_contact(desk: Desk) -> None:
    """A second message creates nobody; a newer name replaces the older one, an empty one does not."""
    first = desk.contact(Party(phone=PHONE, name="Ana"))
    again = [desk.contact(Party(phone=PHONE, name=name)) for name in ("Ana María", "")]

    assert again == [first, first]
    assert desk.rows("SELECT id, phone, name FROM messaging.contact") == [
        {"id": first, "phone": PHONE, "name": "Ana María"}
    ]


def test_a_contact_known_by_user_id_is_merged_into_the_phones_contact(desk: Desk) -> None:
    """Both ids stay valid; window and opt-out of both are kept; messages go to the one that stays."""
    by_user, by_phone = desk.contact(Party(user_id="u1")), desk.contact(Party(phone=PHONE))
    with desk.tx() as tx:
        contacts.note_inbound(tx, by_user, sent_at=NOON)
        contacts.set_opt_out(tx, by_user, opted_out=True, changed_at=NOON)

    both = desk.contact(Party(phone=PHONE, user_id="u1"))

    with desk.tx() as tx:
        kept = contacts.get_contact(tx, by_user)
        ids = contacts.list_merged(tx, by_phone)
    assert both == by_phone
    assert ids == [by_user, by_phone]
    assert kept == Contact(by_phone, PHONE, "u1", "", NOON, NOON, None)
    assert desk.contact(Party(user_id="u1")) == by_phone


def test_merging_again_points_everybody_to_the_last_one(desk: Desk) -> None:
    """A chain of merges is one step long."""
    first = desk.contact(Party(user_id="u1"))
    second = desk.contact(Party(phone=PHONE))
    desk.contact(Party(phone=PHONE, user_id="u1"))
    third = desk.contact(Party(user_id="u2"))
    desk.contact(Party(phone=PHONE, user_id="u2"))

    assert desk.rows("SELECT id, phone, user_id, merged_into FROM messaging.contact ORDER BY id") == [
        {"id": first, "phone": None, "user_id": None, "merged_into": second},
        {"id": second, "phone": PHONE, "user_id": "u2", "merged_into": None},
        {"id": third, "phone": None, "user_id": None, "merged_into": second},
    ]


def test_a_user_id_that_moved_to_another_phone_leaves_the_first(desk: Desk) -> None:
    """Two phones stay two families."""
    first = desk.contact(Party(phone=PHONE, user_id="u1"))
    second = desk.contact(Party(phone=OTHER, user_id="u1"))

    assert desk.rows("SELECT id, phone, user_id FROM messaging.contact ORDER BY id") == [
        {"id": first, "phone": PHONE, "user_id": None},
        {"id": second, "phone": OTHER, "user_id": "u1"},
    ]


def test_two_workers_that_meet_a_contact_at_once_agree(tenant_db: TenantDatabase) -> None:
    """Eight connections, one new person: one row."""
    start = threading.Barrier(8)

    def meet(number: int) -> int:
        with tenant_db.connect() as connection:
            start.wait(timeout=20)
            with connection.transaction():
                return contacts.find_or_create(connection, Party(phone=PHONE, name=f"n{number}"), NOON)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(meet, range(8)))) == 1


@pytest.mark.parametrize(
    "party",
    [
        Party(),
        Party(phone="56900000001"),
        Party(phone="+0900"),
        Party(phone="+5690000000a"),
        Party(user_id=""),
    ],
)
def test_a_party_without_a_usable_identity_is_refused_without_quoting_it(desk: Desk, party: Party) -> None:
    """The message names the rule, never the number."""
    with pytest.raises(InvalidInput) as refused:
        desk.contact(party)

    assert party.phone is None or party.phone not in refused.value.one_line()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_news_about_opting_out_may_cross(desk: Desk, order: tuple[int, int]) -> None:
    """The newest word by its own time holds, whichever comes last."""
    news = [(True, NOON), (False, NOON + HOUR)]
    contact_id = desk.contact()

    with desk.tx() as tx:
        for index in order:
            opted_out, changed_at = news[index]
            contacts.set_opt_out(tx, contact_id, opted_out=opted_out, changed_at=changed_at)
        kept = contacts.get_contact(tx, contact_id)

    assert kept.opted_out_at is None


@pytest.mark.parametrize("order", [(NOON, NOON - HOUR), (NOON - HOUR, NOON), (NOON, NOON)])
def test_an_older_message_never_closes_the_window(desk: Desk, order: tuple[datetime, datetime]) -> None:
    """The window counts from the newest message, in whatever order they come."""
    contact_id = desk.contact()

    with desk.tx() as tx:
        for sent_at in order:
            contacts.note_inbound(tx, contact_id, sent_at=sent_at)
        assert contacts.get_contact(tx, contact_id).last_inbound_at == NOON


def test_an_unknown_contact_is_not_found(desk: Desk) -> None:
    """Asked for by id."""
    with desk.tx() as tx, pytest.raises(NotFound, match="no contact 999"):
        contacts.get_contact(tx, 999)


@pytest.mark.parametrize("table", ["contact", "message", "outbox", "delivery_report"])
def test_the_customers_login_deletes_nothing(desk: Desk, table: str) -> None:
    """What was said stays said."""
    with pytest.raises(pg.InsufficientPrivilege):
        desk.rows(f"DELETE FROM messaging.{table} RETURNING id")
