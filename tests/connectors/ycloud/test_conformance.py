"""YCloud against the suite of all connectors, and its error tables row by row."""

from __future__ import annotations

from typing import ClassVar

from platform_cli.local.scenarios import Refuse
from platform_cli.local.ycloud_standin import YCloudStandIn
from platform_connectors.ycloud import CONNECTOR
from platform_connectors.ycloud.client import YCloudClient, open_client
from platform_core.connectors import Authentic, Rejected, Rejection
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
from platform_core.messaging.contracts import InboundEvent
from tests.connectors.subjects import MESSAGE, PHONE, PNG, TEXT, Calling, Deed, Golden, Receiving, Subject
from tests.connectors.suites import SendingConformance
from tests.connectors.ycloud.deliveries import (
    BODY,
    NOW,
    OTHER_SECRET,
    PAYLOADS,
    SECRET,
    signed,
    with_header,
)

# Every code of the fact sheet and of YCloud's error catalogue, as the provider answers it.
REFUSALS: dict[str, tuple[int, str, str, type[ConnectorError]]] = {
    "ACCOUNT_RATE_LIMITED": (429, "ACCOUNT_RATE_LIMITED", "", RateLimited),
    "SENDER_RATE_LIMITED": (429, "SENDER_RATE_LIMITED", "", RateLimited),
    "TOO_MANY_REQUESTS": (429, "TOO_MANY_REQUESTS", "", RateLimited),
    "PARAM_INVALID": (400, "PARAM_INVALID", "", PermanentRefusal),
    "PARAM_INVALID_LENGTH": (400, "PARAM_INVALID_LENGTH", "", PermanentRefusal),
    "PARAM_MISSING": (400, "PARAM_MISSING", "", PermanentRefusal),
    "PARAM_NOT_MATCH": (400, "PARAM_NOT_MATCH", "", PermanentRefusal),
    "BAD_REQUEST": (400, "BAD_REQUEST", "", PermanentRefusal),
    "MESSAGING_REGION_UNSUPPORTED": (400, "MESSAGING_REGION_UNSUPPORTED", "", PermanentRefusal),
    "WHATSAPP_DIRECT_SEND_UNSUPPORTED_COMPONENT": (
        400,
        "WHATSAPP_DIRECT_SEND_UNSUPPORTED_COMPONENT",
        "",
        PermanentRefusal,
    ),
    "WHATSAPP_TEMPLATE_UNEDITABLE": (403, "WHATSAPP_TEMPLATE_UNEDITABLE", "", PermanentRefusal),
    "CONTENT_PROHIBITED": (403, "CONTENT_PROHIBITED", "", PermanentRefusal),
    "CONTENT_TOO_LARGE": (413, "CONTENT_TOO_LARGE", "", PermanentRefusal),
    "UNAUTHORIZED": (401, "UNAUTHORIZED", "", AuthRejected),
    "FORBIDDEN": (403, "FORBIDDEN", "", ConnectorMisconfigured),
    "ACCOUNT_LIMITED": (403, "ACCOUNT_LIMITED", "", ConnectorMisconfigured),
    "ACCOUNT_UNAVAILABLE": (403, "ACCOUNT_UNAVAILABLE", "", ConnectorMisconfigured),
    "WHATSAPP_BUSINESS_ACCOUNT_UNAVAILABLE": (
        403,
        "WHATSAPP_BUSINESS_ACCOUNT_UNAVAILABLE",
        "",
        ConnectorMisconfigured,
    ),
    "WHATSAPP_PHONE_NUMBER_UNAVAILABLE": (
        403,
        "WHATSAPP_PHONE_NUMBER_UNAVAILABLE",
        "",
        ConnectorMisconfigured,
    ),
    "WHATSAPP_TEMPLATE_UNAVAILABLE": (403, "WHATSAPP_TEMPLATE_UNAVAILABLE", "", ConnectorMisconfigured),
    "WHATSAPP_WABA_UNAVAILABLE": (403, "WHATSAPP_WABA_UNAVAILABLE", "", ConnectorMisconfigured),
    "BALANCE_INSUFFICIENT": (403, "BALANCE_INSUFFICIENT", "", PreconditionUnmet),
    "RECIPIENT_UNSUBSCRIBED": (403, "RECIPIENT_UNSUBSCRIBED", "", RecipientOptedOut),
    "RECIPIENT_IN_BLOCK_LIST": (403, "RECIPIENT_IN_BLOCK_LIST", "", RecipientOptedOut),
    "ALREADY_EXISTS": (409, "ALREADY_EXISTS", "", NeedsReconciliation),
    "NOT_FOUND": (404, "NOT_FOUND", "", NeedsReconciliation),
    "INTERNAL_SERVER_ERROR": (500, "INTERNAL_SERVER_ERROR", "", AmbiguousOutcome),
    "SERVICE_UNAVAILABLE": (503, "SERVICE_UNAVAILABLE", "", AmbiguousOutcome),
    "a server error that names a refusal": (500, "BALANCE_INSUFFICIENT", "", AmbiguousOutcome),
    "an unknown 403": (403, "SOMETHING_NEW", "", ConnectorMisconfigured),
    "an unknown 404": (404, "SOMETHING_NEW", "", NeedsReconciliation),
    "an unknown 409": (409, "SOMETHING_NEW", "", NeedsReconciliation),
    "an unknown 429": (429, "SOMETHING_NEW", "", RateLimited),
    "131047": (400, "BAD_REQUEST", "131047", PermanentRefusal),
    "131026": (400, "BAD_REQUEST", "131026", RecipientRefused),
    "131056": (429, "TOO_MANY_REQUESTS", "131056", RateLimited),
    "130429": (429, "TOO_MANY_REQUESTS", "130429", RateLimited),
    "130429 as a bad request": (400, "BAD_REQUEST", "130429", RateLimited),
    "131048": (400, "BAD_REQUEST", "131048", PreconditionUnmet),
    "131037": (400, "BAD_REQUEST", "131037", PreconditionUnmet),
    "131049": (400, "BAD_REQUEST", "131049", RecipientRefused),
    "131050": (400, "BAD_REQUEST", "131050", RecipientOptedOut),
    "130472": (400, "BAD_REQUEST", "130472", RecipientRefused),
    "131013": (400, "BAD_REQUEST", "131013", RecipientRefused),
    "131062": (400, "BAD_REQUEST", "131062", RecipientRefused),
    "131031": (403, "FORBIDDEN", "131031", ConnectorMisconfigured),
    "368": (400, "BAD_REQUEST", "368", ConnectorMisconfigured),
    "3": (400, "BAD_REQUEST", "3", ConnectorMisconfigured),
    "10": (400, "BAD_REQUEST", "10", ConnectorMisconfigured),
    "200": (403, "FORBIDDEN", "200", ConnectorMisconfigured),
    "131005": (403, "FORBIDDEN", "131005", ConnectorMisconfigured),
    "190": (401, "UNAUTHORIZED", "190", AuthRejected),
    "100": (400, "BAD_REQUEST", "100", PermanentRefusal),
    "131009": (400, "BAD_REQUEST", "131009", PermanentRefusal),
    "131051": (400, "BAD_REQUEST", "131051", PermanentRefusal),
    "131053": (400, "BAD_REQUEST", "131053", PermanentRefusal),
    "131055": (400, "BAD_REQUEST", "131055", PermanentRefusal),
    "131060": (400, "BAD_REQUEST", "131060", PermanentRefusal),
    "132001": (400, "BAD_REQUEST", "132001", PermanentRefusal),
    "132005": (400, "BAD_REQUEST", "132005", PermanentRefusal),
    "135000": (400, "BAD_REQUEST", "135000", PermanentRefusal),
    "139000": (400, "BAD_REQUEST", "139000", PermanentRefusal),
    "131000": (400, "BAD_REQUEST", "131000", AmbiguousOutcome),
    "131057": (500, "INTERNAL_SERVER_ERROR", "131057", AmbiguousOutcome),
}


def _send(_ycloud: YCloudStandIn, client: YCloudClient) -> object:
    return client.send(MESSAGE, external_id="e1").status


def _fetch(ycloud: YCloudStandIn, client: YCloudClient) -> object:
    media = client.fetch_media(ycloud.add_media(PNG, "image/png"), max_bytes=5000)
    return media.content, media.mime_type


class TestYCloud(SendingConformance):
    """YCloud."""

    subject: ClassVar[Subject] = Subject(
        connector=CONNECTOR,
        receiving=Receiving(
            secret=SECRET,
            other_secret=OTHER_SECRET,
            body=BODY,
            sign=lambda body, t, secret: signed(body, t=t, secret=secret),
            golden={
                "exact body": Golden(
                    signed(),
                    BODY,
                    [SECRET],
                    NOW,
                    Authentic("evt_T1", "whatsapp.message.updated", NOW, stale=False),
                ),
                "second secret": Golden(
                    signed(secret=OTHER_SECRET),
                    BODY,
                    [SECRET, OTHER_SECRET],
                    NOW,
                    Authentic("evt_T1", "whatsapp.message.updated", NOW, stale=False),
                ),
                "no header": Golden([], BODY, [SECRET], NOW, Rejected(Rejection.HEADER_MISSING)),
                "junk header": Golden(
                    with_header("x"), BODY, [SECRET], NOW, Rejected(Rejection.HEADER_MALFORMED)
                ),
                "other secret": Golden(
                    signed(secret=OTHER_SECRET), BODY, [SECRET], NOW, Rejected(Rejection.SIGNATURE_MISMATCH)
                ),
            },
            payloads=PAYLOADS,
            contract=InboundEvent,
        ),
        calling=Calling(
            provider=YCloudStandIn,
            open=open_client,
            mutation=Deed(
                do=_send,
                disturb=YCloudStandIn.next_sends,
                taken=lambda ycloud: len(ycloud.messages_with("e1")),
                expects="accepted",
            ),
            read=Deed(do=_fetch, disturb=YCloudStandIn.next_downloads, expects=(PNG, "image/png")),
            disturb_look=YCloudStandIn.next_looks,
            make_sound=lambda ycloud: ycloud.add_endpoint("http://127.0.0.1:9/x"),
            degrade=lambda ycloud: setattr(ycloud.account, "balance", 0),
            unsaid=lambda _ycloud: (PHONE, PHONE[1:], TEXT),
            secret_fields=("api_key",),
            bad_config={
                "unknown field": {"verify_signatures": False},
                "no key": {"api_key": None},
                "empty key": {"api_key": ""},
                "blank key": {"api_key": "   "},
                "placeholder key": {"api_key": "your-ycloud-api-key-here"},
                "unresolved key": {"api_key": "$var:f/acme/ycloud_key"},
                "short key": {"api_key": "abc123"},
                "key with a newline": {"api_key": "not-a-real-key-of-an-account\n"},
                "key that is no text": {"api_key": 12345678901234567890},
                "no sender": {"sender_phone": None},
                "sender without a plus": {"sender_phone": "56900000001"},
                "foreign host": {"base_url": "https://api.ycloud.com.evil.example/v2"},
                "plain http": {"base_url": "http://api.ycloud.com/v2"},
                "host behind a user": {"base_url": "https://api.ycloud.com@evil.example/v2"},
                "another path": {"base_url": "https://api.ycloud.com/v3"},
                "another port": {"base_url": "https://api.ycloud.com:8443/v2"},
                "a name that may resolve anywhere": {"base_url": "http://localhost:80/v2"},
                "endless wait": {"answer_timeout_s": 3600},
                "no wait": {"connect_timeout_s": 0},
            },
            refusals={
                name: (Refuse(status, code, meta_code), expected)
                for name, (status, code, meta_code, expected) in REFUSALS.items()
            },
            unknown_code=Refuse(400, "SOMETHING_NEW"),
            rate_limit=Refuse(429, "TOO_MANY_REQUESTS"),
        ),
    )
