"""A door in a process of its own, over customers of a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import Databases, TenantDatabase
from tests.support.doorstep import DoorProcess, door_password, door_process, tell


@pytest.fixture(scope="module")
def password(databases: Databases) -> str:
    """The password of the door's login, whatever other tests made of it meanwhile."""
    return door_password(databases)


@pytest.fixture(scope="module")
def customer(databases: Databases) -> Iterator[TenantDatabase]:
    """A customer of this file's tests."""
    with databases.tenant() as found:
        yield found


@pytest.fixture(scope="module")
def door(
    password: str, customer: TenantDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DoorProcess]:
    """The customer's door."""
    folder = tmp_path_factory.mktemp("ingest")
    tell(folder, customer)
    with door_process(folder, password) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for customers' files."""
    made = tmp_path / "ingest"
    made.mkdir(mode=0o700)
    return made
