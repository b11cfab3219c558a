"""What may stand at the top of the repository, and words that may stand nowhere in it."""

from __future__ import annotations

import re

import pytest

from tests.architecture.source import ROOT, repository_files

TOP = {
    ".ci",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.es.md",
    "README.md",
    "connectors",
    "credentials.example.env",
    "customers",
    "docs",
    "infra",
    "ops",
    "platform-cli",
    "platform-core",
    "pyproject.toml",
    "tests",
    "uv.lock",
}


def _of(*words: str) -> str:
    """Words written with a bar inside, so that this file does not hold them itself."""
    return "|".join(re.escape(word.replace("|", "")) for word in words)


FORBIDDEN = {
    "a path of one machine": _of("/wo|rk/", "/ro|ot/", "/home/|runner"),
    "the host of a package registry": _of(
        "py|pi.org",
        "python|hosted.org",
        "proxy.go|lang.org",
        "sum.go|lang.org",
        "registry.np|mjs",
        "cra|tes.io",
        "repo.mav|en",
        "deb.deb|ian.org",
    ),
    "talk about how the text came to be": _of(
        "as an |AI",
        "as an |assistant",
        "language |model",
        "my |prompt",
        "the |prompt said",
        "system |prompt",
        "Chat|GPT",
        "Open|AI",
        "Anth|ropic",
        "Cla|ude",
        "Copi|lot",
        "sub|agent",
        "in this |session",
        "this |session's",
        "previous |session",
        "next |session",
        "earlier |session",
        "you |asked",
        "I |have added",
        "I've |added",
        "the |brief says",
    ),
}
MAY_NAME_REGISTRIES = {"uv.lock"}  # a lock file records where each file comes from


def forbidden(name: str, text: str) -> list[str]:
    """Which forbidden words a file holds, line by line."""
    return [
        f"{name}:{number}: {what}: {match[0]!r}"
        for what, pattern in FORBIDDEN.items()
        if not (name in MAY_NAME_REGISTRIES and "registry" in what)
        for number, line in enumerate(text.splitlines(), 1)
        for match in [re.search(rf"(?i)(?<![\w.])(?:{pattern})", line)]
        if match
    ]


def test_the_top_of_the_repository_is_the_fixed_list() -> None:
    """A new thing at the top is a decision; write it down first."""
    assert {name.split("/")[0] for name in repository_files()} - TOP == set()


def test_no_folder_is_kept_empty() -> None:
    """Only folders that have something in them."""
    keepers = [name for name in repository_files() if name.split("/")[-1] in {".gitkeep", ".keep"}]

    assert keepers == []


def test_no_file_holds_a_forbidden_word() -> None:
    """The repository speaks of the product, not of desks, machines or mirrors."""
    found = []
    for name in repository_files():
        content = (ROOT / name).read_bytes()
        if b"\0" not in content:
            found += forbidden(name, content.decode("utf-8", "replace"))

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "see /wo" + "rk/plan",
        "cd /ro" + "ot/x",
        "index = https://py" + "pi.org/simple",
        "As an A" + "I, this",
        "done in this ses" + "sion",
        "Copi" + "lot wrote it",
    ],
)
def test_a_forbidden_word_is_found(line: str) -> None:
    """Each list bites."""
    assert forbidden("docs/a.md", line) != []


@pytest.mark.parametrize(
    "line",
    ["the job's framework/ folder", "a database session", "prompt payment", "files.example.org", "a/root/b"],
)
def test_an_ordinary_word_is_not(line: str) -> None:
    """Words inside other words are fine."""
    assert forbidden("docs/a.md", line) == []


def test_a_lock_file_may_name_registries_and_nothing_else() -> None:
    """The exception is for one file and one list."""
    line = "https://files.python" + "hosted.org/x"

    assert forbidden("uv.lock", line) == []
    assert forbidden("README.md", f"from {line.removeprefix('https://files.')}") != []
    assert forbidden("uv.lock", "cd /wo" + "rk/x") != []


def workflow_complaints(text: str) -> list[str]:
    """What a workflow does beside calling make, and actions that are not pinned to a commit."""
    commands, actions = re.findall(r"\brun: *(.*)", text), re.findall(r"\buses: *(\S+)", text)
    found = [f"runs {command!r}" for command in commands if not re.fullmatch(r"make [a-z-]+", command)]
    found += [
        f"{action} is not pinned to a commit"
        for action in actions
        if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)
    ]
    if re.search(r"pull_request_target|write-all", text):
        found.append("gives strangers the rights of the repository")
    return found


def test_workflows_call_make_and_nothing_else() -> None:
    """What runs there can be run at any desk, and no action can be changed under us."""
    workflows = [name for name in repository_files() if name.startswith(".github/workflows/")]
    found = {name: workflow_complaints((ROOT / name).read_text(encoding="utf-8")) for name in workflows}

    assert workflows
    assert {name: complaints for name, complaints in found.items() if complaints} == {}


@pytest.mark.parametrize(
    "line",
    [
        "- run: pip install x",
        "- run: |",
        "- uses: actions/checkout@v5",
        "on: pull_request_target",
        "run: make a && b",
    ],
)
def test_a_workflow_that_does_more_is_found(line: str) -> None:
    """The rule bites."""
    assert workflow_complaints(line) != []
