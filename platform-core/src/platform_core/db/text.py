"""What PostgreSQL's `text` and `jsonb` cannot hold: NUL, and surrogates without their pair.

JSON may carry both as escapes, and people's phones send them. The bytes are kept whole in `inbox.event`;
text made from them for people to read is stored with a replacement mark in their place.
"""

from __future__ import annotations

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """The same text with each character PostgreSQL refuses replaced by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes the text as it is: asked of identifiers, which are never altered."""
    return _UNSTORABLE.search(text) is None
