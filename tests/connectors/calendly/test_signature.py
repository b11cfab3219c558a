"""The key an event is stored under, and what of a delivery's header is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations

import pytest

from platform_connectors.calendly.signature import check_secrets, event_key
from platform_core.connectors import Authentic, Rejected, Rejection
from platform_core.errors import SecretRejected
from tests.connectors.calendly.deliveries import (
    BODY,
    EVENT_KEY,
    GOOD_DIGEST,
    PAYLOADS,
    judge,
    payload,
    signature,
    signed,
    with_header,
)

BEARING = [path.stem for path in sorted(PAYLOADS.glob("*.json"))]


def changed(name: str, **members: object) -> dict[str, object]:
    """A recorded event with other members of its payload."""
    event = payload(name)
    inner = event["payload"]
    assert isinstance(inner, dict)
    return {**event, "payload": {**inner, **members}}


def test_the_key_is_made_of_type_uri_and_instant() -> None:
    """Computed apart from the code."""
    assert event_key(json.loads(BODY)) == EVENT_KEY


def test_a_repeated_event_has_the_same_key_whatever_else_was_rendered_anew() -> None:
    """A retry may carry another envelope time and other fields; it is the same event."""
    event = payload("created")

    again = {
        **changed("created", status="canceled", tracking=None),
        "created_at": "2027-01-01T00:00:00.000000Z",
    }

    assert event_key(again) == event_key(event)


@pytest.mark.parametrize(
    ("first", "second"), list(combinations(["created", "canceled", "no_show", "no_show_undone"], 2))
)
def test_two_events_of_one_booking_have_two_keys(first: str, second: str) -> None:
    """The type tells them apart, also when the instants agree."""
    assert event_key(payload(first)) != event_key(payload(second))


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("created", {"uri": "https://api.calendly.com/scheduled_events/A/invitees/C"}),
        ("created", {"updated_at": "2026-11-23T17:51:18.327603Z"}),
        ("canceled", {"cancellation": {"created_at": "2026-11-23T17:54:22.356898Z"}}),
        ("no_show", {"no_show": {"uri": "https://api.calendly.com/invitee_no_shows/DDDD"}}),
    ],
)
def test_another_booking_or_another_time_is_another_event(name: str, members: Mapping[str, object]) -> None:
    """A booking may be marked as missed twice, and booked again at the same hour."""
    assert event_key(changed(name, **members)) != event_key(payload(name))


def test_a_cancellation_is_known_by_its_own_time_and_not_by_the_last_change() -> None:
    """Whatever is changed later on the booking: a retry of this event is this event."""
    later = changed("canceled", updated_at="2027-01-01T00:00:00.000000Z")

    assert event_key(later) == event_key(payload("canceled"))


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event": "invitee.created"},
        {"event": "invitee.created", "payload": []},
        {"event": "invitee.created", "payload": {"uri": "u"}},
        {"event": "invitee.created", "payload": {"updated_at": "t"}},
        {"event": 7, "payload": {"uri": "u", "updated_at": "t"}},
        {"event": "a", "payload": {"uri": "u\x00", "updated_at": "t"}},
        {"event": "a", "payload": {"uri": "u" * 256, "updated_at": "t"}},
    ],
)
def test_an_event_that_lacks_a_part_has_no_key(event: Mapping[str, object]) -> None:
    """Then the inbox stores it under the hash of its bytes."""
    assert event_key(event) == ""


def test_parts_cannot_be_shifted_into_each_other() -> None:
    """`a|b` and `a`, `|b` would be one under a plain separator."""
    first = {"event": "a", "payload": {"uri": 'b","c', "updated_at": "d"}}
    second = {"event": "a", "payload": {"uri": "b", "updated_at": 'c","d'}}

    assert event_key(first) != event_key(second)


@pytest.mark.parametrize(
    "stamp",
    [
        "-1767323045",
        "0",
        "1767323045.0",
        "1_767_323_045",
        "１７６７３２３０４５",
        "+1767323045",
        "01767323045",
        "9" * 20,
    ],
)
def test_a_timestamp_in_another_form_is_refused(stamp: str) -> None:
    """Although its digest is right."""
    header = with_header(f"t={stamp},v1={signature(t=stamp)}")

    assert judge(headers=header) == Rejected(Rejection.HEADER_MALFORMED)


@pytest.mark.parametrize(
    "form", ["v1={d},t={t}", "t={t},v1={d},v1={d}", "t={t},t={t},v1={d}", "t={t};v1={d}", "t={t},v0={d}"]
)
def test_only_the_one_form_is_read(form: str) -> None:
    """Reordered, repeated or of another version: two parsers may pick different ones."""
    header = with_header(form.format(t=1767323045, d=GOOD_DIGEST))

    assert judge(headers=header) == Rejected(Rejection.HEADER_MALFORMED)


def test_the_same_json_written_anew_does_not_verify() -> None:
    """The widely copied sample signs a re-serialised body; ours is the bytes."""
    again = json.dumps(json.loads(BODY)).encode()

    assert judge(again, signed()) == Rejected(Rejection.SIGNATURE_MISMATCH)


@pytest.mark.parametrize("name", BEARING)
def test_what_is_verified_is_named_by_its_type(name: str) -> None:
    """The inbox shows it, also of types nothing acts on."""
    event = payload(name)

    found = judge(json.dumps(event).encode())

    assert isinstance(found, Authentic)
    assert found.event_type == event["event"]


def test_a_short_key_is_none_of_ours() -> None:
    """Calendly takes any text; what we make has 32 characters at least."""
    with pytest.raises(SecretRejected, match="signing key"):
        check_secrets(["only-thirty-one-characters-here"])
