"""Fixtures every test folder uses: one throw-away PostgreSQL per session, one customer database per test."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_cli.local import postgres
from tests.support.databases import Databases, TenantDatabase


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of what is proven by many rounds is run."""
    parser.addoption("--thorough", action="store_true", help="every round of the killing tests: `make kills`")
    parser.addoption(
        "--postgres", type=Path, help="a PostgreSQL instead of the wheel's: the folder above bin"
    )


def pytest_configure() -> None:
    """Take Ctrl-C even where a shell put the run into the background: programs under test inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def is_thorough(pytestconfig: pytest.Config) -> bool:
    """Whether every round is asked for, and not a share of them."""
    return bool(pytestconfig.getoption("--thorough"))


@pytest.fixture(scope="session")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[postgres.Cluster]:
    """A real PostgreSQL server, empty, durable settings off, gone at the end; `--postgres` says which."""
    folder = tmp_path_factory.mktemp("cluster")
    settings = {**postgres.DURABILITY_OFF, "max_connections": "300"}
    try:
        with postgres.running(folder, settings, installation=pytestconfig.getoption("--postgres")) as found:
            yield found
    finally:
        postgres.destroy(folder)


@pytest.fixture(scope="session")
def databases(cluster: postgres.Cluster) -> Databases:
    """Makes customer databases from a template built once."""
    return Databases(cluster)


@pytest.fixture
def tenant_db(databases: Databases) -> Iterator[TenantDatabase]:
    """A fresh customer database with its login; dropped afterwards."""
    with databases.tenant() as found:
        yield found


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return Path(__file__).resolve().parents[1]
