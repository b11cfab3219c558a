"""Who writes to us and whom we write to. A contact is a phone number, a provider's user id, or both.

People may hide their phone number, so either identity may come alone and the other later. The phone decides:
it is what staff know a family by, so an event that carries both moves the user id to the phone's contact, and
a contact known by user id alone is merged into it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from platform_core.db import Tx, load_queries
from platform_core.db.text import is_storable, storable
from platform_core.errors import InvalidInput, NotFound, Unavailable
from platform_core.messaging.contracts import Party

Q = load_queries(__file__)

_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_MAX_USER_ID_CHARS = 160
_MAX_NAME_CHARS = 200
_INSERT_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact. `merged_into` names the contact that took over its identities."""

    id: int
    phone: str | None
    user_id: str | None
    name: str
    last_inbound_at: datetime | None
    opted_out_at: datetime | None
    merged_into: int | None


@dataclass(frozen=True, slots=True)
class Insert:
    """Nobody has these identities yet."""


@dataclass(frozen=True, slots=True)
class Keep:
    """This contact is the party; `user_id` and `phone` are what it should have. Others give up the user id.

    `merge` is a contact known by the user id alone: the same person. `strip` is a contact with another phone
    that had the user id until now: another person.
    """

    contact_id: int
    phone: str | None
    user_id: str | None
    merge: int | None = None
    strip: int | None = None


@dataclass(frozen=True, slots=True)
class InsertAfterStrip:
    """The phone is new, and the user id is known under another phone: a new contact takes it over."""

    strip: int


Identity = Insert | Keep | InsertAfterStrip


def decide_identity(party: Party, *, by_phone: Contact | None, by_user_id: Contact | None) -> Identity:
    """Which contact a party is, given the contacts that have its phone and its user id. Pure."""
    if by_phone is None and by_user_id is None:
        return Insert()
    if by_phone is None and by_user_id is not None:
        if party.phone is None or by_user_id.phone is None:
            return Keep(by_user_id.id, phone=party.phone or by_user_id.phone, user_id=by_user_id.user_id)
        return InsertAfterStrip(strip=by_user_id.id)
    if by_phone is None:
        raise AssertionError("a phone or a user id was found above")
    keep = Keep(by_phone.id, phone=by_phone.phone, user_id=party.user_id or by_phone.user_id)
    if by_user_id is None or by_user_id.id == by_phone.id:
        return keep
    if by_user_id.phone is None:
        return Keep(keep.contact_id, phone=keep.phone, user_id=keep.user_id, merge=by_user_id.id)
    return Keep(keep.contact_id, phone=keep.phone, user_id=keep.user_id, strip=by_user_id.id)


def find_or_create(tx: Tx, party: Party, now: datetime) -> int:
    """The contact of a party, created, completed or merged as needed. Locks its row.

    Idempotency: the same party again is the same contact, also when two workers meet it at once.
    Raises: InvalidInput when the party has no usable identity (the message never quotes it).
    """
    _require_identity(party)
    name = storable(party.name[:_MAX_NAME_CHARS])
    for _ in range(_INSERT_ROUNDS):
        found = _lock(tx, party)
        decision = decide_identity(
            party,
            by_phone=next((one for one in found if one.phone and one.phone == party.phone), None),
            by_user_id=next((one for one in found if one.user_id and one.user_id == party.user_id), None),
        )
        if isinstance(decision, Keep):
            return _keep(tx, decision, name)
        if isinstance(decision, InsertAfterStrip):
            tx.execute(Q["contact_strip_user_id"], {"contact": decision.strip})
        row = tx.execute(
            Q["contact_insert"],
            {"phone": party.phone, "user_id": party.user_id, "name": name, "now": now},
        ).fetchone()
        if row is not None:
            return int(row[0])
        # Another worker inserted one of the identities and committed: the next look finds it.
    raise Unavailable("The contact is being changed by others", next_step="Run the job again.")


def _lock(tx: Tx, party: Party) -> list[Contact]:
    with tx.cursor(row_factory=class_row(Contact)) as cursor:
        parameters = {"phone": party.phone, "user_id": party.user_id}
        return cursor.execute(Q["contact_lock"], parameters).fetchall()


def _keep(tx: Tx, keep: Keep, name: str) -> int:
    if keep.merge is not None:
        tx.execute(Q["contact_merge"], {"loser": keep.merge, "winner": keep.contact_id})
    if keep.strip is not None:
        tx.execute(Q["contact_strip_user_id"], {"contact": keep.strip})
    tx.execute(
        Q["contact_complete"],
        {"contact": keep.contact_id, "phone": keep.phone, "user_id": keep.user_id, "name": name},
    )
    return keep.contact_id


def _require_identity(party: Party) -> None:
    if party.phone is None and party.user_id is None:
        raise InvalidInput("The party has neither a phone number nor a user id")
    if party.phone is not None and not _PHONE.fullmatch(party.phone):
        raise InvalidInput("A phone number is not in international form", next_step="Write +56912345678.")
    if party.user_id is not None and not (
        1 <= len(party.user_id) <= _MAX_USER_ID_CHARS and is_storable(party.user_id)
    ):
        raise InvalidInput(f"A user id has not 1 to {_MAX_USER_ID_CHARS} characters")


def get_contact(tx: Tx, contact_id: int) -> Contact:
    """The contact, or the one it was merged into. Raises: NotFound."""
    with tx.cursor(row_factory=class_row(Contact)) as cursor:
        found = cursor.execute(Q["contact_find"], {"contact": contact_id}).fetchone()
    if found is None:
        raise NotFound(f"There is no contact {contact_id}")
    return found


def list_merged(tx: Tx, contact_id: int) -> list[int]:
    """The contact's own id and those merged into it: rows of other packages may name any of them."""
    rows = tx.execute(Q["contact_list_merged"], {"contact": contact_id, "limit": 1000}).fetchall()
    return [int(row[0]) for row in rows]


def note_inbound(tx: Tx, contact_id: int, *, sent_at: datetime) -> None:
    """Open or refresh the window for free text. An older message never closes it again."""
    tx.execute(Q["contact_note_inbound"], {"contact": contact_id, "sent_at": sent_at})


def set_opt_out(tx: Tx, contact_id: int, *, opted_out: bool, changed_at: datetime) -> bool:
    """Honour a stop or a resume. False when newer news is known, or it changes nothing."""
    parameters = {"contact": contact_id, "opted_out": opted_out, "changed_at": changed_at}
    return tx.execute(Q["contact_set_opt_out"], parameters).fetchone() is not None
