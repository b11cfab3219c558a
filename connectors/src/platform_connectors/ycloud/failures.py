"""Which error each refusal of YCloud is: one table per kind of code, read top to bottom.

Pure. YCloud says why in `error.code`; when it reached Meta, Meta's own code is beside it and says more. The
texts beside the codes are never used: they change, and they quote phone numbers. A code in no table keeps its
value and falls back on the HTTP status, where nothing unknown is ever repeated automatically.
Sources: README.md, sections Errors and Sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from platform_connectors.exchange import code_text, kind_of_read, retry_after_s
from platform_connectors.signed import parse_strict_json
from platform_core.errors import (
    AmbiguousOutcome,
    AuthRejected,
    ConnectorError,
    ConnectorMisconfigured,
    NeedsReconciliation,
    PermanentRefusal,
    PreconditionUnmet,
    RateLimited,
    RecipientOptedOut,
    RecipientRefused,
)

DEFAULT_RETRY_AFTER_S = 6.0
"""WhatsApp's pace for one pair of numbers is about a message in 6 s: the slowest limit that a send meets."""

YCLOUD_CODES: dict[str, type[ConnectorError]] = {
    "ACCOUNT_RATE_LIMITED": RateLimited,
    "SENDER_RATE_LIMITED": RateLimited,
    "TOO_MANY_REQUESTS": RateLimited,
    "BAD_REQUEST": PermanentRefusal,
    "PARAM_INVALID": PermanentRefusal,
    "PARAM_INVALID_LENGTH": PermanentRefusal,
    "PARAM_MISSING": PermanentRefusal,
    "PARAM_NOT_MATCH": PermanentRefusal,
    "MESSAGING_REGION_UNSUPPORTED": PermanentRefusal,
    "WHATSAPP_DIRECT_SEND_UNSUPPORTED_COMPONENT": PermanentRefusal,
    "WHATSAPP_TEMPLATE_UNEDITABLE": PermanentRefusal,
    "CONTENT_PROHIBITED": PermanentRefusal,
    "CONTENT_TOO_LARGE": PermanentRefusal,
    "UNAUTHORIZED": AuthRejected,
    "FORBIDDEN": ConnectorMisconfigured,
    "ACCOUNT_LIMITED": ConnectorMisconfigured,
    "ACCOUNT_UNAVAILABLE": ConnectorMisconfigured,
    "WHATSAPP_BUSINESS_ACCOUNT_UNAVAILABLE": ConnectorMisconfigured,
    "WHATSAPP_PHONE_NUMBER_UNAVAILABLE": ConnectorMisconfigured,
    "WHATSAPP_TEMPLATE_UNAVAILABLE": ConnectorMisconfigured,
    "WHATSAPP_WABA_UNAVAILABLE": ConnectorMisconfigured,
    "BALANCE_INSUFFICIENT": PreconditionUnmet,
    "RECIPIENT_UNSUBSCRIBED": RecipientOptedOut,
    "RECIPIENT_IN_BLOCK_LIST": RecipientOptedOut,
    "ALREADY_EXISTS": NeedsReconciliation,
    "NOT_FOUND": NeedsReconciliation,
    "INTERNAL_SERVER_ERROR": AmbiguousOutcome,
    "SERVICE_UNAVAILABLE": AmbiguousOutcome,
}

META_CODES: dict[str, type[ConnectorError]] = {
    "131056": RateLimited,  # too many messages to one person
    "130429": RateLimited,  # throughput reached
    "131048": PreconditionUnmet,  # spam limit on the number: the campaign stops, a person looks
    "131037": PreconditionUnmet,  # display name not approved
    "131026": RecipientRefused,  # no WhatsApp there, or it will not take it
    "131049": RecipientRefused,  # Meta's own cap per person: never loop
    "131050": RecipientOptedOut,  # stopped marketing
    "130472": RecipientRefused,  # in an experiment
    "131013": RecipientRefused,  # recipient not valid
    "131062": RecipientRefused,  # recipient id not usable here
    "131047": PermanentRefusal,  # outside the 24 h window: send it as a template
    "131009": PermanentRefusal,
    "131051": PermanentRefusal,
    "131053": PermanentRefusal,  # the media, not the message
    "131055": PermanentRefusal,
    "131060": PermanentRefusal,
    "132001": PermanentRefusal,  # template missing in that language
    "132005": PermanentRefusal,  # template text not valid
    "135000": PermanentRefusal,
    "139000": PermanentRefusal,
    "100": PermanentRefusal,
    "190": AuthRejected,
    "3": ConnectorMisconfigured,
    "10": ConnectorMisconfigured,
    "200": ConnectorMisconfigured,
    "131005": ConnectorMisconfigured,
    "131031": ConnectorMisconfigured,  # account locked
    "368": ConnectorMisconfigured,  # policy
    "131000": AmbiguousOutcome,  # unknown at Meta
    "131057": AmbiguousOutcome,  # maintenance
}

STATUSES: dict[int, type[ConnectorError]] = {
    401: AuthRejected,
    403: ConnectorMisconfigured,
    404: NeedsReconciliation,
    408: AmbiguousOutcome,
    409: NeedsReconciliation,
    429: RateLimited,
}
"""For a code in no table. Any other 4xx is a PermanentRefusal; what is not 4xx leaves the outcome open."""

_NEXT_STEPS: dict[type[ConnectorError], str] = {
    AuthRejected: "Set a valid YCloud API key for this customer.",
    ConnectorMisconfigured: "Check the account, the sender number and the template in the YCloud console.",
    PreconditionUnmet: "Check balance and number quality in the YCloud console, then let the queue resume.",
    NeedsReconciliation: "Look for the message by its external id before sending anything again.",
}
_BLAMING_THE_REQUEST = range(400, 500)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an answer that is not a success says about itself. Empty strings for what it does not say."""

    status: int
    code: str = ""
    meta_code: str = ""
    request_id: str = ""
    retry_after: str = ""

    @property
    def provider_code(self) -> str:
        """The code that says most: Meta's when we know it, else YCloud's."""
        return self.meta_code if self.meta_code in META_CODES or not self.code else self.code


def parse_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """Read YCloud's error envelope; an unreadable one leaves its codes empty.

    `headers` must find names in any case, as httpx's do.
    """
    request_id, retry_after = headers.get("YCloud-Request-ID", ""), headers.get("Retry-After", "")
    try:
        answer = parse_strict_json(body)
    except ValueError:
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else None
    error = error if isinstance(error, dict) else {}
    meta = error.get("whatsappApiError")
    return Refusal(
        status=status,
        code=code_text(error.get("code")),
        meta_code=code_text(meta.get("code")) if isinstance(meta, dict) else "",
        request_id=code_text(request_id) or code_text(error.get("requestId")),
        retry_after=retry_after.strip(),
    )


def classify(refusal: Refusal) -> type[ConnectorError]:
    """Which error a refused send is. A server error never is a refusal, whatever code it carries."""
    if refusal.status not in _BLAMING_THE_REQUEST:
        return AmbiguousOutcome
    if refusal.status in (401, 408, 429):
        return STATUSES[refusal.status]
    for table, code in ((META_CODES, refusal.meta_code), (YCLOUD_CODES, refusal.code)):
        if code in table:
            return table[code]
    return STATUSES.get(refusal.status, PermanentRefusal)


def send_error(refusal: Refusal, now: datetime) -> ConnectorError:
    """The error of a send that was answered with a refusal."""
    return _error(classify(refusal), refusal, now, "the send")


def read_error(refusal: Refusal, now: datetime, deed: str = "the download") -> ConnectorError:
    """The error of a read. Reads change nothing, so none is ambiguous, and what is gone is gone for good."""
    return _error(kind_of_read(classify(refusal)), refusal, now, deed)


def _error(kind: type[ConnectorError], refusal: Refusal, now: datetime, deed: str) -> ConnectorError:
    message = f"YCloud answered {refusal.status} {refusal.provider_code or 'without a code'} to {deed}"
    if kind is RateLimited:
        return RateLimited(
            message,
            retry_after_s=retry_after_s(refusal.retry_after, now, default_s=DEFAULT_RETRY_AFTER_S),
            provider_code=refusal.provider_code,
            request_id=refusal.request_id,
            status=refusal.status,
        )
    return kind(
        message,
        provider_code=refusal.provider_code,
        request_id=refusal.request_id,
        next_step=_NEXT_STEPS.get(kind, ""),
        status=refusal.status,
        ycloud_code=refusal.code,
        meta_code=refusal.meta_code,
    )
