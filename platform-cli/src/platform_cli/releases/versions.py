"""The one version: it stands in the root's pyproject.toml; the packages and the lock repeat it.

Package builders want a number in each pyproject.toml, so it cannot be written once; a test holds them equal,
and `write` is the only hand that changes them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from platform_core.errors import ConfigurationError, InvalidInput

MEMBERS = ("platform-core", "platform-cli", "connectors")
LOCK = "uv.lock"

_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)
_LINE = re.compile(r'^version = "[^"]*"$', re.MULTILINE)
_OWN_IN_LOCK = re.compile(
    r'^(name = "(platform-[a-z]+)"\nversion = ")([^"]+)("\nsource = \{ (?:editable|virtual) = )', re.MULTILINE
)


class Version(NamedTuple):
    """Major, minor and patch of semantic versioning; they compare as numbers."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        """As people write it: 1.2.3."""
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def tag(self) -> str:
        """The tag of this release: v1.2.3."""
        return f"v{self}"


def parse_version(text: str) -> Version:
    """The version a text says: three numbers, nothing before or after. Raises: InvalidInput."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise InvalidInput(
            f"{text[:40]!r} is not a version",
            next_step="Write three numbers, such as 1.4.0; see https://semver.org.",
        )
    return Version(int(match[1]), int(match[2]), int(match[3]))


def parse_tag(text: str) -> Version:
    """The version a tag is for: v1.4.0. Raises: InvalidInput."""
    if not text.startswith("v"):
        raise InvalidInput(f"{text[:40]!r} is not the tag of a release", next_step="It is written as v1.4.0.")
    return parse_version(text[1:])


def files(root: Path) -> tuple[Path, ...]:
    """Every file the version stands in, the one that decides first."""
    return (
        root / "pyproject.toml",
        *(root / member / "pyproject.toml" for member in MEMBERS),
        root / LOCK,
    )


def declared(root: Path) -> Mapping[str, str]:
    """What each of those files says, by its path from the root; the lock has a line a package."""
    found = {
        path.relative_to(root).as_posix(): str(tomllib.loads(path.read_text("utf-8"))["project"]["version"])
        for path in files(root)
        if path.name == "pyproject.toml"
    }
    locked = (root / LOCK).read_text(encoding="utf-8")
    for _, name, version, _ in _OWN_IN_LOCK.findall(locked):
        found[f"{LOCK}: {name}"] = version
    return found


def current(root: Path) -> Version:
    """The version of this checkout. Raises: ConfigurationError when the files do not agree on one."""
    said = declared(root)
    different = {place: version for place, version in said.items() if version != said["pyproject.toml"]}
    if different:
        listed = ", ".join(f"{place} says {version}" for place, version in different.items())
        raise ConfigurationError(
            f"The version is {said['pyproject.toml']} in pyproject.toml, but {listed}",
            next_step="Write the version of pyproject.toml there; `make release` keeps them equal.",
        )
    return parse_version(said["pyproject.toml"])


def write(root: Path, version: Version) -> None:
    """Write the version into every file it stands in. Writing it again changes nothing."""
    for path in files(root):
        text = path.read_text(encoding="utf-8")
        if path.name == LOCK:
            changed = _OWN_IN_LOCK.sub(rf"\g<1>{version}\g<4>", text)
        else:
            changed = _LINE.sub(f'version = "{version}"', text, count=1)
        path.write_text(changed, encoding="utf-8")
