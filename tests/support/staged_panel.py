"""A whole customer at work with its panel: real receipts from YCloud's stand-in, real routes, real links."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from platform_cli.local.stage import Stage, set_stage
from platform_cli.local.ycloud.payloads import Contact
from platform_cli.local.ycloud.scenarios import ReportPlan
from platform_core.messaging import contacts
from platform_core.messaging.contracts import Party
from platform_core.panel import links
from platform_core.panel.tokens import Keyring, parse_keyring
from platform_core.payments import obligations, views
from platform_core.payments.contracts import NewObligation
from platform_core.payments.views import ClaimDetail
from platform_core.values import Actor, Money

ENGINEER = Actor("support", "os:engineer")
OFFICE = Actor("user", "bruno")


@dataclass(frozen=True, slots=True)
class StagedPanel:
    """The stage, and where its routes answer: `origin` is scheme, host and port."""

    stage: Stage
    origin: str
    keyring: Keyring

    def link_for(self, member: str) -> str:
        """A new link for a member, as the path of its address."""
        with self.stage.app() as app, app.tx() as tx:
            made = links.create_link(
                tx,
                member,
                role=None,
                hours=12,
                entries=5,
                by=ENGINEER,
                keyring=self.keyring,
                now=app.clock.now(),
            )
        return urlsplit(made.url).path

    def owe(self, phone: str, name: str, pupil: str, amount_minor: int, *, in_days: int = 5) -> None:
        """A family owes a month."""
        policy = self.stage.policy
        with self.stage.app() as app, app.tx() as tx:
            now = app.clock.now()
            new = NewObligation(
                reference=f"mensualidad/{phone}/{in_days}",
                contact_id=contacts.find_or_create(tx, Party(phone=phone, name=name), now),
                pupil=pupil,
                concept="Mensualidad",
                due_on=(now + timedelta(days=in_days)).date(),
                amount=Money(amount_minor, policy.customer.currency),
            )
            obligations.add_obligation(tx, new, actor=OFFICE, policy=policy, now=now)

    def receive(
        self, phone: str, name: str, content: bytes, mime_type: str, caption: str = ""
    ) -> ClaimDetail:
        """A parent sends a picture, the runner works; the claim that came of it."""
        event = self.stage.ycloud.image_event(Contact(phone=phone, name=name), content, mime_type, caption)
        assert [one.status for one in self.stage.ycloud.deliver(event)] == [200]
        self.work()
        return self.newest_claim()

    def work(self) -> None:
        """Cron's minute comes; nothing may fail."""
        ran = self.stage.tick()
        assert ran.ok, ran.error
        assert isinstance(ran.value, dict)
        assert ran.value["dead"] == 0, ran.value

    def newest_claim(self) -> ClaimDetail:
        """The claim opened last."""
        with self.stage.app() as app, app.tx() as tx:
            return views.get_claim(tx, max(claim.id for claim in views.list_claims(tx, limit=1000)))

    def texts_to(self, phone: str) -> list[str]:
        """What the stand-in was given for a phone, oldest first."""
        with self.stage.ycloud.account.lock:
            messages = [dict(one) for one in self.stage.ycloud.account.messages.values()]
        return [str(one.get("text") or one.get("template")) for one in messages if one["to"] == phone]


@contextmanager
def open_staged_panel(
    customers: Path,
    customer: str,
    dsn: str,
    *,
    owner: str = "ana",
    follow: bool = False,
    state_dsn: str = "",
) -> Iterator[StagedPanel]:
    """Bring a provisioned customer to work with a panel that has a key of its own; else as `set_stage`."""
    with set_stage(customers, customer, dsn, owner=owner, follow=follow, state_dsn=state_dsn) as stage:
        endpoint = next(iter(stage.ycloud.account.endpoints.values()))
        found = urlsplit(endpoint.url)
        origin = f"{found.scheme}://{found.netloc}"
        panel = {"url": f"{origin}/api/r/{customer}/panel", "keys": [secrets.token_urlsafe(32)]}
        stage.runtime.give(f"f/{customer}/panel", panel)
        stage.ycloud.report_plan = ReportPlan(("sent", "delivered", "read"))
        yield StagedPanel(stage, origin, parse_keyring(customer, panel))
