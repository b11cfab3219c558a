"""Deciding in the panel over HTTP, as a browser does: from the claim, through the question, to the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from platform_core.messaging.contracts import Party
from platform_core.payments.lifecycle import ClaimState
from platform_core.tenancy.members import Role
from tests.support.databases import Databases
from tests.support.doors import PANEL, PANEL_KEY, ROUTE_SECRET, House, open_house
from tests.support.entrances import Browser, Form, browser_of, forms_of, open_link, token_of
from tests.support.payments import Treasury, clp
from tests.support.wmctl import rows_of

ASKED, TAKEN, CONFLICT, REFUSED, MISSING = 200, 303, 409, 403, 404
PLACES = ("", "claims", "claims?state=all", "attendance", "messages", "runs", "errors", "use")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</title></style><svg onload=alert(3)>",
    "{{7*7}}",
    "javascript:alert(4)",
    "$var:f/einstein_kids/secret",
    "\u202eodagap",
    "'; DROP TABLE payments.claim; --",
)


@contextmanager
def _treasury(house: House) -> Iterator[Treasury]:
    with house.tenant_db.connect() as connection:
        yield Treasury(house.tenant_db, connection)


def _claim(house: House, *, name: str = "María") -> int:
    with _treasury(house) as treasury:
        treasury.owe(clp(45000), contact_id=treasury.contact())
        sender = Party(phone="+56911110000", name=name)
        return treasury.receipt_from(sender)


def _form(browser: Browser, claim: int, action: str) -> Form:
    page = browser.get(f"claims/C{claim}")
    assert page.status == ASKED, page.text[:300]
    found = [form for form in forms_of(page) if form.fields.get("action") == action]
    assert found, f"no form to {action}"
    return found[0]


def _approval(browser: Browser, claim: int) -> dict[str, str]:
    form = _form(browser, claim, "approve")
    return {**form.fields, "amount": "45000", "method": "bank_app", "bank_reference": f"TRX-{claim}"}


def _asked(browser: Browser, claim: int, fields: dict[str, str]) -> dict[str, str]:
    question = browser.post(f"claims/C{claim}/decide", fields)
    assert question.status == ASKED, question.text[:500]
    return next(form.fields for form in forms_of(question) if form.fields.get("confirm") == "1")


def _decisions(house: House, claim: int) -> list[tuple[object, ...]]:
    rows = rows_of(
        house.tenant_db.admin_dsn,
        "SELECT action, outcome, actor_id FROM payments.decision"
        f" WHERE claim_id = {claim} ORDER BY decided_at",
    )
    return [(row["action"], row["outcome"], row["actor_id"]) for row in rows]


def _trail(house: House) -> list[tuple[str, str, str]]:
    rows = rows_of(
        house.tenant_db.admin_dsn,
        "SELECT body::jsonb ->> 'action' AS action, body::jsonb -> 'actor' ->> 'id' AS who,"
        " body::jsonb -> 'actor' ->> 'via' AS via FROM audit.entry ORDER BY seq",
    )
    return [(str(row["action"]), str(row["who"]), str(row["via"])) for row in rows]


def test_a_claim_is_approved_after_one_question_and_the_trail_names_the_link(house: House) -> None:
    """The first form changes nothing; the second does, under the member's name and by which link."""
    claim, browser = _claim(house), browser_of(house)
    link = rows_of(house.tenant_db.admin_dsn, "SELECT max(id) AS id FROM panel.link")[0]["id"]

    fields = _asked(browser, claim, _approval(browser, claim))
    before = _decisions(house, claim)
    done = browser.post(f"claims/C{claim}/decide", fields)

    assert before == []
    assert (done.status, done.headers["location"].partition("?")[0][-len(f"/claims/C{claim}") :]) == (
        TAKEN,
        f"/claims/C{claim}",
    )
    assert _decisions(house, claim) == [("approve", "approved", "bruno")]
    assert ("claim.approved", "bruno", f"panel:K{link}") in _trail(house)


def test_the_same_form_sent_again_decides_nothing_twice(house: House) -> None:
    """A finger that taps twice, a page loaded again: the same answer, one decision, one message."""
    claim, browser = _claim(house), browser_of(house)
    fields = _asked(browser, claim, _approval(browser, claim))

    statuses = [browser.post(f"claims/C{claim}/decide", fields).status for _ in range(3)]

    assert statuses == [TAKEN] * 3
    assert len(_decisions(house, claim)) == 1


def test_who_comes_second_reads_who_was_first_and_changes_nothing(house: House) -> None:
    """Both had the page open; the form of the second names a claim that moved on."""
    claim, first, second = _claim(house), browser_of(house), browser_of(house, "carla")
    mine, theirs = _approval(first, claim), _form(second, claim, "reject").fields
    asked = _asked(second, claim, {**theirs, "reason": "no aparece"})

    taken = first.post(f"claims/C{claim}/decide", _asked(first, claim, mine))
    late = second.post(f"claims/C{claim}/decide", asked)

    assert (taken.status, late.status) == (TAKEN, CONFLICT)
    assert "bruno" in late.text
    assert _decisions(house, claim) == [("approve", "approved", "bruno")]


def test_a_form_about_one_claim_decides_no_other(house: House) -> None:
    """Its decision id and version are the other's; its address alone says which claim is meant."""
    one, other, browser = _claim(house), _claim(house), browser_of(house)
    fields = _asked(browser, one, _approval(browser, one))

    browser.post(f"claims/C{one}/decide", fields)
    again = browser.post(f"claims/C{other}/decide", fields)

    assert again.status in (CONFLICT, 422)
    assert _decisions(house, other) == []
    assert browser.post("claims/C999999/decide", fields).status == MISSING


def test_a_viewer_who_made_up_the_whole_form_decides_nothing(house: House) -> None:
    """Neither as viewer, nor by an owner's link that permits viewing only."""
    claim = _claim(house)
    fields = {
        "action": "approve",
        "amount": "45000",
        "method": "cash",
        "version": "2",
        "decision_id": "made-up-1",
        "confirm": "1",
    }

    for browser in (browser_of(house, "diego"), browser_of(house, "ana", role=Role.VIEWER)):
        assert browser.post(f"claims/C{claim}/decide", {**fields, "csrf": browser.csrf}).status == REFUSED
        assert [form for form in forms_of(browser.get(f"claims/C{claim}")) if "decide" in form.action] == []
    assert _decisions(house, claim) == []


def test_what_parents_and_staff_typed_is_shown_as_text(house: House) -> None:
    """Names of families, captions, reasons: no letter of theirs is markup, in any page that shows them."""
    pages = []
    browser = browser_of(house)
    for text in HOSTILE:
        claim = _claim(house, name=text)
        fields = _asked(browser, claim, {**_form(browser, claim, "reject").fields, "reason": text})
        browser.post(f"claims/C{claim}/decide", fields)
        pages.append(browser.get(f"claims/C{claim}").text)
    owner = browser_of(house, "ana")
    pages += [owner.get(path).text for path in PLACES]

    whole = "".join(pages).casefold()
    marks = ("<script>alert", "<img src=x", "<svg onload", "onerror=alert(2)>", ROUTE_SECRET)
    assert [mark for mark in marks if mark in whole] == []
    assert "&lt;script&gt;alert(1)" in whole


@pytest.fixture
def neighbour(databases: Databases) -> Iterator[House]:
    """Another customer behind the same script, with a database and a key of its own."""
    with databases.tenant() as tenant_db, open_house(tenant_db) as found:
        found.change(PANEL, keys=["another-" + PANEL_KEY[::-1]])
        yield found


def test_no_byte_of_one_customer_is_in_the_panel_of_another(house: House, neighbour: House) -> None:
    """Links and cookies of the neighbour open nothing, and its families are on no page."""
    secret = "Zoraida Única"
    theirs = _claim(neighbour, name=secret)
    link = open_link(neighbour)
    stranger = browser_of(neighbour)
    seen_there = stranger.get(f"claims/C{theirs}").text
    mine = browser_of(house, "ana")

    strangers = [
        Browser(house).get(f"enter/{token_of(link)}"),
        Browser(house).enter(link),
        Browser(house, stranger.cookie).get(),
        Browser(house, stranger.cookie).get(f"claims/C{theirs}"),
    ]
    pages = [mine.get(path) for path in (*PLACES, f"claims/C{theirs}")]

    assert secret in seen_there
    assert {answer.status for answer in strangers} == {401}
    assert [page.status for page in pages[:-1]] == [ASKED] * len(PLACES)
    assert [page for page in (*strangers, *pages) if "Zoraida" in page.text] == []


def test_what_people_look_at_is_counted_by_link_and_day_and_only_their_entry_is_on_record(
    house: House,
) -> None:
    """Reading floods no trail, and who made the link sees how much of it there was."""
    claim, browser = _claim(house), browser_of(house)
    trail = _trail(house)
    for _ in range(3):
        browser.get()
        browser.get(f"claims/C{claim}")

    counted = rows_of(
        house.tenant_db.admin_dsn,
        "SELECT what, count FROM panel.use WHERE link_id = (SELECT max(id) FROM panel.link) ORDER BY what",
    )
    assert counted == [{"what": "claims", "count": 3}, {"what": "home", "count": 3}]
    assert _trail(house) == trail


def test_language_and_light_are_kept_for_the_visit(house: House) -> None:
    """Chosen once, on every page that follows, in this browser alone."""
    link = open_link(house, "ana")
    browser, other = Browser(house), Browser(house)
    browser.enter(link)
    other.enter(link)
    for what, value in (("language", "en"), ("theme", "dark")):
        assert browser.post(what, {"csrf": browser.csrf, what: value, "back": "claims"}).status == TAKEN

    assert '<html lang="en"' in browser.get().text
    assert '<html lang="es"' in other.get().text
    assert browser.get().text != other.get().text


def test_every_state_of_a_claim_has_a_page_for_every_role(house: House) -> None:
    """Nothing a claim can be makes the panel stumble."""
    browsers = {member: browser_of(house, member) for member in ("ana", "bruno", "diego")}
    with _treasury(house) as treasury:
        claims = {state: treasury.claim_in(state) for state in ClaimState}

    statuses = {
        (state, member): browser.get(f"claims/C{claim}").status
        for state, claim in claims.items()
        for member, browser in browsers.items()
    }

    assert {cell: status for cell, status in statuses.items() if status != ASKED} == {}
