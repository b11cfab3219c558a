"""Which workers told the database that they live and isolate their jobs: a real psql on a real database."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import psycopg
import pytest

from platform_cli.local.postgres import BINARIES, Cluster
from tests.support.wmctl import REPOSITORY

PSQL = BINARIES / "bin/psql"
PINGED = REPOSITORY / "infra/postgres/pinged.sql"
TABLE = "CREATE TABLE worker_ping (worker_instance text, ping_at timestamptz, job_isolation text)"
"""As much of Windmill's table as the question reads."""


@pytest.fixture
def windmill(cluster: Cluster) -> Iterator[psycopg.Connection]:
    """A database with the table, and nothing in it."""
    with psycopg.connect(cluster.admin_dsn, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS pinged_test")
        admin.execute("CREATE DATABASE pinged_test")
        with psycopg.connect(cluster.dsn("pinged_test"), autocommit=True) as database:
            database.execute(TABLE)
            yield database
        admin.execute("DROP DATABASE pinged_test")


def ping(database: psycopg.Connection, host: str, ago_s: int = 0, isolation: str = "unshare") -> None:
    """What a worker writes."""
    row = (host, ago_s, isolation)
    database.execute("INSERT INTO worker_ping VALUES (%s, now() - %s * interval '1 second', %s)", row)


def asked(database: psycopg.Connection, *hosts: str) -> set[str]:
    """What `platform-postgres pinged` says of these."""
    words = (PSQL, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
    done = subprocess.run(
        [*words, database_url(database)],
        input=f"\\set hosts '{' '.join(hosts)}'\n{PINGED.read_text()}",
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def database_url(database: psycopg.Connection) -> str:
    """The same database, for another program."""
    info = database.info
    return f"host={info.host} port={info.port} dbname={info.dbname} user={info.user} password={info.password}"


def test_who_pinged_lately_and_isolates_is_named(windmill: psycopg.Connection) -> None:
    """And nobody else, of the hosts that were asked for."""
    ping(windmill, "0123456789ab")
    ping(windmill, "1123456789ab", ago_s=61)
    ping(windmill, "2123456789ab", isolation="none")
    ping(windmill, "3123456789ab")

    assert asked(windmill, "0123456789ab", "1123456789ab", "2123456789ab") == {"0123456789ab"}


def test_one_whose_ping_comes_meanwhile_is_waited_for(windmill: psycopg.Connection) -> None:
    """The first is there, the second comes while the question waits."""
    ping(windmill, "0123456789ab")
    watching = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )

    def comes() -> None:
        with psycopg.connect(database_url(windmill), autocommit=True) as database:
            while database.execute(watching).fetchone() == (0,):
                pass
            ping(database, "1123456789ab")

    worker = threading.Thread(target=comes, daemon=True)
    worker.start()
    found = asked(windmill, "0123456789ab", "1123456789ab")
    worker.join()

    assert found == {"0123456789ab", "1123456789ab"}
