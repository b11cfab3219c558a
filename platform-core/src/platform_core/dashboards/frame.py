"""What all pages have in common: the masthead with the way around, the foot with language, light and time.

Pages are pure: data and a `Frame` in, markup out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path

from platform_core.dashboards.contracts import Page, Theme, Viewer
from platform_core.dashboards.markup import NOTHING, Child, Html, document, el, join, theirs
from platform_core.dashboards.refresh import STALE_AFTER
from platform_core.dashboards.voice import LANGUAGES, Voice
from platform_core.panel.rights import Right, may

ROOMS: tuple[tuple[str, Right], ...] = (
    ("", Right.SEE_HOME),
    ("claims", Right.SEE_CLAIMS),
    ("attendance", Right.SEE_ATTENDANCE),
    ("messages", Right.SEE_MESSAGES),
    ("runs", Right.SEE_RUNS),
    ("errors", Right.SEE_ERRORS),
    ("use", Right.SEE_USE),
)
"""The pages one goes to, in the order of the masthead, with what it takes to see them."""

_THEMES: tuple[Theme, ...] = ("auto", "light", "dark")

# Drawn on a field of 24 by 24. A shape beside each colour: nobody has to tell colours apart.
_SIGNS = {
    "good": "M5 12.5l4.5 4.5L19 7.5",
    "wait": "M12 7v5l3.5 2M12 3a9 9 0 100 18 9 9 0 000-18z",
    "bad": "M12 8v5M12 16.5v.5M12 3.5L2.5 20h19z",
    "quiet": "M6 12h12",
    "ask": "M9 9a3 3 0 115 2.2c-1.2 1-2 1.5-2 2.8M12 17.5v.5",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything a page needs beside its data. `path` is where it stands; `to_decide` is in the masthead."""

    viewer: Viewer
    voice: Voice
    customer_name: str
    nonce: str
    base: str
    path: str = ""
    as_of: datetime | None = None
    to_decide: int = 0

    def may(self, right: Right) -> bool:
        """Whether who looks has the right."""
        return may(self.viewer.role, right)

    def to(self, path: str) -> str:
        """Where a path of the panel is."""
        return f"{self.base}/{path}" if path else self.base or "/"

    @property
    def is_stale(self) -> bool:
        """Whether the numbers are older than people should believe unseen."""
        return self.as_of is not None and self.voice.now - self.as_of > STALE_AFTER

    def at(self, path: str) -> Frame:
        """The same frame around another page."""
        return replace(self, path=path)


@cache
def style_sheet() -> str:
    """The one style sheet, as short as it comes."""
    text = Path(__file__).with_name("look.css").read_text(encoding="utf-8")
    return "".join(line.strip() for line in text.splitlines())


def draw(frame: Frame, title: str, *body: Child, status: int = 200) -> Page:
    """A page of the panel."""
    voice = frame.voice
    whole = join(
        el("a", voice.say("frame.skip"), class_="skip", href="#main"),
        _masthead(frame),
        el("main", _stale_note(frame), *body, id="main", tabindex="-1"),
        _foot(frame),
    )
    return Page(status, _document(frame, f"{title} · {frame.customer_name}", whole))


def draw_alone(frame: Frame, title: str, *body: Child, status: int) -> Page:
    """A page without the way around: for who is not inside, or cannot be told where they are."""
    whole = el("main", *body, class_="solo", id="main")
    return Page(status, _document(frame, title, whole))


def _document(frame: Frame, title: str, body: Child) -> str:
    return document(
        language=frame.voice.language,
        theme=frame.viewer.theme,
        title=title,
        style=style_sheet(),
        nonce=frame.nonce,
        body=body,
    )


def _masthead(frame: Frame) -> Html:
    voice, here = frame.voice, frame.path.partition("/")[0].partition("?")[0]
    links = [
        el(
            "li",
            el(
                "a",
                voice.say(f"room.{room or 'home'}"),
                _pip(frame) if room == "claims" else None,
                href=frame.to(room),
                aria_current="page" if room == here else None,
            ),
        )
        for room, right in ROOMS
        if frame.may(right)
    ]
    person = voice.say(
        "frame.person", member=frame.viewer.member, role=voice.say(f"role.{frame.viewer.role}")
    )
    return el(
        "header",
        el(
            "div",
            el(
                "div",
                el(
                    "p",
                    el("span", frame.customer_name[:1].upper(), class_="seal", aria_hidden="true"),
                    el("strong", theirs(frame.customer_name, longest=60)),
                ),
                el("span", person, class_="me"),
                class_="house",
            ),
            el("nav", el("ul", links), class_="main", aria_label=voice.say("frame.rooms")),
        ),
        class_="mast",
    )


def _pip(frame: Frame) -> Html:
    if frame.to_decide == 0:
        return NOTHING
    spoken = frame.voice.count("frame.to_decide", frame.to_decide)
    return join(
        el("span", frame.voice.number(frame.to_decide), class_="pip", aria_hidden="true"),
        el("span", spoken, class_="hush"),
    )


def _stale_note(frame: Frame) -> Html:
    if not frame.is_stale or frame.as_of is None:
        return NOTHING
    voice = frame.voice
    said = voice.say("frame.stale", moment=voice.moment(frame.as_of), ago=voice.ago(frame.as_of))
    return note("wait", el("strong", voice.say("frame.stale_title")), el("span", said))


def _foot(frame: Frame) -> Html:
    voice = frame.voice
    as_of = (
        voice.say("frame.as_of", moment=voice.moment(frame.as_of), ago=voice.ago(frame.as_of))
        if frame.as_of
        else voice.say("frame.no_data")
    )
    languages = [
        _switch("language", language, voice.say(f"language.{language}"), chosen=language == voice.language)
        for language in LANGUAGES
    ]
    themes = [
        _switch("theme", theme, voice.say(f"theme.{theme}"), chosen=theme == frame.viewer.theme)
        for theme in _THEMES
    ]
    zone = voice.say("frame.zone", zone=voice.zone.key)
    return el(
        "footer",
        el(
            "div",
            el("div", el("p", as_of), el("p", zone)),
            el(
                "div",
                form(frame, "language", *languages, back=frame.path, aria_label=voice.say("frame.language")),
                form(frame, "theme", *themes, back=frame.path, aria_label=voice.say("frame.theme")),
                form(frame, "leave", el("button", voice.say("frame.leave"))),
                class_="switches",
            ),
        ),
        class_="foot",
    )


def _switch(name: str, value: str, words: str, *, chosen: bool) -> Html:
    return el("button", words, name=name, value=value, aria_pressed="true" if chosen else "false")


# --- Pieces -----------------------------------------------------------------------------------------------


def form(
    frame: Frame, path: str, *children: Child, back: str | None = None, aria_label: str | None = None
) -> Html:
    """A form that posts to a path of the panel; the CSRF value comes first."""
    return el(
        "form",
        hidden("csrf", frame.viewer.csrf),
        hidden("back", back) if back is not None else None,
        *children,
        method="post",
        action=frame.to(path),
        aria_label=aria_label,
    )


def hidden(name: str, value: str) -> Html:
    """A field nobody sees."""
    return el("input", type="hidden", name=name, value=value)


def sign(kind: str, *, tone: str | None = None) -> Html:
    """A small drawing beside words that say the same."""
    return el(
        "svg",
        el("path", d=_SIGNS[kind]),
        class_=f"sign {tone or kind}",
        viewBox="0 0 24 24",
        aria_hidden="true",
        focusable="false",
    )


def tag(tone: str, words: str) -> Html:
    """A state: its sign and its words."""
    return el("span", sign(tone), words, class_=f"tag {tone}")


def note(tone: str, *children: Child, role: str | None = "status") -> Html:
    """Something said above the rest."""
    return el("div", sign(tone), el("div", *children), class_=f"note {tone}", role=role)


def empty(frame: Frame, key: str, tone: str = "good") -> Html:
    """Where there is nothing, what that means."""
    voice = frame.voice
    return el(
        "div",
        sign(tone),
        el("strong", voice.say(f"{key}.title")),
        el("p", voice.say(f"{key}.text"), class_="lead"),
        class_="empty",
    )


def block(title: str, *children: Child, beside: Child = None, id_: str | None = None) -> Html:
    """A part of a page under its heading."""
    heading = el("div", el("h2", title, id=id_), beside, class_="bar")
    return el("section", heading, *children, class_="block", aria_labelledby=id_)


def figure_row(*figures: tuple[str, str, str]) -> Html:
    """Numbers in a row: what it is, how much, and what that is beside."""
    return el(
        "dl",
        [
            el(
                "div",
                el("dt", name),
                el("dd", value),
                el("dd", beside, class_="small") if beside else None,
            )
            for name, value, beside in figures
        ],
        class_="facts",
    )


def pairs(*found: tuple[str, Child]) -> Html:
    """Names and what they are; what is nothing is left out."""
    return el(
        "dl", [el("div", el("dt", name), el("dd", value)) for name, value in found if value], class_="pairs"
    )


def when(voice: Voice, at: datetime) -> Html:
    """An instant as people read it, with the instant itself for machines."""
    return el("time", voice.moment(at), datetime=at.isoformat(timespec="seconds"))


def since(voice: Voice, at: datetime) -> Html:
    """How long ago, with the instant itself for machines and for whoever points at it."""
    return el("time", voice.ago(at), datetime=at.isoformat(timespec="seconds"), title=voice.moment(at))


def pager(frame: Frame, first: str | None, following: str | None) -> Html:
    """Back to the first page, and on to the next one."""
    if first is None and following is None:
        return NOTHING
    voice = frame.voice
    return el(
        "nav",
        el("a", voice.say("pager.first"), href=frame.to(first)) if first is not None else el("span"),
        el("a", voice.say("pager.next"), href=frame.to(following)) if following is not None else None,
        class_="more",
        aria_label=voice.say("pager.name"),
    )
