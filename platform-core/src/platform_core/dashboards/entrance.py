"""The pages before and after the panel: the button that enters, the farewell, the page when nothing works.

They hold no person's data: chats show the page behind an address to everybody in the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from platform_core.dashboards.contracts import Language, Page
from platform_core.errors import PlatformError

_WORDS: Mapping[Language, Mapping[str, str]] = {
    "es": {
        "title": "Panel",
        "enter": "Entrar",
        "personal": "Este enlace es personal: no lo reenvíe. Toque Entrar para abrir el panel de {name}.",
        "left": "Usted salió del panel.",
        "again": "Para volver, abra de nuevo el enlace que recibió.",
        "failed": "El panel no pudo responder.",
        "retry": "Intente de nuevo en un minuto.",
    },
    "en": {
        "title": "Panel",
        "enter": "Enter",
        "personal": "This link is personal: do not forward it. Press Enter to open the panel of {name}.",
        "left": "You have left the panel.",
        "again": "To come back, open the link you received again.",
        "failed": "The panel could not answer.",
        "retry": "Try again in a minute.",
    },
}

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1.125rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1.25rem}"
    "button{font:inherit;font-weight:600;min-height:3rem;width:100%;border:0;border-radius:.5rem;"
    "background:#0b5fc0;color:#fff}"
    "button:focus-visible{outline:3px solid currentColor;outline-offset:3px}"
)


def entrance_page(customer_name: str, token: str, language: Language, nonce: str, base: str) -> Page:
    """The button that uses one entry of a link. `token` is the link's, already judged."""
    words = _WORDS[language]
    said = escape(words["personal"].format(name=customer_name))
    body = (
        f"<h1>{escape(customer_name)}</h1><p>{said}</p>"
        f'<form method="post" action="{escape(base)}/enter">'
        f'<input type="hidden" name="token" value="{escape(token)}">'
        f"<button>{words['enter']}</button></form>"
    )
    return Page(200, _document(f"{words['title']} · {customer_name}", body, language, nonce))


def left_page(language: Language, nonce: str, base: str) -> Page:  # noqa: ARG001 - as its siblings are called
    """What is shown to whoever left."""
    words = _WORDS[language]
    body = f"<h1>{words['left']}</h1><p>{words['again']}</p>"
    return Page(200, _document(words["title"], body, language, nonce))


def error_page(error: PlatformError, language: Language, nonce: str, base: str) -> Page:  # noqa: ARG001 - as its siblings
    """What a person reads when there is no page, under the error's status."""
    words = _WORDS[language]
    body = f"<h1>{words['failed']}</h1><p>{words['retry']}</p>"
    return Page(error.http_status, _document(words["title"], body, language, nonce))


def _document(title: str, body: str, language: Language, nonce: str) -> str:
    style = f'<style nonce="{escape(nonce)}">{_STYLE}</style>' if nonce else ""
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>{style}</head><body><main>{body}</main></body></html>"
    )
