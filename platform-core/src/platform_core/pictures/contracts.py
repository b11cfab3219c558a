"""What crosses the boundary of pictures: what was drawn, or why nothing could be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_BYTES = 40 * 1024
"""No drawn picture is larger. As a data: URI it takes a third more, and a page stays under 100 KB with it."""

MAX_SIDE = 3000
"""No side of a drawn picture is longer, in pixels."""

MAX_PAGES = 1_000_000
"""A count of pages above this is not believed."""


class Undrawable(StrEnum):
    """Why there is no picture of a file."""

    DAMAGED = "damaged"
    """Its bytes end early or make no sense."""

    PROTECTED = "protected"
    """It opens only with a password."""

    EMPTY = "empty"
    """It holds no page and no pixel."""

    TOO_MANY_PIXELS = "too_many_pixels"
    """It says it is larger than any photo: drawing it would take gigabytes."""

    TOO_COSTLY = "too_costly"
    """Drawing it took more memory or computing time than a receipt may."""

    TOO_SLOW = "too_slow"
    """It was not drawn in time, perhaps because the machine was busy."""

    BROKE = "broke"
    """The program that draws ended without an answer."""

    WRONG_TYPE = "wrong_type"
    """It is of a kind that is not drawn."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture. `mime_type` is image/webp; `content` has at most MAX_BYTES and no metadata.

    `width` and `height` are its own, in pixels. `pages` are the file's: of several, it shows the first.
    """

    mime_type: str
    content: bytes
    width: int
    height: int
    pages: int
