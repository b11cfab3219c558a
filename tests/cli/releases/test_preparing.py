"""`make release` commits and tags what is consistent, and refuses the rest before it touches a file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from platform_cli.releases import changelog, versions
from platform_cli.releases.preparing import check_tag, prepare
from platform_cli.releases.versions import Version
from platform_core.errors import InvalidInput, PlatformError, StateConflict
from tests.support.releases import IDENTITY, ROOT, Checkout

TODAY = date(2026, 11, 26)
NEXT = Version(9, 1, 0)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A repository that may be released."""
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
    return Checkout(tmp_path / "a checkout")


def _merge_later(checkout: Checkout) -> None:
    """The tag's commit leaves main."""
    checkout.git("branch", "other")
    checkout.git("reset", "--quiet", "--hard", "HEAD~1")
    checkout.git("switch", "--quiet", "other")


def _unpin(checkout: Checkout) -> str:
    """One base by its digest, two by a tag alone; the commit."""
    text = f"A=a/b:1@sha256:{'0' * 64}\nWINDMILL_BASE_IMAGE=x/windmill:1.743.0\nC=c:2@sha256:short\n"
    checkout.write("infra/docker/bases.env", text)
    return checkout.commit("By a tag")


def test_this_checkout_has_one_version() -> None:
    """pyproject.toml of the root decides; every package and the lock follow."""
    said = versions.declared(ROOT)

    assert len(said) == len(versions.files(ROOT)) - 1 + len(versions.MEMBERS) + 1
    assert set(said.values()) == {str(versions.current(ROOT))}


def test_a_release_is_one_commit_and_one_annotated_tag(checkout: Checkout) -> None:
    """The version stands everywhere, what waited stands under it, and nothing waits any more."""
    waited = changelog.section(checkout.read("CHANGELOG.md"), "Unreleased")

    commit = prepare(checkout.folder, NEXT, on=TODAY)

    text = checkout.read("CHANGELOG.md")
    assert checkout.git("log", "--format=%H %s", "-1") == f"{commit} Release 9.1.0"
    assert checkout.git("cat-file", "-t", "v9.1.0") == "tag"
    assert set(versions.declared(checkout.folder).values()) == {"9.1.0"}
    assert changelog.section(text, "9.1.0") == waited
    assert changelog.section(text, "Unreleased") == "\n"
    assert "## [9.1.0] - 2026-11-26" in text
    assert checkout.git("status", "--porcelain") == ""
    assert check_tag(checkout.folder, "v9.1.0") == NEXT


def test_the_lock_is_still_what_uv_would_write(checkout: Checkout) -> None:
    """Only the lines of our own packages change in it."""
    before = checkout.read("uv.lock").splitlines()

    prepare(checkout.folder, NEXT, on=TODAY)

    changed = [line for line in checkout.read("uv.lock").splitlines() if line not in before]
    assert changed == ['version = "9.1.0"'] * (len(versions.MEMBERS) + 1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda c: c.write("new.txt", "x"), "1 files are changed and not committed"),
        (lambda c: c.git("switch", "--quiet", "--create", "topic"), "The branch is not main"),
        (
            lambda c: (
                c.git("update-ref", "refs/remotes/origin/main", "HEAD"),
                c.git("commit", "--quiet", "--amend", "--message", "Other"),
            ),
            "main lacks commits that origin/main has",
        ),
        (lambda c: c.git("tag", "v9.1.0"), "9.1.0 is released already"),
        (lambda c: c.git("tag", "v9.10.0"), "9.1.0 is not greater than 9.10.0, the newest release"),
        (
            lambda c: c.commit_version(Version(10, 0, 0)),
            "9.1.0 is less than 10.0.0, which the files say already",
        ),
        (
            lambda c: (
                c.write("connectors/pyproject.toml", '[project]\nversion = "0.0.9"\n'),
                c.commit("Apart"),
            ),
            "but connectors/pyproject.toml says 0.0.9",
        ),
        (
            lambda c: (c.write("CHANGELOG.md", "## [Unreleased]\n\n### Added\n"), c.commit("Nothing")),
            "Nothing waits under [Unreleased] in CHANGELOG.md",
        ),
        (
            lambda c: (
                c.write("CHANGELOG.md", "## [Unreleased]\n\n- x\n\n## [9.1.0]\n\n- y\n"),
                c.commit("Twice"),
            ),
            "CHANGELOG.md has a section [9.1.0] already",
        ),
        (
            lambda c: (c.write("CHANGELOG.md", "- x\n"), c.commit("Headless")),
            "CHANGELOG.md has no section [Unreleased]",
        ),
        (_unpin, "infra/docker/bases.env:2: WINDMILL_BASE_IMAGE=x/windmill:1.743.0"),
    ],
)
def test_what_is_not_consistent_is_refused_before_anything_is_touched(
    checkout: Checkout, spoil: Callable[[Checkout], object], said: str
) -> None:
    """No commit, no tag, no file."""
    spoil(checkout)
    before = checkout.git("rev-parse", "HEAD"), checkout.git("status", "--porcelain"), checkout.git("tag")

    with pytest.raises(PlatformError, match=said.replace("[", r"\[")):
        prepare(checkout.folder, NEXT, on=TODAY)

    after = checkout.git("rev-parse", "HEAD"), checkout.git("status", "--porcelain"), checkout.git("tag")
    assert after == before


def test_each_base_without_its_digest_is_named_with_the_way_to_it(checkout: Checkout) -> None:
    """GitHub would refuse to build after the tag was pushed; the tag would then be spent."""
    _unpin(checkout)

    with pytest.raises(StateConflict) as refused:
        prepare(checkout.folder, NEXT, on=TODAY)

    assert str(refused.value).startswith(
        "No image of a release is built on a base without its digest: "
        "infra/docker/bases.env:2: WINDMILL_BASE_IMAGE=x/windmill:1.743.0, "
        "infra/docker/bases.env:3: C=c:2@sha256:short"
    )
    assert refused.value.next_step == (
        "`docker buildx imagetools inspect x/windmill:1.743.0`; `docker buildx imagetools inspect c:2` "
        "prints the digest; write it there as NAME=IMAGE:TAG@sha256:…, commit."
    )


def test_a_release_that_git_refuses_leaves_every_file_as_it_was(checkout: Checkout) -> None:
    """Such as a hook that says no."""
    hook = checkout.folder / ".git/hooks/commit-msg"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no >&2\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    head = checkout.git("rev-parse", "HEAD")

    with pytest.raises(PlatformError, match=r"git commit failed \(no\)"):
        prepare(checkout.folder, NEXT, on=TODAY)

    assert checkout.git("status", "--porcelain") == ""
    assert (checkout.git("rev-parse", "HEAD"), checkout.git("tag")) == (head, "")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda c: c.git("tag", "--delete", "v9.1.0"), "There is no tag v9.1.0 here"),
        (lambda c: c.git("tag", "--force", "v9.1.0", "HEAD"), "is a mark without author or date"),
        (lambda c: c.git("reset", "--quiet", "--hard", "HEAD~1"), "v9.1.0 is not what is checked out"),
        (_merge_later, "v9.1.0 is not on main"),
        (
            lambda c: (
                c.commit_version(Version(9, 2, 0)),
                c.git("tag", "--force", "--annotate", "v9.1.0", "--message", "x"),
            ),
            "The tag v9.1.0 is on a commit of version 9.2.0",
        ),
        (
            lambda c: (
                c.write("CHANGELOG.md", "## [Unreleased]\n"),
                c.commit("Other"),
                c.git("tag", "--force", "--annotate", "v9.1.0", "--message", "x"),
            ),
            "CHANGELOG.md has no section [9.1.0]",
        ),
        (
            lambda c: (_unpin(c), c.git("tag", "--force", "--annotate", "v9.1.0", "--message", "x")),
            "infra/docker/bases.env:2: WINDMILL_BASE_IMAGE=x/windmill:1.743.0",
        ),
    ],
)
def test_a_tag_that_is_not_consistent_is_not_released(
    checkout: Checkout, spoil: Callable[[Checkout], object], said: str
) -> None:
    """The release workflow asks before it builds: somebody may have tagged by hand."""
    prepare(checkout.folder, NEXT, on=TODAY)
    spoil(checkout)

    with pytest.raises(PlatformError, match=said.replace("[", r"\[")):
        check_tag(checkout.folder, "v9.1.0")


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "v1.2.3", "1.2.3-rc1", "01.2.3", "1.2.3\n", "1.2.٣", "$(x)"]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    """Three plain numbers and nothing else."""
    with pytest.raises(InvalidInput, match="is not a version"):
        versions.parse_version(text)


def test_versions_are_compared_as_numbers() -> None:
    """Not as text."""
    assert versions.parse_version("0.10.0") > versions.parse_version("0.9.11")
    assert str(versions.parse_tag("v1.20.3")) == "1.20.3"


def test_make_release_hands_the_version_over_as_it_is(checkout: Checkout) -> None:
    """What the command line prints, and its exit code; nothing in the version is run by a shell."""
    refused = _run(checkout, "prepare", "$(touch ran)")
    made = _run(checkout, "prepare", "9.1.0")
    said = _run(checkout, "notes", "v9.1.0")

    assert (refused.returncode, made.returncode, said.returncode) == (2, 0, 0)
    assert "'$(touch ran)' is not a version" in refused.stderr
    assert "git push --atomic origin main v9.1.0" in made.stderr
    assert said.stdout == changelog.section(checkout.read("CHANGELOG.md"), "9.1.0") + "\n"
    assert not (checkout.folder / "ran").exists()


def _run(checkout: Checkout, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "platform_cli.releases", *arguments],
        cwd=checkout.folder,
        env={**os.environ, **IDENTITY, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
