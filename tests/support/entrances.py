"""Links into the panel of a test's customer: its keys, its clock, and what a browser does with a link."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from http import HTTPStatus
from urllib.parse import urlencode

from platform_core.db import Tx
from platform_core.panel import links, sessions
from platform_core.panel.contracts import NewLink, Visit
from platform_core.panel.tokens import Keyring, parse_keyring, read_cookie
from platform_core.tenancy.members import Role
from platform_core.values import Actor
from tests.support.doors import CUSTOMER, PANEL, House
from tests.support.windmill import Answer, send

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


@dataclass(slots=True)
class Browser:
    """What a browser keeps between requests to one customer's panel: its cookie, and the last page."""

    house: House
    cookie: str = ""
    page: Answer | None = None

    def get(self, path: str = "", *headers: tuple[str, str]) -> Answer:
        """Look at a page."""
        return self._send("GET", path, b"", list(headers))

    def post(self, path: str, fields: Mapping[str, str] | str, *headers: tuple[str, str]) -> Answer:
        """Send a form; as the panel's own page does, unless headers say otherwise."""
        body = fields if isinstance(fields, str) else urlencode(fields)
        own = [("content-type", "application/x-www-form-urlencoded"), ("origin", self.house.url),
               ("sec-fetch-site", "same-origin")]  # fmt: skip
        named = {name for name, _ in headers}
        kept = [one for one in own if one[0] not in named]
        sent = [(name, value) for name, value in (*kept, *headers) if value != LEFT_OUT]
        return self._send("POST", path, body.encode(), sent)

    def enter(self, link: NewLink) -> Answer:
        """Press the button of a link's page."""
        return self.post("enter", {"token": token_of(link)})

    @property
    def csrf(self) -> str:
        """What the forms of this browser's visit carry."""
        resource = self.house.resources[PANEL]
        assert isinstance(resource, Mapping)
        found = read_cookie(parse_keyring(CUSTOMER, resource), self.cookie)
        assert found is not None
        return found.csrf

    def _send(self, method: str, path: str, body: bytes, headers: list[tuple[str, str]]) -> Answer:
        if self.cookie and "cookie" not in {name for name, _ in headers}:
            headers = [*headers, ("cookie", f"other=1; panel_{CUSTOMER}={self.cookie}")]
        answer = send(
            self.house.url, method, f"/api/r/{CUSTOMER}/panel{'/' if path else ''}{path}", body, headers
        )
        self.house.assert_discreet(answer.text + str({**answer.headers, "location": ""}))
        set_cookie = answer.headers.get("set-cookie")
        if set_cookie is not None:
            name, _, value = set_cookie.partition(";")[0].partition("=")
            assert name == f"panel_{CUSTOMER}"
            self.cookie = value
        self.page = answer
        return answer


LEFT_OUT = "(left out)"
"""As a header's value: the browser does not say it."""


def open_link(
    house: House,
    member: str = "bruno",
    *,
    role: Role | None = None,
    hours: int = 12,
    entries: int = 5,
    ago_h: int = 0,
) -> NewLink:
    """A link of the house's customer, made now or `ago_h` hours ago."""
    resource = house.resources[PANEL]
    assert isinstance(resource, Mapping)
    keyring = parse_keyring(CUSTOMER, resource)
    now = datetime.now(UTC) - timedelta(hours=ago_h)
    with house.tenant_db.connect() as tx, tx.transaction():
        return make_link(tx, keyring, member, role=role, hours=hours, entries=entries, now=now)


def browser_of(house: House, member: str = "bruno", *, role: Role | None = None) -> Browser:
    """A browser whose holder entered a moment ago."""
    browser = Browser(house)
    assert browser.enter(open_link(house, member, role=role)).status == HTTPStatus.SEE_OTHER
    return browser


@dataclass(slots=True)
class Form:
    """One form of a page: where it is posted and what its fields hold before anybody types."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Forms, and the fields inside them."""
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(said.get("action", "")))
        elif self.found and said.get("name") and said.get("type") not in ("radio", "checkbox"):
            self.found[-1].fields[said["name"]] = said.get("value", "")


def forms_of(page: Answer) -> list[Form]:
    """The forms of a page, in order."""
    parser = _Forms()
    parser.feed(page.text)
    return parser.found
