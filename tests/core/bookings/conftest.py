"""An academy: one customer's bookings over a real database, with a scripted provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.bookings import Academy
from tests.support.databases import TenantDatabase


@pytest.fixture
def academy(tenant_db: TenantDatabase) -> Iterator[Academy]:
    """The customer's own login, its policy in force, and a clock and a provider that the test moves."""
    with tenant_db.connect() as connection:
        yield Academy(tenant_db, connection)
