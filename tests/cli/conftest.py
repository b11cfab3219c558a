"""An installation of its own for wmctl: it applies the packaged migrations, as an installation does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from platform_cli.local import postgres
from platform_core.tenancy.cluster import prepare_cluster
from tests.support.offices import SLUG, Office, open_office
from tests.support.windmill_workspace import standing


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Cluster]:
    """A cluster prepared for customers, without any."""
    folder = tmp_path_factory.mktemp("installation")
    try:
        with postgres.running(folder, postgres.DURABILITY_OFF) as cluster:
            prepare_cluster(cluster.admin_dsn)
            yield cluster
    finally:
        postgres.destroy(folder)


@pytest.fixture(scope="session")
def windmill() -> Iterator[dict[str, str]]:
    """The variables that name a Windmill of these tests alone."""
    with standing() as one:
        one.add_robot("prod", SLUG)
        yield {"WMCTL_URL": one.url, "WMCTL_WORKSPACE": "prod", "WMCTL_TOKEN": one.admin_token}


@pytest.fixture(scope="session")
def office(
    installation: postgres.Cluster, windmill: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Office:
    """Einstein Kids, and a neighbour: a command that names no customer has to choose."""
    state = tmp_path_factory.mktemp("state")
    config = {"XDG_CONFIG_HOME": str(tmp_path_factory.mktemp("config"))}
    open_office(installation, state, "colegio_vecino")
    return open_office(installation, state, windmill={**windmill, **config})
