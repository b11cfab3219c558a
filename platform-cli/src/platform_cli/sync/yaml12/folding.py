"""Where long lines of YAML are folded, step by step as the npm package `yaml` folds them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Mode: TypeAlias = Literal["flow", "block", "quoted"]
"""A plain or single-quoted text, a folded block, or a double-quoted text, which may break inside a word."""

WIDTH: Final = 80
_NARROWEST: Final = 20
_BLANK: Final = frozenset(" \n\t")
_ESCAPED_MORE: Final = {"x": 3, "u": 5, "U": 9}
_LAST_OF_ONE_UNIT: Final = "\uffff"


def units(text: str) -> int:
    """The length of a text as JavaScript counts it, in UTF-16 units."""
    return len(text) if text.isascii() else len(text) + sum(one > _LAST_OF_ONE_UNIT for one in text)


def fold(text: str, indent: str, mode: Mode, start: int | None = None) -> str:
    """A text with its line breaks. `start` is how many columns of its first line are taken."""
    if len(text) <= WIDTH // 2 - len(indent):
        return text
    return _joined(_Folding(_halved(text), indent, mode).run(start))


def fold_block(text: str, indent: str) -> str | None:
    """The body of a folded block; None where a line cannot be made short enough."""
    folding = _Folding(_halved(text), indent, "block")
    folded = folding.run(len(indent))
    return None if folding.overflows else _joined(folded)


def _halved(text: str) -> str:
    """A text whose characters are UTF-16 units, as JavaScript sees it."""
    if units(text) == len(text):
        return text
    pairs = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(pairs[at] + 256 * pairs[at + 1]) for at in range(0, len(pairs), 2))


def _joined(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


@dataclass
class _Folding:
    """One pass over a text. `end` is where the line must break at the latest, `split` the last good place."""

    text: str
    indent: str
    mode: Mode
    overflows: bool = False
    at: int = -1
    end: int = 0
    split: int | None = None
    escape: tuple[int, int] = (-1, -1)
    folds: list[int] = field(default_factory=list)
    inside_word: set[int] = field(default_factory=set)

    @property
    def step(self) -> int:
        """How long a line may be."""
        return max(1 + _NARROWEST, 1 + WIDTH - len(self.indent))

    def run(self, start: int | None) -> str:
        """The text with its folds."""
        if len(self.text) <= self.step:
            return self.text
        self.end = WIDTH - len(self.indent)
        if start is not None:
            if start > WIDTH - _NARROWEST:
                self.folds.append(0)
            else:
                self.end = WIDTH - start
        if self.mode == "block":
            self.at = self._past_indented_lines(self.at)
            if self.at != -1:
                self.end = self.at + self.step
        if not self._walk():
            return self.text
        return self._broken()

    def _walk(self) -> bool:
        """Find the folds; false when a double-quoted text cannot be folded at all."""
        previous = ""
        self.at += 1
        while self.at < len(self.text):
            character = self.text[self.at]
            if self.mode == "quoted" and character == "\\":
                begin = self.at
                self.at += _ESCAPED_MORE.get(self._character(begin + 1), 1)
                self.escape = (begin, self.at)
            if character == "\n":
                self._line_ends()
            else:
                if character == " " and previous and previous not in _BLANK:
                    after = self._character(self.at + 1)
                    if after and after not in _BLANK:
                        self.split = self.at
                if self.at >= self.end:
                    character, previous, goes_on = self._line_is_full(character, previous)
                    if not goes_on:
                        return False
            previous = character
            self.at += 1
        return True

    def _character(self, at: int) -> str:
        return self.text[at] if at < len(self.text) else ""

    def _line_ends(self) -> None:
        if self.mode == "block":
            self.at = self._past_indented_lines(self.at)
        self.end = self.at + len(self.indent) + self.step
        self.split = None

    def _line_is_full(self, character: str, previous: str) -> tuple[str, str, bool]:
        """Break at the last good place, or inside the word where the quotes allow it."""
        if self.split:
            self._fold_at(self.split)
        elif self.mode == "quoted":
            while previous in (" ", "\t"):
                previous = character
                self.at += 1
                character = self._character(self.at)
                self.overflows = True
            begin, end = self.escape
            place = self.at - 2 if self.at > end + 1 else begin - 1
            if place in self.inside_word:
                return character, previous, False
            self._fold_at(place)
            self.inside_word.add(place)
        else:
            self.overflows = True
        return character, previous, True

    def _fold_at(self, place: int) -> None:
        self.folds.append(place)
        self.end = place + self.step
        self.split = None

    def _past_indented_lines(self, at: int) -> int:
        """Where the lines end that begin with a blank: in a block they are never folded."""
        end = at
        start = at + 1
        character = self._character(start)
        while character in (" ", "\t"):
            if at < start + len(self.indent):
                at += 1
                character = self._character(at)
            else:
                at += 1
                while self._character(at) not in ("", "\n"):
                    at += 1
                end = at
                start = at + 1
                character = self._character(start)
        return end

    def _broken(self) -> str:
        if not self.folds:
            return self.text
        pieces = [self.text[: self.folds[0]]]
        for number, place in enumerate(self.folds):
            end = self.folds[number + 1] if number + 1 < len(self.folds) else len(self.text)
            if place == 0:
                pieces = [f"\n{self.indent}{self.text[:end]}"]
                continue
            if place in self.inside_word:
                pieces.append(f"{self.text[place]}\\")
            pieces.append(f"\n{self.indent}{self.text[place + 1 : end]}")
        return "".join(pieces)
