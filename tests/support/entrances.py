"""Links into the panel of a test's customer: its keys, its clock, and what a browser does with a link."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from platform_core.db import Tx
from platform_core.panel import links, sessions
from platform_core.panel.contracts import NewLink, Visit
from platform_core.panel.tokens import Keyring
from platform_core.tenancy.members import Role
from platform_core.values import Actor

NOW = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
ENGINEER = Actor("support", "os:root")


def keyring_of(
    customer: str, *, url: str = "https://panel.example.org/api/r/x/panel", keys: int = 1
) -> Keyring:
    """New keys for a customer."""
    return Keyring(customer, url, tuple(secrets.token_urlsafe(32) for _ in range(keys)))


def make_link(  # noqa: PLR0913 - what a test may want otherwise, each by name
    tx: Tx,
    keyring: Keyring,
    member: str = "bruno",
    *,
    role: Role | None = None,
    hours: int = 12,
    entries: int = 5,
    now: datetime = NOW,
) -> NewLink:
    """A link, made by an engineer."""
    return links.create_link(
        tx, member, role=role, hours=hours, entries=entries, by=ENGINEER, keyring=keyring, now=now
    )


def token_of(link: NewLink) -> str:
    """What stands at the end of a link's address."""
    return link.url.rpartition("/")[2]


def enter(tx: Tx, keyring: Keyring, link: NewLink, *, minutes: int = 1) -> Visit:
    """Let the link's holder in, `minutes` after it was made."""
    visit = sessions.open_session(tx, token_of(link), keyring=keyring, now=NOW + timedelta(minutes=minutes))
    assert isinstance(visit, Visit)
    return visit
