"""Whether a host has room for a release: bytes, inodes and memory, as df and the kernel tell of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import pytest

from tests.support.host_parts import said_by


class _Disk(TypedDict, total=False):
    free_mb: int
    inodes: str
    image_mb: int


def said(folder: Path, *, free_mb: int = 90_000, inodes: str = "900000", image_mb: int = 900) -> str:
    """What the look at room refuses, on a disk of that kind with a database of 500 MB."""
    (folder / "release.json").write_text(json.dumps({"image_mb": image_mb}))
    script = f"""
        ROOT=/opt/platform
        setting() {{ [ "$1" != MEMORY_FREE_MIN_MB ] || set -- "" 0; printf '%s' "$2"; }}
        container_of() {{ echo 0123456789ab; }}
        docker() {{ [ "$1" = info ] && echo / || echo 500; }}
        df() {{ [ "$1" = --output=avail ] && echo "{free_mb}M" || echo "{inodes}"; }}
        refuse() {{ echo "$1"; }}
        check_room "{folder}"
    """
    return said_by("checks", script)


@pytest.mark.parametrize(
    ("disk", "refused"),
    [
        ({}, ""),
        ({"free_mb": 2300}, ""),
        ({"free_mb": 2299}, "/ has 2299 MB free, 2300 MB are needed"),
        ({"free_mb": 2300, "image_mb": 901}, "/ has 2300 MB free, 2302 MB are needed"),
        ({"inodes": "50000"}, ""),
        ({"inodes": "49999"}, "/ has 49999 inodes left"),
        ({"inodes": "-"}, ""),
        ({"inodes": "0"}, ""),
    ],
)
def test_the_images_twice_and_the_database_once_more_have_to_fit(
    tmp_path: Path, disk: _Disk, refused: str
) -> None:
    """Some filesystems count no inodes, and say nothing or 0."""
    assert said(tmp_path, **disk) == refused


@pytest.mark.parametrize(
    ("told", "folder"),
    [
        ("{root} [[Backing Filesystem extfs] [Supports d_type true]]", "{root}"),
        ("{root} [[driver-type io.containerd.snapshotter.v1]]", "{containerd}"),
        ("/no/such/folder []", "/"),
        ("", "/"),
    ],
)
def test_room_is_looked_for_where_the_engine_keeps_images(tmp_path: Path, told: str, folder: str) -> None:
    """As `docker info` told it on Engine 26, with its own store of images and with containerd's."""
    containerd = "/var/lib/containerd" if Path("/var/lib/containerd").is_dir() else "/"
    names = {"root": str(tmp_path), "containerd": containerd}
    script = 'docker() { [ -z "$TOLD" ] || echo "$TOLD"; [ -n "$TOLD" ]; }; engine_folders | tail -n 1'

    assert said_by("checks", script, TOLD=told.format(**names)) == folder.format(**names)
