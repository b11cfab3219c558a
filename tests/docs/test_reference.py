"""What is generated is fresh, and what documents and messages tell people to type can be typed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from platform_cli import reference
from platform_cli.main import build

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("platform-core/src", "platform-cli/src", "connectors/src", "customers")
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted(
        [
            *ROOT.glob("README*.md"),
            *ROOT.glob("docs/**/*.md"),
            *ROOT.glob("ops/**/*.md"),
            *ROOT.glob("customers/**/*.toml"),
        ]
    )
]

_TYPED = re.compile(
    r"(?:^ *(?:\$ )?|`|\.venv/bin/)wmctl ((?:[a-z]+ ?){1,3})((?:[^`\n\\]|\\\n)*)", re.MULTILINE
)
_OPTION = re.compile(r"(?<=\s)--[a-z][a-z-]*")


def tree() -> dict[tuple[str, ...], set[str]]:
    """Every command of wmctl with its options."""
    return {
        words: {name for parameter in getattr(command, "params", []) for name in parameter.opts} | {"--help"}
        for words, command in reference.commands(typer.main.get_command(build()))
    }


def untypable(text: str, known: dict[tuple[str, ...], set[str]]) -> Iterator[str]:
    """The commands of a text that wmctl has not, and options that a command of it has not."""
    for said, rest in _TYPED.findall(text):
        words = tuple(said.split())
        found = next((words[:n] for n in (3, 2, 1) if words[:n] in known), None)
        if found is None and len(words) == 1 and any(path[:1] == words for path in known):
            continue  # a noun, as a name for its commands
        if found is None:
            yield f"wmctl {' '.join(words[:2])}"
            continue
        for option in set(_OPTION.findall(f" {rest}")) - known[found]:
            yield f"wmctl {' '.join(found)} {option}"


def _advice_in(source: Path) -> Iterator[str]:
    """Every text of a module that holds `wmctl …`; what is filled in at run time is a bracket."""
    module = ast.parse(source.read_text(encoding="utf-8"))
    for node in ast.walk(module):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "`wmctl " in node.value:
            yield node.value


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_a_generated_page_is_what_the_code_says_now(name: str) -> None:
    """`python -m platform_cli.reference` brings it up to date."""
    assert reference.pages()[name] == (ROOT / reference.FOLDER / name).read_text(encoding="utf-8")


def test_every_command_is_on_the_page_with_an_example_of_itself() -> None:
    """A command without an example is one that nobody tried."""
    page = reference.cli_page()
    absent = [" ".join(words) for words in tree() if f"\nwmctl {' '.join(words)}" not in page]

    assert len(tree()) > len(reference.DOCUMENTS)
    assert absent == []


def test_every_json_document_has_its_keys_on_the_page() -> None:
    """Scripts read them: a command with --json names what it prints."""
    with_json = {" ".join(words) for words, options in tree().items() if "--json" in options}

    assert set(reference.DOCUMENTS) == with_json


def test_every_error_has_advice_of_its_own() -> None:
    """The general next step of a code; the message knows the particular one."""
    general = [
        kind.code
        for kind in reference.error_classes()
        if kind.code not in reference.ADVICE and "default_next_step" not in vars(kind)
    ]

    assert general == []


def test_no_advice_is_for_an_error_that_is_gone() -> None:
    """A code that was renamed takes its advice with it."""
    assert set(reference.ADVICE) - {kind.code for kind in reference.error_classes()} == set()


@pytest.mark.parametrize("name", PAGES)
def test_a_document_tells_to_type_only_what_exists(name: str) -> None:
    """Commands in backticks, in fences and after a prompt; with their options."""
    assert list(untypable((ROOT / name).read_text(encoding="utf-8"), tree())) == []


def test_a_message_tells_to_type_only_what_exists() -> None:
    """A next step that cannot be taken is worse than none."""
    known, found = tree(), []
    for folder in PRODUCT:
        for source in sorted((ROOT / folder).rglob("*.py")):
            for text in _advice_in(source):
                found += [f"{source.relative_to(ROOT)}: {what}" for what in untypable(text, known)]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("`wmctl claim list --state held`, `wmctl demo`", []),
        ("```sh\n.venv/bin/wmctl job list --json\n```", []),
        ("$ wmctl claim approve C4 --as bruno \\\n    --amount 1 --method cash", []),
        ("what `wmctl` prints, and `wmctl claim` too", []),
        ("See `wmctl event list`.", ["wmctl event list"]),
        ("`wmctl claim list --color`", ["wmctl claim list --color"]),
        ("$ wmctl job lists", ["wmctl job lists"]),
        ("1. Do:\n\n   ```sh\n   wmctl backup fetchh\n   ```", ["wmctl backup fetchh"]),
    ],
)
def test_what_cannot_be_typed_is_found(text: str, complaints: list[str]) -> None:
    """The rule bites, and lets what exists pass."""
    assert list(untypable(text, tree())) == complaints
