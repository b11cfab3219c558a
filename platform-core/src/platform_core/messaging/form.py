"""In which form a message goes out, and with which words. Pure: every rule here is tested as a table."""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from platform_core.errors import ConfigurationError, InvalidInput
from platform_core.messaging.contracts import Party, TemplateMessage, TextMessage
from platform_core.tenancy.policy import Policy

MAX_TEXT_CHARS = 4096


class Form(StrEnum):
    """How a message goes out, or that it does not."""

    TEXT = "text"
    TEMPLATE = "template"
    SUPPRESSED = "suppressed"


def decide_form(
    *, last_inbound_at: datetime | None, opted_out: bool, now: datetime, window_hours: int
) -> Form:
    """Free text inside the window after the contact's last message, an approved template outside it.

    A contact who wants no messages gets none. The window closes at its last instant: a text sent exactly then
    arrives too late.
    """
    if opted_out:
        return Form.SUPPRESSED
    if last_inbound_at is not None and now < last_inbound_at + timedelta(hours=window_hours):
        return Form.TEXT
    return Form.TEMPLATE


def require_words(policy: Policy, purpose: str, values: Mapping[str, str]) -> None:
    """Check at asking time that the policy has both forms of this purpose and the values fill them.

    Which form is needed is known only at send time, perhaps days later.
    Raises: ConfigurationError when the policy lacks one, InvalidInput when a value is missing.
    """
    to = Party(phone="+10000000")
    render_text(policy, purpose, values, to=to)
    render_template(policy, purpose, values, to=to)


def render_text(policy: Policy, purpose: str, values: Mapping[str, str], *, to: Party) -> TextMessage:
    """The free text of a purpose with its placeholders filled.

    Raises: ConfigurationError, InvalidInput.
    """
    text = policy.texts.get(purpose)
    if text is None:
        raise ConfigurationError(
            f"The policy has no text for {purpose!r}", next_step=f"Add {purpose!r} to [texts] of policy.toml."
        )
    body = "".join(_filled(purpose, text, values)).strip()
    if not body or len(body) > MAX_TEXT_CHARS:
        raise InvalidInput(
            f"The text of {purpose!r} has {len(body)} characters",
            next_step=f"WhatsApp takes 1 to {MAX_TEXT_CHARS}; shorten it in policy.toml.",
        )
    return TextMessage(to=to, body=body)


def render_template(policy: Policy, purpose: str, values: Mapping[str, str], *, to: Party) -> TemplateMessage:
    """The approved template of a purpose with its parameters in order.

    WhatsApp refuses a parameter with a line break, a tab or many spaces in a row, so runs of white space
    become one space. Raises: ConfigurationError, InvalidInput.
    """
    template = policy.templates.get(purpose)
    if template is None:
        raise ConfigurationError(
            f"The policy has no template for {purpose!r}",
            next_step=f"Add {purpose!r} to [templates] of policy.toml.",
        )
    return TemplateMessage(
        to=to,
        name=template.name,
        language=template.language,
        parameters=tuple(" ".join(_value(purpose, name, values).split()) for name in template.parameters),
    )


def _filled(purpose: str, text: str, values: Mapping[str, str]) -> list[str]:
    # Not str.format: a text of the policy could reach attributes of the values through it.
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ConfigurationError(
            f"The text of {purpose!r} has a lone brace",
            next_step="Write {{ and }} for braces in policy.toml.",
        ) from error
    filled = []
    for literal, name, _spec, _conversion in pieces:
        filled.append(literal)
        if name is not None:
            filled.append(_value(purpose, name, values))
    return filled


def _value(purpose: str, name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise InvalidInput(
            f"The message {purpose!r} needs a value for {name[:40]!r}",
            next_step=f"It has {', '.join(sorted(values)) or 'none'}; correct policy.toml.",
        )
    return values[name]
