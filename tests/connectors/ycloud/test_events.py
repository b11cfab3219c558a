"""Translation: what breaks the provider's promise, what only looks broken, and whatever hypothesis thinks of.

The recorded payloads and their translations are compared by the conformance suite.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_connectors.ycloud.events import to_events
from platform_core.errors import ContractDrift
from platform_core.messaging.contracts import (
    ContactOptedOut,
    DeliveryReported,
    Ignored,
    InboundEvent,
    MessageReceived,
)
from tests.connectors.ycloud.deliveries import PAYLOADS, payload

# Other work shares the machine: slowness is no failure here.
CALM = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = {
    "inbound_text": "whatsappInboundMessage",
    "inbound_image": "whatsappInboundMessage",
    "inbound_button_reply": "whatsappInboundMessage",
    "report_failed_meta": "whatsappMessage",
    "unsubscribed": "contactUnsubscribeCreated",
    "preference_stop_ms": "whatsappUserPreference",
}


def translate(event: object) -> InboundEvent:
    """The one event of a body."""
    (found,) = to_events(json.dumps(event).encode("ascii"))
    return found


def changed(name: str, **fields: Any) -> dict[str, object]:  # any JSON value
    """A recorded payload with fields of its object replaced; None removes one."""
    event = payload(name)
    content = event[KEYS[name]]
    assert isinstance(content, dict)
    kept = {key: value for key, value in {**content, **fields}.items() if value is not None}
    return {**event, KEYS[name]: kept}


@pytest.mark.parametrize(
    ("name", "fields", "field"),
    [
        ("inbound_text", {"id": None}, "id"),
        ("inbound_text", {"id": ""}, "id"),
        ("inbound_text", {"type": None}, "type"),
        ("inbound_text", {"type": 7}, "type"),
        ("inbound_text", {"text": None}, "text"),
        ("inbound_text", {"text": []}, "text"),
        ("inbound_text", {"text": {"body": {}}}, "body"),
        ("inbound_text", {"from": None}, "fromUserId"),
        ("inbound_text", {"from": "CUSTOMER-PHONE-NUMBER"}, "fromUserId"),
        ("inbound_text", {"from": "+0123456789"}, "fromUserId"),
        ("inbound_text", {"from": "+５６911111111"}, "fromUserId"),
        ("inbound_text", {"from": ["+56911111111"]}, "from"),
        ("inbound_text", {"sendTime": "yesterday"}, "sendTime"),
        ("inbound_text", {"sendTime": "2026-11-20T14:00:00"}, "sendTime"),
        ("inbound_text", {"sendTime": "2026-02-30T14:00:00Z"}, "sendTime"),
        ("inbound_text", {"sendTime": "0001-01-01T00:00:00+14:00"}, "sendTime"),
        ("inbound_text", {"sendTime": 1767323045}, "sendTime"),
        ("inbound_text", {"customerProfile": "Joe"}, "customerProfile"),
        ("inbound_image", {"image": {"mime_type": "image/png"}}, "link"),
        ("inbound_image", {"image": {"link": ""}}, "link"),
        ("inbound_button_reply", {"interactive": {"type": "button_reply"}}, "button_reply"),
        ("report_failed_meta", {"id": None}, "id"),
        ("report_failed_meta", {"status": None}, "status"),
        ("report_failed_meta", {"updateTime": "soon"}, "updateTime"),
        ("report_failed_meta", {"errorCode": {"code": 1}}, "errorCode"),
        ("unsubscribed", {"phoneNumber": None}, "phoneNumber"),
        ("unsubscribed", {"phoneNumber": "none"}, "phoneNumber"),
        ("preference_stop_ms", {"timestamp": "soon"}, "timestamp"),
        ("preference_stop_ms", {"timestamp": -1}, "timestamp"),
        ("preference_stop_ms", {"timestamp": 1.5}, "timestamp"),
        ("preference_stop_ms", {"value": None}, "value"),
    ],
)
def test_a_promised_field_that_is_missing_or_misshapen_is_drift(
    name: str, fields: dict[str, object], field: str
) -> None:
    """The field is named; nothing is guessed in its place."""
    with pytest.raises(ContractDrift) as drift:
        translate(changed(name, **fields))

    assert field in drift.value.one_line()


@pytest.mark.parametrize("create_time", [None, "", 5, "2026-11-20"])
def test_an_envelope_without_its_time_is_drift(create_time: object) -> None:
    """The envelope's four fields are promised for every type that is read."""
    with pytest.raises(ContractDrift, match="createTime"):
        translate({**payload("inbound_text"), "createTime": create_time})


@pytest.mark.parametrize("kind", [None, 5, "", [], {}])
def test_an_event_without_a_type_is_drift(kind: object) -> None:
    """It cannot even be ignored under a name."""
    with pytest.raises(ContractDrift, match="type"):
        translate({**payload("inbound_text"), "type": kind})


@pytest.mark.parametrize("extra", [5, [], {"code": {}}, {"code": True, "message": 3, "error_data": [1]}, "x"])
def test_a_strange_error_description_does_not_lose_the_report(extra: object) -> None:
    """The status matters more than the words beside it."""
    found = translate(
        changed("report_failed_meta", errorCode=None, errorMessage=None, whatsappApiError=extra)
    )

    assert isinstance(found, DeliveryReported)
    assert (found.status, found.error_code, found.error_message) == ("failed", "", "")


def test_an_objects_foreign_content_does_not_matter() -> None:
    """Only the object that the message's type names is read."""
    assert translate(changed("inbound_text", image=[], button="x", errors="y")) == translate(
        payload("inbound_text")
    )


def test_a_hidden_phone_beside_an_unreadable_one_is_still_a_person() -> None:
    """The business-scoped id is identity enough."""
    found = translate(changed("inbound_text", **{"from": "hidden"}, fromUserId="CL.13491208655302741918"))

    assert isinstance(found, MessageReceived)
    assert (found.sender.phone, found.sender.user_id) == (None, "CL.13491208655302741918")


def test_long_words_of_an_error_are_cut() -> None:
    """They go into a column, and nobody branches on them."""
    found = translate(changed("report_failed_meta", errorMessage="x" * 10_000))

    assert isinstance(found, DeliveryReported)
    assert found.error_message == "x" * 500


def test_every_recorded_payload_says_what_it_is() -> None:
    """A recording without its source is a rumour."""
    for path in PAYLOADS.glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert set(record) == {"about", "event", "expected"}
        assert len(record["about"]) >= 10


@CALM
@given(raw=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode("ascii")))
def test_any_bytes_are_translated_or_drift(raw: bytes) -> None:
    """No other error crosses the boundary."""
    try:
        found = list(to_events(raw))
    except ContractDrift:
        return

    assert all(isinstance(event, Ignored) for event in found)


@CALM
@given(name=st.sampled_from(sorted(KEYS)), where=st.integers(0, 30), value=JSON)
def test_any_value_in_any_field_is_translated_or_drift(name: str, where: int, value: object) -> None:
    """One field at a time is replaced by anything that JSON can say; what comes out can be stored."""
    content = payload(name)[KEYS[name]]
    assert isinstance(content, dict)
    field = sorted(content)[where % len(content)]

    try:
        found = translate({**payload(name), KEYS[name]: {**content, field: value}})
    except ContractDrift:
        return

    assert isinstance(found, MessageReceived | DeliveryReported | ContactOptedOut | Ignored)
    text = found.model_dump_json()
    assert "\\u0000" not in text
    text.encode("utf-8")
