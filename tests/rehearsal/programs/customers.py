"""Runs in the backup's image beside the database's socket: customers of the platform, and what they wrote.

make: two customers, with a note each; note WORD: one more for each; damage: north's notes are deleted; show.
The last line is what each has, as JSON.
"""

import json
import sys

import psycopg

from platform_core.tenancy.cluster import prepare_cluster
from platform_core.tenancy.door import prepare_door_of_host
from platform_core.tenancy.provision import provision
from platform_core.tenancy.registry import dsn_for, list_tenants, open_control

CUSTOMERS = ("north", "south")
ADMIN = "host=/run/postgresql user=postgres dbname=postgres"


class Kept(dict[str, str]):
    """Passwords for as long as this runs."""

    def put(self, name: str, value: str) -> None:
        """Keep it."""
        self[name] = value


def main(verb: str, word: str = "") -> None:
    """Do it, then show."""
    if verb == "make":
        prepare_cluster(ADMIN)
        prepare_door_of_host(ADMIN, Kept())
        for slug in CUSTOMERS:
            provision(ADMIN, slug, display_name=slug, timezone="America/Lima", currency="PEN", secrets=Kept())
    with open_control(ADMIN, application="rehearsal") as control:
        databases = {one.slug: one.database_name for one in list_tenants(control) if one.slug in CUSTOMERS}
    notes = {}
    for slug, database in databases.items():
        with psycopg.connect(dsn_for(ADMIN, dbname=database), autocommit=True) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS rehearsal")
            connection.execute("CREATE TABLE IF NOT EXISTS rehearsal.note (word text PRIMARY KEY)")
            if verb in {"make", "note"}:
                connection.execute(
                    "INSERT INTO rehearsal.note VALUES (%s) ON CONFLICT DO NOTHING", [word or "first"]
                )
            if verb == "damage" and slug == "north":
                connection.execute("DELETE FROM rehearsal.note")
            connection.execute("SELECT pg_switch_wal()")
            found = connection.execute("SELECT word FROM rehearsal.note ORDER BY word").fetchall()
            notes[slug] = [row[0] for row in found]
    sys.stdout.write(json.dumps(notes) + "\n")


main(*sys.argv[1:])
