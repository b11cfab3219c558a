"""Takes secrets out of the fields of a plan before anybody sees them.

A secret variable is never an item. What is left is a key that somebody wrote into a resource, an argument or
a plain variable; it is hidden by the name it goes by.
"""

from __future__ import annotations

from dataclasses import replace

from platform_cli.sync.items import Json, Kind
from platform_cli.sync.plan import Change, FieldChange
from platform_core.observability.redaction import HIDDEN, is_secret_name

_OF_CODE = frozenset({"content", "description", "expr", "language", "path", "summary", "type"})
_REFERENCES = ("$var:", "$res:")


def shown(change: Change) -> tuple[FieldChange, ...]:
    """The fields of a change as they may be shown."""
    secret = change.key.kind is Kind.VARIABLE and is_secret_name(change.key.path.rpartition("/")[2])
    return tuple(_field(field, secret=secret) for field in change.fields)


def _field(field: FieldChange, *, secret: bool) -> FieldChange:
    parts = field.place.split(".")
    if parts[0] == "schema":
        return field
    secret = secret or any(is_secret_name(part) for part in parts)
    base, ours, theirs = (
        _value(value, parts[-1], secret=secret) for value in (field.base, field.ours, field.theirs)
    )
    return replace(field, base=base, ours=ours, theirs=theirs)


def _value(value: Json, name: str, *, secret: bool) -> Json:
    match value:
        case dict():
            return {
                key: _value(item, key, secret=secret or is_secret_name(key)) for key, item in value.items()
            }
        case list():
            return [_value(item, name, secret=secret) for item in value]
        case str() | int() | float() if secret and name not in _OF_CODE and not isinstance(value, bool):
            return value if isinstance(value, str) and value.startswith(_REFERENCES) else HIDDEN
        case _:
            return value
