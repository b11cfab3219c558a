"""Clusters that are copied: a bare one, and one with customers and a Windmill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from platform_cli.local import postgres
from tests.support.databases import Databases
from tests.support.vaults import SETTINGS, Vault, a_vault


@pytest.fixture(scope="session")
def bare_cluster(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[postgres.Cluster]:
    """A cluster with nothing in it, that forgets its log soon."""
    folder = tmp_path_factory.mktemp("bare")
    settings = {**SETTINGS, "wal_keep_size": "32MB", "max_slot_wal_keep_size": "64MB"}
    try:
        with postgres.running(folder, settings, installation=pytestconfig.getoption("--postgres")) as found:
            yield found
    finally:
        postgres.destroy(folder)


@pytest.fixture
def vault(bare_cluster: postgres.Cluster) -> Iterator[Vault]:
    """The backup of the bare cluster, with nothing kept yet."""
    with a_vault(bare_cluster) as found:
        yield found


@pytest.fixture(scope="session")
def peopled_cluster(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[postgres.Cluster]:
    """A cluster made ready for customers."""
    folder = tmp_path_factory.mktemp("peopled")
    try:
        with postgres.running(folder, SETTINGS, installation=pytestconfig.getoption("--postgres")) as found:
            yield found
    finally:
        postgres.destroy(folder)


@pytest.fixture(scope="session")
def peopled(peopled_cluster: postgres.Cluster) -> Databases:
    """Makes customers there."""
    return Databases(peopled_cluster)
