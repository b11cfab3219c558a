"""What crosses the boundary of the panel: who looks, and what they get back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from platform_core.tenancy.members import Role
from platform_core.values import Actor

Language = Literal["es", "en"]
Theme = Literal["auto", "light", "dark"]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at the panel, as the HTTP edge found out for this very request.

    `role` is the one the member has now. `csrf` is the value each form carries in its hidden field `csrf`.
    `theme` is what the person chose; `auto` follows their device. `link` names the signed link the session
    came from, such as `K7`; empty when there is none.
    """

    customer: str
    member: str
    role: Role
    language: Language
    csrf: str
    theme: Theme = "auto"
    link: str = ""

    @property
    def actor(self) -> Actor:
        """The same person as verbs take them."""
        via = f"panel:{self.link}" if self.link else "panel"
        return Actor("user", self.member, role=self.role.value, via=via)


@dataclass(frozen=True, slots=True)
class Page:
    """A whole HTML document to answer with. Its styles and scripts carry the nonce given to render it."""

    status: int
    html: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Answer 303 after a post. `to` is relative to the panel's base, such as `claims/C12?done=approved`."""

    to: str
