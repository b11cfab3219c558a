"""What crosses the boundary between a provider's wire format and this package.

Ours forbid extra fields; a connector translates and keeps what it does not know in `raw`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

InboundType = Literal["text", "image", "document", "button", "interactive", "unsupported", "other"]
ReportStatus = Literal["accepted", "sent", "delivered", "read", "failed"]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Party(_Contract):
    """A person as the provider knows them. At least one of the two identities is present.

    `phone` is E.164 with its plus sign; `user_id` is the provider's business-scoped id, for people who hide
    their phone number.
    """

    phone: str | None = None
    user_id: str | None = None
    name: str = ""


class Attachment(_Contract):
    """A picture or document that the provider holds for a short while."""

    link: str
    mime_type: str
    filename: str = ""
    caption: str = ""
    provider_sha256: str = ""


class MessageReceived(_Contract):
    """A contact wrote. `message_id` is the WhatsApp id (wamid): stable over redeliveries and event ids."""

    kind: Literal["message.received"] = "message.received"
    message_id: str
    sender: Party
    business_phone: str
    type: InboundType
    text: str = ""
    attachment: Attachment | None = None
    button_payload: str = ""
    reply_to: str = ""
    sent_at: AwareDatetime


class DeliveryReported(_Contract):
    """The provider says what became of a message we sent. Reports repeat, cross and contradict."""

    kind: Literal["delivery.reported"] = "delivery.reported"
    provider_message_id: str
    wamid: str = ""
    external_id: str = ""
    status: ReportStatus
    error_code: str = ""
    error_message: str = ""
    updated_at: AwareDatetime


class ContactOptedOut(_Contract):
    """A contact wants no (more) messages, or wants them again.

    `changed_at` is when they said so, when the provider tells: such events cross like all others.
    """

    kind: Literal["contact.opted_out"] = "contact.opted_out"
    contact: Party
    opted_out: bool
    changed_at: AwareDatetime | None = None


class Ignored(_Contract):
    """Authentic and kept, but nothing here acts on it: an unknown type or an echo of our own staff."""

    kind: Literal["ignored"] = "ignored"
    type: str
    reason: str


InboundEvent = Annotated[
    MessageReceived | DeliveryReported | ContactOptedOut | Ignored, Field(discriminator="kind")
]


class TextMessage(_Contract):
    """Free text; allowed only inside the 24 h window after the contact's last message."""

    kind: Literal["text"] = "text"
    to: Party
    body: str = Field(min_length=1, max_length=4096)


class TemplateMessage(_Contract):
    """An approved template with its body parameters in order."""

    kind: Literal["template"] = "template"
    to: Party
    name: str
    language: str
    parameters: tuple[str, ...] = ()


OutgoingMessage = Annotated[TextMessage | TemplateMessage, Field(discriminator="kind")]
