"""`python -m platform_cli.releases`: prepare, check, notes and manifest, for make and the workflows."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from platform_cli import render
from platform_cli.releases import changelog, manifest, preparing, versions
from platform_cli.root import find_root
from platform_core.errors import PlatformError


def main(arguments: list[str]) -> int:
    """Do what is asked and return the exit code: 0, or the error tree's own."""
    asked = _parser().parse_args(arguments)
    try:
        _ACTS[asked.act](find_root(Path.cwd()), asked)
    except PlatformError as error:
        render.failure(error)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m platform_cli.releases")
    acts = parser.add_subparsers(dest="act", required=True)
    acts.add_parser("prepare", help="commit and tag a release").add_argument("version")
    acts.add_parser("check", help="refuse a tag that may not be released").add_argument("tag")
    acts.add_parser("notes", help="print a version's section of the changelog").add_argument("tag")
    shipped = acts.add_parser("manifest", help="print release.json; images come on stdin, one a line")
    shipped.add_argument("tag")
    shipped.add_argument("--image-mb", type=int, default=0, help="what the images need on disk")
    return parser


def _prepare(root: Path, asked: argparse.Namespace) -> None:
    version = versions.parse_version(asked.version)
    preparing.prepare(root, version, on=datetime.now(UTC).date())
    render.good(f"{version.tag} is committed and tagged; nothing is pushed.")
    render.note(f"Look at it: git show {version.tag}")
    render.note(f"Release it: git push --atomic origin {preparing.BRANCH} {version.tag}")
    render.note(f"Take it back: git tag --delete {version.tag} && git reset --hard HEAD~1")


def _check(root: Path, asked: argparse.Namespace) -> None:
    version = preparing.check_tag(root, asked.tag)
    render.good(f"{version.tag} is consistent: files, changelog and {preparing.BRANCH} agree.")


def _notes(root: Path, asked: argparse.Namespace) -> None:
    render.raw(changelog.notes(root, versions.parse_tag(asked.tag)))


def _manifest(root: Path, asked: argparse.Namespace) -> None:
    version = versions.parse_tag(asked.tag)
    images = [line.split()[0] for line in sys.stdin if line.strip()]
    commit = preparing.git(root, "rev-parse", "HEAD")
    made = manifest.manifest(root, version, commit=commit, images=images, image_mb=asked.image_mb)
    render.document(made)


_ACTS = {"prepare": _prepare, "check": _check, "notes": _notes, "manifest": _manifest}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
