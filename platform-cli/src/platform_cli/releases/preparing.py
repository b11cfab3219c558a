"""Prepare a release: the version everywhere, the changelog's section, one commit, one annotated tag.

Nothing is pushed: a person looks at the commit first. What is not consistent is refused before any file is
touched; whether the workflows are green only GitHub knows, and the release workflow judges the tag again.
"""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path

from platform_cli.releases import bases, changelog, versions
from platform_cli.releases.versions import Version
from platform_core.errors import ConfigurationError, InvalidInput, NotFound, StateConflict

BRANCH = "main"
_GIT_TIMEOUT_S = 60


def prepare(root: Path, version: Version, *, on: date) -> str:
    """Make the commit and the tag of a release; returns the commit.

    Raises: StateConflict for a tree, branch, version, changelog or base image that is not ready,
    ConfigurationError when git refuses; then every file is as it was.
    """
    _require_ready(root, version)
    path = root / changelog.FILE
    text = changelog.released(path.read_text(encoding="utf-8"), version, on)
    touched = [path, *versions.files(root)]
    before = {one: one.read_bytes() for one in touched}
    start = git(root, "rev-parse", "HEAD")
    try:
        path.write_text(text, encoding="utf-8")
        versions.write(root, version)
        git(root, "add", "--", *(str(one.relative_to(root)) for one in touched))
        git(root, "commit", "--quiet", "--message", f"Release {version}")
        git(root, "tag", "--annotate", version.tag, "--message", f"Release {version}")
    except BaseException:
        for one, content in before.items():
            one.write_bytes(content)
        git(root, "reset", "--quiet", "--soft", start)
        git(root, "reset", "--quiet")
        raise
    return git(root, "rev-parse", "HEAD")


def check_tag(root: Path, tag: str) -> Version:
    """The version of a tag that may be released: what the release workflow asks before it builds.

    Raises: InvalidInput, NotFound without the tag or its section in the changelog, StateConflict for a tag
    that is not annotated, not checked out, not on the main branch, not the version the files say, or whose
    images are built on something without a digest.
    """
    version = versions.parse_tag(tag)
    if _try_git(root, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}") is None:
        raise NotFound(
            f"There is no tag {tag} here", next_step="Run `git fetch --tags`, or correct its name."
        )
    if git(root, "cat-file", "-t", f"refs/tags/{tag}") != "tag":
        raise StateConflict(
            f"{tag} is a mark without author or date",
            next_step=f"Make it with `make release VERSION={version}`.",
        )
    commit = git(root, "rev-parse", f"refs/tags/{tag}^{{commit}}")
    if git(root, "rev-parse", "HEAD") != commit:
        raise StateConflict(
            f"{tag} is not what is checked out", next_step=f"Check it out: git switch --detach {tag}"
        )
    if (known := versions.current(root)) != version:
        raise StateConflict(
            f"The tag {tag} is on a commit of version {known}",
            next_step="Delete the tag and use `make release`.",
        )
    if not _is_on_main(root, commit):
        raise StateConflict(
            f"{tag} is not on {BRANCH}", next_step=f"Merge it into {BRANCH} first; only that is released."
        )
    bases.require_pinned(root)
    changelog.notes(root, version)
    return version


def _require_ready(root: Path, version: Version) -> None:
    if git(root, "rev-parse", "--abbrev-ref", "HEAD") != BRANCH:
        raise StateConflict(f"The branch is not {BRANCH}", next_step=f"git switch {BRANCH}")
    if changes := git(root, "status", "--porcelain"):
        raise StateConflict(
            f"{len(changes.splitlines())} files are changed and not committed",
            next_step="Commit or stash them, then try again.",
        )
    upstream = _try_git(root, "rev-parse", "--verify", "--quiet", f"refs/remotes/origin/{BRANCH}")
    if upstream and _try_git(root, "merge-base", "--is-ancestor", upstream, "HEAD") is None:
        raise StateConflict(
            f"{BRANCH} lacks commits that origin/{BRANCH} has",
            next_step="git pull --ff-only, then try again.",
        )
    bases.require_pinned(root)
    _require_greater(root, version)


def _require_greater(root: Path, version: Version) -> None:
    """Greater than every release; equal to the files' version only while that is not released."""
    known = _released(root)
    newest = max(known, default=None)
    if version in known:
        raise StateConflict(f"{version} is released already", next_step="Take a greater version.")
    if newest is not None and version < newest:
        raise StateConflict(
            f"{version} is not greater than {newest}, the newest release",
            next_step=f"Take {newest._replace(patch=newest.patch + 1)} or greater.",
        )
    if version < (written := versions.current(root)):
        raise StateConflict(
            f"{version} is less than {written}, which the files say already",
            next_step=f"Take {written} or greater.",
        )


def _released(root: Path) -> set[Version]:
    found = set()
    for tag in git(root, "tag", "--list", "v*").split():
        try:
            found.add(versions.parse_tag(tag))
        except InvalidInput:
            continue  # a tag of something else
    return found


def _is_on_main(root: Path, commit: str) -> bool:
    branches = (f"refs/remotes/origin/{BRANCH}", f"refs/heads/{BRANCH}")
    there = [name for name in branches if _try_git(root, "rev-parse", "--verify", "--quiet", name)]
    return any(_try_git(root, "merge-base", "--is-ancestor", commit, name) is not None for name in there)


def git(root: Path, *arguments: str) -> str:
    """What git answers, without the last newline. Raises: ConfigurationError with git's own reason."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            check=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or "").strip().splitlines() or [type(error).__name__]
        raise ConfigurationError(
            f"git {arguments[0]} failed ({said[0][:200]})",
            next_step="Run it in a checkout with its history and tags.",
        ) from None
    return answer.stdout.strip()


def _try_git(root: Path, *arguments: str) -> str | None:
    try:
        return git(root, *arguments)
    except ConfigurationError:
        return None
