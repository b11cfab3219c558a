"""What is refused of a Calendly event, and what is kept without effect."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from platform_connectors.calendly.events import to_events
from platform_core.errors import ContractDrift
from platform_core.messaging.contracts import Ignored
from tests.connectors.calendly.deliveries import payload


def told(event: Mapping[str, object]) -> str:
    """What the refusal of an event says."""
    with pytest.raises(ContractDrift) as drift:
        to_events(json.dumps(event).encode())
    return drift.value.one_line()


def broken(name: str = "created", /, **members: object) -> dict[str, object]:
    """A recorded event with other members of its payload; None takes one away."""
    event = payload(name)
    inner = event["payload"]
    assert isinstance(inner, dict)
    merged = {key: value for key, value in {**inner, **members}.items() if value is not ...}
    return {**event, "payload": merged}


FIRST_VERSION = {
    "event": "invitee.created",
    "time": "2018-03-14T19:16:01Z",
    "created_at": "2018-03-14T19:16:01Z",
    "payload": {
        "event_type": {"uuid": "CCC", "kind": "One-on-One", "name": "15 Minute Meeting"},
        "event": {"uuid": "BBB", "start_time": "2018-03-14T12:00:00Z", "end_time": "2018-03-14T12:15:00Z"},
        "invitee": {"uuid": "AAA", "name": "Joe Schmoe", "email": "joe@example.com"},
    },
}


def test_a_payload_of_the_first_version_is_refused_by_name() -> None:
    """It still circulates in public code; reading half of it would be guessing."""
    shown = told(FIRST_VERSION)

    assert "first API version" in shown
    assert "Joe" not in shown


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"uri": ...}, "uri"),
        ({"uri": ""}, "uri"),
        ({"uri": "u" * 256}, "uri"),
        ({"scheduled_event": ...}, "scheduled_event"),
        ({"scheduled_event": {"name": "x"}}, "scheduled_event.start_time"),
        (
            {"scheduled_event": {"name": "x", "start_time": "2026-12-01", "end_time": "2026-12-01"}},
            "start_time",
        ),
        ({"created_at": "yesterday"}, "created_at"),
        ({"created_at": 1767323045}, "created_at"),
        ({"rescheduled": "perhaps"}, "rescheduled"),
        ({"questions_and_answers": "none"}, "questions_and_answers"),
        ({"questions_and_answers": [7]}, "questions_and_answers.0"),
        ({"name": {"first": "Ana"}}, "name"),
    ],
)
def test_a_broken_promise_names_the_field_and_never_the_value(
    members: Mapping[str, object], field: str
) -> None:
    """A person looks at the stored body."""
    shown = told(broken(**members))

    assert field in shown
    assert "Ana" not in shown
    assert "yesterday" not in shown


def test_a_class_that_ends_before_it_begins_is_drift() -> None:
    """It could be neither expected nor over."""
    scheduled = {"name": "x", "start_time": "2026-12-01T18:00:00Z", "end_time": "2026-12-01T17:00:00Z"}

    assert "ends before it begins" in told(broken(scheduled_event=scheduled))


def test_a_reschedule_without_its_successor_is_drift_and_no_plain_cancellation() -> None:
    """A parent who moved a class would be told that it was cancelled."""
    assert "new_invitee" in told(broken("canceled_by_reschedule", new_invitee=None))


def test_a_payload_that_is_none_is_drift() -> None:
    """Of every type that acts."""
    for kind in ("invitee.created", "invitee.canceled", "invitee_no_show.created", "invitee_no_show.deleted"):
        assert "payload" in told({"event": kind, "created_at": "2026-12-01T18:00:00Z", "payload": None})
        assert "created_at" in told({"event": kind, "payload": payload("created")["payload"]})


def test_an_unknown_type_is_kept_whatever_it_carries() -> None:
    """New types are additions; nothing acts on them."""
    body = json.dumps({"event": "meeting_recap.created\x00", "payload": "anything"}).encode()

    assert to_events(body) == [
        Ignored(type="meeting_recap.created\ufffd", reason="nothing here acts on this type")
    ]
