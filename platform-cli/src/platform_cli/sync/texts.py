"""Merges a text that two people changed, line by line.

The algorithm is diff3: lines that all three texts share hold the rest in place, and between them a part that
one side alone changed takes that side. The one library for it is under a licence that this repository cannot
take in, and the matching of lines, which is the work, is the standard library's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from platform_cli.sync.plan import Side

_EXACT_LINES = 2_000
"""Beyond this many lines difflib takes frequent lines for noise: quick, and at worst one more conflict."""


@dataclass(frozen=True, slots=True)
class TextMerge:
    """A merged text. With `conflicts` it holds that many marked parts, which a person has to decide."""

    text: str
    conflicts: int


def merge_text(
    base: str,
    ours: str,
    theirs: str,
    *,
    ours_name: str = "git",
    theirs_name: str = "Windmill",
    prefer: Side | None = None,
) -> TextMerge:
    """What three texts come to; where both sides changed the same lines, `prefer` decides or marks are set.

    Lines keep their endings, and a last line without one differs from the same line with one.
    """
    parts: list[str] = []
    conflicts = 0
    for b, o, t in stretches(base, ours, theirs):
        if o in (t, b):
            parts += t
        elif t == b:
            parts += o
        elif prefer is not None:
            parts += o if prefer is Side.OURS else t
        else:
            conflicts += 1
            parts += _marked(o, t, ours_name, theirs_name)
    return TextMerge("".join(parts), conflicts)


def _lines(text: str) -> list[str]:
    """Lines with their endings. Only a line feed ends one: Python's own notion would cut inside strings."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _marked(ours: Sequence[str], theirs: Sequence[str], ours_name: str, theirs_name: str) -> list[str]:
    return [
        f"<<<<<<< {ours_name}\n",
        *_ended(ours),
        "=======\n",
        *_ended(theirs),
        f">>>>>>> {theirs_name}\n",
    ]


def _ended(lines: Sequence[str]) -> list[str]:
    return [line if line.endswith("\n") else f"{line}\n" for line in lines]


def stretches(base: str, ours: str, theirs: str) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """The texts cut into stretches of lines: in turn what differs somewhere, and what all three share."""
    bases, our_lines, their_lines = _lines(base), _lines(ours), _lines(theirs)
    b = o = t = 0
    for start, end, at_ours, at_theirs in _shared(bases, our_lines, their_lines):
        yield bases[b:start], our_lines[o:at_ours], their_lines[t:at_theirs]
        yield bases[start:end], bases[start:end], bases[start:end]
        b, o, t = end, at_ours + end - start, at_theirs + end - start


def _shared(base: list[str], ours: list[str], theirs: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Where all three texts agree: begin and end in the base, begin in the other two. The last is empty."""
    left, right = _matches(base, ours), _matches(base, theirs)
    i = j = 0
    while i < len(left) and j < len(right):
        (b1, o, n1), (b2, t, n2) = left[i], right[j]
        start, end = max(b1, b2), min(b1 + n1, b2 + n2)
        if start < end:
            yield start, end, o + start - b1, t + start - b2
        if b1 + n1 <= b2 + n2:
            i += 1
        else:
            j += 1
    yield len(base), len(base), len(ours), len(theirs)


def _matches(base: list[str], side: list[str]) -> list[tuple[int, int, int]]:
    """Runs of equal lines: begin in the base, begin in the side, how many."""
    exact = max(len(base), len(side)) <= _EXACT_LINES
    found = SequenceMatcher(None, base, side, autojunk=not exact).get_matching_blocks()
    return [(block.a, block.b, block.size) for block in found if block.size]
