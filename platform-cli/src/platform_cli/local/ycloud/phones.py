"""The parents' phones: one page with every conversation of the account, as each parent sees it.

Everything on it was written by somebody else and is escaped; it loads nothing but pictures of this server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

from platform_cli.local.ycloud.account import Account

SHOWN_PICTURES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})
REFRESH_S = 2
_MOST_BUBBLES = 50
_TICKS = {
    "accepted": ("🕓", "en camino"),
    "sent": ("✓", "enviado"),
    "delivered": ("✓✓", "entregado"),
    "read": ("✓✓", "leído"),
    "failed": ("⚠", "no se pudo entregar"),
}
_ORDER = ("accepted", "sent", "delivered", "read", "failed")

_STYLE = """
:root{color-scheme:light dark;--page:#f3f1ec;--phone:#fff;--ink:#1d1d1b;--soft:#6a6a64;--mine:#d6f2d0;--theirs:#eceae4}
@media(prefers-color-scheme:dark){:root{--page:#161614;--phone:#22221f;--ink:#eeece6;--soft:#a3a199;--mine:#2c4a2b;--theirs:#33322e}}
body{margin:0;padding:1.5rem;background:var(--page);color:var(--ink);font:16px/1.45 system-ui,sans-serif}
h1{font-size:1.15rem;margin:0 0 1rem}
main{display:flex;flex-wrap:wrap;gap:1.25rem;align-items:flex-start}
section{width:20rem;max-width:100%;background:var(--phone);border-radius:1.5rem;padding:1rem;box-sizing:border-box}
h2{font-size:1rem;margin:0 0 .75rem}
ol{list-style:none;margin:0;padding:0;display:flex;flex-direction:column;gap:.5rem}
li{max-width:85%;padding:.5rem .75rem;border-radius:.9rem;overflow-wrap:anywhere;white-space:pre-wrap}
.mine{align-self:flex-end;background:var(--mine)}.theirs{align-self:flex-start;background:var(--theirs)}
img{display:block;max-width:100%;border-radius:.5rem}small{display:block;color:var(--soft)}
.read{color:#1a7fb8}p{color:var(--soft)}
"""


@dataclass(frozen=True, slots=True)
class _Bubble:
    """One message of a conversation. `at` is RFC 3339, and only its clock is shown."""

    at: str
    is_mine: bool
    body: str
    note: str = ""
    is_read: bool = False


def page(account: Account, nonce: str) -> str:
    """The page as HTML, in Spanish; newest conversation first."""
    with account.lock:
        talks = _conversations(account)
    newest = sorted(talks.items(), key=lambda pair: pair[1][-1].at, reverse=True)
    phones = "".join(_phone(number, account.names.get(number, ""), bubbles) for number, bubbles in newest)
    nothing = (
        "<p>Nadie ha escrito todavía. Envíe algo con <code>wmctl dev webhook send recibo.jpg</code>.</p>"
    )
    return (
        '<!doctype html><html lang="es"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="{REFRESH_S}">'
        f'<title>Teléfonos de las familias</title><style nonce="{nonce}">{_STYLE}</style></head><body>'
        f"<h1>Teléfonos de las familias</h1><main>{phones or nothing}</main></body></html>"
    )


def _conversations(account: Account) -> dict[str, list[_Bubble]]:
    found: dict[str, list[_Bubble]] = {}
    for message in account.received:
        number = str(message.get("from") or message.get("fromUserId") or "")
        found.setdefault(number, []).append(_sent_by_parent(message))
    for message in account.messages.values():
        number = str(message.get("to") or message.get("recipient") or "")
        found.setdefault(number, []).append(_sent_to_parent(account, message))
    return {number: sorted(bubbles, key=lambda one: one.at) for number, bubbles in found.items()}


def _sent_by_parent(message: Mapping[str, object]) -> _Bubble:
    kind = str(message.get("type", ""))
    content = message.get(kind)
    inner: Mapping[str, object] = content if isinstance(content, dict) else {}
    at = str(message.get("sendTime", ""))
    if kind == "text":
        return _Bubble(at, is_mine=True, body=escape(str(inner.get("body", ""))))
    caption = escape(str(inner.get("caption") or inner.get("filename") or ""))
    if str(inner.get("mime_type")) in SHOWN_PICTURES:
        media = str(inner.get("link", "")).rpartition("/")[2].partition("?")[0]
        source = f"/telefonos/{escape(media, quote=True)}"
        return _Bubble(at, is_mine=True, body=f'<img src="{source}" alt="Foto enviada">{caption}')
    return _Bubble(at, is_mine=True, body=f"📎 {caption or escape(kind)}")


def _sent_to_parent(account: Account, message: Mapping[str, object]) -> _Bubble:
    reached = account.reported.get(str(message.get("id")), {"accepted"})
    latest = max(reached, key=_ORDER.index)
    tick, words = _TICKS[latest]
    return _Bubble(
        str(message.get("createTime", "")),
        is_mine=False,
        body=escape(_text_of(message)),
        note=f"{tick} {words}",
        is_read=latest == "read",
    )


def _text_of(message: Mapping[str, object]) -> str:
    """What the parent reads. Of a template the account knows the name and the values, not the words."""
    text, template = message.get("text"), message.get("template")
    if isinstance(text, dict):
        return str(text.get("body", ""))
    if isinstance(template, dict):
        values = ", ".join(_texts(template.get("components")))
        return f"[{template.get('name', '')}] {values}".strip()
    return json.dumps(message.get("type"))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield str(value["text"])
        for item in value.values():
            yield from _texts(item) if isinstance(item, dict | list) else ()
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _phone(number: str, name: str, bubbles: list[_Bubble]) -> str:
    items = "".join(
        f'<li class="{"mine" if one.is_mine else "theirs"}">{one.body}'
        f'<small{" class=read" if one.is_read else ""}>{escape(one.at[11:16])} {one.note}</small></li>'
        for one in bubbles[-_MOST_BUBBLES:]
    )
    title = f"{escape(name)} {escape(number)}".strip()
    return f"<section><h2>{title}</h2><ol>{items}</ol></section>"
