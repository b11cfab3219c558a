"""Images say what they are, where from and under which licences; a build is handed what it must be."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from platform_cli.releases import bases
from tests.support.releases import IDENTITY, ROOT, pin_bases

FILES = sorted((ROOT / "infra/docker").glob("*/Dockerfile"))
DOCKER = '#!/bin/sh\nprintf "%s\\n" "$@" >>"$SAID"\necho sha256:0\n'
REGISTRY = """#!/bin/bash
# Keeps the last image that was pushed: its digest is the hash of what it is made of.
case "$*" in
"buildx imagetools inspect"*)
    printf '{"config": {"Labels": {"platform.inputs": "%s"}}}' "$(cat "$SAID.inputs")" ;;
"buildx build"*)
    said=$* && made_of=${said#*platform.inputs=} && made_of=${made_of%% *}
    printf %s "$made_of" >"$SAID.inputs"
    for word in "$@"; do
        [[ $word != */metadata.json ]] || printf '{"containerimage.digest": "sha256:%s"}' "$made_of" >"$word"
    done ;;
esac
"""


def _labels(text: str) -> dict[str, str]:
    """The labels of an image, those of its last stage."""
    last = text.rpartition("\nFROM ")[2]
    return dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', last))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_an_image_says_what_it_is(file: Path) -> None:
    """Its name, version, commit, and licences; those of Debian's packages are in the bill of materials."""
    labels = _labels(file.read_text(encoding="utf-8"))

    assert sorted(labels) == ["description", "licenses", "revision", "title", "version"]
    assert labels["title"] == f"platform-{file.parent.name}"
    assert (labels["version"], labels["revision"]) == ("${VERSION}", "${REVISION}")
    assert labels["licenses"].split(" AND ")[0] == "LicenseRef-agency"


def _checkout(folder: Path, origin: str, docker: str) -> None:
    """As much of a checkout as PostgreSQL's image is made of, with that origin and what plays docker."""
    for name in ("infra/scripts/build_images.sh", "infra/docker", "infra/postgres"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    pin_bases(folder)
    for words in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "Begin"],
        *([["remote", "add", "origin", origin]] if origin else []),
    ):
        subprocess.run(["git", *words], cwd=folder, env={**os.environ, **IDENTITY}, check=True)
    (folder / "bin").mkdir()
    (folder / "bin/docker").write_text(docker, encoding="utf-8")
    (folder / "bin/docker").chmod(0o755)


def _run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", folder / "infra/scripts/build_images.sh", *words],
        env={
            **os.environ,
            **IDENTITY,
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "SAID": str(folder / "said"),
            "IMAGES": "platform-postgres",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def _build(
    folder: Path, origin: str, **environment: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Build PostgreSQL's image in a checkout with that origin; how docker was called."""
    _checkout(folder, origin, DOCKER)
    ended = _run(folder, "1.4.0", **environment)
    said = folder / "said"
    return ended, said.read_text(encoding="utf-8").splitlines() if said.exists() else []


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        ("https://github.com/agency/platform", "https://github.com/agency/platform"),
        ("https://x:not-a-real-token@github.com/agency/platform.git", "https://github.com/agency/platform"),
        ("git@github.com:agency/platform.git", "https://github.com/agency/platform"),
        ("ssh://git@git.example.org:2222/agency/platform.git", "https://git.example.org/agency/platform"),
        ("/srv/git/platform", ""),
        ("", ""),
    ],
)
def test_an_image_says_where_its_source_is_and_no_token(tmp_path: Path, origin: str, source: str) -> None:
    """As people open it; nothing where it is only a folder of a desk."""
    ended, words = _build(tmp_path, origin)
    said = [word for word in words if word.startswith("org.opencontainers.image.source=")]

    assert ended.returncode == 0, ended.stderr
    assert said == ([f"org.opencontainers.image.source={source}"] if source else [])
    assert "not-a-real-token" not in "".join(words)
    assert any(re.fullmatch(r"REVISION=[0-9a-f]{40}", word) for word in words)


def test_nothing_is_built_on_a_base_without_its_digest(tmp_path: Path) -> None:
    """Exit 70, before docker is asked; one machine may try it with ALLOW_UNPINNED."""
    refused, words = _build(tmp_path, "", DEBIAN_IMAGE="debian:trixie")

    assert (refused.returncode, words) == (70, [])
    assert "DEBIAN_IMAGE is 'debian:trixie', which names no digest" in refused.stderr
    assert bases.FILE in refused.stderr


@pytest.fixture
def pushed(tmp_path: Path) -> Path:
    """A checkout whose image of PostgreSQL was pushed for 1.4.0, and the release.json that names it."""
    _checkout(tmp_path, "", REGISTRY)
    image = _run(tmp_path, "1.4.0", "ghcr.io/agency/", PUSH="1").stdout.strip()
    facts = {"version": "1.4.0", "images": {"platform-postgres": image}}
    (tmp_path / "before.json").write_text(json.dumps(facts), encoding="utf-8")
    return tmp_path


def _again(folder: Path, prefix: str = "ghcr.io/agency/") -> tuple[str, str]:
    """Push the next release: what was built in the release before, and what is in this one."""
    before = json.loads((folder / "before.json").read_text(encoding="utf-8"))["images"]["platform-postgres"]
    ended = _run(folder, "1.5.0", prefix, PUSH="1", BEFORE=str(folder / "before.json"))
    assert ended.returncode == 0, ended.stderr
    return before, ended.stdout.strip()


def test_an_image_made_of_the_same_is_not_made_again(pushed: Path) -> None:
    """So a deploy does not restart a database that nothing changed in."""
    before, now = _again(pushed)

    assert re.fullmatch(r"ghcr\.io/agency/platform-postgres@sha256:[0-9a-f]{64}", now)
    assert now == before


@pytest.mark.parametrize(
    "file",
    ["infra/postgres/postgresql.conf", "infra/docker/postgres/Dockerfile", "infra/docker/packages_of.txt"],
)
def test_an_image_made_of_something_else_is_made(pushed: Path, file: str) -> None:
    """Any byte of its files; and the day of Debian's packages, which no file shows."""
    with (pushed / file).open("a", encoding="utf-8") as changed:
        changed.write("# another\n")
    before, now = _again(pushed)

    assert now != before


def test_an_image_on_another_base_or_in_another_place_is_made(pushed: Path) -> None:
    """A release names images of its own registry alone."""
    assert _again(pushed, "ghcr.io/others/")[1].startswith("ghcr.io/others/")
    bases_file = pushed / bases.FILE
    text = bases_file.read_text(encoding="utf-8")
    bases_file.write_text(re.sub("(DEBIAN_IMAGE=.*)[0-9a-f]{4}$", r"\g<1>beef", text, flags=re.MULTILINE))
    before, now = _again(pushed)

    assert now != before
