"""One house per module: its doors are asked many things, and each test looks at what it sent itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.databases import Databases
from tests.support.doors import House, open_house


@pytest.fixture(scope="module")
def shared(databases: Databases) -> Iterator[House]:
    """Einstein Kids' scripts over a database of this module."""
    with databases.tenant() as tenant_db, open_house(tenant_db) as found:
        yield found


@pytest.fixture
def house(shared: House) -> Iterator[House]:
    """The same house, with every resource as it was."""
    kept = dict(shared.resources)
    yield shared
    shared.resources.clear()
    shared.resources.update(kept)
