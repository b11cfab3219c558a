"""A customer's script that opens the customer's database, as every script of ours does."""

import psycopg

from platform_core.windmill.resources import database_dsn


def main(database: dict[str, object]) -> list[str] | str:
    """Login and database; or why it could not be opened."""
    try:
        with psycopg.connect(database_dsn(database)) as connection:
            row = connection.execute("SELECT current_user::text, current_database()::text").fetchone()
    except psycopg.OperationalError as error:
        return str(error)
    return list(row or ())
