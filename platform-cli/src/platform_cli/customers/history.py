"""The template as it was: an older version of it, found in git's history by its number."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tomllib
from pathlib import Path

from platform_cli.customers.template import FOLDER, SETTINGS, Template, template_of
from platform_core.errors import ConfigurationError, NotFound

_GIT_TIMEOUT_S = 60


def find_template(root: Path, version: int) -> Template:
    """The template at its last commit of that version, from git's history.

    Raises: NotFound when the history lacks it, ConfigurationError without git.
    """
    wanted = f"{FOLDER}/{SETTINGS}"
    for commit in _git(root, "log", "--format=%H", "--", FOLDER).decode().split():
        shown = _try_git(root, "show", f"{commit}:{wanted}")
        if shown is None or _version(shown) != version:
            continue
        return template_of(_files_at(root, commit), f"{FOLDER} at version {version}")
    raise NotFound(
        f"Git's history has no template of version {version}",
        next_step="Fetch the whole history (`git fetch --unshallow`), or correct template_version.",
    )


def _files_at(root: Path, commit: str) -> dict[str, bytes]:
    """The template's files as that commit has them."""
    archive = _git(root, "archive", "--format=tar", commit, FOLDER)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = [(one, tar.extractfile(one)) for one in tar.getmembers() if one.isfile()]
        return {one.name.removeprefix(f"{FOLDER}/"): file.read() for one, file in members if file is not None}


def _version(text: bytes) -> int | None:
    try:
        found = tomllib.loads(text.decode("utf-8")).get("version")
    except ValueError:
        return None
    return found if isinstance(found, int) else None


def _try_git(root: Path, *arguments: str) -> bytes | None:
    try:
        return _git(root, *arguments)
    except ConfigurationError:
        return None


def _git(root: Path, *arguments: str) -> bytes:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, check=True, timeout=_GIT_TIMEOUT_S
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        reason = (said.decode("utf-8", "replace").strip().splitlines() or [type(error).__name__])[0]
        raise ConfigurationError(
            f"Git does not tell what the template was ({reason})",
            next_step="Run this in a checkout with its history.",
        ) from None
