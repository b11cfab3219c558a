"""The parents' phones: one page with every conversation of the account, as each parent sees it.

Everything on it was written by somebody else and is escaped; it loads nothing but pictures of this server.
"""

from __future__ import annotations

from html import escape

from platform_cli.local.ycloud.account import Account
from platform_cli.local.ycloud.talks import Said, talks

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

_STYLE = """
:root{color-scheme:light dark;
--page:#f3f1ec;--phone:#fff;--ink:#1d1d1b;--soft:#6a6a64;--mine:#d6f2d0;--theirs:#eceae4}
@media(prefers-color-scheme:dark){:root{
--page:#161614;--phone:#22221f;--ink:#eeece6;--soft:#b3b1a9;--mine:#2c4a2b;--theirs:#33322e}}
body{margin:0;padding:1.5rem;background:var(--page);color:var(--ink);font:16px/1.45 system-ui,sans-serif}
h1{font-size:1.15rem;margin:0 0 1rem}
main{display:flex;flex-wrap:wrap;gap:1.25rem;align-items:flex-start}
section{width:20rem;max-width:100%;box-sizing:border-box;padding:1rem;
background:var(--phone);border-radius:1.5rem}
h2{font-size:1rem;margin:0 0 .75rem}
ol{list-style:none;margin:0;padding:0;display:flex;flex-direction:column;gap:.5rem}
li{max-width:85%;padding:.5rem .75rem;border-radius:.9rem;overflow-wrap:anywhere;white-space:pre-wrap}
.mine{align-self:flex-end;background:var(--mine)}.theirs{align-self:flex-start;background:var(--theirs)}
img{display:block;max-width:100%;border-radius:.5rem}small{display:block;color:var(--soft)}
.read{color:#0b6aa2}p{color:var(--soft)}
@media(prefers-color-scheme:dark){.read{color:#6cc4f5}}
"""


def page(account: Account, nonce: str) -> str:
    """The page as HTML, in Spanish; newest conversation first."""
    newest = sorted(talks(account).items(), key=lambda pair: pair[1][-1].at, reverse=True)
    phones = "".join(_phone(number, account.names.get(number, ""), said) for number, said in newest)
    nothing = (
        "<p>Nadie ha escrito todavía. Envíe algo con <code>wmctl dev webhook send recibo.jpg</code>.</p>"
    )
    return (
        '<!doctype html><html lang="es"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="refresh" content="{REFRESH_S}">'
        f'<title>Teléfonos de las familias</title><style nonce="{nonce}">{_STYLE}</style></head><body>'
        f"<h1>Teléfonos de las familias</h1><main>{phones or nothing}</main></body></html>"
    )


def _phone(number: str, name: str, said: list[Said]) -> str:
    items = "".join(_bubble(one) for one in said[-_MOST_BUBBLES:])
    title = f"{escape(name)} {escape(number)}".strip()
    return f"<section><h2>{title}</h2><ol>{items}</ol></section>"


def _bubble(one: Said) -> str:
    tick, words = _TICKS.get(one.status, ("", ""))
    note = f"{escape(one.at[11:16])} {tick} {words}".strip()
    read = ' class="read"' if one.status == "read" else ""
    side = "mine" if one.by_contact else "theirs"
    return f'<li class="{side}">{_content(one)}<small{read}>{note}</small></li>'


def _content(one: Said) -> str:
    if one.mime_type in SHOWN_PICTURES:
        source = escape(f"/telefonos/{one.media_id}", quote=True)
        return f'<img src="{source}" alt="Foto enviada">{escape(one.text)}'
    return f"📎 {escape(one.text or one.mime_type)}" if one.media_id else escape(one.text)
