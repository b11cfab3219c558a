"""What an account and its contacts said to each other, conversation by conversation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from platform_cli.local.ycloud.account import Account

STATUSES = ("accepted", "sent", "delivered", "read", "failed")
"""What becomes of a message, in the order in which a later one counts more."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message. `at` is RFC 3339, `media_id` an attachment's; `status` is empty for a contact's own."""

    at: str
    phone: str
    by_contact: bool
    text: str
    media_id: str = ""
    mime_type: str = ""
    status: str = ""


def talks(account: Account) -> dict[str, list[Said]]:
    """Every conversation by the contact's number, each oldest first."""
    with account.lock:
        said = [_received(message) for message in account.received]
        said += [_sent(account, message) for message in account.messages.values()]
    found: dict[str, list[Said]] = {}
    for one in sorted(said, key=lambda one: one.at):
        found.setdefault(one.phone, []).append(one)
    return found


def _received(message: Mapping[str, object]) -> Said:
    kind = str(message.get("type", ""))
    content = message.get(kind)
    inner: Mapping[str, object] = content if isinstance(content, dict) else {}
    at, phone = str(message.get("sendTime", "")), str(message.get("from") or message.get("fromUserId") or "")
    if kind == "text":
        return Said(at, phone, by_contact=True, text=str(inner.get("body", "")))
    media_id = str(inner.get("link", "")).rpartition("/")[2].partition("?")[0]
    words = str(inner.get("caption") or inner.get("filename") or "")
    return Said(at, phone, True, words, media_id, str(inner.get("mime_type", kind)))


def _sent(account: Account, message: Mapping[str, object]) -> Said:
    status = max(account.reported.get(str(message.get("id")), {"accepted"}), key=STATUSES.index)
    return Said(
        at=str(message.get("createTime", "")),
        phone=str(message.get("to") or message.get("recipient") or ""),
        by_contact=False,
        text=_text_of(message),
        status=status,
    )


def _text_of(message: Mapping[str, object]) -> str:
    """What the contact reads. Of a template the account knows the name and the values, not the words."""
    text, template = message.get("text"), message.get("template")
    if isinstance(text, dict):
        return str(text.get("body", ""))
    if isinstance(template, dict):
        return f"[{template.get('name', '')}] {', '.join(_texts(template.get('components')))}".strip()
    return f"[{message.get('type', '')}]"


def _texts(value: object) -> Iterator[str]:
    """The texts of a template's parameters, wherever they stand."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield str(value["text"])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item) if isinstance(item, dict | list) else ()
