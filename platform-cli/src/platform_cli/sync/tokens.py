"""Where a target's token is kept: in the system's keyring if there is one, else in a file of mode 0600.

A token is kept for one server and workspace. Whoever edits the address of a target has no token for it, so
none is ever sent to a server it was not given for.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol

from platform_cli.local.secret_store import FileSecretStore
from platform_core.errors import SecretRejected
from platform_core.settings import Secret, check_secret

SERVICE = "wmctl"
_REAL = 1
"""The least priority of a keyring that protects what it keeps; plain files and stand-ins are below."""


class Place(StrEnum):
    """Where a token is."""

    KEYRING = "keyring"
    FILE = "file"


class Owner(Protocol):
    """What a token opens."""

    @property
    def name(self) -> str:
        """The target's name."""

    @property
    def url(self) -> str:
        """Its server."""

    @property
    def workspace(self) -> str:
        """Its workspace."""


class Tokens:
    """The tokens of one user's targets. `folder` is where those live that no keyring keeps."""

    def __init__(self, folder: Path) -> None:
        self._files = FileSecretStore(folder)
        self.folder = folder

    def keep(self, owner: Owner, token: Secret) -> Place:
        """Keep a token in place of an earlier one; where it is now. Raises: SecretRejected, StorageFull."""
        name = _name(owner)
        if (ring := _keyring()) is not None:
            try:
                ring.set_password(SERVICE, name, token.reveal())
            except ring.errors.KeyringError:
                pass  # it is locked, or nobody is there to unlock it
            else:
                self._files.forget(name)
                return Place.KEYRING
        self._files.put(name, token.reveal())
        return Place.FILE

    def find(self, owner: Owner) -> Secret | None:
        """The token for this server and workspace, or None.

        Raises: SecretRejected when others may read it, or when the keyring does not open.
        """
        name = _name(owner)
        found = self._files.get(name)
        if found is None and (ring := _keyring()) is not None:
            try:
                found = ring.get_password(SERVICE, name)
            except ring.errors.KeyringError:
                raise SecretRejected(
                    f"The keyring that keeps the token of target {owner.name} does not open",
                    next_step="Unlock it, or set WMCTL_TOKEN.",
                ) from None
        return None if found is None else check_secret(f"The token of target {owner.name}", found)

    def forget(self, owner: Owner) -> None:
        """Remove the token wherever it is; what is not there is no failure."""
        name = _name(owner)
        self._files.forget(name)
        if (ring := _keyring()) is not None:
            try:
                ring.delete_password(SERVICE, name)
            except ring.errors.KeyringError:
                return  # it was not there


def _name(owner: Owner) -> str:
    digest = hashlib.sha256(f"{owner.url}\n{owner.workspace}".encode()).hexdigest()
    return f"{owner.name}-{digest[:16]}"


def _keyring() -> ModuleType | None:
    """The system's keyring, if it has a real one. To look for one takes time, so only who needs it does."""
    ring = import_module("keyring")
    return ring if ring.get_keyring().priority >= _REAL else None
