"""Two edits of one text, line by line."""

from __future__ import annotations

import pytest

from platform_cli.sync.plan import Side
from platform_cli.sync.texts import TextMerge, merge_text

BASE = "one\ntwo\nthree\nfour\nfive\n"


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        (BASE, BASE, BASE),
        ("ONE\ntwo\nthree\nfour\nfive\n", BASE, "ONE\ntwo\nthree\nfour\nfive\n"),
        ("ONE\ntwo\nthree\nfour\nfive\n", "one\ntwo\nthree\nfour\nFIVE\n", "ONE\ntwo\nthree\nfour\nFIVE\n"),
        ("one\nthree\nfour\nfive\n", BASE + "six\n", "one\nthree\nfour\nfive\nsix\n"),
        ("one\ntwo\nthree\nfour\nfive", "zero\n" + BASE, "zero\none\ntwo\nthree\nfour\nfive"),
        ("same\n" + BASE, "same\n" + BASE, "same\n" + BASE),
        ("", "", ""),
    ],
)
def test_edits_of_different_lines_go_together(ours: str, theirs: str, merged: str) -> None:
    """Whichever side made them, and in either order of the sides."""
    assert merge_text(BASE, ours, theirs) == TextMerge(merged, 0)
    assert merge_text(BASE, theirs, ours) == TextMerge(merged, 0)


def test_a_clash_is_marked_with_the_names_of_both_sides() -> None:
    """A last line without its end gets one, so that the mark stands on a line of its own."""
    merged = merge_text("a\nb", "a\ngit's", "a\nWindmill's", ours_name="git", theirs_name="Windmill")

    assert merged == TextMerge("a\n<<<<<<< git\ngit's\n=======\nWindmill's\n>>>>>>> Windmill\n", 1)


@pytest.mark.parametrize(("prefer", "kept"), [(Side.OURS, "B"), (Side.THEIRS, "bb")])
def test_a_preferred_side_decides_a_clash_and_nothing_else(prefer: Side, kept: str) -> None:
    """What the other side edited elsewhere stays."""
    merged = merge_text("a\nb\nc\nd\n", "a\nB\nc\nd\n", "a\nbb\nc\nD\n", prefer=prefer)

    assert merged == TextMerge(f"a\n{kept}\nc\nD\n", 0)


def test_only_a_line_feed_ends_a_line() -> None:
    """A form feed or a line separator inside a string is no place to cut."""
    base = "x = '\x0c\u2028'\ny = 1\nz = 1\n"

    assert merge_text(base, base + "end\n", "begin\n" + base).text == "begin\n" + base + "end\n"
