"""A host's key, fetched from the network and taken only if it has the fingerprint that the console shows."""

from __future__ import annotations

import base64
import hashlib
import subprocess

from platform_cli.hosts.known import keys_in
from platform_core.errors import HostUnreachable, PermissionDenied

PATIENCE_S = 10


def fetched(address: str, port: int, fingerprint: str) -> tuple[str, ...]:
    """The keys that the host shows and that have this fingerprint, as `SHA256:...`.

    Raises: HostUnreachable when it shows none; PermissionDenied when it shows others.
    """
    shown = _said("ssh-keyscan", "-T", str(PATIENCE_S), "-p", str(port), "--", address)
    if not shown.strip():
        raise HostUnreachable(f"{address} shows no key on port {port}", next_step="Check address and port.")
    matching = tuple(key for key in keys_in(shown) if fingerprint_of(key) == fingerprint)
    if not matching:
        raise PermissionDenied(
            f"No key that {address} shows has the fingerprint {fingerprint[:60]}",
            next_step="Look at the host's console again; somebody may stand between.",
        )
    return matching


def fingerprint_of(key: str) -> str:
    """The fingerprint of a key, `TYPE BASE64`, as ssh-keygen shows it; empty for what is no key."""
    try:
        blob = base64.b64decode(key.split()[1], validate=True)
    except (IndexError, ValueError):
        return ""
    return f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise HostUnreachable(
            f"There is no `{command[0]}` on this machine", next_step="Install OpenSSH's client."
        ) from None
    return done.stdout
