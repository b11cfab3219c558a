"""Scripts inside flows and apps are called as the official CLI calls them, or a pull would rename files."""

from __future__ import annotations

import pytest

from platform_cli.sync.official.naming import (
    SCRIPT_EXTENSIONS,
    Names,
    file_name,
    inline_extension,
    language_by_ending,
    language_of,
)


@pytest.mark.parametrize(
    ("summary", "name"),
    [
        ("Ask staff", "ask_staff"),
        ("Fetch orders!", "fetch_orders!"),
        ("a/b: c", "ab_c"),
        ("..hidden..", "hidden"),
        ("a   b", "a_b"),
        ('x*?"<>|y', "xy"),
        ("\tTab\n", "tab"),
        ("CON", "_con"),
        ("com1", "_com1"),
        ("console", "console"),
        ("Niño 日本", "niño_日本"),
        ("///", ""),
    ],
)
def test_a_summary_becomes_the_name_of_a_file(summary: str, name: str) -> None:
    """Spaces are underscores; what some system forbids in names is dropped."""
    assert file_name(summary) == name


def test_duplicates_share_one_counter_and_an_empty_summary_has_a_name_of_its_own() -> None:
    """The counter goes on over the whole flow; letters' case does not make a difference."""
    names = Names()

    assert [names.take(text) for text in ["a", "A", "b", "a", "b", "", ""]] == [
        "a",
        "a_1",
        "b",
        "a_2",
        "b_3",
        "inline_script_0",
        "inline_script_4",
    ]


def test_a_runnable_of_an_app_keeps_its_case() -> None:
    """Its name is an identifier in the frontend's code."""
    names = Names(unnamed="runnable", keep_case=True)

    assert [names.take(text) for text in ["getClaims", "GETCLAIMS", "/"]] == [
        "getClaims",
        "GETCLAIMS_1",
        "runnable_0",
    ]


@pytest.mark.parametrize("language", sorted(SCRIPT_EXTENSIONS))
def test_the_language_of_a_script_follows_from_its_file(language: str) -> None:
    """For each language there is one extension and back."""
    assert language_of(SCRIPT_EXTENSIONS[language]) == language
    assert language_by_ending(f"lib/x.{SCRIPT_EXTENSIONS[language]}") == language


def test_languages_that_share_a_file_or_have_none() -> None:
    """A bare `.sql` says no dialect; a step's TypeScript without Node has another ending than a script's."""
    assert (language_of("bun.ts"), language_of("sql"), language_of("yaml")) == ("bun", None, None)
    assert (inline_extension("nativets"), inline_extension("bunnative")) == ("native.ts", "ts")
