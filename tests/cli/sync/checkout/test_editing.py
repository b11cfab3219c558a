"""A YAML text changed so that it says something else, and every other line stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_cli.sync import yaml12
from platform_cli.sync.checkout.editing import edited
from platform_cli.sync.items import Json
from tests.support.folders import JSON, NAMES

FILE = "x.yaml"
DOCUMENTS = st.dictionaries(NAMES, JSON, min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_an_edited_text_says_what_was_asked_for(before: dict[str, Json], after: dict[str, Json]) -> None:
    """Whatever it said before."""
    assert yaml12.load(edited(yaml12.dump(before), after, FILE), FILE) == after


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        pytest.param("a: 1 # one\n", {"a": [1]}, "a: # one\n  - 1\n", id="a list where a number was"),
        pytest.param("a:\n  - 1\n  - 2\nb: 3\n", {"a": [], "b": 3}, "a: []\nb: 3\n", id="an emptied list"),
        pytest.param(
            "a:\n- 1\n- 3\n", {"a": [1, 2, 3]}, "a:\n- 1\n- 2\n- 3\n", id="a list that is not indented"
        ),
        pytest.param("a: [1, x]\n", {"a": [1, "x", "a: b"]}, "a: [1, x, 'a: b']\n", id="a list in brackets"),
        pytest.param(
            "a: {b: 1}\n", {"a": {"b": 2, "c": None}}, "a: {b: 2, c: null}\n", id="fields in brackets"
        ),
        pytest.param('a: "x"\n', {"a": 'y "z"'}, 'a: "y \\"z\\""\n', id="double quotes"),
        pytest.param("a: 'x'\n", {"a": "it's"}, "a: 'it''s'\n", id="single quotes"),
        pytest.param(
            "a: |\n    x\n", {"a": "y\n\n z\n"}, "a: |\n    y\n\n     z\n", id="a block's own indent"
        ),
        pytest.param("a: | # b\n  x\n", {"a": "y"}, "a: y # b\n", id="a comment behind a block's sign"),
        pytest.param("a: x # b\n", {"a": "y\nz\n"}, "a: | # b\n  y\n  z\n", id="a comment before a block"),
        pytest.param("a: b\n\n# c\nd: e\n", {"d": "e"}, "# c\nd: e\n", id="the first field removed"),
        pytest.param(
            "# a\n\nb: 1\n# c\n", {"b": 1, "d": 2}, "# a\n\nb: 1\nd: 2\n# c\n", id="comments around"
        ),
        pytest.param("b: 1\n", {"a": 2, "b": 1}, "a: 2\nb: 1\n", id="a field before all others"),
        pytest.param("---\na: 1\n...\n", {"a": 2}, "---\na: 2\n...\n", id="the marks of a document"),
        pytest.param("a: 1", {"a": 2}, "a: 2", id="no line end at the end"),
        pytest.param("'a b': 1\n", {"a b": 2}, "'a b': 2\n", id="a quoted name"),
        pytest.param("- a\n", {"a": 2}, "a: 2\n", id="a text that was no mapping"),
        pytest.param(
            "m:\n# x\n- id: a\n  v: 1\n# y\n- id: b\n",
            {"m": [{"id": "b", "v": 2}]},
            "m:\n# y\n- id: b\n  v: 2\n",
            id="items by their id",
        ),
        pytest.param("a: 1\nb: 2\n", {"a": 1, "b": 2}, "a: 1\nb: 2\n", id="nothing"),
    ],
)
def test_only_what_was_edited_changes(text: str, wanted: dict[str, Json], expected: str) -> None:
    """The rest is the person's own bytes."""
    assert edited(text, wanted, FILE) == expected
