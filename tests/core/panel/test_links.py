"""Links and sessions over a real database: who gets in, for how long, and what is left of it on record."""

from __future__ import annotations

from datetime import timedelta

import pytest

from platform_core import audit
from platform_core.db import Tx
from platform_core.errors import InvalidInput, NotFound, PermissionDenied, Refused
from platform_core.panel import links, sessions
from platform_core.panel.contracts import Denied, Link, Reason, Visit
from platform_core.panel.lifecycle import LinkState
from platform_core.panel.tokens import Keyring, LinkClaims, make_cookie, sign_link
from platform_core.tenancy.members import Role, set_members
from platform_core.values import Actor
from tests.support.databases import TenantDatabase
from tests.support.entrances import ENGINEER, NOW, enter, keyring_of, make_link, token_of

WMCTL = Actor("system", "wmctl")
LATER = NOW + timedelta(minutes=5)
MEMBERS = {"ana": Role.OWNER, "bruno": Role.OPS, "carla": Role.OPS, "diego": Role.VIEWER}


def _become(tx: Tx, **changed: Role | None) -> None:
    wanted = {name: role for name, role in {**MEMBERS, **changed}.items() if role is not None}
    set_members(tx, wanted, policy_version=1, actor=WMCTL)


def _acts(tx: Tx) -> list[tuple[str, str, str, str, str]]:
    """What is on record about the panel, oldest first."""
    return [
        (entry.action, entry.actor.id, entry.actor.role, entry.actor.via, entry.result)
        for entry in reversed(audit.list_entries(tx))
        if entry.action.startswith("panel.")
    ]


def test_a_link_lets_its_member_in_and_the_cookie_keeps_them_in(tx: Tx, keyring: Keyring) -> None:
    """Entered, found again, left: three lines on record, each naming the link."""
    link = make_link(tx, keyring)

    visit = enter(tx, keyring, link)
    again = sessions.find_session(tx, visit.cookie.text, keyring=keyring, now=LATER)
    sessions.close_session(tx, visit, now=LATER)

    assert (visit.member, visit.role, visit.language, visit.expires_at) == (
        "bruno",
        Role.OPS,
        None,
        NOW + timedelta(hours=12),
    )
    assert again == visit
    assert visit.actor == Actor("user", "bruno", "ops", via=f"panel:K{link.link_id}")
    assert _acts(tx) == [
        ("panel.link_made", "os:root", "support", "", "ok"),
        ("panel.entered", "bruno", "ops", f"panel:K{link.link_id}", "ok"),
        ("panel.left", "bruno", "ops", f"panel:K{link.link_id}", "ok"),
    ]


def test_looking_at_a_link_uses_nothing_up_and_leaves_no_trace(tx: Tx, keyring: Keyring) -> None:
    """A chat that previews an address a hundred times has entered nowhere."""
    link = make_link(tx, keyring, entries=1)
    before = _rows(tx)

    looks = {sessions.look_at_link(tx, token_of(link), keyring=keyring, now=LATER) for _ in range(100)}

    assert looks == {None}
    assert _rows(tx) == before
    assert isinstance(enter(tx, keyring, link), Visit)


def _rows(tx: Tx) -> list[tuple[object, ...]]:
    return tx.execute(
        "SELECT 'link', entries::text FROM panel.link"
        " UNION ALL SELECT 'session', link_id::text FROM panel.session"
        " UNION ALL SELECT what, count::text FROM panel.use"
        " UNION ALL SELECT reason, count::text FROM panel.refusal"
    ).fetchall()


def _shut(tx: Tx, keyring: Keyring, token: str, *, at: timedelta = timedelta(minutes=5)) -> Reason | None:
    found = sessions.open_session(tx, token, keyring=keyring, now=NOW + at)
    return found.reason if isinstance(found, Denied) else None


def _altered(token: str) -> str:
    """The same with another last letter; of its bits only some count, so the letter is far from the first."""
    return token[:-1] + ("g" if token[-1] in "ABCD" else "A")


def test_every_way_in_which_a_link_is_not_good_keeps_its_holder_out(tx: Tx, keyring: Keyring) -> None:
    """Each reason by its name; nobody entered, and entries are left as they were."""
    good, short, once, revoked, removed = (
        make_link(tx, keyring, member, hours=hours, entries=entries)
        for member, hours, entries in (
            ("bruno", 12, 5),
            ("bruno", 1, 5),
            ("bruno", 12, 1),
            ("bruno", 12, 5),
            ("carla", 12, 5),
        )
    )
    enter(tx, keyring, once)
    links.revoke_link(tx, revoked.link_id, ENGINEER, now=LATER)
    _become(tx, carla=None)
    elsewhere = LinkClaims(good.link_id, "ana", Role.OWNER, good.expires_at)
    prolonged = LinkClaims(good.link_id, "bruno", Role.OPS, good.expires_at + timedelta(hours=1))
    unknown = LinkClaims(10**6, "bruno", Role.OPS, good.expires_at)
    other = keyring_of(keyring.customer)

    assert {
        "forged": _shut(tx, keyring, _altered(token_of(good))),
        "of other keys": _shut(tx, other, token_of(good)),
        "of another customer": _shut(tx, Keyring("other", keyring.url, keyring.keys), token_of(good)),
        "about another member": _shut(tx, keyring, sign_link(keyring, elsewhere)),
        "prolonged": _shut(tx, keyring, sign_link(keyring, prolonged)),
        "of no row": _shut(tx, keyring, sign_link(keyring, unknown)),
        "in its last second": _shut(tx, keyring, token_of(short), at=timedelta(minutes=59, seconds=59)),
        "expired": _shut(tx, keyring, token_of(short), at=timedelta(hours=1)),
        "used up": _shut(tx, keyring, token_of(once)),
        "revoked": _shut(tx, keyring, token_of(revoked)),
        "of a removed member": _shut(tx, keyring, token_of(removed)),
        "good": _shut(tx, keyring, token_of(good)),
    } == {
        "forged": Reason.FORGED,
        "of other keys": Reason.FORGED,
        "of another customer": Reason.FORGED,
        "about another member": Reason.UNKNOWN,
        "prolonged": Reason.UNKNOWN,
        "of no row": Reason.UNKNOWN,
        "in its last second": None,
        "expired": Reason.EXPIRED,
        "used up": Reason.USED_UP,
        "revoked": Reason.REVOKED,
        "of a removed member": Reason.REVOKED,
        "good": None,
    }
    entries = {link.id: link.entries for link in links.list_links(tx, now=NOW, ended_too=True)}
    assert entries == {
        good.link_id: 1,
        short.link_id: 1,
        once.link_id: 1,
        revoked.link_id: 0,
        removed.link_id: 0,
    }


def _inside(tx: Tx, keyring: Keyring, visit: Visit, *, at: timedelta = timedelta(minutes=5)) -> object:
    found = sessions.find_session(tx, visit.cookie.text, keyring=keyring, now=NOW + at)
    return found.reason if isinstance(found, Denied) else found.role


def test_what_happens_to_a_link_or_its_member_is_felt_at_the_next_request(tx: Tx, keyring: Keyring) -> None:
    """The session remembers nothing that could be out of date."""
    visit = enter(tx, keyring, make_link(tx, keyring, "carla"))
    seen = [_inside(tx, keyring, visit)]
    _become(tx, carla=Role.VIEWER)
    seen.append(_inside(tx, keyring, visit))
    _become(tx, carla=Role.OWNER)
    seen.append(_inside(tx, keyring, visit))
    _become(tx, carla=None)
    seen.append(_inside(tx, keyring, visit))
    _become(tx)
    seen.append(_inside(tx, keyring, visit))

    assert seen == [Role.OPS, Role.VIEWER, Role.OPS, Reason.REVOKED, Reason.REVOKED]


def test_a_link_for_less_gives_less_than_its_member_may(tx: Tx, keyring: Keyring) -> None:
    """An owner who shows the panel to somebody on their phone."""
    visit = enter(tx, keyring, make_link(tx, keyring, "ana", role=Role.VIEWER))

    assert visit.role is Role.VIEWER
    assert _inside(tx, keyring, visit) is Role.VIEWER


def test_a_session_ends_when_left_when_idle_and_with_its_link(tx: Tx, keyring: Keyring) -> None:
    """A cookie sent again afterwards opens nothing; in use it lives as long as its link."""
    left, idle, used = (enter(tx, keyring, make_link(tx, keyring, hours=12)) for _ in range(3))
    sessions.close_session(tx, left, now=LATER)
    sessions.close_session(tx, left, now=LATER)
    hourly = [_inside(tx, keyring, used, at=timedelta(hours=hour)) for hour in range(1, 12)]

    assert _inside(tx, keyring, left) is Reason.CLOSED
    assert _inside(tx, keyring, idle, at=timedelta(hours=2)) is Role.OPS
    assert _inside(tx, keyring, idle, at=timedelta(hours=4)) is Reason.IDLE
    assert hourly == [Role.OPS] * 11
    assert _inside(tx, keyring, used, at=timedelta(hours=12)) is Reason.EXPIRED
    assert [act for act, *_ in _acts(tx)].count("panel.left") == 1


def test_revoking_ends_every_session_of_the_link_and_is_said_once(tx: Tx, keyring: Keyring) -> None:
    """Both browsers are outside at their next request."""
    link = make_link(tx, keyring)
    visits = [enter(tx, keyring, link), enter(tx, keyring, link)]

    done = [links.revoke_link(tx, link.link_id, ENGINEER, now=LATER) for _ in range(2)]

    assert done == [True, False]
    assert [_inside(tx, keyring, visit) for visit in visits] == [Reason.REVOKED] * 2
    assert [act for act, *_ in _acts(tx)].count("panel.link_revoked") == 1


def test_a_row_written_into_the_sessions_lets_nobody_in(tx: Tx, keyring: Keyring) -> None:
    """Who can write every row of the customer has no key: their cookie is a forgery."""
    link = make_link(tx, keyring, "ana")
    made_up = make_cookie(keyring_of(keyring.customer))
    tx.execute(
        "INSERT INTO panel.session (id_sha256, link_id, opened_at, seen_at, expires_at)"
        " VALUES (%s, %s, %s, %s, %s)",
        (made_up.id_sha256, link.link_id, NOW, NOW, link.expires_at),
    )

    assert sessions.find_session(tx, made_up.text, keyring=keyring, now=LATER) == Denied(Reason.FORGED)


def test_nothing_that_opens_the_panel_is_in_the_database(
    tenant_db: TenantDatabase, tx: Tx, keyring: Keyring
) -> None:
    """Not the key, not the link's text, not the cookie, not what forms carry; not in the trail either."""
    link = make_link(tx, keyring)
    visit = enter(tx, keyring, link)
    with tenant_db.admin() as admin:
        kept = str(
            admin.execute(
                "SELECT (SELECT array_agg(l::text) FROM panel.link AS l), (SELECT array_agg(s::text) FROM"
                " panel.session AS s), (SELECT array_agg(e.body) FROM audit.entry AS e)"
            ).fetchall()
        )
    secret_texts = [
        keyring.keys[0],
        token_of(link),
        token_of(link).split(".")[3],
        visit.cookie.text,
        visit.cookie.text.split(".")[2],
        visit.cookie.csrf,
    ]

    assert [text for text in secret_texts if text in kept] == []


def test_refusals_are_counted_and_only_the_first_of_a_day_is_recorded(tx: Tx, keyring: Keyring) -> None:
    """Somebody who tries an old link a hundred times floods no trail; inventions are counted by the hour."""
    link = make_link(tx, keyring, hours=1)
    for minutes in range(60, 160):
        _shut(tx, keyring, token_of(link), at=timedelta(minutes=minutes))
        _shut(tx, keyring, "v1.invented", at=timedelta(minutes=minutes))

    listed = links.list_links(tx, now=NOW, ended_too=True)
    assert [(one.id, one.uses, one.refusals) for one in listed] == [(link.link_id, 0, 100)]
    assert [act for act in _acts(tx) if act[0] == "panel.entry_refused"] == [
        ("panel.entry_refused", "bruno", "", f"panel:K{link.link_id}", "denied")
    ]
    counted = tx.execute("SELECT hour, reason, count FROM panel.refusal ORDER BY hour").fetchall()
    assert counted == [
        (NOW + timedelta(hours=1), "forged", 60),
        (NOW + timedelta(hours=2), "forged", 40),
    ]


def test_acts_refused_inside_are_counted_and_the_first_of_a_kind_a_day_recorded(
    tx: Tx, keyring: Keyring
) -> None:
    """A viewer who keeps trying is one line, and a number beside the link."""
    visit = enter(tx, keyring, make_link(tx, keyring, "diego"))
    for _ in range(50):
        sessions.count_refused_act(tx, visit, "decide_claims", now=LATER)
        sessions.count_use(tx, visit.link_id, "claims", now=LATER)

    assert [(one.uses, one.refusals) for one in links.list_links(tx, now=LATER)] == [(50, 50)]
    refused = audit.list_entries(tx, action="panel.act_refused")
    assert [(entry.actor.id, entry.detail, entry.result) for entry in refused] == [
        ("diego", {"what": "decide_claims"}, "denied")
    ]


def test_the_list_shows_links_that_still_work_or_all(tx: Tx, keyring: Keyring) -> None:
    """Whole rows: who, for what, until when, how often used."""
    ended, live = make_link(tx, keyring, hours=1), make_link(tx, keyring, "ana", role=Role.OPS, hours=24)
    enter(tx, keyring, live)
    later = NOW + timedelta(hours=2)

    shown = links.list_links(tx, now=later)

    assert shown == [
        Link(
            id=live.link_id,
            member="ana",
            role=Role.OPS,
            state=LinkState.LIVE,
            created_at=NOW,
            created_by="os:root",
            expires_at=NOW + timedelta(hours=24),
            entries=1,
            max_entries=5,
            last_entered_at=NOW + timedelta(minutes=1),
            revoked_at=None,
            revoked_by=None,
            uses=0,
            refusals=0,
        )
    ]
    assert [one.id for one in links.list_links(tx, now=later, ended_too=True)] == [
        live.link_id,
        ended.link_id,
    ]


@pytest.mark.parametrize(
    ("actor", "allowed"),
    [
        (Actor("user", "ana"), True),
        (ENGINEER, True),
        (Actor("user", "bruno"), False),
        (Actor("user", "diego"), False),
        (Actor("user", "eve"), False),
        (Actor("contact", "ana", "owner"), False),
    ],
)
def test_owners_and_the_agency_make_links_and_nobody_else(
    tx: Tx,
    keyring: Keyring,
    actor: Actor,
    allowed: bool,
) -> None:
    """A member of another role makes none, not even for less than their own."""
    made = False
    try:
        links.create_link(tx, "diego", role=None, hours=1, by=actor, keyring=keyring, now=NOW)
        made = True
    except PermissionDenied:
        pass

    assert made is allowed


def test_a_link_is_refused_that_would_promise_more_than_it_gives(tx: Tx, keyring: Keyring) -> None:
    """By name, with what to do; nothing is made."""
    with pytest.raises(Refused, match="diego is viewer: a link as owner"):
        make_link(tx, keyring, "diego", role=Role.OWNER)
    with pytest.raises(NotFound, match="'eve' is not a member"):
        make_link(tx, keyring, "eve")
    with pytest.raises(NotFound, match="is not a member"):
        make_link(tx, keyring, "+56911112222")
    for hours, entries in ((0, 5), (169, 5), (-1, 5), (12, 0), (12, 51)):
        with pytest.raises(InvalidInput):
            make_link(tx, keyring, hours=hours, entries=entries)
    with pytest.raises(NotFound, match="no link K999"):
        links.revoke_link(tx, 999, ENGINEER, now=NOW)

    assert links.list_links(tx, now=NOW, ended_too=True) == []


def test_two_browsers_at_once_cannot_share_the_last_entry(
    tenant_db: TenantDatabase, tx: Tx, keyring: Keyring
) -> None:
    """The second waits for the first, and is told that the link is used up."""
    link = make_link(tx, keyring, entries=1)
    with tenant_db.connect() as other:
        with other.transaction():
            first = sessions.open_session(other, token_of(link), keyring=keyring, now=LATER)
            tx.execute("SET lock_timeout = '50ms'")
            with pytest.raises(Exception, match="lock timeout"):
                sessions.open_session(tx, token_of(link), keyring=keyring, now=LATER)
        second = sessions.open_session(tx, token_of(link), keyring=keyring, now=LATER)

    assert isinstance(first, Visit)
    assert second == Denied(Reason.USED_UP, link.link_id)
