"""A change of the schema that fails half way, before the server of the release begins; by its own login."""

import pathlib
import sys

sys.path.insert(0, "/opt/platform/python")
import psycopg

url = pathlib.Path("/run/secrets/windmill_database_url").read_text().strip().partition("?")[0]
with psycopg.connect(f"{url}?sslmode=verify-full&sslrootcert=/run/secrets/database_ca") as database:
    database.execute("ALTER TABLE v2_job ADD COLUMN rehearsal integer")
    database.execute("ALTER TABLE v2_job ADD COLUMN id integer")
