"""The states of a link and of a session, and the moves between them.

A link lets its holder in until its time is over, its entries are used up, or somebody revokes it:

    made --> LIVE --> REVOKED

LIVE      as far as its row says. It lets nobody in after `expires_at`, with no entry left, or when its member
          is none any more; those need no move, they are asked at each request.
REVOKED   withdrawn, final. Its sessions are dead with it.

A session is one browser that entered:

    entered --> OPEN --> CLOSED

OPEN      as far as its row says. It is dead when its link is, when nobody looked for two hours, and at its
          link's end.
CLOSED    the person left; final. Its cookie opens nothing again.
"""

from __future__ import annotations

from enum import StrEnum


class LinkState(StrEnum):
    """Where a link stands."""

    LIVE = "live"
    REVOKED = "revoked"


class SessionState(StrEnum):
    """Where a browser's session stands."""

    OPEN = "open"
    CLOSED = "closed"


LINK_MOVES: frozenset[tuple[LinkState, LinkState]] = frozenset({(LinkState.LIVE, LinkState.REVOKED)})
SESSION_MOVES: frozenset[tuple[SessionState, SessionState]] = frozenset(
    {(SessionState.OPEN, SessionState.CLOSED)}
)
