"""Bundles of releases as a host is sent them, for tests that have no Docker."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from platform_cli.hosts.ready import host_program

PROGRAM = host_program(Path(__file__).resolve().parents[2])
"""The program on the host, as a host gets it."""
VERSION = "1.4.2"
DIGEST = f"registry.invalid/platform-windmill@sha256:{'0' * 64}"


def manifest(version: str = VERSION, **facts: str) -> bytes:
    """A release.json."""
    return json.dumps({"version": version, **facts, "images": {"platform-windmill": DIGEST}}).encode()


def bundle(version: str = VERSION, *, more: Mapping[str, bytes] | None = None, link: str = "") -> bytes:
    """The bytes of a release's bundle; `link` is the name of a symbolic link in it."""
    files = {
        "release.json": manifest(version, schema_head="1"),
        "compose.prod.yml": b"services: {}\n",
        "platform_host.sh": PROGRAM,
        **(more or {}),
    }
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  ./{name}\n" for name, body in files.items())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as target:
        for name, content in {**files, "SHA256SUMS": sums.encode()}.items():
            entry = tarfile.TarInfo(name if name.startswith(("/", "..")) else f"./{name}")
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            target.addfile(entry)
    return packed.getvalue()
