"""YAML is written as the official CLI writes it, to the character, and reads back as the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_cli.sync import yaml12
from platform_cli.sync.items import Json, Kind
from platform_cli.sync.official.canonical import canonical
from tests.support.official import json_values, texts

# What the npm package `yaml`, as the official CLI 1.819.0 holds and sets it, wrote for made-up values.
NPM: list[dict[str, Any]] = json.loads((Path(__file__).parent / "npm_yaml.json").read_text(encoding="utf-8"))


def test_every_value_is_written_as_the_npm_package_writes_it() -> None:
    """Quotes, folds, blocks, the order of names, and numbers."""
    assert [yaml12.dump(one["value"]) for one in NPM] == [one["text"] for one in NPM]


def test_every_text_of_the_npm_package_is_read_as_it_was_meant() -> None:
    """The value that was written, with whole numbers whole."""
    for one in NPM:
        assert _tidy(yaml12.load(one["text"], "npm.yaml")) == _tidy(one["value"]), one["text"]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(texts, json_values, max_size=4))
def test_what_is_written_reads_back_as_the_same(value: dict[str, Any]) -> None:
    """Whatever the names and texts."""
    assert yaml12.load(yaml12.dump(value), "x.yaml") == _tidy(value)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from(" \t\n\r:#-'\"\\>|x\x00\x07\x1b\x7f\x85\u2028\ufeff\ufffe😀ñ"), max_size=120))
def test_no_character_is_lost(text: str) -> None:
    """Not even those that a reader takes for line ends, or does not take at all."""
    value: dict[str, Json] = {"k": text, "list": [text], text: "value"}

    assert yaml12.load(yaml12.dump(value), "x.yaml") == value


@pytest.mark.parametrize(
    "text", ["  first\nsecond " + "word " * 40, " first " + "word " * 40 + "\nsecond", "  \n"]
)
def test_a_text_that_the_official_cli_would_spoil_is_written_so_that_it_lasts(text: str) -> None:
    """That CLI breaks an indented first line and makes blanks a block: both read back as another text."""
    assert yaml12.load(yaml12.dump({"description": text}), "x.yaml") == {"description": text}


def test_a_long_text_is_folded_and_one_with_a_long_word_is_not() -> None:
    """At eighty columns; a line that cannot be broken makes the whole block literal."""
    folds = (
        "one line of words that goes on for longer than the eighty columns of a line can ever hold\nand one"
    )
    stays = "x" * 90 + "\nand one"

    assert yaml12.dump({"a": folds, "b": stays}) == (
        "a: >-\n"
        "  one line of words that goes on for longer than the eighty columns of a line\n"
        "  can ever hold\n"
        "\n"
        "  and one\n"
        f"b: |-\n  {'x' * 90}\n  and one\n"
    )


def _tidy(value: Any) -> Any:
    return canonical(Kind.VARIABLE, {"value": value})["value"]
