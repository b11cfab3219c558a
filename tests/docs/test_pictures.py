"""Every picture a document shows is there, small, and shown somewhere; each says in words what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "pictures"
MAX_BYTES = 150_000
SHORTEST_WORDS = 20

_SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
PAGES = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")])


def shown_in(text: str) -> list[tuple[str, str]]:
    """The pictures of a document: words in place of it, and where it is."""
    return _SHOWN.findall(text)


def _shown() -> dict[Path, str]:
    return {
        (page.parent / where).resolve(): words
        for page in PAGES
        for words, where in shown_in(page.read_text(encoding="utf-8"))
    }


def test_every_picture_that_is_shown_is_there_and_every_one_there_is_shown() -> None:
    """`make pictures` makes them."""
    assert sorted(_shown()) == sorted(path for path in FOLDER.iterdir() if path.is_file())


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_a_picture_is_small_and_whole(path: Path) -> None:
    """It opens, and costs a reader on a phone little."""
    with Image.open(path, formats=["WEBP"]) as image:
        image.load()
        assert min(image.size) >= 390
    assert path.stat().st_size < MAX_BYTES


def test_every_picture_is_told_in_words() -> None:
    """For whoever does not see it."""
    assert [path.name for path, words in _shown().items() if len(words) < SHORTEST_WORDS] == []


def test_a_picture_without_words_would_be_found() -> None:
    """The pattern bites."""
    assert shown_in("a ![](x.webp) b ![Two words](../y.png)") == [("", "x.webp"), ("Two words", "../y.png")]
