"""HTML that cannot be forgotten to be escaped: text is `str` and is always escaped, markup is `Html`.

Only this module makes an `Html` (a test reads the others). A name, a caption or a reason that somebody wrote
stays text whatever it holds: it cannot open or close an element, leave an attribute, or become a link.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass

from platform_core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Html:
    """A well-formed piece of markup."""

    text: str


Child = Html | str | int | None | Iterable["Child"]
Value = str | int | float | bool | None

NOTHING = Html("")

_VOID = frozenset({"input", "img", "br", "meta", "hr"})
_ELEMENTS = _VOID | frozenset(
    """a abbr article aside bdi button caption code dd details div dl dt em fieldset figcaption figure footer
    form h1 h2 h3 head header label legend li main nav ol option p section select small span strong summary
    table tbody td textarea tfoot th thead time title tr ul
    svg g rect path circle line polyline text desc""".split()  # noqa: SIM905 - a list of ninety quotes is no clearer
)
_ATTRIBUTE = re.compile(r"(?!on)[a-z][a-zA-Z-]*")
_REFUSED = frozenset({"style", "srcdoc", "formaction", "srcset", "ping", "xlink"})
_LINK = re.compile(r"(?:/(?!/)|#)[^\\\s]*")
_PICTURE = re.compile(r"data:image/(?:jpeg|png|webp);base64,[A-Za-z0-9+/]+=*")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def el(name: str, /, *children: Child, **attributes: Value) -> Html:
    """An element. `class_` is `class` and `aria_label` is `aria-label`; None and False leave one out.

    Raises: ConfigurationError for what a page of ours never holds: an unknown element, a handler, a style, a
    link that leaves the panel.
    """
    if name not in _ELEMENTS:
        raise ConfigurationError(f"<{name}> is no element of a page")
    said = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{said}>")
    return Html(f"<{name}{said}>{_inside(children)}</{name}>")


def join(*children: Child) -> Html:
    """Pieces one after the other, without an element around them."""
    return Html(_inside(children))


def spaced(*children: Child) -> Html:
    """Pieces with a space between them; what is nothing leaves no gap."""
    texts = [text for text in (_inside((child,)) for child in children) if text]
    return Html(" ".join(texts))


def theirs(text: str, *, longest: int = 120) -> Html:
    """What somebody else wrote: isolated in its own direction, without marks that turn it, and cut."""
    words = " ".join(_TURNING.sub("", text).split())
    shown = words if len(words) <= longest else words[: longest - 1].rstrip() + "…"
    return el("bdi", shown)


def document(*, language: str, theme: str, title: str, style: str, nonce: str, body: Child) -> str:
    """The whole page. The style carries the nonce; nothing else may style or run.

    Raises: ConfigurationError for a style that would end its element.
    """
    if "</" in style:
        raise ConfigurationError("The style sheet holds markup")
    chosen = f' data-theme="{_escape(theme)}"' if theme in ("light", "dark") else ""
    return (
        f'<!doctype html>\n<html lang="{_escape(language)}"{chosen}><head><meta charset="utf-8">'
        f"<title>{_escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="same-origin">'
        '<meta name="robots" content="noindex">'
        f'<style nonce="{_escape(nonce)}">{style}</style></head><body>{_inside((body,))}</body></html>\n'
    )


def _inside(children: Iterable[Child]) -> str:
    parts = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child.text)
        elif isinstance(child, str):
            parts.append(_escape(child))
        elif isinstance(child, int):
            parts.append(str(child))
        elif child is not None:
            parts.append(_inside(child))
    return "".join(parts)


def _attribute(name: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    if not _ATTRIBUTE.fullmatch(name) or name in _REFUSED:
        raise ConfigurationError(f"{name} is no attribute of a page")
    if value is True:
        return f" {name}"
    said = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    if name in ("href", "action") and not _LINK.fullmatch(said):
        raise ConfigurationError(f"A {name} leads out of the panel")
    if name == "src" and not _PICTURE.fullmatch(said):
        raise ConfigurationError("A picture is part of its page")
    return f' {name}="{_escape(said)}"'


def _escape(text: str) -> str:
    return html.escape(_UNPRINTABLE.sub("\ufffd", text), quote=True)
