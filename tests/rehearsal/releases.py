"""Releases for a rehearsal: images built here or derived from those, pushed to the registry, and bundled."""

from __future__ import annotations

import json
from pathlib import Path

from tests.rehearsal.engine import build, docker, has_image, run
from tests.rehearsal.world import IMAGES, REGISTRY, REPLACED, SCRIPTS, World, base

PUSHED = "localhost:5000"
GOOD = "platform-windmill:rehearsal"
OTHERS = ("platform-postgres", "platform-door", "platform-caddy", "platform-backup")
NO_SUCH_DIGEST = f"{REGISTRY}/platform-windmill@sha256:{'0' * 64}"


def build_images(*, real: bool, again: bool = True) -> bool:
    """Build the platform's images; whether Windmill's is the real one. Without `again` those there are used.

    Its published image may be out of reach; then a stand-in takes its place, and the caller says so.
    """
    bases = {name: base(name) for name in REPLACED}
    real = real and has_image(bases["WINDMILL_BASE_IMAGE"])
    if not again and all(has_image(f"{name}:rehearsal") for name in (*OTHERS, "platform-windmill")):
        return real
    wanted = " ".join([*OTHERS, *(["platform-windmill"] if real else [])])
    given = [f"{name}={value}" for name, value in bases.items()]
    run("env", *given, "ALLOW_UNPINNED=1", f"IMAGES={wanted}", str(SCRIPTS / "build_images.sh"), "0.0.1")
    for name in wanted.split():
        docker("tag", f"{name}:0.0.1", f"{name}:rehearsal")
    if not real:
        build(GOOD, IMAGES / "standin", DEBIAN=bases["DEBIAN_IMAGE"])
    return real


def push(world: World) -> None:
    """Push the images that every release has; what Windmill calls itself is a number, or a commit."""
    world.windmill_version = docker("run", "--rm", "--entrypoint", "windmill", GOOD, "--version").split()[-1]
    for name in OTHERS:
        world.digests[name] = _pushed(f"{name}:rehearsal", name, "base")


def _pushed(local: str, name: str, tag: str) -> str:
    there = f"{PUSHED}/{name}:{tag}"
    docker("tag", local, there)
    said = docker("push", there)
    docker("rmi", there)
    digest = next(word for word in said.split() if word.startswith("sha256:") and len(word) == 71)
    return f"{REGISTRY}/{name}@{digest}"


def release(
    world: World,
    version: str,
    *,
    fault: str = "none",
    windmill: str = "",
    weight_mb: int = 0,
    infra: Path = SCRIPTS.parent,
    **facts: str,
) -> Path:
    """The bundle of a release: with a fault, an image or files of one's own choice, or as it should be.

    `weight_mb` is a layer that no registry has and nothing makes smaller, so that a pull takes its time.
    """
    if not windmill:
        tag = f"platform-windmill:{version}"
        build(tag, IMAGES / "fault", GOOD=GOOD, FAULT=fault, SERIAL=version, WEIGHT_MB=str(weight_mb))
        windmill = _pushed(tag, "platform-windmill", version)
    manifest = {
        "version": version,
        "commit": "0" * 40,
        "windmill_version": world.windmill_version,
        "schema_head": "1",
        "image_mb": 900,
        **facts,
        "images": {"platform-windmill": windmill, **world.digests},
    }
    folder = world.folder / "bundles"
    folder.mkdir(exist_ok=True)
    (folder / f"{version}.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return Path(
        run(str(SCRIPTS / "make_bundle.sh"), str(folder / f"{version}.json"), str(folder), str(infra))
    )
