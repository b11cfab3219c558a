"""release.json: what a release is made of, by digest. A host is deployed from it and never from a tag.

version           1.4.0
commit            the commit it was built from
windmill_version  the Windmill inside, as its server says it
python            the interpreter the workers run, for which the packages were built
schema_head       the newest migrations, CONTROL.TENANT by number; grows with every release that has one
compose_sha256    of compose.prod.yml
image_mb          what the images need on disk, in megabytes
images            by name, each REGISTRY/NAME@sha256:…
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from platform_cli.releases import bases
from platform_cli.releases.versions import Version
from platform_core.errors import ConfigurationError, InvalidInput

COMPOSE = "infra/compose/compose.prod.yml"
NAMES = "infra/docker/images.txt"
PYTHON = "3.12"
_MIGRATIONS = "platform-core/src/platform_core/db/{}/migrations"

_IMAGE = re.compile(r"(?P<place>[\w.:-]+(?:/[\w.-]+)*/)?(?P<name>[\w.-]+)@sha256:[0-9a-f]{64}", re.ASCII)
_WINDMILL = re.compile(r"^WINDMILL_BASE_IMAGE=\S+?:(\d+\.\d+\.\d+)(?:@\S+)?$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


def manifest(
    root: Path, version: Version, *, commit: str, images: Sequence[str], image_mb: int
) -> Mapping[str, object]:
    """The release.json of this checkout with those images.

    Raises: InvalidInput for an image that is missing, not ours, named twice or not by digest;
    ConfigurationError when a file it is read from is not there.
    """
    return {
        "version": str(version),
        "commit": commit,
        "windmill_version": windmill_version(bases.read(root)),
        "python": PYTHON,
        "schema_head": schema_head(root),
        "compose_sha256": hashlib.sha256(_read(root, COMPOSE).encode()).hexdigest(),
        "image_mb": image_mb,
        "images": by_name(images, wanted=_read(root, NAMES).split()),
    }


def by_name(images: Sequence[str], *, wanted: Sequence[str]) -> dict[str, str]:
    """The images by their names, each of the wanted ones once and no other. Raises: InvalidInput."""
    found: dict[str, str] = {}
    for image in images:
        match = _IMAGE.fullmatch(image)
        if match is None:
            raise InvalidInput(
                f"{image[:120]!r} is not an image by digest", next_step="Write it as REGISTRY/NAME@sha256:…."
            )
        if match["name"] in found:
            raise InvalidInput(f"{match['name']} is named twice", next_step="One image, one digest.")
        found[match["name"]] = image
    if different := sorted(set(found) ^ set(wanted)):
        raise InvalidInput(
            f"A release has the images {', '.join(wanted)}; these differ: {', '.join(different)}",
            next_step=f"Build all of them, or correct {NAMES}.",
        )
    return {name: found[name] for name in wanted}


def windmill_version(text: str) -> str:
    """The version in the tag of the Windmill image, by the file of bases. Raises: ConfigurationError."""
    match = _WINDMILL.search(text)
    if match is None:
        raise ConfigurationError(
            f"{bases.FILE} names no Windmill with a version",
            next_step="Write WINDMILL_BASE_IMAGE=NAME:X.Y.Z@sha256:….",
        )
    return match[1]


def schema_head(root: Path) -> str:
    """The newest migrations of the control database and of customers' databases, by number."""
    return ".".join(_newest(root / _MIGRATIONS.format(kind)) for kind in ("control", "tenant"))


def _newest(folder: Path) -> str:
    numbers = [match[1] for path in folder.glob("*.sql") if (match := _MIGRATION.fullmatch(path.name))]
    if not numbers:
        raise ConfigurationError(f"{folder} has no migration", next_step="Run this in a whole checkout.")
    return max(numbers)


def _read(root: Path, name: str) -> str:
    try:
        return (root / name).read_text(encoding="utf-8")
    except OSError:
        raise ConfigurationError(f"There is no {name}", next_step="Run this in a whole checkout.") from None
