"""Empty databases, for tests of what fills them."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from platform_cli.local.postgres import BINARIES, Cluster


@contextmanager
def empty_database(cluster: Cluster) -> Iterator[str]:
    """A database with nothing in it, owned by the platform's owner; the superuser's connection string."""
    name = sql.Identifier(f"bare_{secrets.token_hex(6)}")
    with psycopg.connect(cluster.admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER platform_owner TEMPLATE template0").format(name))
        admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    try:
        yield cluster.dsn(name.as_string().strip('"'))
    finally:
        with psycopg.connect(cluster.admin_dsn, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def dump_of(dsn: str) -> list[str]:
    """The schema as `pg_dump` writes it, without what differs from run to run."""
    dumped = subprocess.run(
        [str(BINARIES / "bin" / "pg_dump"), "--schema-only", "--dbname", dsn],
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [
        line
        for line in dumped.splitlines()
        if line and not line.startswith(("--", "\\restrict", "\\unrestrict"))
    ]
