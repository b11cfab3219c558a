"""A school: one customer's classes over a real database, with a scripted provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.attendance import School
from tests.support.databases import TenantDatabase


@pytest.fixture
def school(tenant_db: TenantDatabase) -> Iterator[School]:
    """The customer's own login, its policy in force, and a clock and a provider that the test moves."""
    with tenant_db.connect() as connection:
        yield School(tenant_db, connection)
