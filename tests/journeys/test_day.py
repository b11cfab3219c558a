"""The day that `make demo` shows, played as a test and asked the same questions."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_cli.local import checks
from platform_cli.local.day import ENDING, Day
from platform_cli.local.secret_store import FileSecretStore
from platform_cli.local.stage import set_stage
from tests.support.databases import Databases
from tests.support.written_flows import new_state


class Listener:
    """A teller that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def scene(self, title: str) -> None:
        """Remember a scene."""
        self.told.append((title, "", ""))

    def line(self, who: str, what: str, outcome: str) -> None:
        """Remember a line."""
        self.told.append((who, what, outcome))

    def waiting(self, what: str) -> None:
        """Nothing waits for a test."""


@pytest.mark.timeout(300)
def test_the_whole_day_ends_as_it_must(
    databases: Databases, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every scene happens, and PostgreSQL, the trail and the provider agree on what came of it."""
    store = FileSecretStore(tmp_path / "secrets")
    monkeypatch.setenv("PLATFORM_DATABASE_URL", databases.cluster.admin_dsn)
    monkeypatch.setenv("PLATFORM_STATE_DIR", str(tmp_path))
    listener = Listener()
    with (
        databases.tenant("einstein_kids", store=store) as made,
        databases.tenant() as neighbour,
        set_stage(
            repository / "customers", "einstein_kids", made.dsn, state_dsn=new_state(databases.cluster)
        ) as stage,
    ):
        Day(stage, listener, repository).play()
        found = checks.check_customer(stage, ENDING)
        found.append(checks.check_isolation(neighbour.dsn, made.name))

    assert [check for check in found if not check.holds] == []
    assert ("stranger", "posts a webhook with a forged signature", "HTTP 401") in listener.told
