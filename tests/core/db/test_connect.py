"""What every session of ours is told, whatever the server's own settings are."""

from __future__ import annotations

from tests.support.databases import TenantDatabase


def test_nothing_is_compiled_before_it_runs(tenant_db: TenantDatabase) -> None:
    """On PostgreSQL 15 to 17 a look for open lanes took 1 to 2 s, nearly all of it the compiler's."""
    with tenant_db.connect() as tx:
        row = tx.execute("SELECT current_setting('jit')").fetchone()

    assert row == ("off",)
