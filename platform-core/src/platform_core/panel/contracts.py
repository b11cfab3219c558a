"""What the panel's verbs take and give."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from platform_core.panel.lifecycle import LinkState
from platform_core.panel.tokens import Cookie
from platform_core.tenancy.members import Role
from platform_core.values import Actor, parse_number

Language = Literal["es", "en"]
Theme = Literal["auto", "light", "dark"]


class Reason(StrEnum):
    """Why a door stays shut. For our own counts and trail: whoever knocks reads one page for all of them."""

    FORGED = "forged"
    """No key of this customer signed it: an invention, an altered link, or another customer's."""
    UNKNOWN = "unknown"
    """Well signed, but its row is not here or says something else: from before a restore."""
    EXPIRED = "expired"
    REVOKED = "revoked"
    USED_UP = "used_up"
    NOT_MEMBER = "not_member"
    NO_COOKIE = "no_cookie"
    CLOSED = "closed"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Denied:
    """Nobody is let in. `link_id` is the link it was tried with, when that was genuine."""

    reason: Reason
    link_id: int | None = None


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link just made. `url` is the way in itself: shown once, stored nowhere."""

    link_id: int
    member: str
    role: Role
    expires_at: datetime
    max_entries: int
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Link:
    """One link as it stands. `role` is the most it permits.

    `uses` are the pages its holder looked at, `refusals` what was refused.
    """

    id: int
    member: str
    role: Role
    state: LinkState
    created_at: datetime
    created_by: str
    expires_at: datetime
    entries: int
    max_entries: int
    last_entered_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    uses: int
    refusals: int


@dataclass(frozen=True, slots=True)
class Visit:
    """A browser that may go on: who sits before it, under which role now, by which link, until when."""

    link_id: int
    member: str
    role: Role
    expires_at: datetime
    language: Language | None
    theme: Theme | None
    cookie: Cookie = field(repr=False)

    @property
    def actor(self) -> Actor:
        """The same person as verbs take them."""
        return actor_of(self.member, self.link_id, self.role)


def actor_of(member: str, link_id: int, role: Role | None = None) -> Actor:
    """A member who acts through the panel."""
    return Actor("user", member, role=role.value if role else "", via=f"panel:{link_ref(link_id)}")


def link_ref(link_id: int) -> str:
    """How people call a link."""
    return f"K{link_id}"


def parse_link_ref(text: str) -> int:
    """The link that `K7` names. Raises: InvalidInput."""
    return parse_number(text, "K", "a link")
