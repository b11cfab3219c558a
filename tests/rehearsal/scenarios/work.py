"""The first customer's jobs open its database, and only as they must."""

from __future__ import annotations

import time

from tests.rehearsal.scenarios.guide import CUSTOMER
from tests.rehearsal.scenarios.play import Play, require
from tests.rehearsal.windmill import WORKSPACE, Windmill

PLAIN = "no encryption"
RESOURCE = f"f/{CUSTOMER}/database"


def job_and_its_database(play: Play) -> None:
    """A job is in its own customer's database by TLS; without TLS there is no database for it."""
    windmill = Windmill(play.world)
    value = windmill.ask("GET", f"/w/{WORKSPACE}/resources/get_value_interpolated/{RESOURCE}")
    assert isinstance(value, dict)
    windmill.deploy("f/north/database", "database.py")
    began = time.monotonic()
    found = windmill.run("f/north/database", database=value)
    require(found == [value["user"], value["dbname"]], f"the job is in its own database: {found}")
    plain = windmill.run("f/north/database", database={**value, "sslmode": "disable"})
    require(PLAIN in str(plain), f"no job speaks to the database in plain: {plain}")
    play.add(
        "The customer's job opens its database by TLS, and in plain",
        "opened; refused in plain",
        time.monotonic() - began,
    )
