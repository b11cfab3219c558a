"""Keyrings that a test puts in place of the system's."""

from __future__ import annotations

from importlib import import_module

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

KEPT: dict[tuple[str, str], str] = {}
"""What `Kept` keeps, by service and name."""


class Kept(KeyringBackend):
    """A keyring that is open."""

    priority = 5
    opens = True

    def get_password(self, service: str, username: str) -> str | None:
        """What is kept, or None."""
        self._require_open()
        return KEPT.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        self._require_open()
        KEPT[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""
        self._require_open()
        if KEPT.pop((service, username), None) is None:
            raise PasswordDeleteError

    def _require_open(self) -> None:
        if not self.opens:
            raise KeyringLocked


class Locked(Kept):
    """A keyring that nobody unlocks."""

    opens = False


def use(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """Put this keyring in place of the system's until the test ends."""
    module, _, name = backend.rpartition(".")
    if name == "Keyring":
        KEPT.clear()
    monkeypatch.setattr(keyring.core, "_keyring_backend", getattr(import_module(module), name)())
