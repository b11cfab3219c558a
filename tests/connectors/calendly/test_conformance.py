"""Calendly against the suite of all connectors, and its errors row by row."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from platform_cli.local.calendly_standin import CalendlyStandIn
from platform_cli.local.scenarios import Refuse
from platform_connectors.calendly import CONNECTOR
from platform_connectors.calendly.client import CalendlyClient, open_client
from platform_core.bookings.contracts import BookingEvent
from platform_core.connectors import Authentic, Rejected, Rejection
from platform_core.errors import (
    AuthRejected,
    ConnectorError,
    ConnectorMisconfigured,
    NeedsReconciliation,
    PermanentRefusal,
    RateLimited,
)
from tests.connectors.calendly.deliveries import (
    BODY,
    EVENT_KEY,
    GOOD_DIGEST,
    NOW,
    OTHER_DIGEST,
    OTHER_SECRET,
    PAYLOADS,
    SECRET,
    TIMESTAMP,
    signed,
    with_header,
)
from tests.connectors.subjects import CALLBACK, Calling, Deed, Golden, Receiving, Subject
from tests.connectors.suites import SubscriptionConformance

REFUSALS: dict[str, tuple[int, str, type[ConnectorError]]] = {
    "Invalid Argument": (400, "Invalid Argument", PermanentRefusal),
    "Unauthenticated": (401, "Unauthenticated", AuthRejected),
    "payment required": (402, "Payment Required", ConnectorMisconfigured),
    "Permission Denied": (403, "Permission Denied", ConnectorMisconfigured),
    "Resource Not Found": (404, "Resource Not Found", NeedsReconciliation),
    "Already Exists": (409, "Already Exists", NeedsReconciliation),
    "gone": (410, "Gone", NeedsReconciliation),
    "too large": (413, "Payload Too Large", PermanentRefusal),
    "Too Many Requests": (429, "Too Many Requests", RateLimited),
}
KEYED = Authentic(EVENT_KEY, "invitee.created", NOW, stale=False)


def _subscribe(_calendly: CalendlyStandIn, client: CalendlyClient) -> object:
    return client.create_subscription(CALLBACK, signing_key=SECRET).url


def _list(_calendly: CalendlyStandIn, client: CalendlyClient) -> object:
    return list(client.list_subscriptions())


def _disable(calendly: CalendlyStandIn) -> None:
    for one in calendly.subscriptions:
        one.state = "disabled"


class TestCalendly(SubscriptionConformance):
    """Calendly."""

    subject: ClassVar[Subject] = Subject(
        connector=CONNECTOR,
        receiving=Receiving(
            secret=SECRET,
            other_secret=OTHER_SECRET,
            body=BODY,
            sign=lambda body, t, secret: signed(body, t=t, secret=secret),
            golden={
                "exact body": Golden(
                    with_header(f"t={TIMESTAMP},v1={GOOD_DIGEST}"), BODY, [SECRET], NOW, KEYED
                ),
                "second key": Golden(
                    with_header(f"t={TIMESTAMP},v1={OTHER_DIGEST}"), BODY, [SECRET, OTHER_SECRET], NOW, KEYED
                ),
                "a year late": Golden(
                    signed(),
                    BODY,
                    [SECRET],
                    NOW + timedelta(days=365),
                    Authentic(EVENT_KEY, "invitee.created", NOW, stale=True),
                ),
                "no header": Golden([], BODY, [SECRET], NOW, Rejected(Rejection.HEADER_MISSING)),
                "another provider's header": Golden(
                    with_header(f"t={TIMESTAMP},s={GOOD_DIGEST}"),
                    BODY,
                    [SECRET],
                    NOW,
                    Rejected(Rejection.HEADER_MALFORMED),
                ),
                "other key": Golden(
                    signed(secret=OTHER_SECRET), BODY, [SECRET], NOW, Rejected(Rejection.SIGNATURE_MISMATCH)
                ),
            },
            payloads=PAYLOADS,
            contract=BookingEvent,
        ),
        calling=Calling(
            provider=CalendlyStandIn,
            open=open_client,
            secret_fields=("token",),
            bad_config={
                "unknown field": {"verify_signatures": False},
                "no token": {"token": None},
                "empty token": {"token": ""},
                "placeholder token": {"token": "your-calendly-token-here"},
                "unresolved token": {"token": "$var:f/acme/calendly_token"},
                "short token": {"token": "abc123"},
                "token with a newline": {"token": "not-a-real-token-of-an-account\n"},
                "no organization": {"organization": None},
                "organization that is a name": {"organization": "einstein-kids"},
                "organization elsewhere": {"organization": "https://evil.example/organizations/AAAA"},
                "scope of a user who is not named": {"user": "", "scope": "user"},
                "unknown scope": {"scope": "galaxy"},
                "foreign host": {"base_url": "https://api.calendly.com.evil.example"},
                "plain http": {"base_url": "http://api.calendly.com"},
                "host behind a user": {"base_url": "https://api.calendly.com@evil.example"},
                "another path": {"base_url": "https://api.calendly.com/v1"},
                "another port": {"base_url": "https://api.calendly.com:8443"},
                "a name that may resolve anywhere": {"base_url": "http://localhost:80"},
                "endless wait": {"answer_timeout_s": 3600},
            },
            mutation=Deed(
                do=_subscribe,
                disturb=CalendlyStandIn.next_mutations,
                taken=lambda calendly: len(calendly.subscriptions),
                expects=CALLBACK,
            ),
            read=Deed(do=_list, disturb=CalendlyStandIn.next_reads, expects=[]),
            refusals={
                name: (Refuse(status, title), kind) for name, (status, title, kind) in REFUSALS.items()
            },
            unknown_code=Refuse(400, "Something New"),
            rate_limit=Refuse(429, "Too Many Requests"),
            disturb_look=CalendlyStandIn.next_reads,
            make_sound=lambda calendly: calendly.subscribe(CALLBACK, SECRET),
            degrade=_disable,
            unsaid=lambda _calendly: (SECRET, CALLBACK),
        ),
    )
