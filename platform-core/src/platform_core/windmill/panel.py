"""The staff panel through a Windmill route: who knocks, what they may, the page, and nothing else.

Scripts call `serve_panel` in their `preprocessor`, as webhooks do, so that Windmill keeps no cookie and no
form as a job's arguments; `delete_after_secs: 0` in the script's settings makes it forget the page as well
(docs/decisions/0017-who-enters-the-panel.md).

A link is entered by a button, not by opening its address: chats fetch the addresses they show, and what they
fetch must use nothing up. Whatever is wrong with a link or a cookie is answered by one page, so nobody learns
which links there are.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, get_args

from platform_core.dashboards import entrance
from platform_core.dashboards.contracts import Moved, Page, Viewer
from platform_core.db import Tx
from platform_core.db.text import storable
from platform_core.errors import (
    FormRejected,
    InvalidInput,
    NotFound,
    PanelClosed,
    PermissionDenied,
    PlatformError,
    Unavailable,
)
from platform_core.panel import sessions
from platform_core.panel.contracts import Denied, Language, Reason, Theme, Visit, link_ref
from platform_core.panel.links import ENTRANCE
from platform_core.panel.rights import Right, find_right, may
from platform_core.panel.tokens import Keyring, is_csrf_of, parse_keyring
from platform_core.tenancy.members import open_transaction
from platform_core.tenancy.policy import current_policy
from platform_core.values import SystemClock
from platform_core.windmill.asking import Asking, parse_target, read_asking
from platform_core.windmill.resources import database_dsn, get_resource

if TYPE_CHECKING:  # structlog costs what only a failure pays
    from structlog.typing import FilteringBoundLogger

_BARE = (
    '<!doctype html><html lang="es"><meta charset="utf-8"><title>Panel</title>'
    "<h1>El panel no pudo responder</h1><p>Intente de nuevo en un minuto. Try again in a minute."
)
"""Shown when nothing else can be: it needs nothing that could fail."""

Answer = dict[str, object]
"""An HTTP response as Windmill reads it."""

_SERVER_ERROR = 500
_NONCE_BYTES = 18
_LEAVE = "leave"
_LOOKS = ("language", "theme")
_STRICTEST = "strict-origin"
"""Said by the pages of an entrance: their address holds the link, and goes to nobody. A form still says its
origin, which `no-referrer` would turn into `null`."""


@dataclass(frozen=True, slots=True)
class _Reply:
    """A page, or where to go instead, and the cookie: None leaves it, an empty text ends it."""

    shown: Page | Moved
    cookie: str | None = None
    cookie_s: int = 0
    referrer: str = "same-origin"


@dataclass(frozen=True, slots=True)
class _Desk:
    """What one request is answered with."""

    dsn: str = field(repr=False)
    keyring: Keyring
    asking: Asking
    nonce: str
    now: datetime

    def tx(self) -> AbstractContextManager[Tx]:
        """One transaction, as the customer's own login."""
        return open_transaction(self.dsn, application="panel")

    @property
    def cookie_name(self) -> str:
        """What the cookie is called: one for each customer, and where there is https, never sent without."""
        prefix = "__Secure-" if self.keyring.is_secure else ""
        return f"{prefix}panel_{self.keyring.customer}"


def serve_panel(*, customer: str, event: object) -> Answer:
    """Answer one request to a customer's panel. Never raises: a stack would tell a stranger our paths.

    Idempotency: reading changes counts only; forms carry their own ids, so sending one twice does one thing.
    """
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    asking: Asking | None = None
    keyring: Keyring | None = None
    try:
        asking = read_asking(event)
        keyring = parse_keyring(customer, get_resource(f"f/{customer}/panel"))
        dsn = database_dsn(get_resource(f"f/{customer}/database"))
        desk = _Desk(dsn, keyring, asking, nonce, SystemClock().now())
        return _answer(keyring, nonce, _reply(desk), desk.cookie_name)
    except Exception as error:  # noqa: BLE001 - whatever it is, a person reads a page
        known = _presentable(customer, error)
        return _answer(keyring, nonce, _Reply(_error_page(known, asking, keyring, nonce)), "")


def _presentable(customer: str, error: Exception) -> PlatformError:
    """What a person may read of a failure. Ours is logged whole and shown as one sentence."""
    if isinstance(error, PlatformError) and error.http_status < _SERVER_ERROR:
        return error
    _tell(customer, error)
    return Unavailable("The panel does not answer now", next_step="Try again in a minute.")


def _tell(customer: str, error: Exception) -> None:
    """Let somebody know: Windmill forgets this job's log together with its page."""
    from platform_core.messaging.attention import raise_alert  # noqa: PLC0415 - only a failure pays for it

    code = error.code if isinstance(error, PlatformError) else type(error).__name__
    reason = error.one_line() if isinstance(error, PlatformError) else ""
    _logger().error("panel.failed", tenant=customer, exc_info=error)
    try:
        dsn = database_dsn(get_resource(f"f/{customer}/database"))
        with open_transaction(dsn, application="panel") as tx:
            raise_alert(
                tx,
                "panel.failed",
                severity="P2",
                subject="panel",
                once=f"{code}:{SystemClock().now():%Y-%m-%dT%H}",
                dedupe=f"panel.failed:{code}",
                detail={"error": code, "reason": reason[:300]},
            )
    except Exception as second:  # noqa: BLE001 - the person is answered all the same
        _logger().error("panel.not_alerted", tenant=customer, exc_info=second)


def _error_page(
    error: PlatformError, asking: Asking | None, keyring: Keyring | None, nonce: str, language: str = ""
) -> Page:
    chosen: Language = "en" if (language or (asking.language if asking else "es")) == "en" else "es"
    try:
        return entrance.error_page(error, chosen, nonce, keyring.base if keyring else "")
    except Exception as second:  # noqa: BLE001 - the page about a failure failed too
        _logger().error("panel.no_error_page", exc_info=second)
        return Page(error.http_status, _BARE)


# --- Doors ------------------------------------------------------------------------------------------------


def _reply(desk: _Desk) -> _Reply:
    asking = desk.asking
    if asking.path == ENTRANCE:
        return _enter(desk) if asking.method == "post" else _show_entrance(desk)
    return _inside(desk)


def _show_entrance(desk: _Desk) -> _Reply:
    asking = desk.asking
    with desk.tx() as tx:
        denied = sessions.look_at_link(tx, asking.token, keyring=desk.keyring, now=desk.now)
        name = current_policy(tx).customer.display_name
    if denied is not None:
        return _closed(desk)
    page = entrance.entrance_page(name, asking.token, asking.language, desk.nonce, desk.keyring.base)
    return _Reply(page, referrer=_STRICTEST)


def _enter(desk: _Desk) -> _Reply:
    _require_own_page(desk)
    token = desk.asking.form().get("token", "")
    with desk.tx() as tx:
        visit = sessions.open_session(tx, token, keyring=desk.keyring, now=desk.now)
    if isinstance(visit, Denied):
        return _closed(desk)
    seconds = int((visit.expires_at - desk.now).total_seconds())
    return _Reply(Moved(""), visit.cookie.text, seconds, _STRICTEST)


def _closed(desk: _Desk) -> _Reply:
    """One page for every way in which a link or a cookie is not good."""
    page = _error_page(PanelClosed(), desk.asking, desk.keyring, desk.nonce)
    return _Reply(page, referrer=_STRICTEST)


# --- Inside -----------------------------------------------------------------------------------------------


def _inside(desk: _Desk) -> _Reply:
    """A page or a form for whoever the cookie names, in one transaction; what is refused is undone."""
    asking, visit = desk.asking, None
    cookie = asking.cookie(desk.cookie_name)
    try:
        with desk.tx() as tx:
            found = sessions.find_session(tx, cookie, keyring=desk.keyring, now=desk.now)
            if isinstance(found, Denied):
                if found.reason is not Reason.NO_COOKIE:
                    sessions.count_denial(tx, found, now=desk.now)
                return replace(_closed(desk), cookie="" if cookie else None)
            visit = found
            if asking.method == "get":
                return _Reply(_show(tx, desk, visit))
            return _take_form(tx, desk, visit)
    except PlatformError as error:
        if visit is None:
            raise
        return _refuse(desk, visit, _presentable(desk.keyring.customer, error))


def _refuse(desk: _Desk, visit: Visit, error: PlatformError) -> _Reply:
    if isinstance(error, FormRejected | PermissionDenied):
        with desk.tx() as tx:
            sessions.count_refused_act(tx, visit, _what(desk.asking, error), now=desk.now)
    language = visit.language or desk.asking.language
    return _Reply(_error_page(error, desk.asking, desk.keyring, desk.nonce, language))


def _what(asking: Asking, error: PlatformError) -> str:
    right = find_right(asking.method, asking.path)
    return error.code if isinstance(error, FormRejected) or right is None else right.value.replace(".", "_")


def _show(tx: Tx, desk: _Desk, visit: Visit) -> Page:
    asking = desk.asking
    _require_right(visit, find_right(asking.method, asking.path))
    sessions.count_use(tx, visit.link_id, asking.path.partition("/")[0] or "home", now=desk.now)
    from platform_core.dashboards import site  # noqa: PLC0415 - the doors pay for no pages

    return site.show(
        tx,
        _viewer(desk, visit),
        asking.path,
        asking.query,
        policy=current_policy(tx),
        now=desk.now,
        nonce=desk.nonce,
        base=desk.keyring.base,
    )


def _take_form(tx: Tx, desk: _Desk, visit: Visit) -> _Reply:
    _require_own_page(desk)
    form = dict(desk.asking.form())
    if not is_csrf_of(visit.cookie, form.pop("csrf", "")):
        raise FormRejected
    path = desk.asking.path
    if path == _LEAVE:
        sessions.close_session(tx, visit, now=desk.now)
        language = visit.language or desk.asking.language
        return _Reply(entrance.left_page(language, desk.nonce, desk.keyring.base), cookie="")
    _require_right(visit, find_right("post", path))
    if path in _LOOKS:
        return _set_looks(tx, visit, path, form)
    from platform_core.dashboards import site  # noqa: PLC0415 - as above

    shown = site.post(
        tx,
        _viewer(desk, visit),
        path,
        form,
        policy=current_policy(tx),
        now=desk.now,
        nonce=desk.nonce,
        base=desk.keyring.base,
    )
    return _Reply(shown)


def _set_looks(tx: Tx, visit: Visit, what: str, form: Mapping[str, str]) -> _Reply:
    language: Language | None = next((one for one in get_args(Language) if one == form.get("language")), None)
    theme: Theme | None = next((one for one in get_args(Theme) if one == form.get("theme")), None)
    if (language if what == "language" else theme) is None:
        raise InvalidInput(f"No {what} was chosen", next_step="Choose one of the buttons.")
    sessions.set_looks(tx, visit, language=language, theme=theme)
    return _Reply(Moved(form.get("back", "")))


def _require_own_page(desk: _Desk) -> None:
    """Refuse a form that another site had the browser send. Browsers say where a form comes from."""
    headers = desk.asking.headers
    origin, site_of = headers.get("origin"), headers.get("sec-fetch-site")
    if origin not in (None, desk.keyring.origin) or site_of not in (None, "same-origin"):
        raise FormRejected


def _require_right(visit: Visit, right: Right | None) -> None:
    if right is None:
        raise NotFound("There is no such page")
    if not may(visit.role, right):
        raise PermissionDenied(
            f"{visit.member} is {visit.role} here, and this is not for that role",
            next_step="Ask an owner of the panel.",
        )


def _viewer(desk: _Desk, visit: Visit) -> Viewer:
    return Viewer(
        customer=desk.keyring.customer,
        member=visit.member,
        role=visit.role,
        language=visit.language or desk.asking.language,
        csrf=visit.cookie.csrf,
        link=link_ref(visit.link_id),
        theme=visit.theme or "auto",
    )


# --- HTTP -------------------------------------------------------------------------------------------------


def _answer(keyring: Keyring | None, nonce: str, reply: _Reply, cookie_name: str) -> Answer:
    headers = _headers(nonce, reply.referrer)
    if reply.cookie is not None and keyring is not None and cookie_name:
        headers["set-cookie"] = _set_cookie(keyring, cookie_name, reply.cookie, reply.cookie_s)
    shown = reply.shown
    status, html = (303, "") if isinstance(shown, Moved) else (shown.status, shown.html)
    if isinstance(shown, Moved) and keyring is not None:
        headers["location"] = f"{keyring.base}/{parse_target(shown.to)}"
    return {
        "windmill_status_code": status,
        "windmill_headers": headers,
        "windmill_content_type": "text/html; charset=utf-8",
        "result": storable(html),
    }


def _headers(nonce: str, referrer: str) -> dict[str, str]:
    policy = (
        "default-src 'none'",
        f"style-src 'nonce-{nonce}'",
        f"script-src 'nonce-{nonce}'",
        "img-src data:",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
    return {
        "content-security-policy": "; ".join(policy),
        "cache-control": "no-store",
        "referrer-policy": referrer,
        "x-content-type-options": "nosniff",
        "x-robots-tag": "noindex, nofollow",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    }


def _set_cookie(keyring: Keyring, name: str, value: str, seconds: int) -> str:
    secure = "; Secure" if keyring.is_secure else ""
    return f"{name}={value}; Path={keyring.base or '/'}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def _logger() -> FilteringBoundLogger:
    from platform_core.observability.logs import get_logger  # noqa: PLC0415 - only a failure pays for structlog

    return get_logger("windmill.panel")
