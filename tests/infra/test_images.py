"""Images say what they are, where from and under which licences; a build is handed what it must be."""

from __future__ import annotations

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


def _build(
    folder: Path, origin: str, **environment: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Build PostgreSQL's image in a checkout with that origin; how docker was called."""
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
    (folder / "bin/docker").write_text(DOCKER, encoding="utf-8")
    (folder / "bin/docker").chmod(0o755)
    ended = subprocess.run(
        ["bash", folder / "infra/scripts/build_images.sh", "1.4.0"],
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
