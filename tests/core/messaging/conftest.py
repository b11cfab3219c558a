"""A desk: one customer's messaging over a real database, with a scripted provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.databases import TenantDatabase
from tests.support.messaging import Desk


@pytest.fixture
def desk(tenant_db: TenantDatabase) -> Iterator[Desk]:
    """The customer's own login, and a clock and a provider that the test moves."""
    with tenant_db.connect() as connection:
        yield Desk(tenant_db, connection)
