"""A treasury: one customer's money over a real database, with a scripted provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.databases import TenantDatabase
from tests.support.payments import Treasury


@pytest.fixture
def treasury(tenant_db: TenantDatabase) -> Iterator[Treasury]:
    """The customer's own login, its policy in force, and a clock and a provider that the test moves."""
    with tenant_db.connect() as connection:
        yield Treasury(tenant_db, connection)
