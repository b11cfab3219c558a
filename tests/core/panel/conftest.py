"""A customer with members and the keys of its panel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from platform_core.db import Tx
from platform_core.panel.tokens import Keyring
from platform_core.tenancy.policy import store_policy
from platform_core.values import Actor
from tests.support.databases import TenantDatabase
from tests.support.entrances import keyring_of
from tests.support.policies import policy_of


@pytest.fixture
def tx(tenant_db: TenantDatabase) -> Iterator[Tx]:
    """The customer's login, with ana owner, bruno and carla ops, diego viewer."""
    with tenant_db.connect() as connection:
        store_policy(connection, policy_of(tenant_db), Actor("system", "wmctl"))
        yield connection


@pytest.fixture
def keyring(tenant_db: TenantDatabase) -> Keyring:
    """The customer's one key."""
    return keyring_of(tenant_db.slug)
