"""Entering by a link, going on by a cookie, leaving. Refusals are values: their counts must outlive them.

What permits is asked at every request and kept in no session: whether the link still stands, whether its
holder is still a member, and under which role. The trail gets entries, departures and the first refusal of a
kind a day; pages looked at are counted in rows, so that reading floods nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from platform_core import audit
from platform_core.db import Tx, load_queries
from platform_core.panel.contracts import Denied, Language, Reason, Theme, Visit, actor_of, link_ref
from platform_core.panel.lifecycle import LinkState, SessionState
from platform_core.panel.rights import lesser
from platform_core.panel.tokens import Cookie, Keyring, LinkClaims, make_cookie, read_cookie, read_link
from platform_core.tenancy.members import Role

Q = load_queries(__file__)

IDLE = timedelta(hours=2)
_TOUCH_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _LinkRow:
    """A link as its row says, with the role its member has now; None when they are a member no more."""

    member: str
    role: Role
    state: LinkState
    expires_at: datetime
    entries: int
    max_entries: int
    role_now: Role | None


def look_at_link(tx: Tx, token: str, *, keyring: Keyring, now: datetime) -> Denied | None:
    """Whether the link would let its holder in. Writes nothing: whoever previews an address may ask this."""
    return _judge(tx, read_link(keyring, token), Q["link_find"], now)


def open_session(tx: Tx, token: str, *, keyring: Keyring, now: datetime) -> Visit | Denied:
    """Let the holder of a link in: an entry of the link is used, and the new session's cookie comes back.

    A refusal is counted, and recorded the first time a day that this link meets it.
    Idempotency: none, each call is another entry. Two at once cannot use one entry.
    """
    claims = read_link(keyring, token)
    denied = _judge(tx, claims, Q["link_lock"], now)
    if denied is not None or claims is None:
        denied = denied or Denied(Reason.FORGED)
        count_denial(tx, denied, now=now, member=claims.member if claims else "")
        return denied
    cookie = make_cookie(keyring)
    tx.execute(Q["link_enter"], {"link_id": claims.link_id, "now": now})
    tx.execute(
        Q["session_insert"],
        {
            "id_sha256": cookie.id_sha256,
            "link_id": claims.link_id,
            "now": now,
            "expires_at": claims.expires_at,
        },
    )
    visit = _found(tx, cookie, now)
    if isinstance(visit, Denied):
        raise AssertionError("who was let in this moment is inside")  # noqa: TRY004 - a defect, not a type
    audit.record(tx, "panel.entered", visit.actor, ("panel_link", link_ref(visit.link_id)))
    return visit


def find_session(tx: Tx, cookie_text: str, *, keyring: Keyring, now: datetime) -> Visit | Denied:
    """Who sits before the browser that sent this cookie, under the role they have now.

    Keeps a session that is used from becoming idle; counts nothing.
    """
    if not cookie_text:
        return Denied(Reason.NO_COOKIE)
    cookie = read_cookie(keyring, cookie_text)
    if cookie is None:
        return Denied(Reason.FORGED)
    visit = _found(tx, cookie, now)
    if isinstance(visit, Visit):
        facts = {"id_sha256": cookie.id_sha256, "now": now, "seen_before": now - _TOUCH_AFTER}
        tx.execute(Q["session_touch"], facts)
    return visit


def close_session(tx: Tx, visit: Visit, *, now: datetime) -> None:
    """End the visit; its cookie opens nothing again. Idempotency: a second time changes nothing."""
    facts = {"id_sha256": visit.cookie.id_sha256, "now": now}
    if tx.execute(Q["session_close"], facts).fetchone() is not None:
        audit.record(tx, "panel.left", visit.actor, ("panel_link", link_ref(visit.link_id)))


def set_looks(tx: Tx, visit: Visit, *, language: Language | None = None, theme: Theme | None = None) -> None:
    """Remember what the person chose, for this visit; None leaves a choice as it was."""
    facts = {"id_sha256": visit.cookie.id_sha256, "language": language, "theme": theme}
    tx.execute(Q["session_set_looks"], facts)


def count_use(tx: Tx, link_id: int, what: str, *, now: datetime) -> int:
    """Count one look at a page, or one refusal; how many of the kind this link has today."""
    facts = {"link_id": link_id, "day": now.date(), "what": what}
    row = tx.execute(Q["use_count"], facts).fetchone()
    return int(row[0]) if row else 0


def count_denial(tx: Tx, denied: Denied, *, now: datetime, member: str = "") -> None:
    """Count a refusal: by its link when that is genuine, else by the hour. The first of a day is recorded."""
    if denied.link_id is None:
        tx.execute(Q["refusal_count"], {"now": now, "reason": denied.reason.value})
        return
    if count_use(tx, denied.link_id, f"refused.{denied.reason}", now=now) == 1 and member:
        audit.record(
            tx,
            "panel.entry_refused",
            actor_of(member, denied.link_id),
            ("panel_link", link_ref(denied.link_id)),
            result="denied",
            detail={"reason": denied.reason},
        )


def count_refused_act(tx: Tx, visit: Visit, what: str, *, now: datetime) -> None:
    """Count an act that was refused to somebody inside; the first of its kind a day is recorded."""
    if count_use(tx, visit.link_id, f"denied.{what}", now=now) == 1:
        audit.record(
            tx,
            "panel.act_refused",
            visit.actor,
            ("panel_link", link_ref(visit.link_id)),
            result="denied",
            detail={"what": what},
        )


def _judge(tx: Tx, claims: LinkClaims | None, statement: bytes, now: datetime) -> Denied | None:
    if claims is None:
        return Denied(Reason.FORGED)
    row = tx.execute(statement, {"link_id": claims.link_id}).fetchone()
    found = _link_row(row) if row else None
    reason = decide_entry(claims, found, now)
    if reason is None:
        return None
    return Denied(reason, claims.link_id if found is not None else None)


def decide_entry(claims: LinkClaims, row: _LinkRow | None, now: datetime) -> Reason | None:
    """Why a genuine link does not let in; None when it does."""
    if row is None or (row.member, row.role, row.expires_at) != (
        claims.member,
        claims.role,
        claims.expires_at,
    ):
        return Reason.UNKNOWN
    if (reason := _decide_standing(row, now)) is not None:
        return reason
    return Reason.USED_UP if row.entries >= row.max_entries else None


def _decide_standing(row: _LinkRow, now: datetime) -> Reason | None:
    """What ends a link and every session by it."""
    if row.state is LinkState.REVOKED:
        return Reason.REVOKED
    if now >= row.expires_at:
        return Reason.EXPIRED
    return Reason.NOT_MEMBER if row.role_now is None else None


def _found(tx: Tx, cookie: Cookie, now: datetime) -> Visit | Denied:
    row = tx.execute(Q["session_find"], {"id_sha256": cookie.id_sha256}).fetchone()
    if row is None:
        return Denied(Reason.UNKNOWN)
    link_id, state, seen_at, language, theme = row[:5]
    link = _link_row(row[5:])
    if (reason := _decide_standing(link, now)) is not None:
        return Denied(reason, link_id)
    if state == SessionState.CLOSED:
        return Denied(Reason.CLOSED, link_id)
    if now >= seen_at + IDLE:
        return Denied(Reason.IDLE, link_id)
    if link.role_now is None:
        raise AssertionError("who is no member does not stand")
    role = lesser(link.role, link.role_now)
    return Visit(link_id, link.member, role, link.expires_at, language, theme, cookie)


def _link_row(row: tuple[object, ...]) -> _LinkRow:
    member, role, state, expires_at, entries, max_entries, role_now = row
    if not (isinstance(expires_at, datetime) and isinstance(entries, int) and isinstance(max_entries, int)):
        raise TypeError("a link's row has its times and counts")
    return _LinkRow(
        member=str(member),
        role=Role(str(role)),
        state=LinkState(str(state)),
        expires_at=expires_at,
        entries=entries,
        max_entries=max_entries,
        role_now=Role(str(role_now)) if role_now else None,
    )
