"""`python -m platform_core.restores` as a host runs it: by libpq variables, a dump on its input, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from platform_cli.local import postgres
from platform_core import audit
from platform_core.db import open_connection
from platform_core.tenancy.cluster import prepare_cluster
from platform_core.tenancy.provision import Provisioned, provision
from platform_core.values import Actor
from tests.support.databases import MemorySecrets


@dataclass(frozen=True)
class Site:
    """A cluster made by the packaged migrations, with one customer, and the programs of its PostgreSQL."""

    cluster: postgres.Cluster
    customer: Provisioned
    programs: Path

    def say(self, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run the program."""
        reach = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.cluster.port),
            "PGUSER": "postgres",
            "PGPASSWORD": self.cluster.password,
            "PATH": f"{self.programs}:{os.environ['PATH']}",
        }
        return subprocess.run(
            [sys.executable, "-m", "platform_core.restores", *words],
            env={**os.environ, **reach},
            input=given,
            capture_output=True,
            check=False,
        )

    def dump(self) -> bytes:
        """What a backup gives of the customer."""
        dsn = self.cluster.dsn(self.customer.tenant.database_name)
        command = [str(self.programs / "pg_dump"), "--format=custom", f"--dbname={dsn}"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def act(self, who: str) -> None:
        """Something the customer did."""
        with open_connection(self.customer.dsn, application="test") as tx, tx.transaction():
            audit.record(tx, "claim.approved", Actor("user", who), ("claim", "C1"))

    def acts(self) -> list[str]:
        """Who did something, oldest first."""
        with psycopg.connect(self.cluster.dsn(self.customer.tenant.database_name)) as tx:
            return [entry.actor.id for entry in reversed(audit.list_entries(tx))]


@pytest.fixture
def site(tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[Site]:
    """A server of its own: the program knows no other schema than the packaged one."""
    installation = pytestconfig.getoption("--postgres")
    folder = tmp_path / "site"
    try:
        with postgres.running(folder, postgres.DURABILITY_OFF, installation=installation) as cluster:
            prepare_cluster(cluster.admin_dsn)
            made = provision(
                cluster.admin_dsn,
                "acme",
                display_name="Acme",
                timezone="America/Lima",
                currency="PEN",
                secrets=MemorySecrets(),
            )
            yield Site(cluster, made, Path(installation or postgres.BINARIES) / "bin")
    finally:
        postgres.destroy(folder)


def test_a_customer_is_placed_undone_and_forgotten_by_its_verbs(site: Site) -> None:
    """Each says what it did, on one line."""
    site.act("ana")
    copy = site.dump()
    site.act("bruno")
    placed = site.say("place", "acme", "--to", "2026-03-01T10:15:00Z", "--by", "carla", given=copy)
    restored = site.acts()
    undone = site.say("undo", "acme", "--by", "carla")
    gone = site.say("forget", "acme", "--by", "carla")

    assert (placed.returncode, undone.returncode, gone.returncode) == (0, 0, 0), placed.stderr + gone.stderr
    found = json.loads(placed.stdout)
    assert {key: found[key] for key in ("slug", "entries", "held")} == {
        "slug": "acme",
        "entries": 1,
        "held": 0,
    }
    assert (restored, site.acts()) == (["ana", "host:carla"], ["ana", "bruno"])
    assert len(json.loads(gone.stdout)["gone"]) == 1


def test_what_is_not_well_ends_the_program_with_its_code_and_one_line(site: Site) -> None:
    """A cut dump, a customer nobody knows, a trail that was changed; and a cluster that is well."""
    well = site.say("settle", "--copy", "20260301T031000Z-daily", "--by", "carla")
    cut = site.say("place", "acme", given=site.dump()[:5000])
    stranger = site.say("heal", "acne")
    with psycopg.connect(site.cluster.dsn(site.customer.tenant.database_name)) as admin:
        admin.execute("UPDATE audit.head SET seq = 7")
    changed = site.say("settle")

    assert (well.returncode, json.loads(well.stdout)["databases"]) == (0, 2)
    assert (cut.returncode, stranger.returncode, changed.returncode) == (1, 3, 1)
    assert b"The dump cannot be put back" in cut.stderr
    assert b"Did you mean acme?" in stranger.stderr
    assert b"acme: The restored audit trail of acme is broken" in changed.stderr
    assert [len(said.stderr.splitlines()) for said in (cut, stranger, changed)] == [1, 1, 1]
