"""Why a text is not JSON, in the words of the parser Windmill uses (serde_json), with its line and column.

Only called for texts already known to be broken: a sender who debugs a webhook reads the same sentence here
as on the real server. Columns are counted in bytes.
"""

from __future__ import annotations

import re

_WHITESPACE = b" \t\n\r"
_DIGITS = b"0123456789"
_STRING_STOP = re.compile(rb'["\\\x00-\x1f]')
_HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
_MAX_STEPS = 10_000_000


class Malformed(ValueError):
    """The text is not JSON; the message says where."""


def explain(data: bytes) -> str:
    """The parser's complaint about `data`, such as `expected value at line 1 column 1`.

    An object is read key by key, anything else as one raw value: that is why `{"a":1,}` and `[1,]` get
    different answers.
    """
    scanner = _Scanner(data)
    try:
        if data[:1] in (b"", b"{"):
            scanner.read_object()
        else:
            scanner.read_value()
        scanner.read_end()
    except Malformed as error:
        return str(error)
    return "expected value at line 1 column 1"


class _Scanner:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def read_object(self) -> None:
        """The outermost object. It may also be missing altogether."""
        if self._peek() == b"":
            raise self._here("EOF while parsing a value")
        self.at += 1
        first = True
        for _ in range(_MAX_STEPS):
            if not self._next_key(first=first):
                self.at += 1
                return
            first = False
            self._key()
            self.read_value()

    def _next_key(self, *, first: bool) -> bool:
        found = self._peek()
        if found == b"}":
            return False
        if found == b"":
            raise self._here("EOF while parsing an object")
        if not first:
            if found != b",":
                raise self._here("expected `,` or `}`")
            self.at += 1
            found = self._peek()
        if found == b'"':
            return True
        if found == b"":
            raise self._here("EOF while parsing a value")
        raise self._here("trailing comma" if found == b"}" else "key must be a string")

    def read_value(self) -> None:
        """One value of any depth, without recursion."""
        open_frames: list[bytes] = []
        for _ in range(_MAX_STEPS):
            if self._scalar_or_opening(open_frames):
                accept_comma = False
            elif open_frames:
                accept_comma = True
            else:
                return
            if not self._to_next_member(open_frames, accept_comma=accept_comma):
                return
            if open_frames[-1] == b"{":
                self._member_key()

    def _scalar_or_opening(self, open_frames: list[bytes]) -> bool:
        """Read a scalar (False) or step into a list or object (True)."""
        found = self._peek()
        if found in (b"[", b"{"):
            self.at += 1
            open_frames.append(found)
            return True
        if found in (b"n", b"t", b"f"):
            self._word({b"n": b"null", b"t": b"true", b"f": b"false"}[found])
        elif found == b'"':
            self._string()
        elif found == b"-" or (found and found in _DIGITS):
            self._number()
        else:
            raise self._here("EOF while parsing a value" if found == b"" else "expected value")
        return False

    def _to_next_member(self, open_frames: list[bytes], *, accept_comma: bool) -> bool:
        for _ in range(_MAX_STEPS):
            frame, found = open_frames[-1], self._peek()
            if found == b"," and accept_comma:
                self.at += 1
                return True
            if found == (b"]" if frame == b"[" else b"}"):
                self.at += 1
                open_frames.pop()
                accept_comma = True
                if not open_frames:
                    return False
                continue
            if found == b"":
                raise self._here(f"EOF while parsing {'a list' if frame == b'[' else 'an object'}")
            if accept_comma:
                raise self._here(f"expected `,` or `{']' if frame == b'[' else '}'}`")
            return True
        return False

    def _member_key(self) -> None:
        found = self._peek()
        if found != b'"':
            raise self._here("EOF while parsing an object" if found == b"" else "key must be a string")
        self._key()

    def _key(self) -> None:
        self._string()
        found = self._peek()
        if found != b":":
            raise self._here("EOF while parsing an object" if found == b"" else "expected `:`")
        self.at += 1

    def read_end(self) -> None:
        """Nothing but white space may follow."""
        if self._peek() != b"":
            raise self._here("trailing characters")

    def _peek(self) -> bytes:
        while self.at < len(self.data) and self.data[self.at] in _WHITESPACE:
            self.at += 1
        return self.data[self.at : self.at + 1]

    def _byte(self) -> bytes:
        return self.data[self.at : self.at + 1]

    def _word(self, word: bytes) -> None:
        for expected in word:
            found = self._byte()
            if found == b"":
                raise self._before("EOF while parsing a value")
            self.at += 1
            if found[0] != expected:
                raise self._before("expected ident")

    def _string(self) -> None:
        self.at += 1
        for _ in range(_MAX_STEPS):
            stop = _STRING_STOP.search(self.data, self.at)
            self.at = stop.start() if stop else len(self.data)
            found = self._byte()
            if found == b"":
                raise self._before("EOF while parsing a string")
            if found == b'"':
                self.at += 1
                return
            if found != b"\\":
                raise self._before("control character (\\u0000-\\u001F) found while parsing a string")
            self._escape()

    def _escape(self) -> None:
        self.at += 1
        found = self._byte()
        if found == b"":
            raise self._before("EOF while parsing a string")
        self.at += 1
        if found == b"u":
            digits = self.data[self.at : self.at + 4]
            self.at = min(self.at + 4, len(self.data))
            if len(digits) < 4:  # noqa: PLR2004 - an escape has four digits
                raise self._before("EOF while parsing a string")
            if not _HEX4.fullmatch(digits):
                raise self._before("invalid escape")
        elif found not in (b'"', b"\\", b"/", b"b", b"f", b"n", b"r", b"t"):
            raise self._before("invalid escape")

    def _number(self) -> None:
        if self._byte() == b"-":
            self.at += 1
        found = self._byte()
        if found == b"" or found not in _DIGITS:
            self.at += len(found)
            raise self._before("invalid number")
        self.at += 1
        if found == b"0":
            if self._byte() and self._byte() in _DIGITS:
                raise self._here("invalid number")
        else:
            self._digits()
        if self._byte() == b".":
            self.at += 1
            if not self._digits():
                raise self._here("invalid number")
        if self._byte() in (b"e", b"E"):
            self._exponent()

    def _exponent(self) -> None:
        self.at += 1
        if self._byte() in (b"+", b"-"):
            self.at += 1
        if not self._digits():
            self.at += len(self._byte())
            raise self._before("invalid number")

    def _digits(self) -> int:
        start = self.at
        while self.at < len(self.data) and self.data[self.at] in _DIGITS:
            self.at += 1
        return self.at - start

    def _here(self, what: str) -> Malformed:
        """A complaint about the byte that was looked at but not taken."""
        return self._complaint(what, min(len(self.data), self.at + 1))

    def _before(self, what: str) -> Malformed:
        """A complaint about the byte that was taken last."""
        return self._complaint(what, self.at)

    def _complaint(self, what: str, index: int) -> Malformed:
        line_start = self.data.rfind(b"\n", 0, index) + 1
        line = self.data.count(b"\n", 0, line_start) + 1
        return Malformed(f"{what} at line {line} column {index - line_start}")
