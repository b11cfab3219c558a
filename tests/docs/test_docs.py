"""The documents name what exists, say the same in both languages, and stay short enough to be read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from platform_cli.main import build

ROOT = Path(__file__).resolve().parents[2]
README_LINES = 150
TOUR_LINES = 250
FIRST_SCREEN = 20
DECISIONS = sorted(path.name[:4] for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
DESIGNED = [f"{number:04}" for number in range(1, 11)]
"""The ten that the platform was designed by; later ones are counted on."""

DECISION_PARTS = ["Context", "Decision", "Consequences", "Alternatives", "What enforces it"]

_CODE = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:[\w.-]+/)*[\w.-]+\.(?:py|sql|toml|yaml|yml|md|sh|json|env|lock)")
_FOLDER = re.compile(r"(?:[\w.-]+/)+[\w.-]*")
_NAME_IN_FILE = re.compile(rf"({_FILE.pattern}): ?([A-Za-z_][\w.]*)(?:\(\))?")
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
_SEARCHED = ("platform-core", "platform-cli", "connectors", "customers", "infra", "ops", "docs", "tests")


def _read(name: str) -> str:
    path = ROOT / name
    assert path.is_file(), f"{name} is missing: write it"
    return path.read_text(encoding="utf-8")


def _found(name: str) -> list[Path]:
    """The files or folders a document means: by path from the root, or by the end of their path."""
    exact = ROOT / name
    if exact.exists():
        return [exact]
    last = name.rstrip("/").split("/")[-1]
    folders = [ROOT / folder for folder in _SEARCHED if (ROOT / folder).is_dir()]
    return [
        path
        for folder in folders
        for path in folder.rglob(last)
        if f"/{path.relative_to(ROOT).as_posix()}".endswith(f"/{name.rstrip('/')}")
    ]


def _defines(path: Path, name: str) -> bool:
    """Whether a file has that function, class, method, constant, named statement or key."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return re.search(rf"\b{re.escape(name)}\b", text) is not None
    scope: list[ast.stmt] = ast.parse(text).body
    for part in name.split("."):
        inner = [node for node in scope if part in _names(node)]
        if not inner:
            return False
        scope = [item for node in inner for item in getattr(node, "body", [])]
    return True


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def missing(text: str) -> Iterator[str]:
    """The files, folders and functions a document names in backticks, or links to, that are not there."""
    prose = _FENCE.sub("", text)
    for code in _CODE.findall(prose):
        named = _NAME_IN_FILE.fullmatch(code)
        if named:
            files = _found(named[1])
            if not any(_defines(path, named[2]) for path in files):
                yield f"`{code}`: {'no such name in it' if files else 'no such file'}"
        elif _FILE.fullmatch(code) and not _found(code):
            yield f"`{code}`: no such file"
        elif _FOLDER.fullmatch(code) and code.split("/")[0] in _SEARCHED and not _found(code):
            yield f"`{code}`: no such file or folder"


def _broken_links(name: str, text: str) -> list[str]:
    targets = [target for target in _LINK.findall(_FENCE.sub("", text)) if "://" not in target]
    return [target for target in targets if not ((ROOT / name).parent / target).exists()]


def _documents() -> list[str]:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("ops/**/*.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in pages)


def _commands(text: str) -> list[str]:
    """The lines of the fenced blocks; what follows # is for the reader and may be translated."""
    lines = [line.split(" #")[0].strip() for block in _FENCE.findall(text) for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_readme_is_short() -> None:
    """In both languages."""
    lengths = {name: len(_read(name).splitlines()) for name in ("README.md", "README.es.md")}

    assert {name: lines for name, lines in lengths.items() if lines > README_LINES} == {}


def test_both_readmes_have_the_same_commands_in_the_same_order() -> None:
    """A reader of either language types the same."""
    english, spanish = _commands(_read("README.md")), _commands(_read("README.es.md"))

    assert {"make demo", "make test"} <= set(english)
    assert english == spanish


def test_the_readme_names_verbs_that_exist() -> None:
    """Each `make` verb is a target, each wmctl command is one."""
    targets = set(re.findall(r"^([a-z-]+):", _read("Makefile"), re.MULTILINE))
    known = {" ".join(path) for path in wmctl_commands()}
    commands = _commands(_read("README.md"))
    verbs = {match[1] for match in (re.match(r"make ([a-z-]+)", line) for line in commands) if match}
    asked = {
        match[1] for match in (re.search(r"\bwmctl ((?:[a-z]+ ?)+)", line) for line in commands) if match
    }

    assert verbs - targets == set()
    assert {line for line in asked if not any(f"{line} ".startswith(f"{one} ") for one in known)} == set()


@pytest.mark.parametrize("name", ["docs/tour.md", *_documents()])
def test_a_document_names_only_what_exists(name: str) -> None:
    """A file or function that was renamed takes its mention with it."""
    gone = list(missing(_read(name)))

    assert not gone, f"{name}:\n" + "\n".join(gone)


@pytest.mark.parametrize("name", _documents())
def test_no_link_of_a_document_is_broken(name: str) -> None:
    """Links inside the repository only; others are not ours to promise."""
    assert _broken_links(name, _read(name)) == []


def test_the_tour_follows_the_receipt_through_functions() -> None:
    """It names functions in files, or it would be a list of folders."""
    named = [code for code in _CODE.findall(_read("docs/tour.md")) if _NAME_IN_FILE.fullmatch(code)]

    assert len(named) >= len(DESIGNED)


def test_the_tour_is_read_in_one_sitting() -> None:
    """And its first screen says where a receipt is refused."""
    lines = _read("docs/tour.md").splitlines()

    assert len(lines) <= TOUR_LINES
    assert any("refused" in line and "signature.py: verify" in line for line in lines[:FIRST_SCREEN])


def test_the_readme_says_on_its_first_screens_where_a_receipt_is_refused() -> None:
    """In bold, with the file, in both languages."""
    for name, words in (
        ("README.md", "**A receipt is refused here**"),
        ("README.es.md", "**Aquí se rechaza"),
    ):
        text = _read(name)
        before = text.partition(words)[0].splitlines()[-3:]

        assert words in text, name
        assert any("signature.py" in line for line in before), name


def test_decisions_are_numbered_without_a_gap() -> None:
    """The ten of the design, and what was decided since."""
    assert [f"{number:04}" for number in range(1, len(DECISIONS) + 1)] == DECISIONS
    assert set(DESIGNED) <= set(DECISIONS)


@pytest.mark.parametrize("number", DECISIONS)
def test_a_decision_record_has_its_parts(number: str) -> None:
    """One page each: what was true, what was taken, what follows, what was weighed, what keeps it so."""
    files = list((ROOT / "docs" / "decisions").glob(f"{number}-*.md"))
    assert len(files) == 1, f"docs/decisions has {len(files)} records numbered {number}"
    text = files[0].read_text(encoding="utf-8")

    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == DECISION_PARTS
    assert text.startswith(f"# {number} ")
    assert all(part.strip() for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:])


def test_what_enforces_a_decision_exists() -> None:
    """A test or file that is named as the enforcer is there."""
    gone = []
    for path in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        enforcers = path.read_text(encoding="utf-8").partition("## What enforces it")[2]
        gone += [f"{path.name}: {line}" for line in missing(enforcers)]

    assert not gone, "\n".join(gone)


def wmctl_commands() -> list[tuple[str, ...]]:
    """Every command of wmctl, as the words that call it."""

    def walk(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        if isinstance(inner, dict):
            for name, child in inner.items():
                yield from walk(child, (*words, name))
        elif not getattr(command, "hidden", False):
            yield words

    return sorted(walk(typer.main.get_command(build()), ()))


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    """Keep a Changelog, for the person upgrading."""
    assert re.search(r"^## \[?Unreleased\]?$", _read("CHANGELOG.md"), re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("`tests/docs/test_docs.py`, `docs/test_docs.py` and `tests/docs/`", 0),
        ("`tests/docs/test_docs.py: missing`, `test_docs.py: test_the_readme_is_short()`", 0),
        ("`tests/docs/test_docs.py: README_LINES`, `Makefile`, `make demo`, `claim.approved`, `a/b`", 0),
        ("```sh\ncat nowhere.py\n```", 0),
        ("`tests/docs/nowhere.py`", 1),
        ("`tests/docs/test_docs.py: nowhere`", 1),
        ("`nowhere.py: missing`", 1),
        ("`tests/nowhere/`", 1),
    ],
)
def test_a_mention_of_what_is_gone_is_found(text: str, complaints: int) -> None:
    """The rule bites, and lets what exists pass."""
    assert len(list(missing(text))) == complaints


def test_a_broken_link_is_found() -> None:
    """A link is resolved from its own document's folder."""
    assert _broken_links("docs/tour.md", "[x](../Makefile) [y](nowhere.md) [z](https://example.org)") == [
        "nowhere.md"
    ]


def test_a_difference_between_the_readmes_would_be_found() -> None:
    """Comments may differ, commands may not."""
    assert _commands("```sh\nmake demo  # plays\n```") == _commands("```sh\nmake demo  # juega\n```")
    assert _commands("```sh\nmake demo\n```") != _commands("```sh\nmake test\n```")
