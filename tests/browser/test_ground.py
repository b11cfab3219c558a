"""The ground bites: a page made wrong on purpose is complained about, one made well is not."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.support import browsing
from tests.support.browsing import NARROW, ORIGIN, BrowserMissing, visit

POLICY = {
    "content-security-policy": "default-src 'none'; style-src 'nonce-n'; img-src data:; form-action 'self'"
}
GOOD = """<!doctype html><html lang="es"><meta charset="utf-8"><title>Pagos</title>
<meta name="viewport" content="width=device-width">
<style nonce="n">:focus-visible{outline:3px solid #036}</style>
<main><h1>Pagos</h1><p><a href="/claims">Ver los pagos</a></p>
<form method="post"><label>Monto <input name="amount"></label><button>Aprobar</button></form></main>"""


def _with(old: str, new: str) -> dict[str, tuple[str, dict[str, str]]]:
    assert old in GOOD
    return {"/": (GOOD.replace(old, new), POLICY)}


def test_a_page_made_well_is_not_complained_about(browser: Browser) -> None:
    """Nothing is found where nothing is wrong."""
    with visit(browser, screen=NARROW, pages=_with("Pagos", "Pagos")) as found:
        found.open("/")

        assert found.complaints == []
        assert found.asked == [f"{ORIGIN}/"]
        assert found.weights == {f"{ORIGIN}/": len(GOOD.encode())}
        assert browsing.barriers(found.page) == []
        assert browsing.overflow(found.page) == []
        assert browsing.motions(found.page) == []
        stops = browsing.tab_stops(found.page)
        assert [stop.place for stop in stops] == browsing.reachable(found.page) == [0, 1, 2]
        assert all(stop.marked and not stop.covered for stop in stops)


@pytest.mark.parametrize(
    ("new", "complaint"),
    [
        ('<img alt="" src="https://elsewhere.test/x.png">', "asks for https://elsewhere.test/x.png"),
        ("<script>document.title = 'x'</script>", "Content Security Policy"),
        ('<b style="color:red">!</b>', "Content Security Policy"),
        ('<b onclick="alert(1)">!</b>', ""),
    ],
    ids=["another place", "a script", "a style", "a handler"],
)
def test_what_a_page_must_not_do_is_heard(browser: Browser, new: str, complaint: str) -> None:
    """Requests to others, and whatever its own content policy forbids."""
    with visit(browser, pages=_with("<h1>", f"{new}<h1>")) as found:
        found.open("/")
        if not complaint:
            found.page.click("b")

        assert any(complaint in one for one in found.complaints), found.complaints


def test_an_error_and_a_dialog_are_heard(browser: Browser) -> None:
    """Where a script may run at all."""
    html = GOOD.replace("<h1>", "<script>alert(1); nothing()</script><h1>")
    with visit(browser, pages={"/": (html, {})}) as found:
        found.open("/")

        assert [one.split(":")[0] for one in found.complaints] == ["opens a dialog", "error"]


def test_without_scripts_none_runs(browser: Browser) -> None:
    """The person who switched them off is real."""
    html = GOOD.replace("<h1>", "<script>document.title = 'ran'</script><h1>")
    with visit(browser, pages={"/": (html, {})}, scripts=False) as found:
        found.open("/")

        assert found.page.title() == "Pagos"
        assert browsing.overflow(found.page) == []


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("<h1>", '<p><b class="pale">pálido</b><h1>', "color-contrast"),
        ("<label>Monto ", "<label></label><span>", "label"),
        ('lang="es"', "", "html-has-lang"),
        ("<title>Pagos</title>", "", "document-title"),
        ("<h1>", '<img src="data:,"><h1>', "image-alt"),
        ("<form", '<a class="tiny" href="/a">a</a><a class="tiny" href="/b">b</a><form', "target-size"),
    ],
)
def test_a_barrier_is_found(browser: Browser, old: str, new: str, rule: str) -> None:
    """The six that pages break most."""
    pale = ":focus-visible{outline:3px solid #036}.pale{color:#bbb}.tiny{display:block;width:9px;height:9px}"
    html = GOOD.replace(old, new).replace(":focus-visible{outline:3px solid #036}", pale)
    with visit(browser, pages={"/": (html, POLICY)}) as found:
        found.open("/")

        assert {one.split(":")[0] for one in browsing.barriers(found.page)} == {rule}


def test_a_page_wider_than_the_screen_is_found_and_a_box_that_scrolls_is_not(browser: Browser) -> None:
    """Reflow at 320 pixels; a table may scroll inside its own box."""
    wide = '<div class="box"><p class="wide">x</p></div>'
    style = ":focus-visible{outline:3px solid #036}.wide{width:900px}"
    for rule, expected in ((style, True), (style + ".box{overflow-x:auto}", False)):
        html = GOOD.replace("<h1>", f"{wide}<h1>").replace(":focus-visible{outline:3px solid #036}", rule)
        with visit(browser, screen=NARROW, pages={"/": (html, POLICY)}) as found:
            found.open("/")

            assert bool(browsing.overflow(found.page)) is expected


def test_a_focus_nobody_sees_and_an_order_nobody_expects_are_found(browser: Browser) -> None:
    """No outline; a bar over the field; a number that jumps the queue."""
    html = GOOD.replace("outline:3px solid #036", "outline:none").replace("<button>", '<button tabindex="1">')
    with visit(browser, pages={"/": (html, POLICY)}) as found:
        found.open("/")
        stops = browsing.tab_stops(found.page)

        assert [stop.place for stop in stops] != browsing.reachable(found.page)
        assert not any(stop.marked for stop in stops)
    bar = GOOD.replace("</style>", "main::after{content:'';position:fixed;inset:0}</style>")
    with visit(browser, pages={"/": (bar, POLICY)}) as found:
        found.open("/")

        assert [stop.covered for stop in browsing.tab_stops(found.page)] == [True, True, True]


def test_what_moves_for_those_whom_motion_hurts_is_found(browser: Browser) -> None:
    """Animations and transitions that the person asked to be spared."""
    html = GOOD.replace(
        "</style>", "a{transition:color 2s} h1{animation:a 9s infinite} @keyframes a{to{opacity:.5}}</style>"
    )
    with visit(browser, pages={"/": (html, POLICY)}, calm=True) as found:
        found.open("/")

        assert sorted(one.split()[0] for one in browsing.motions(found.page)) == ["animation", "transition"]


def test_a_machine_without_a_browser_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error with a next step, never a skip."""
    monkeypatch.setenv("PATH", "")

    with pytest.raises(BrowserMissing, match="apt-get install chromium"):
        browsing.find_program()
