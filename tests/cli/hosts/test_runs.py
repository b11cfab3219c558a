"""What is typed about a run that goes on at a host, and about the room there, without a Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.backup_desks import BackupDesk


@pytest.fixture
def desk(tmp_path: Path) -> BackupDesk:
    """A desk and a host that is ready, whose Docker does nothing and says nothing."""
    made = BackupDesk.furnished(tmp_path)
    made.program("docker", ["#!/bin/sh", "exit 0"])
    return made


def test_a_run_is_followed_again_from_its_beginning(desk: BackupDesk) -> None:
    """Whoever was cut off, or comes to the shift later, reads all of it, and its end."""
    begun = desk.terminal.say("host", "resume")
    run = next(path.name.partition(".")[0] for path in (desk.host / "state/runs").iterdir())
    followed = desk.terminal.say("host", "follow", run)

    assert (begun.code, followed.code) == (0, 0), followed.err
    assert "resume: nothing was left half done" in followed.out
    assert followed.out == begun.out


def test_releases_that_serve_nobody_any_more_make_room(desk: BackupDesk) -> None:
    """What serves and what served before stay, and what was removed is said."""
    (desk.host / "state/deployed.json").write_text('{"version": "1.2.0", "previous": "1.1.0"}')
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        (desk.host / "releases" / version).mkdir()
    pruned = desk.terminal.say("host", "prune", "--keep", "2")

    assert pruned.code == 0, pruned.out + pruned.err
    assert "prune: 1.0.0 is gone" in pruned.out
    assert sorted(path.name for path in (desk.host / "releases").iterdir()) == ["1.1.0", "1.2.0"]
