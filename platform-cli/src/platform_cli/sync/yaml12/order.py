"""The order of names in the official files: a few first, the others as `localeCompare` of JavaScript. Pure.

It follows the root collation of Unicode for ASCII to the letter: signs, digits, then letters without regard
to case, and only between equals lower case before upper. For other scripts it is close, not the whole
table.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

_FIRST = {
    "version": "aaa",
    "id": "aa",
    "type": "ab",
    "summary": "ad",
    "name": "ae",
    "display_name": "af",
    "description": "ag",
    "value": "ah",
    "content": "ai",
    "modules": "aj",
    "failure_module": "ak",
    "input_transforms": "al",
    "lock": "az",
    "locks": "azz",
}
_SIGNS: Final = "\t\n\v\f\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~"
_OTHER_SIGNS_FROM: Final = 0x100
_CURRENCIES_FROM: Final = 0x1800
_DIGITS_FROM: Final = 0x2000
_LETTERS_FROM: Final = 0x2100
_OTHER_LETTERS_FROM: Final = 0x3000
_WEIGHTS: dict[int, int | None] = {
    **dict.fromkeys((*range(9), *range(14, 32), 127)),
    **{ord(sign): number for number, sign in enumerate(_SIGNS, 1)},
    ord("$"): _CURRENCIES_FROM,
    **{ord(digit): _DIGITS_FROM + number for number, digit in enumerate("0123456789")},
    **{ord(letter): _LETTERS_FROM + number for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz")},
    **{ord(letter): _LETTERS_FROM + number for number, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")},
}


@lru_cache(maxsize=4096)
def name_order(name: str) -> tuple[str, str, str]:
    """The sort key of a field's name."""
    return text_order(_FIRST.get(name, name))


def text_order(text: str) -> tuple[str, str, str]:
    """The sort key of a text: first by letters, then by accents, then by case."""
    if text.isascii():
        return text.translate(_WEIGHTS), "", text.swapcase()
    parts = unicodedata.normalize("NFKD", text)
    base = "".join(part for part in parts if not unicodedata.combining(part))
    accents = "".join(part if unicodedata.combining(part) else " " for part in parts)
    return "".join(map(_weight, base.lower())), accents.rstrip(), base.swapcase()


def _weight(character: str) -> str:
    if character.isascii():
        return character.translate(_WEIGHTS)
    code = ord(character)
    match unicodedata.category(character):
        case "Sc":
            return chr(_CURRENCIES_FROM + 1 + code % 0x700)
        case category if category[0] in "LN":
            return chr(min(_OTHER_LETTERS_FROM + code, 0x10FFFF))
        case _:
            return chr(_OTHER_SIGNS_FROM + code % 0x1600)
