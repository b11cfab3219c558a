"""The panel's doors over HTTP, through the routes and the real script: who gets in, what strangers get."""

from __future__ import annotations

import re
import socket
from urllib.parse import quote, urlsplit

import pytest

from platform_core.panel import links
from platform_core.tenancy.members import Role, set_members
from platform_core.tenancy.policy import load_policy
from platform_core.values import Actor
from tests.support.doors import CUSTOMER, PANEL, ROUTE_SECRET, VARIABLES, House
from tests.support.entrances import ENGINEER, LEFT_OUT, Browser, browser_of, open_link, token_of
from tests.support.policies import FILE
from tests.support.windmill import Answer, send
from tests.support.wmctl import rows_of

CLOSED, SEEN, MOVED = 401, 200, 303
BASE = f"/api/r/{CUSTOMER}/panel"


def _acts(house: House) -> list[str]:
    return [
        str(row["action"])
        for row in rows_of(
            house.tenant_db.admin_dsn,
            "SELECT body::jsonb ->> 'action' AS action FROM audit.entry ORDER BY seq",
        )
        if str(row["action"]).startswith("panel.")
    ]


def test_a_link_shows_a_button_and_the_button_lets_in(house: House) -> None:
    """The address with the token is left at once, by a redirect, with the cookie of a session."""
    link = open_link(house)
    browser = Browser(house)

    shown = browser.get(f"enter/{token_of(link)}")
    entered = browser.enter(link)

    assert shown.status == SEEN
    assert f'<input type="hidden" name="token" value="{token_of(link)}">' in shown.text
    assert f'<form method="post" action="{BASE}/enter">' in shown.text
    assert "set-cookie" not in shown.headers
    assert (entered.status, entered.headers["location"], entered.body) == (MOVED, f"{BASE}/", b"")
    assert re.fullmatch(
        rf"panel_{CUSTOMER}=s1\.[0-9a-f]{{8}}\.[\w-]{{43}}\.[\w-]{{43}}; Path={BASE}; Max-Age=(\d+);"
        r" HttpOnly; SameSite=Lax",
        entered.headers["set-cookie"],
    )
    assert browser.get().status != CLOSED


def test_what_previews_an_address_uses_no_entry_up(house: House) -> None:
    """Chats fetch the addresses they show, some many times; the button still works, once."""
    link = open_link(house, entries=1)

    previews = {Browser(house).get(f"enter/{token_of(link)}").status for _ in range(5)}
    entered = [Browser(house).enter(link).status for _ in range(2)]

    assert (previews, entered) == ({SEEN}, [MOVED, CLOSED])


def test_every_answer_says_what_a_browser_may_do_with_it(house: House) -> None:
    """The strictest there is; each answer has a nonce of its own; nothing is kept by any cache."""
    link = open_link(house)
    browser = Browser(house)
    answers = [
        browser.get(f"enter/{token_of(link)}"),
        browser.enter(link),
        browser.get(),
        browser.get("nothing"),
        Browser(house).get(),
        Browser(house).get("enter/invented"),
    ]

    nonces = {_nonce(answer) for answer in answers}
    assert len(nonces) == len(answers)
    for answer in answers:
        said = dict(answer.headers)
        policy = said.pop("content-security-policy").replace(_nonce(answer), "N")
        assert policy == (
            "default-src 'none'; style-src 'nonce-N'; script-src 'nonce-N'; img-src data:;"
            " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert said.pop("referrer-policy") in ("same-origin", "strict-origin")
        kept = {name: said[name] for name in said if name in _STRICT}
        assert kept == _STRICT


_STRICT = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "content-type": "text/html; charset=utf-8",
}


def _nonce(answer: Answer) -> str:
    found = re.search(r"'nonce-([\w-]{24})'", answer.headers["content-security-policy"])
    assert found is not None
    return found[1]


def _closed_doors(house: House) -> dict[str, Answer]:
    """Every way of knocking that is not good, by what is wrong with it."""
    good, used, revoked, expired = (
        open_link(house),
        open_link(house, entries=1),
        open_link(house),
        open_link(house, hours=1, ago_h=2),
    )
    Browser(house).enter(used)
    with house.tenant_db.connect() as tx, tx.transaction():
        links.revoke_link(tx, revoked.link_id, ENGINEER, now=revoked.expires_at)
    altered = token_of(good)[:-1] + ("A" if token_of(good)[-1] != "A" else "B")
    left = browser_of(house)
    cookie = left.cookie
    left.post("leave", {"csrf": left.csrf})
    tokens = {
        "altered": altered,
        "invented": "x",
        "empty": "",
        "used up": token_of(used),
        "long": "v1." + "A" * 5000,
        "revoked": token_of(revoked),
        "expired": token_of(expired),
        "of a secret": f"$var:f/{CUSTOMER}/nothing",
        "a path": "../../../etc/passwd",
        "quotes": '"><script>alert(1)</script>',
    }
    shown = {
        f"link {name}": Browser(house).get(f"enter/{_quoted(token)}")
        for name, token in tokens.items()
        if token
    }
    pressed = {
        f"button {name}": Browser(house).post("enter", {"token": token})
        for name, token in tokens.items()
        if not token.startswith("$")
    }
    cookies = {
        "cookie none": Browser(house).get(),
        "cookie of who left": Browser(house, cookie).get(),
        "cookie invented": Browser(house, "s1.00000000." + "A" * 43 + "." + "A" * 43).get("claims"),
        "cookie a link": Browser(house, token_of(good)).get("claims"),
        "form without cookie": Browser(house).post("claims/C1/decide", {"csrf": "x"}),
    }
    return {**shown, **pressed, **cookies}


def _quoted(token: str) -> str:
    return quote(token, safe="$:/")


def test_whatever_is_wrong_with_a_link_or_a_cookie_the_answer_is_one_and_the_same(house: House) -> None:
    """Nobody learns which links there are, were, or might be."""
    answers = _closed_doors(house)
    unlike = {
        name: answer.status
        for name, answer in answers.items()
        if answer.status != CLOSED and name != "link of a secret"
    }
    texts = {
        re.sub(r"nonce[=-]\"?[\w-]{24}", "nonce", answer.text)
        for answer in answers.values()
        if answer.status == CLOSED
    }

    assert unlike == {}
    assert len(texts) == 1
    assert "<script>" not in texts.pop()


def test_a_cookie_sent_again_after_leaving_opens_nothing(house: House) -> None:
    """Neither for who copied it nor in the browser that left."""
    browser = browser_of(house)
    copied = Browser(house, browser.cookie)
    before = copied.get().status

    left = browser.post("leave", {"csrf": browser.csrf})

    assert before != CLOSED
    assert (left.status, browser.cookie) == (SEEN, "")
    assert left.headers["set-cookie"] == f"panel_{CUSTOMER}=; Path={BASE}; Max-Age=0; HttpOnly; SameSite=Lax"
    assert copied.get().status == CLOSED
    assert _acts(house)[-2:] == ["panel.entered", "panel.left"]


def _become(house: House, **changed: Role | None) -> None:
    members = {**load_policy(FILE).members, **changed}
    wanted = {name: role for name, role in members.items() if role is not None}
    with house.tenant_db.connect() as tx, tx.transaction():
        set_members(tx, wanted, policy_version=1, actor=Actor("system", "wmctl"))


def test_who_is_removed_is_outside_at_their_next_request_and_stays_there(house: House) -> None:
    """Added again they need a new link."""
    browser = browser_of(house, "carla")
    seen = [browser.get().status != CLOSED]
    _become(house, carla=None)
    seen.append(Browser(house, browser.cookie).get().status != CLOSED)
    _become(house)
    seen.append(Browser(house, browser.cookie).get().status != CLOSED)

    assert seen == [True, False, False]


@pytest.mark.parametrize("path", ["messages", "runs", "errors", "use"])
def test_a_viewer_is_refused_what_is_not_for_viewers(house: House, path: str) -> None:
    """Also when an owner's link was made for less, and from the moment a role is taken down."""
    demoted = browser_of(house, "carla")
    _become(house, carla=Role.VIEWER)
    try:
        statuses = [
            browser.get(path).status
            for browser in (browser_of(house, "diego"), browser_of(house, "ana", role=Role.VIEWER), demoted)
        ]
    finally:
        _become(house)

    assert statuses == [403, 403, 403]


FORMS = {"claims/C1/decide": 403, "attendance/L1/confirm": 403, "nothing": 404, "": 404, "messages": 404}


@pytest.mark.parametrize(("path", "status"), FORMS.items())
def test_a_viewers_form_is_refused_before_any_verb(house: House, path: str, status: int) -> None:
    """With the right csrf value: it is the role that is wrong. The first of a day is on record."""
    browser = browser_of(house, "diego")

    answers = [browser.post(path, {"csrf": browser.csrf, "decision_id": "d1"}).status for _ in range(2)]

    assert answers == [status, status]
    assert (_acts(house)[-1] == "panel.act_refused") is (status == 403)


FORGERIES = {
    "no csrf": ({}, ()),
    "empty csrf": ({"csrf": ""}, ()),
    "wrong csrf": ({"csrf": "A" * 43}, ()),
    "another site": ({"csrf": "own"}, (("origin", "https://evil.example"),)),
    "another port": ({"csrf": "own"}, (("origin", "http://127.0.0.1:1"),)),
    "no origin at all": ({"csrf": "own"}, (("origin", "null"),)),
    "cross-site": ({"csrf": "own"}, (("sec-fetch-site", "cross-site"),)),
    "same-site only": ({"csrf": "own"}, (("sec-fetch-site", "same-site"),)),
    "a secret as origin": ({"csrf": "own"}, (("origin", f"$var:f/{CUSTOMER}/secret"),)),
    "csrf in the query": ({}, ()),
}


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("path", ["claims/C1/decide", "language", "leave"])
def test_a_form_that_is_not_the_panels_own_does_nothing(house: House, path: str, forgery: str) -> None:
    """Another session's value, none, or another site: refused, counted, nothing changed."""
    browser = browser_of(house)
    fields, headers = FORGERIES[forgery]
    csrf = {"csrf": browser.csrf} if fields.get("csrf") == "own" else fields
    where = f"{path}?csrf={browser.csrf}" if forgery == "csrf in the query" else path

    answer = browser.post(where, {**csrf, "language": "en"}, *headers)

    assert answer.status == 403
    assert "set-cookie" not in answer.headers
    assert Browser(house, browser.cookie).get().status != CLOSED
    assert _looks(house) == [(None, None)] * len(_looks(house))


def test_another_visits_csrf_value_is_refused(house: House) -> None:
    """Even of the same person by the same link."""
    link = open_link(house)
    first, second = Browser(house), Browser(house)
    first.enter(link)
    second.enter(link)

    assert first.post("language", {"csrf": second.csrf, "language": "en"}).status == 403


def _looks(house: House) -> list[tuple[object, object]]:
    rows = rows_of(
        house.tenant_db.admin_dsn, "SELECT language, theme FROM panel.session WHERE state = 'open'"
    )
    return [(row["language"], row["theme"]) for row in rows]


def test_a_browser_that_says_neither_origin_nor_site_is_believed_by_its_csrf_value(house: House) -> None:
    """Old phones say neither; the value in the form is the proof."""
    browser = browser_of(house)

    answer = browser.post(
        "theme",
        {"csrf": browser.csrf, "theme": "dark", "back": "claims?state=open"},
        ("origin", LEFT_OUT),
        ("sec-fetch-site", LEFT_OUT),
    )

    assert (answer.status, answer.headers["location"]) == (MOVED, f"{BASE}/claims?state=open")
    rows_of(house.tenant_db.admin_dsn, "UPDATE panel.session SET theme = NULL RETURNING 1")


@pytest.mark.parametrize(
    "back",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\evil",
        "claims\r\nset-cookie: a=b",
        "../../x",
        "javascript:alert(1)",
        "claims?x=//evil",
        "ñ",
        "a" * 5000,
        "$var:f/einstein_kids/secret",
    ],
)
def test_a_form_never_sends_anybody_out_of_the_panel(house: House, back: str) -> None:
    """What is no place inside is the home."""
    browser = browser_of(house)

    answer = browser.post("theme", {"csrf": browser.csrf, "theme": "auto", "back": back})

    assert (answer.status, answer.headers["location"]) == (MOVED, f"{BASE}/")
    rows_of(house.tenant_db.admin_dsn, "UPDATE panel.session SET theme = NULL RETURNING 1")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("csrf=CSRF&theme=auto&theme=dark", 400),
        ("csrf=CSRF&csrf=x&theme=auto", 400),
        ("csrf=CSRF&theme=neon", 400),
        ("csrf=CSRF", 400),
        ("csrf=CSRF&theme=%00", 400),
        ("csrf=CSRF&" + "&".join(f"f{n}=1" for n in range(200)), 400),
        ("csrf=CSRF&note=" + "x" * 70_000, 400),
        ("", 403),
        ("=&=&&&", 400),
        ("csrf", 403),
        ("{}", 403),
        ("csrf=CSRF&theme=%ff%fe", 400),
        ("csrf=CSRF&theme=%ud800", 400),
    ],
)
def test_a_form_of_any_shape_is_answered_with_a_page(house: House, body: str, status: int) -> None:
    """Doubled, overlong, too many, unstorable, nothing at all."""
    browser = browser_of(house)

    assert browser.post("theme", body.replace("CSRF", browser.csrf)).status == status


REFERENCES = [
    f"$var:f/{CUSTOMER}/secret",
    f"$res:f/{CUSTOMER}/panel",
    f"$res:f/{CUSTOMER}/database",
    "$WM_TOKEN",
]


@pytest.mark.parametrize("text", REFERENCES)
def test_a_request_that_names_a_secret_shows_none(house: House, text: str) -> None:
    """In the path, the query, a header, the cookie, the form: Windmill puts it in, and no page shows it."""
    inside = browser_of(house)
    csrf = inside.csrf
    answers = [
        Browser(house).get(text),
        Browser(house).get(f"enter/{text}"),
        Browser(house).get(f"?done={text}"),
        Browser(house).get("", ("cookie", text)),
        Browser(house).get("", ("accept-language", text)),
        Browser(house).post("enter", text),
        Browser(house).post("enter", {"token": text}),
        inside.get(f"claims?state={text}&done={text}&day={text}"),
        inside.get(text),
        inside.get(f"claims/{text}"),
        inside.get("", ("accept-language", text)),
        inside.get("", ("x-anything", text)),
        inside.post("theme", {"csrf": csrf, "theme": text, "back": text}),
        inside.post("theme", text),
        inside.post("claims/C1/decide", {"csrf": csrf, "reason": text, "decision_id": text}),
    ]

    said = "".join(answer.text + str(answer.headers) for answer in answers)
    assert {answer.status for answer in answers} <= {200, 303, 400, 401, 403, 404, 409, 422, 500, 503}
    assert [secret for secret in (ROUTE_SECRET, *VARIABLES.values()) if secret in said] == []


@pytest.mark.parametrize(
    "path",
    [
        "../../einstein_kids/ycloud/inbound",
        "%2e%2e/%2e%2e/x",
        "claims/../../../x",
        "claims%2fC1%2f..%2f..",
        "claims//C1",
        "./claims",
        "claims/C1;x=1",
        "claims/<script>",
        "claims/C1/a/b/c/d",
        "a" * 4000,
        "%00",
        "claims/%0d%0aset-cookie:a",
        "\u00f1",
        "enter",
        "leave",
        "enter/",
    ],
)
def test_no_address_leads_anywhere_but_to_a_page_of_the_panel(house: House, path: str) -> None:
    """Upwards, sideways, with line ends or letters no page has: not found, or a door that stays shut."""
    inside = browser_of(house)

    status = inside.get(_encoded(path)).status

    assert status in (400, 401, 404)


def _encoded(path: str) -> str:
    return path.encode("utf-8").decode("latin-1") if path.isascii() else "%C3%B1"


@pytest.mark.parametrize("size", [9_000, 60_000])
def test_a_huge_cookie_is_no_cookie(house: House, size: int) -> None:
    """The door is shut, as without one."""
    cookie = f"panel_{CUSTOMER}={'x' * size}"

    assert Browser(house).get("", ("cookie", cookie)).status == CLOSED


@pytest.mark.parametrize(
    "cookie", ["=", ";;;", "panel_einstein_kids", f'panel_{CUSTOMER}="', "a=b; a; \x7f", "[]=1"]
)
def test_a_broken_cookie_header_is_no_cookie(house: House, cookie: str) -> None:
    """Whatever else a browser or a stranger sends along."""
    assert Browser(house).get("", ("cookie", cookie)).status == CLOSED


@pytest.mark.parametrize(
    "others", ["a[b]=1; {}", "{}; a[b]=1", "=; ;;{}", 'q="x; {}', "panel_=1; xpanel_einstein_kids=2; {}"]
)
def test_cookies_of_other_applications_keep_nobody_out(house: House, others: str) -> None:
    """The host may be shared, and not everybody names cookies as the standard has it."""
    inside = browser_of(house)
    own = f"panel_{CUSTOMER}={inside.cookie}"

    assert Browser(house).get("nothing", ("cookie", others.format(own))).status == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_no_other_method_does_anything(house: House, method: str) -> None:
    """Windmill answers them itself; nothing of ours runs."""
    inside = browser_of(house)
    before = _looks(house)

    answer = send(
        house.url, method, f"{BASE}/language", b"", [("cookie", f"panel_{CUSTOMER}={inside.cookie}")]
    )

    assert answer.status in (200, 404)
    assert answer.text in (
        "",
        f"Not found: Trigger not found at name /{CUSTOMER}/panel/language (handler.rs:142)",
    )
    assert _looks(house) == before


def test_a_panel_without_its_resource_says_so_to_nobody_but_the_log(house: House) -> None:
    """A person reads that it does not answer now; not which resource is missing, nor anybody's key."""
    link = open_link(house)
    for broken in (None, {"url": "x"}, {"url": "https://panel.example.org", "keys": ["weak"]}):
        if broken is None:
            house.resources.pop(PANEL)
        else:
            house.resources[PANEL] = broken
        answer = Browser(house).get(f"enter/{token_of(link)}")
        assert answer.status == 503
        assert "resource" not in answer.text
        assert "panel.example" not in answer.text
    alerts = rows_of(
        house.tenant_db.admin_dsn,
        "SELECT payload ->> 'kind' AS kind, payload -> 'detail' ->> 'error' AS error FROM jobs.job"
        " WHERE kind = 'alert.raised' ORDER BY id",
    )
    assert [(row["kind"], row["error"]) for row in alerts] == [
        ("panel.failed", "misconfigured"),
        ("panel.failed", "secret_rejected"),
    ]


def test_over_https_the_cookie_is_secure_by_name_and_by_word(house: House) -> None:
    """So that no page without encryption is ever sent it."""
    house.change(PANEL, url=f"https://panel.example.org/api/r/{CUSTOMER}/panel")
    link = open_link(house)
    sent = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://panel.example.org")]

    answer = send(house.url, "POST", f"{BASE}/enter", f"token={token_of(link)}".encode(), sent)

    assert answer.status == MOVED
    assert answer.headers["set-cookie"].startswith(f"__Secure-panel_{CUSTOMER}=s1.")
    assert answer.headers["set-cookie"].endswith("; HttpOnly; SameSite=Lax; Secure")


def test_a_raw_request_line_with_dots_stays_outside_other_routes(house: House) -> None:
    """Not every client tidies an address before sending it."""
    url = urlsplit(house.url)
    with socket.create_connection((url.hostname, url.port), timeout=30) as wire:
        wire.sendall(
            f"GET {BASE}/../ycloud/inbound HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        said = wire.makefile("rb").read().decode()

    assert said.split(" ")[1] in ("404", "401")
    house.assert_discreet(said)
