"""A rotation on a host without a Docker: what fails or dies brings back what was there, or a repeat ends it.

That no request fails meanwhile is rehearsed for real: `make rehearsal`.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.support.serving_hosts import ServingHost, serving_host

OK, FAILED, USAGE, REFUSED, LOCKED, KILLED = 0, 1, 64, 70, 75, -9


@pytest.fixture
def host(tmp_path: Path) -> ServingHost:
    """A host with secrets, on which 1.4.2 serves."""
    return serving_host(tmp_path)


def test_a_password_changes_in_the_database_and_then_for_who_has_it(host: ServingHost) -> None:
    """The door is away meanwhile: Windmill's routes take webhooks. The old file goes at the end."""
    old = host.listed("DOOR_DATABASE_PASSWORD")
    code, said = host.rotate("door-database")

    assert code == OK, said
    assert host.events == ["stop door", f"door-password {host.digest('DOOR_DATABASE_PASSWORD')}", "up door"]
    assert host.listed("DOOR_DATABASE_PASSWORD") == host.listed("DOOR_DATABASE_PASSWORD", "release.env")
    assert (old.exists(), len(list((host.root / "bundles").iterdir()))) == (False, 1)
    assert host.audited() == ["rotation_begun", "rotated"]
    assert not (host.root / "state/rotating.json").exists()


def test_what_fails_is_put_back(host: ServingHost) -> None:
    """The old password, the old list, the old door."""
    old, digest = host.listed("DOOR_DATABASE_PASSWORD"), host.digest("DOOR_DATABASE_PASSWORD")
    host.wish("fail", "up door")
    code, said = host.rotate("door-database")

    assert (code, "The old secret serves, as before" in said) == (FAILED, True), said
    assert host.listed("DOOR_DATABASE_PASSWORD") == old
    assert host.events[-2:] == [f"door-password {digest}", "up door"]
    assert host.audited() == ["rotation_begun", "rotation_failed"]
    assert not (host.root / "state/rotating.json").exists()


@pytest.mark.parametrize("at", ["stop door", "door-password", "up door"])
def test_a_rotation_that_was_killed_is_ended_by_a_repeat(host: ServingHost, at: str) -> None:
    """With the one new secret that it had made, and nothing else is rotated before."""
    old = host.listed("DOOR_DATABASE_PASSWORD")
    host.wish("kill", at)
    killed, _ = host.rotate("door-database")
    half = host.listed("DOOR_DATABASE_PASSWORD")
    other, refusal = host.rotate("backup-database")
    again, said = host.rotate("door-database")

    assert (killed, other, again) == (KILLED, REFUSED, OK), (refusal, said)
    assert "the rotation of door-database is half done" in refusal
    assert half != old
    assert (
        host.listed("DOOR_DATABASE_PASSWORD") == half == host.listed("DOOR_DATABASE_PASSWORD", "release.env")
    )
    assert host.events[-2:] == [f"door-password {host.digest('DOOR_DATABASE_PASSWORD')}", "up door"]


def test_a_rotation_that_cannot_be_noted_does_not_begin(host: ServingHost) -> None:
    """A note that is empty would say nothing of what is half done."""
    old = host.listed("DOOR_DATABASE_PASSWORD")
    host.takes_no_more("state/rotating.json")
    code, said = host.rotate("door-database")

    assert (code, host.events) == (REFUSED, []), said
    assert "the disk takes no more" in said
    assert (host.listed("DOOR_DATABASE_PASSWORD"), (host.root / "state/rotating.json").exists()) == (
        old,
        False,
    )


def test_a_secret_that_serves_stays_when_that_cannot_be_noted(host: ServingHost) -> None:
    """Its old list would name a password that the database does not know any more; a repeat ends it."""
    host.wish("kill", "up door")
    host.rotate("door-database")
    new, noted = host.listed("DOOR_DATABASE_PASSWORD"), (host.root / "state/rotating.json").read_text()
    host.takes_no_more("state/rotating.json")
    full, said = host.rotate("door-database")
    kept = (host.root / "state/rotating.json").read_text()
    (host.played / "cat").unlink()
    again, _ = host.rotate("door-database")

    assert (full, again) == (FAILED, OK), said
    assert "door-database is half done: the disk takes no more" in said
    assert kept == noted
    assert (
        host.listed("DOOR_DATABASE_PASSWORD") == new == host.listed("DOOR_DATABASE_PASSWORD", "release.env")
    )


def test_a_token_of_the_door_waits_until_it_is_rotated_in(host: ServingHost) -> None:
    """Without one that waits, nothing begins."""
    refused, said = host.rotate("door-token")
    host.secrets("take", "DOOR_WINDMILL_TOKEN", given="not-a-real-token-of-windmill")
    code, _ = host.rotate("door-token")

    assert (refused, "no new token of the door waits" in said) == (REFUSED, True)
    assert (code, host.events) == (OK, ["up door"])
    assert host.listed("DOOR_WINDMILL_TOKEN").read_text() == "not-a-real-token-of-windmill"


def test_what_waits_for_a_deploy_goes_first(host: ServingHost) -> None:
    """It would come along unseen."""
    host.secrets("renew", "WINDMILL_SUPERADMIN")
    code, said = host.rotate("backup-database")

    assert (code, host.events) == (REFUSED, []), said
    assert "SECRET_WINDMILL_SUPERADMIN was changed and does not serve yet" in said


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("windmill-salt", REFUSED, "the salt cannot be replaced in place"),
        ("everything", USAGE, "there is no kind 'everything'"),
        ("", USAGE, "there are: windmill-database"),
    ],
)
def test_a_kind_that_is_none_is_refused(host: ServingHost, kind: str, code: int, words: str) -> None:
    """And the salt with its reason."""
    answer, said = host.rotate(kind)

    assert (answer, words in said, host.events) == (code, True, [])


def test_a_rotation_and_a_deploy_take_turns(host: ServingHost) -> None:
    """Both change what serves."""
    with (host.root / "state/deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = host.rotate("backup-database")

    assert (code, "another deploy is running" in said) == (LOCKED, True)
