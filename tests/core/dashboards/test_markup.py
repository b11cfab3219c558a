"""Markup: whatever somebody wrote stays text, and nothing leaves the page or runs in it."""

from __future__ import annotations

import ast
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_core.dashboards.markup import document, el, join, theirs
from platform_core.errors import ConfigurationError

DASHBOARDS = Path("platform-core/src/platform_core/dashboards")


class Structure(HTMLParser):
    """The elements and attributes of a page, and its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.ended: list[str] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.elements.append((tag, tuple(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        self.ended.append(tag)

    def handle_data(self, data: str) -> None:
        """Text."""
        self.said += data


def structure_of(page: str) -> Structure:
    """Read a page as a browser does."""
    found = Structure()
    found.feed(page)
    found.close()
    return found


@given(st.text(st.characters(), max_size=80))
def test_any_text_stays_text_in_an_element_and_in_an_attribute(text: str) -> None:
    """It opens nothing, closes nothing and says what it said, but for what no page can hold."""
    page = document(
        language="es", theme="auto", title=text, style="p{}", nonce="n", body=el("p", text, title=text)
    )
    found = structure_of(page)
    tags = [tag for tag, _ in found.elements]

    assert tags == ["html", "head", "meta", "title", "meta", "meta", "meta", "meta", "style", "body", "p"]
    assert found.ended == ["title", "style", "head", "p", "body", "html"]
    assert [name for name, _ in found.elements[-1][1]] == ["title"]
    page.encode()


@given(st.text(st.characters(), max_size=300))
def test_what_somebody_wrote_is_isolated_and_bounded(text: str) -> None:
    """One element around it, no mark that turns what stands beside it, and never endless."""
    found = structure_of(theirs(text, longest=50).text)

    assert [tag for tag, _ in found.elements] == ["bdi"]
    assert len(found.said) <= 50
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") & set(found.said)


@pytest.mark.parametrize(
    "make",
    [
        lambda: el("script", "alert(1)"),
        lambda: el("iframe"),
        lambda: el("object"),
        lambda: el("base"),
        lambda: el("p", onclick="alert(1)"),
        lambda: el("p", style="color:red"),
        lambda: el("form", formaction="/x"),
        lambda: el("a", href="javascript:alert(1)"),
        lambda: el("a", href="https://evil.example"),
        lambda: el("a", href="//evil.example"),
        lambda: el("a", href="/\\evil.example"),
        lambda: el("a", href="/a b"),
        lambda: el("form", action="https://evil.example"),
        lambda: el("img", src="https://evil.example/x.png"),
        lambda: el("img", src="data:image/svg+xml;base64,AAAA"),
        lambda: el("img", src="data:text/html;base64,AAAA"),
        lambda: document(language="es", theme="auto", title="", style="</style>", nonce="", body=None),
    ],
)
def test_what_a_page_of_ours_never_holds_is_refused(make: object) -> None:
    """Code that would run, style that the policy forbids, anything from elsewhere."""
    with pytest.raises(ConfigurationError):
        make()  # type: ignore[operator]  # each is a function of nothing


def test_pieces_come_in_order_and_nothing_is_nothing() -> None:
    """Numbers are said, and what is not there leaves no trace."""
    made = join(el("p", "a", None, [1, [el("strong", "b")]]), el("input", disabled=True, name=None, value=0))

    assert made.text == '<p>a1<strong>b</strong></p><input disabled value="0">'


def test_only_the_builder_makes_markup() -> None:
    """An `Html` made elsewhere could hold anything; there is none."""
    makers = [
        f"{path.name}:{node.lineno}"
        for path in sorted(DASHBOARDS.glob("*.py"))
        if path.name != "markup.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Html"
    ]

    assert makers == []
