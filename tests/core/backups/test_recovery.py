"""A cluster as it was at an instant, put in its place; and each thing that keeps it from being so, said."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from platform_cli.local import postgres
from platform_core.backups.recovery import LATEST, Goal, decide_goal, recovered, running
from platform_core.backups.restoring import MARKER, restore
from platform_core.backups.sealing import Identity
from platform_core.errors import BackupFailed, InvalidTime, NotFound, SecretRejected, StateConflict
from platform_core.values import SystemClock
from tests.support.vaults import Vault, a_vault, new_identity
from tests.support.written_flows import until

KILLED = """
import os, signal, sys
from platform_core.backups.place import Place
from platform_core.backups.recovery import decide_goal
from platform_core.backups.restoring import restore
from platform_core.backups.sealing import Identity
from platform_core.settings import load_settings
from platform_core.values import SystemClock

def at_step(name):
    if name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

place = Place.of(load_settings(os.environ))
goal = decide_goal(place, name=None, to="latest")
identity = Identity.parse(sys.stdin.read())
restore(place, goal, identity, replace=True, clock=SystemClock(), at_step=at_step)
"""


@dataclass
class Lived:
    """A cluster that lived a while: row 1, then `between`, then row 2; a copy before, all of it kept."""

    vault: Vault
    between: datetime
    copy: str


@pytest.fixture(scope="module")
def lived(bare_cluster: postgres.Cluster) -> Iterator[Lived]:
    """Only looked at and copied from: what a test damages it puts back."""
    with a_vault(bare_cluster) as vault:
        vault.sql("DROP TABLE IF EXISTS deed")
        vault.sql("CREATE TABLE deed (number integer)")
        with vault.serving():
            until(vault.place.list_copies, "the first copy")
            vault.sql("INSERT INTO deed VALUES (1)")
            vault.switch()
            between = vault.now()
            vault.sql("INSERT INTO deed VALUES (2)")
            vault.switch()
            until(lambda: vault.now() > between + timedelta(seconds=1.1), "a second")
            vault.switch()
        yield Lived(vault, between, vault.place.list_copies()[0].name)


def _deeds(dsn: str) -> list[int]:
    with psycopg.connect(dsn, autocommit=True) as admin:
        return [number for (number,) in admin.execute("SELECT number FROM deed ORDER BY 1").fetchall()]


@contextmanager
def _tried(vault: Vault, goal: Goal, identity: Identity | None = None) -> Iterator[str]:
    with (
        vault.place.room("tried") as work,
        recovered(vault.place, goal, identity or vault.keys, data=work / "data", work=work) as server,
    ):
        yield server.dsn


def _in_place(vault: Vault) -> list[int]:
    """What the cluster that stands in the database's place holds."""
    with (
        vault.place.room("looked") as work,
        running(vault.place.programs(), vault.place.data, work, {"fsync": "off"}) as dsn,
    ):
        return _deeds(dsn)


def test_an_instant_is_had_exactly(lived: Lived) -> None:
    """What was committed by then is there, and nothing later."""
    with _tried(lived.vault, decide_goal(lived.vault.place, name=None, to=lived.between.isoformat())) as dsn:
        assert _deeds(dsn) == [1]


def test_all_that_was_kept_is_had(lived: Lived) -> None:
    """Up to the last segment."""
    with _tried(lived.vault, decide_goal(lived.vault.place, name=None, to=LATEST)) as dsn:
        assert _deeds(dsn) == [1, 2]


def test_a_copy_is_had_as_it_was_taken(lived: Lived) -> None:
    """By its name, with none of the log after it."""
    with _tried(lived.vault, decide_goal(lived.vault.place, name=lived.copy, to=None)) as dsn:
        assert _deeds(dsn) == []


def test_an_instant_after_the_last_commit_is_the_state_then(lived: Lived) -> None:
    """PostgreSQL gives up when nothing in the log is later than its target; the log was all there."""
    until_ = lived.vault.place.reaches()[-1].until

    with _tried(lived.vault, decide_goal(lived.vault.place, name=None, to=until_.isoformat())) as dsn:
        assert _deeds(dsn) == [1, 2]


@pytest.mark.parametrize(
    ("to", "kind", "said"),
    [
        ("2026-03-02T12:00:00", InvalidTime, "has no zone, so it is no instant"),
        ("noon", InvalidTime, "'noon' is no instant"),
        ("2020-03-02T12:00:00Z", StateConflict, "The copies do not reach 2020-03-02T12:00:00Z"),
        ("2099-03-02T12:00:00+02:00", StateConflict, "The copies do not reach 2099-03-02T10:00:00Z"),
    ],
)
def test_an_instant_that_cannot_be_had_is_refused_before_anything(
    lived: Lived, to: str, kind: type[Exception], said: str
) -> None:
    """With what can be had."""
    with pytest.raises(kind, match=said):
        decide_goal(lived.vault.place, name=None, to=to)


def test_another_identity_restores_nothing(lived: Lived) -> None:
    """And what is there stays there."""
    goal = decide_goal(lived.vault.place, name=None, to=LATEST)

    with (
        pytest.raises(SecretRejected, match="This identity does not open"),
        _tried(lived.vault, goal, Identity.parse(new_identity())),
    ):
        pass
    assert not any(lived.vault.place.scratch.glob("tried-*"))


def _damage(path: Path) -> bytes:
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)
    return whole


def test_a_flipped_byte_in_the_copy_is_named(lived: Lived) -> None:
    """Before anything is opened."""
    goal = decide_goal(lived.vault.place, name=None, to=LATEST)
    path = lived.vault.place.sealed_copy(goal.copy)
    whole = _damage(path)
    try:
        with pytest.raises(BackupFailed, match="is not what was written"), _tried(lived.vault, goal):
            pass
    finally:
        path.write_bytes(whole)


def test_a_flipped_byte_in_the_log_stops_the_recovery(lived: Lived) -> None:
    """It does not end early and pass for whole."""
    vault, (system,) = lived.vault, lived.vault.place.list_segments()
    goal = decide_goal(vault.place, name=None, to=LATEST)
    path = vault.place.wal(system) / goal.reach.segments[-2].file_name
    whole = _damage(path)
    try:
        with pytest.raises(BackupFailed, match=f"{path.name} is not what was written"), _tried(vault, goal):
            pass
    finally:
        path.write_bytes(whole)


def test_a_missing_segment_is_said_and_what_is_before_it_can_be_had(lived: Lived) -> None:
    """`latest` would be less than what was written, so it is refused."""
    vault, (system,) = lived.vault, lived.vault.place.list_segments()
    missing = vault.place.reaches()[-1].segments[-2]
    path = vault.place.wal(system) / missing.file_name
    aside = path.with_name("aside")
    path.rename(aside)
    try:
        with pytest.raises(BackupFailed, match=r"Of the log after .* is missing"):
            decide_goal(vault.place, name=None, to=LATEST)
        before = vault.place.reaches()[-1].until
        assert decide_goal(vault.place, name=None, to=before.isoformat()).until == before
    finally:
        aside.rename(path)


def test_a_copy_nobody_made_is_not_there(lived: Lived) -> None:
    """A name of another form is said to be one."""
    with pytest.raises(NotFound, match=r"There is no copy '20200101T000000Z-daily'$"):
        decide_goal(lived.vault.place, name="20200101T000000Z-daily", to=None)
    with pytest.raises(NotFound, match="a name is like"):
        decide_goal(lived.vault.place, name="../etc", to=None)


def test_a_cluster_is_put_in_its_place_and_the_old_one_kept_aside(lived: Lived) -> None:
    """First where there is none, then over that one, which takes the word for it."""
    place, clock = lived.vault.place, SystemClock()
    first = restore(
        place,
        decide_goal(place, name=None, to=lived.between.isoformat()),
        lived.vault.keys,
        replace=False,
        clock=clock,
    )
    assert (first.replaced, first.timeline, _in_place(lived.vault)) == (None, 2, [1])

    latest = decide_goal(place, name=None, to=LATEST)
    with pytest.raises(StateConflict, match="is there"):
        restore(place, latest, lived.vault.keys, replace=False, clock=clock)
    second = restore(place, latest, lived.vault.keys, replace=True, clock=clock)
    assert (second.copy, _in_place(lived.vault)) == (lived.copy, [1, 2])
    assert sorted(path.name for path in place.data.parent.iterdir()) == ["data", second.replaced]
    _empty(lived.vault)


def _empty(vault: Vault) -> None:
    for path in vault.place.data.parent.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


STEPS = {
    "aside": (True, True, True),
    "place": (False, True, False),
    "recovered": (True, False, True),
    "unmark": (False, True, True),
}
"""At each: whether the old cluster is in its place, the marker stands, anything is in place."""


def test_killed_at_any_step_a_restore_leaves_the_old_or_nothing_and_can_be_repeated(
    lived: Lived, is_thorough: bool
) -> None:
    """And as long as it has not ended, a marker keeps an empty cluster from being begun."""
    place = lived.vault.place
    for step in STEPS if is_thorough else ("aside", "place"):
        place.data.mkdir()
        (place.data / "old").touch()
        _be_killed(lived.vault, step)
        is_marked = (place.data.parent / MARKER).exists()
        assert ((place.data / "old").exists(), is_marked, place.data.exists()) == STEPS[step]

        again = lived.vault.say("restore", "--to", LATEST, "--replace", stdin=lived.vault.identity)
        assert (again["copy"], _in_place(lived.vault)) == (lived.copy, [1, 2])
        assert not (place.data.parent / MARKER).exists()
        assert not place.data.with_name("data.new").exists()
        _empty(lived.vault)


def _be_killed(vault: Vault, step: str) -> None:
    victim = subprocess.run(
        [sys.executable, "-c", KILLED, step],
        env=vault.environment,
        input=vault.identity.encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert victim.returncode == -signal.SIGKILL, victim.stderr
