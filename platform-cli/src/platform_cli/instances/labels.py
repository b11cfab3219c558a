"""What the platform's tokens are called in Windmill, so that old ones are found when a new one is made."""

from __future__ import annotations

PERSON = "wmctl"
"""The token with which a person's wmctl works."""
LOOK = "wmctl, to look"
"""One of minutes, with which a person's other tokens are listed."""
_DOOR = "door of "


def door_label(host: str) -> str:
    """The label of the token with which a host's door wakes runners."""
    return f"{_DOOR}{host}"


def find_door(label: object) -> str | None:
    """The host whose door has a token of this label; None for any other label."""
    return label.removeprefix(_DOOR) if isinstance(label, str) and label.startswith(_DOOR) else None
