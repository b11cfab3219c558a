"""What one YCloud account knows, and what becomes of a message it is asked to send."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from platform_cli.local.api import Received, RequestRefused
from platform_cli.local.ycloud import payloads
from platform_cli.local.ycloud.webhooks import Endpoint

SERVICE_WINDOW = timedelta(hours=24)
_MAX_TEXT_CHARS = 4096
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """An attachment: its bytes and the type the API will claim it has."""

    content: bytes
    mime_type: str


@dataclass(slots=True)
class Account:
    """The state behind the API. Guarded by `lock`: every request is a thread."""

    api_key: str
    sender_phone: str
    balance: float = 190.0765
    templates: set[tuple[str, str]] = field(default_factory=set)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    media: dict[str, StoredMedia] = field(default_factory=dict)
    messages: dict[str, dict[str, object]] = field(default_factory=dict)
    unsubscribed: set[str] = field(default_factory=set)
    blocked: set[str] = field(default_factory=set)
    received: list[Mapping[str, object]] = field(default_factory=list)
    reported: dict[str, set[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    last_inbound_at: dict[str, datetime] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def accept(self, body: object, now: datetime) -> dict[str, object]:
        """Take a message as `POST /v2/whatsapp/messages` does. Raises: RequestRefused."""
        if not isinstance(body, dict):
            raise RequestRefused(400, "BAD_REQUEST")
        self._check(body)
        message: dict[str, object] = {
            "id": payloads.new_id(),
            "wamid": payloads.new_wamid(),
            "wabaId": payloads.WABA_ID,
            **body,
            "status": "accepted",
            "createTime": payloads.instant_text(now),
            "updateTime": payloads.instant_text(now),
        }
        with self.lock:
            self.messages[str(message["id"])] = message
        return message

    def fate(self, message: Mapping[str, object], now: datetime) -> str:
        """The code with which an accepted message will fail; empty when it will go out.

        These are known only later, by webhook: who unsubscribed, who is blocked, and the 24 h window.
        """
        recipient = str(message.get("to") or message.get("recipient"))
        if message.get("filterUnsubscribed") is True and recipient in self.unsubscribed:
            return "RECIPIENT_UNSUBSCRIBED"
        if message.get("filterBlocked") is True and recipient in self.blocked:
            return "RECIPIENT_IN_BLOCK_LIST"
        last = self.last_inbound_at.get(recipient)
        is_open = last is not None and now - last < SERVICE_WINDOW
        return "" if is_open or message.get("type") == "template" else "131047"

    def _check(self, body: Mapping[str, object]) -> None:
        for name in ("from", "type"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise RequestRefused(400, "PARAM_MISSING", name)
        to, recipient = body.get("to"), body.get("recipient")
        if not to and not recipient:
            raise RequestRefused(400, "PARAM_MISSING", "to")
        if to and not (isinstance(to, str) and _E164.fullmatch(to)):
            raise RequestRefused(400, "PARAM_INVALID", "to")
        if body["from"] != self.sender_phone:
            raise RequestRefused(403, "WHATSAPP_PHONE_NUMBER_UNAVAILABLE", "from")
        match body["type"]:
            case "text":
                self._check_text(body.get("text"))
            case "template":
                self._check_template(body.get("template"))
            case _:
                raise RequestRefused(400, "PARAM_INVALID", "type")
        if self.balance <= 0:
            raise RequestRefused(403, "BALANCE_INSUFFICIENT")

    def _check_text(self, text: object) -> None:
        found = text.get("body") if isinstance(text, dict) else None
        if not isinstance(found, str) or not found:
            raise RequestRefused(400, "PARAM_MISSING", "text.body")
        if len(found) > _MAX_TEXT_CHARS:
            raise RequestRefused(400, "PARAM_INVALID_LENGTH", "text.body")

    def _check_template(self, template: object) -> None:
        name = template.get("name") if isinstance(template, dict) else None
        language = template.get("language") if isinstance(template, dict) else None
        code = language.get("code") if isinstance(language, dict) else None
        if not isinstance(name, str) or not isinstance(code, str):
            raise RequestRefused(400, "PARAM_MISSING", "template")
        if (name, code) not in self.templates:
            raise RequestRefused(403, "WHATSAPP_TEMPLATE_UNAVAILABLE", "template")
