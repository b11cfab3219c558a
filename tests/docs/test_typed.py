"""What guides and runbooks tell to type can be typed: make targets, our scripts, known programs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pipeline import make_targets
from tests.support.runbooks import PAGES, commands

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = "infra/scripts/deploy_vps.sh"
USAGE = 64

PROGRAMS = {
    "age-keygen": "makes pairs of keys that open copies",
    "cat": "shows a file",
    "cp": "copies a file",
    "curl": "asks a server",
    "debootstrap": "makes a Debian, where a rehearsal has no registry",
    "docker": "asks a registry for a digest; on a host, what runs there",
    "export": "sets what the next lines read",
    "gh": "GitHub's own command",
    "git": "it is a repository",
    "mkdir": "makes a folder",
    "printf": "writes a line",
    "rm": "deletes a file",
    "scp": "sends a folder to a host",
    "sha256sum": "proves a download",
    "sha512sum": "proves one whose sums are longer",
    "ssh": "enters a host",
    "ssh-keygen": "makes and shows keys",
    "ssh-keyscan": "asks a host for its key",
    "sudo": "is root for one command",
    "tar": "packs and unpacks",
    "umask": "keeps from others what the next lines write",
}
"""Programs a reader has, beside ours; a new one here is one more thing they need."""

_INLINE = re.compile(rf"`({re.escape(DEPLOY)} [^`]+)`")
_ASSIGNMENT = re.compile(r"^[a-zA-Z_]+=")


def untypable(line: str) -> Iterator[str]:
    """What is wrong with a line of shell, as far as it can be said without running it."""
    first = line.split(maxsplit=1)[0]
    if first == "sudo" and " " in line:
        yield from untypable(line.split(maxsplit=1)[1])
        return
    if _ASSIGNMENT.match(line):
        return
    if first == "make":
        target = next((word for word in line.split()[1:] if "=" not in word), "")
        if target not in make_targets():
            yield f"no make target {target!r}"
    elif "/" in first and not first.startswith("."):
        if not (ROOT / first).is_file():
            yield f"no script {first}"
    elif first not in PROGRAMS and first not in {"wmctl", ".venv/bin/wmctl", ".venv/bin/python"}:
        yield f"{first} is no program a reader is known to have"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_tells_to_type_is_there(page: Path) -> None:
    """Commands of wmctl are held by test_reference.py."""
    lines = commands(page.read_text(encoding="utf-8"))

    assert [f"{line}: {what}" for line in lines for what in untypable(line)] == []


def _deploys() -> list[str]:
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found |= {line for line in [*commands(text), *_INLINE.findall(text)] if line.startswith(f"{DEPLOY} ")}
    return sorted(found)


@pytest.fixture
def desk(tmp_path: Path) -> dict[str, str]:
    """A desk from which a host can be deployed, as far as the script can tell: ssh says yes to everything."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text('#!/bin/sh\necho run-1\necho "$*" >>"$SAID"\n', encoding="utf-8")
    (programs / "ssh").chmod(0o755)
    for name in ("key", "known_hosts"):
        (tmp_path / name).write_text("not-a-real key\n", encoding="utf-8")
    for version in ("1.4.0", "VERSION"):
        (tmp_path / "release.json").write_text('{"version": "1.4.0"}\n', encoding="utf-8")
        with tarfile.open(tmp_path / f"platform-{version}.tar.gz", "w:gz") as bundle:
            bundle.add(tmp_path / "release.json", "./release.json")
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "DEPLOY_HOST": "platform-deploy@vps.example.org",
        "DEPLOY_IDENTITY": str(tmp_path / "key"),
        "DEPLOY_KNOWN_HOSTS": str(tmp_path / "known_hosts"),
        "SAID": str(tmp_path / "said"),
    }


@pytest.mark.parametrize("line", _deploys())
def test_a_line_that_deploys_is_understood(desk: dict[str, str], tmp_path: Path, line: str) -> None:
    """It reaches the host with the verb the page means; that the host does it, the rehearsal proves."""
    answer = subprocess.run(
        [ROOT / DEPLOY, *shlex.split(line)[1:]],
        cwd=tmp_path,
        env=desk,
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 0, answer.stderr
    assert "platform-deploy@vps.example.org" in (tmp_path / "said").read_text(encoding="utf-8")


def test_a_block_of_a_list_is_read_like_any_other() -> None:
    """It is indented; what is typed in it is not, and an inner indent stays."""
    page = "1. Do:\n\n   ```sh\n   ssh a 'b\n     c'\n   nonsense  # x\n   ```\n\n```sh\nmake check\n```\n"

    assert commands(page) == ["ssh a 'b   c'", "nonsense  # x", "make check"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("make check", []),
        ("make release VERSION=1.4.0", []),
        ("now=$(date +%s)", []),
        (f"{DEPLOY} status", []),
        ("make chekc", ["no make target 'chekc'"]),
        ("sudo make chekc", ["no make target 'chekc'"]),
        ("infra/scripts/none.sh status", ["no script infra/scripts/none.sh"]),
        ("kubectl get pods", ["kubectl is no program a reader is known to have"]),
    ],
)
def test_what_cannot_be_typed_is_found(line: str, complaint: list[str]) -> None:
    """The rule bites, and lets what exists pass."""
    assert list(untypable(line)) == complaint
