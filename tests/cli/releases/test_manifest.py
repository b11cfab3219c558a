"""release.json names every image once, by digest, and what the release is made of."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from platform_cli.releases.manifest import by_name, manifest, schema_head, windmill_version
from platform_cli.releases.versions import Version
from platform_core.errors import ConfigurationError, InvalidInput
from tests.support.releases import ROOT

DIGEST = "@sha256:" + "a1" * 32
NAMES = ("platform-windmill", "platform-door")
IMAGES = [f"ghcr.io/agency/{name}{DIGEST}" for name in NAMES]
COMPOSE = "services: {}\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files a manifest is read from."""
    files = {
        "infra/compose/compose.prod.yml": COMPOSE,
        "infra/docker/bases.env": f"A=debian:13{DIGEST}\nWINDMILL_BASE_IMAGE=x/windmill:1.743.0{DIGEST}\n",
        "infra/docker/images.txt": "\n".join(NAMES) + "\n",
        "platform-core/src/platform_core/db/control/migrations/0001_pre_create.sql": "",
        "platform-core/src/platform_core/db/control/migrations/0002_pre_more.sql": "",
        "platform-core/src/platform_core/db/tenant/migrations/0010_post_less.sql": "",
        "platform-core/src/platform_core/db/tenant/migrations/0009_pre_less.sql": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_a_manifest_says_all_a_host_asks_for(checkout: Path) -> None:
    """Every key, whole."""
    made = manifest(checkout, Version(1, 4, 0), commit="c" * 40, images=IMAGES[::-1], image_mb=900)

    assert made == {
        "version": "1.4.0",
        "commit": "c" * 40,
        "windmill_version": "1.743.0",
        "python": "3.12",
        "schema_head": "0002.0010",
        "compose_sha256": hashlib.sha256(COMPOSE.encode()).hexdigest(),
        "image_mb": 900,
        "images": dict(zip(NAMES, IMAGES, strict=True)),
    }


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (IMAGES[:1], "these differ: platform-door"),
        ([*IMAGES, f"x/other{DIGEST}"], "these differ: other"),
        ([*IMAGES, IMAGES[0]], "platform-windmill is named twice"),
        (["ghcr.io/agency/platform-door:1.4.0"], "is not an image by digest"),
        ([f"{IMAGES[0]} and more"], "is not an image by digest"),
    ],
)
def test_images_that_are_not_all_ours_by_digest_are_refused(images: list[str], said: str) -> None:
    """A tag can be moved to another image; a digest cannot."""
    with pytest.raises(InvalidInput, match=said):
        by_name(images, wanted=NAMES)


def test_what_is_missing_in_a_checkout_is_named(checkout: Path) -> None:
    """Each file it is read from."""
    (checkout / "infra/docker/images.txt").unlink()
    with pytest.raises(ConfigurationError, match=r"There is no infra/docker/images\.txt"):
        manifest(checkout, Version(1, 0, 0), commit="c", images=IMAGES, image_mb=1)
    with pytest.raises(ConfigurationError, match="names no Windmill with a version"):
        windmill_version("WINDMILL_BASE_IMAGE=x/windmill:main\n")
    with pytest.raises(ConfigurationError, match="has no migration"):
        schema_head(checkout / "infra")


def test_the_schema_of_this_checkout_has_a_head() -> None:
    """Two numbers of four digits."""
    assert [len(part) for part in schema_head(ROOT).split(".")] == [4, 4]
