"""Customers for the tests of this folder."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from platform_cli.local import postgres
from platform_core.tenancy.provision import Provisioned, provision
from tests.support.databases import Databases, MemorySecrets

Provision = Callable[..., Provisioned]


@pytest.fixture
def kept() -> MemorySecrets:
    """The secret store of a test."""
    return MemorySecrets()


@pytest.fixture
def slug() -> str:
    """A folder name nobody used."""
    return f"acme_{secrets.token_hex(6)}"


@pytest.fixture
def provision_one(databases: Databases, kept: MemorySecrets, slug: str) -> Iterator[Provision]:
    """Provisions with usual values unless told otherwise; what was made is gone afterwards."""
    made: list[Provisioned] = []

    def run(**changes: str) -> Provisioned:
        values = {
            "display_name": "Academia Acme",
            "timezone": "America/Santiago",
            "currency": "CLP",
            **changes,
        }
        name = values.pop("slug", slug)
        one = provision(
            databases.cluster.admin_dsn,
            name,
            display_name=values["display_name"],
            timezone=values["timezone"],
            currency=values["currency"],
            secrets=kept,
            source=databases.source,
        )
        made.append(one)
        return one

    yield run
    for one in made:
        databases.drop(one.tenant.database_name, one.tenant.login)


@pytest.fixture
def bare_cluster(tmp_path: Path) -> Iterator[postgres.Cluster]:
    """A server nobody prepared."""
    folder = tmp_path / "bare"
    try:
        with postgres.running(folder, postgres.DURABILITY_OFF) as found:
            yield found
    finally:
        postgres.destroy(folder)
