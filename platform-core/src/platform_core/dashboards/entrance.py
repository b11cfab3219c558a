"""Pages outside the panel: the way in, the way out, and what is said when there is no page."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from platform_core.dashboards.contracts import Language, Page, Viewer
from platform_core.dashboards.frame import Frame, draw_alone, hidden, sign
from platform_core.dashboards.markup import el, theirs
from platform_core.dashboards.voice import Voice
from platform_core.errors import PlatformError
from platform_core.tenancy.members import Role

_BEYOND_REPAIR = 500
_CODES = frozenset(
    {"panel_closed", "form_rejected", "permission_denied", "not_found", "state_conflict", "invalid_input"}
)
_UNAVAILABLE = frozenset({"database_unavailable", "database_closed", "unavailable"})


def entrance_page(customer_name: str, token: str, language: Language, nonce: str, base: str) -> Page:
    """What a link opens: one button. It says whose panel it is and nothing of a person: previews read it."""
    frame = _outside(language, nonce, base)
    voice = frame.voice
    return draw_alone(
        frame,
        voice.say("entrance.title", customer=customer_name),
        el(
            "div",
            el("p", theirs(customer_name, longest=60), class_="eyebrow"),
            el("h1", voice.say("entrance.heading")),
            el("p", voice.say("entrance.lead"), class_="lead"),
            class_="top",
        ),
        el(
            "form",
            hidden("token", token),
            el("button", voice.say("entrance.go")),
            method="post",
            action=f"{base}/enter",
        ),
        status=200,
    )


def left_page(language: Language, nonce: str, base: str) -> Page:
    """What is said after leaving."""
    frame = _outside(language, nonce, base)
    voice = frame.voice
    return draw_alone(
        frame,
        voice.say("left.title"),
        el(
            "div",
            sign("good"),
            el("h1", voice.say("left.title")),
            el("p", voice.say("left.text"), class_="lead"),
            class_="verdict",
        ),
        status=200,
    )


def error_page(error: PlatformError, language: Language, nonce: str, base: str) -> Page:
    """What happened and what to do, in the person's language, under the error's status.

    The words are chosen by the error's code. Its own are for engineers, and may name what this person must
    not see: they are never shown.
    """
    frame = _outside(language, nonce, base)
    voice = frame.voice
    key = _key_of(error)
    body = [
        el(
            "div",
            sign("wait" if error.http_status < _BEYOND_REPAIR else "bad"),
            el("h1", voice.say(f"error.{key}.title")),
            el("p", voice.say(f"error.{key}.do"), class_="lead"),
            class_="verdict",
        )
    ]
    if key not in ("panel_closed", "form_rejected"):
        home = el("a", voice.say("error.home"), class_="button", href=base or "/")
        body.append(el("div", home, class_="choice"))
    return draw_alone(frame, voice.say(f"error.{key}.title"), body, status=error.http_status)


def _key_of(error: PlatformError) -> str:
    if error.code in _UNAVAILABLE:
        return "unavailable"
    if error.code in _CODES:
        return error.code
    if error.http_status == 404:  # noqa: PLR2004 - what every leaf below NotFound answers
        return "not_found"
    return "invalid_input" if error.http_status < _BEYOND_REPAIR else "other"


def _outside(language: Language, nonce: str, base: str) -> Frame:
    """A frame without a person in it."""
    # No time and no amount is shown outside, so none is asked for.
    voice = Voice(language, "US", "USD", ZoneInfo("UTC"), datetime.fromtimestamp(0, UTC))
    nobody = Viewer(customer="", member="", role=Role.SUPPORT, language=language, csrf="")
    return Frame(nobody, voice, "", nonce, base)
