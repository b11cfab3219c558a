"""A checkout that a release can be prepared in: the files of versions and changelog, in a new repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from platform_cli.releases import bases, changelog, versions
from platform_cli.releases.versions import Version

ROOT = Path(__file__).resolve().parents[2]
IDENTITY = {
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.invalid",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.invalid",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def pin_bases(folder: Path) -> None:
    """Give every base of a checkout a digest, made up where whoever pulls it first has not written it yet."""
    path = folder / bases.FILE
    lines = path.read_text(encoding="utf-8").splitlines()
    pinned = [
        f"{line}@sha256:{'d' * 64}" if "=" in line and not line.startswith("#") and "@" not in line else line
        for line in lines
    ]
    path.write_text("\n".join(pinned) + "\n", encoding="utf-8")


class Checkout:
    """A repository on main, clean, at the version of this one, with something that waits for a release."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in (*versions.files(ROOT), ROOT / changelog.FILE, ROOT / bases.FILE):
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        pin_bases(folder)
        (folder / "customers").mkdir()
        (folder / "customers" / "README").write_text("A customer is a folder.\n", encoding="utf-8")
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("Begin")

    def git(self, *arguments: str) -> str:
        """Run git there; what it answers."""
        answer = subprocess.run(
            ["git", "-C", str(self.folder), *arguments],
            env={**os.environ, **IDENTITY},
            capture_output=True,
            check=True,
            text=True,
        )
        return answer.stdout.strip()

    def commit(self, message: str) -> str:
        """Everything that changed; the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def commit_version(self, version: Version) -> str:
        """Another version everywhere; the commit of it."""
        versions.write(self.folder, version)
        return self.commit(f"Say {version}")

    def write(self, name: str, text: str) -> Path:
        """A file, not committed; where it is."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def read(self, name: str) -> str:
        """A file as it stands."""
        return (self.folder / name).read_text(encoding="utf-8")
