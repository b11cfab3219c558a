"""What this installation keeps of a customer for a door, as a host's door may have it."""

from __future__ import annotations

import os
from pathlib import Path

from platform_cli.site import door_folder
from platform_core.errors import ConfigurationError, UnreadableFile
from platform_core.ingest.files import SUFFIX, read_door
from platform_core.settings import load_settings

_HERE = frozenset({"127.0.0.1", "localhost", "::1"})


def kept_for_door() -> Path:
    """The folder of this installation's door. Raises: ConfigurationError outside a checkout."""
    return door_folder(load_settings(os.environ))


def is_of_this_machine(host: str) -> bool:
    """Whether a database there is one that no other machine could mean by that name."""
    return host in _HERE or host.startswith("/")


def door_file(folder: Path, customer: str) -> bytes:
    """A customer's file, after it was judged as a door judges it.

    Raises: UnreadableFile where there is none; ConfigurationError where it leads to a database of this
    machine; as `read_door`.
    """
    path = folder / f"{customer}{SUFFIX}"
    if not path.exists():
        raise UnreadableFile(
            f"This installation keeps nothing for a door about {customer[:60]}: no {path.name} in {folder}",
            next_step="Set the secret of a webhook first, such as "
            f"`wmctl secret set {customer[:60]} ycloud_inbound_secrets`.",
        )
    host = read_door(path).database.host
    if is_of_this_machine(host):
        raise ConfigurationError(
            f"{path.name} leads to a database of this machine, {host}",
            next_step="Write it again through a tunnel: `wmctl host tunnel`, then `wmctl ingest endpoint`.",
        )
    return path.read_bytes()
