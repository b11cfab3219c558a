"""Reading what providers write: scalars in their one accepted form, and models that break loudly.

Pure. Texts lose what PostgreSQL cannot store; times need their offset; what breaks its own promise is
ContractDrift naming the field, never its value.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from platform_connectors.signed import parse_strict_json
from platform_core.errors import ContractDrift

LOOK = "Look at the stored body; the provider changed its contract or the event is damaged."

_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Wire(BaseModel):
    """Fields we read; what else the provider sends stays in the stored body."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def storable(text: str) -> str:
    """The text with NUL and lone surrogates as U+FFFD: PostgreSQL's text holds neither."""
    return _UNSTORABLE.sub("\ufffd", text)


def to_text(value: object) -> object:
    """A text that can be stored; anything else is left for the model to refuse."""
    return storable(value) if isinstance(value, str) else value


def to_optional_text(value: object) -> object:
    """As `to_text`; null is the empty text."""
    return "" if value is None else to_text(value)


def to_instant(value: object) -> object:
    """RFC 3339 with its offset, nothing else: pydantic alone would take dates, numbers and local times."""
    if value is None:
        return None
    found = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("not an RFC 3339 time")
    day, time, fraction, offset = found.groups()
    try:
        text = f"{day}T{time}{(fraction or '')[:7]}{'+00:00' if offset in 'Zz' else offset}"
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("not an instant") from error


Text = Annotated[str, BeforeValidator(to_text)]
OptionalText = Annotated[str, BeforeValidator(to_optional_text)]
Instant = Annotated[datetime, BeforeValidator(to_instant)]
OptionalInstant = Annotated[datetime | None, BeforeValidator(to_instant)]

_Model = TypeVar("_Model", bound=BaseModel)


def read_event(maker: str, body: bytes, kind_key: str) -> tuple[str, dict[str, object]]:
    """The type of one event, by its member `kind_key`, and the whole. Raises: ContractDrift."""
    try:
        event = parse_strict_json(body)
    except ValueError:
        raise ContractDrift(f"The {maker} event is not strict JSON", next_step=LOOK) from None
    kind = event.get(kind_key) if isinstance(event, dict) else None
    if not isinstance(event, dict) or not isinstance(kind, str) or not kind:
        raise ContractDrift(f"The {maker} event names no type", next_step=LOOK)
    return kind, event


def read_wire(maker: str, model: type[_Model], source: object, path: str) -> _Model:
    """Validate against a wire model. Raises: ContractDrift naming `path` and fields, never values."""
    try:
        return model.model_validate(source)
    except ValidationError as error:
        fields = sorted({".".join(str(part) for part in found["loc"]) for found in error.errors()})
        named = ", ".join(field for field in fields if field) or "the object itself"
        raise ContractDrift(
            f"{maker}'s {path} is not as documented: {named}", next_step=LOOK, path=path
        ) from None
