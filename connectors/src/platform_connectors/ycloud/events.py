"""What a YCloud event says, in our words: wire models and their translation to `messaging.contracts`.

Pure. What the provider adds is ignored here and kept in the stored body; an unknown type is `Ignored`,
because YCloud calls new types compatible additions. An event that breaks its own promise (the object of its
type is missing or misshapen) raises ContractDrift: a person looks at it, nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from platform_connectors.wire import (
    LOOK,
    Instant,
    OptionalInstant,
    OptionalText,
    Text,
    Wire,
    read_event,
    read_wire,
    storable,
    to_optional_text,
)
from platform_core.errors import ContractDrift
from platform_core.messaging.contracts import (
    Attachment,
    ContactOptedOut,
    DeliveryReported,
    Ignored,
    InboundEvent,
    MessageReceived,
    Party,
    ReportStatus,
)

UNDECLARED_MIME_TYPE = "application/octet-stream"
"""What HTTP calls bytes of undeclared type (RFC 9110); the fetched bytes decide."""

_MAX_ERROR_CHARS = 500
_FIRST_MILLISECOND_STAMP = 10**11  # as seconds this is the year 5138; as milliseconds March 1973

_PHONE = re.compile(r"\+?([1-9][0-9]{6,14})", re.ASCII)
# Authentic, and not for us to act on. Any type that is in neither table is new: it is kept the same way.
_IGNORED = {
    "whatsapp.smb.message.echoes": "an echo of what our own staff sent",
    "whatsapp.smb.message.created": "an echo of what our own staff sent",  # the SDK's name for the same event
    "whatsapp.smb.history": "old messages of the phone app",
}


def to_events(body: bytes) -> Sequence[InboundEvent]:
    """Translate one verified body. Always one event today; a sequence because other providers batch.

    Texts lose what PostgreSQL cannot store: NUL and lone surrogates become U+FFFD.
    Raises: ContractDrift naming the field, never its value.
    """
    kind, event = read_event("YCloud", body, "type")
    reader = _READERS.get(kind)
    if reader is None:
        reason = _IGNORED.get(kind, "nothing here acts on this type")
        return [Ignored(type=storable(kind), reason=reason)]
    return [reader(_read(_Envelope, event, kind), event)]


# --- Scalars --------------------------------------------------------------------------------------------


def _code(value: object) -> object:
    # Documented as a string; a number means the same.
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else to_optional_text(value)


def _phone(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _PHONE.fullmatch(value)
    if found is None:
        raise ValueError("not an E.164 number")
    return f"+{found[1]}"


def _unix_instant(value: object) -> object:
    """Documented as a Unix time; the documentation's own example is in milliseconds. Both are read."""
    if value is None:
        return None
    text = str(value) if isinstance(value, (str, int)) else ""
    if not re.fullmatch(r"[1-9][0-9]{8,13}", text, re.ASCII):
        raise ValueError("not a Unix time")
    stamp = int(text)
    seconds = stamp / 1000 if stamp >= _FIRST_MILLISECOND_STAMP else stamp
    return datetime.fromtimestamp(seconds, UTC)


_Code = Annotated[str, BeforeValidator(_code)]
_Phone = Annotated[str, BeforeValidator(_phone)]
_OptionalUnixInstant = Annotated[datetime | None, BeforeValidator(_unix_instant)]


# --- Wire models: the fields we read, as the provider's OpenAPI v1.16.2 spells them -----------------------


class _Wire(Wire):
    model_config = ConfigDict(alias_generator=to_camel)


class _Envelope(_Wire):
    id: Text = Field(min_length=1)
    type: Text
    create_time: Instant


class _Profile(_Wire):
    name: OptionalText = ""


class _Context(_Wire):
    id: OptionalText = ""


class _Inbound(_Wire):
    id: Text = Field(min_length=1)
    wamid: OptionalText = ""
    sender: OptionalText = Field(default="", alias="from")
    from_user_id: OptionalText = ""
    customer_profile: _Profile | None = None
    to: OptionalText = ""
    send_time: OptionalInstant = None
    type: Text = Field(min_length=1)
    context: _Context | None = None
    group_id: OptionalText = ""


class _TextContent(_Wire):
    body: Text


class _Media(_Wire):
    link: Text = Field(min_length=1)
    mime_type: OptionalText = Field(default="", alias="mime_type")
    filename: OptionalText = ""
    caption: OptionalText = ""
    sha256: OptionalText = ""


class _Button(_Wire):
    payload: OptionalText = ""
    text: OptionalText = ""


class _Reply(_Wire):
    id: OptionalText = ""
    title: OptionalText = ""
    body: OptionalText = ""


class _Interactive(_Wire):
    type: OptionalText = ""
    button_reply: _Reply | None = Field(default=None, alias="button_reply")
    list_reply: _Reply | None = Field(default=None, alias="list_reply")
    nfm_reply: _Reply | None = Field(default=None, alias="nfm_reply")


class _Reaction(_Wire):
    message_id: OptionalText = Field(default="", alias="message_id")
    emoji: OptionalText = ""


class _System(_Wire):
    type: OptionalText = ""


class _Report(_Wire):
    id: Text = Field(min_length=1)
    wamid: OptionalText = ""
    external_id: OptionalText = ""
    status: Text
    error_code: _Code = ""
    error_message: OptionalText = ""
    update_time: OptionalInstant = None
    send_time: OptionalInstant = None
    deliver_time: OptionalInstant = None
    read_time: OptionalInstant = None


class _Unsubscribe(_Wire):
    phone_number: _Phone
    update_time: OptionalInstant = None


class _Preference(_Wire):
    contact_phone_number: _Phone
    category: OptionalText = ""
    value: Text
    timestamp: _OptionalUnixInstant = None


_Model = TypeVar("_Model", bound=_Wire)


def _read(model: type[_Model], source: object, path: str) -> _Model:
    return read_wire("YCloud", model, source, path)


# --- Messages -------------------------------------------------------------------------------------------


def _message_received(envelope: _Envelope, event: Mapping[str, object]) -> InboundEvent:
    raw = event.get("whatsappInboundMessage")
    message = _read(_Inbound, raw, "whatsappInboundMessage")
    content = raw if isinstance(raw, dict) else {}
    business = _PHONE.fullmatch(message.to)
    business_phone = f"+{business[1]}" if business else message.to
    if message.group_id:
        return Ignored(type=envelope.type, reason="a message of a group; claims come from one person")
    if message.type == "system":
        system = _read(_System, content.get("system"), "whatsappInboundMessage.system")
        return Ignored(
            type=envelope.type, reason=f"system notice {system.type[:60]}: identity, not a message"
        )
    sender = _sender(message)
    if sender.phone is not None and sender.phone == business_phone:
        return Ignored(type=envelope.type, reason="an echo of the business number itself")
    fields: dict[str, object] = {
        "message_id": message.wamid or message.id,
        "sender": sender,
        "business_phone": business_phone,
        "reply_to": message.context.id if message.context else "",
        "sent_at": message.send_time or envelope.create_time,
    }
    return MessageReceived.model_validate(fields | _content(message.type, content))


def _sender(message: _Inbound) -> Party:
    name = message.customer_profile.name if message.customer_profile else ""
    found = _PHONE.fullmatch(message.sender)
    if found is None and not message.from_user_id:
        # Since 2026 people may hide the number; then the business-scoped id is there instead.
        raise ContractDrift(
            "YCloud's whatsappInboundMessage has neither a usable from nor fromUserId", next_step=LOOK
        )
    return Party(phone=f"+{found[1]}" if found else None, user_id=message.from_user_id or None, name=name)


def _content(kind: str, message: Mapping[str, object]) -> dict[str, object]:
    """The fields of MessageReceived that depend on what was sent."""
    content = message.get(kind)
    if kind == "unsupported" or (content is None and message.get("errors")):
        return {"type": "unsupported"}  # WhatsApp could not hand the content over: 131051, 131060
    read = _CONTENTS.get(kind)
    return read(content, f"whatsappInboundMessage.{kind}") if read else {"type": "other"}


def _text_content(content: object, path: str) -> dict[str, object]:
    return {"type": "text", "text": _read(_TextContent, content, path).body}


def _media_content(content: object, path: str) -> dict[str, object]:
    media = _read(_Media, content, path)
    kind = path.rpartition(".")[2]
    return {"type": kind, "text": media.caption, "attachment": _attachment(media)}


def _button_content(content: object, path: str) -> dict[str, object]:
    button = _read(_Button, content, path)
    return {"type": "button", "text": button.text, "button_payload": button.payload}


def _reaction_content(content: object, path: str) -> dict[str, object]:
    reaction = _read(_Reaction, content, path)
    return {"type": "other", "text": reaction.emoji, "reply_to": reaction.message_id}


def _attachment(media: _Media) -> Attachment:
    return Attachment(
        link=media.link,
        mime_type=media.mime_type.partition(";")[0].strip().lower() or UNDECLARED_MIME_TYPE,
        filename=media.filename,
        caption=media.caption,
        provider_sha256=media.sha256,
    )


def _interactive_content(content: object, path: str) -> dict[str, object]:
    interactive = _read(_Interactive, content, path)
    replies = {
        "button_reply": interactive.button_reply,
        "list_reply": interactive.list_reply,
        "nfm_reply": interactive.nfm_reply,
    }
    if interactive.type not in replies:
        return {"type": "other"}  # call permissions, and whatever comes next
    reply = replies[interactive.type]
    if reply is None:
        raise ContractDrift(f"YCloud's {path} names {interactive.type} and does not carry it", next_step=LOOK)
    return {"type": "interactive", "text": reply.title or reply.body, "button_payload": reply.id}


_CONTENTS: dict[str, Callable[[object, str], dict[str, object]]] = {
    "text": _text_content,
    "image": _media_content,
    "document": _media_content,
    "button": _button_content,
    "interactive": _interactive_content,
    "reaction": _reaction_content,
}


# --- Delivery reports and opt-outs ------------------------------------------------------------------------


def _delivery_reported(envelope: _Envelope, event: Mapping[str, object]) -> InboundEvent:
    raw = event.get("whatsappMessage")
    report = _read(_Report, raw, "whatsappMessage")
    status = _STATUSES.get(report.status)
    if status is None:
        return Ignored(type=envelope.type, reason=f"unknown status {report.status[:40]}")
    meta_code, meta_message = _meta_error(raw.get("whatsappApiError") if isinstance(raw, dict) else None)
    at = {"read": report.read_time, "delivered": report.deliver_time, "sent": report.send_time}.get(status)
    return DeliveryReported(
        provider_message_id=report.id,
        wamid=report.wamid,
        external_id=report.external_id,
        status=status,
        error_code=report.error_code or meta_code,
        error_message=(report.error_message or meta_message)[:_MAX_ERROR_CHARS],
        updated_at=report.update_time or at or envelope.create_time,
    )


_STATUSES: dict[str, ReportStatus] = {
    "accepted": "accepted",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "failed": "failed",
}


def _meta_error(error: object) -> tuple[str, str]:
    """Meta's code and words. Read leniently: a strange error description must not lose the report itself."""
    if not isinstance(error, dict):
        return "", ""
    code, message, extra = _code(error.get("code")), error.get("message"), error.get("error_data")
    details = extra.get("details") if isinstance(extra, dict) else extra
    words = [storable(part) for part in (message, details) if isinstance(part, str) and part]
    return code if isinstance(code, str) else "", ": ".join(words)


def _opt_out_reader(
    key: str, *, opted_out: bool
) -> Callable[[_Envelope, Mapping[str, object]], InboundEvent]:
    def read(envelope: _Envelope, event: Mapping[str, object]) -> InboundEvent:
        change = _read(_Unsubscribe, event.get(key), key)
        return ContactOptedOut(
            contact=Party(phone=change.phone_number),
            opted_out=opted_out,
            changed_at=change.update_time or envelope.create_time,
        )

    return read


def _preference_changed(envelope: _Envelope, event: Mapping[str, object]) -> InboundEvent:
    preference = _read(_Preference, event.get("whatsappUserPreference"), "whatsappUserPreference")
    if preference.value not in ("stop", "resume"):
        return Ignored(type=envelope.type, reason=f"unknown preference {preference.value[:40]}")
    return ContactOptedOut(
        contact=Party(phone=preference.contact_phone_number),
        opted_out=preference.value == "stop",
        changed_at=preference.timestamp or envelope.create_time,
    )


_READERS: dict[str, Callable[[_Envelope, Mapping[str, object]], InboundEvent]] = {
    "whatsapp.inbound_message.received": _message_received,
    "whatsapp.message.updated": _delivery_reported,
    "contact.unsubscribe.created": _opt_out_reader("contactUnsubscribeCreated", opted_out=True),
    "contact.unsubscribe.deleted": _opt_out_reader("contactUnsubscribeDeleted", opted_out=False),
    "whatsapp.user.preferences": _preference_changed,
}
