"""Releases that are not well, and secrets that are not right."""

from __future__ import annotations

from tests.rehearsal import releases
from tests.rehearsal.scenarios.play import FAILED, REFUSED, Play, expect, require, timed
from tests.rehearsal.world import write_secrets


def bad_release(play: Play) -> None:
    """It crashes at start."""
    _goes_back(play, "1.2.0", "crash", "Release that crashes at start")


def silent_release(play: Play) -> None:
    """It starts and never answers."""
    _goes_back(play, "1.2.1", "silent", "Release that never answers")


def crash_looping_release(play: Play) -> None:
    """It is healthy for some seconds, gets traffic, and falls."""
    _goes_back(play, "1.3.0", "loop", "Release that falls after it got traffic")


def bad_workers(play: Play) -> None:
    """The server is fine, its workers are not."""
    _goes_back(play, "1.3.1", "workers", "Release whose workers crash")


def failed_migration(play: Play) -> None:
    """Its change of the schema fails half way: nothing of it stays."""
    _goes_back(play, "1.3.2", "migrate", "Release whose change of the schema fails half way")
    columns = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'rehearsal'"
    left = play.world.sql("windmill", columns)
    require(left == "0", f"columns that the failed change left: {left}")


def _goes_back(play: Play, version: str, fault: str, what: str) -> None:
    bundle, before = releases.release(play.world, version, fault=fault), play.serving()
    with play.watched() as count:
        done, seconds = timed(play, "deploy", str(bundle), "--no-backup")
    expect(done, FAILED, "serves, as before")
    require(play.serving() == before, f"{before} serves after {version}")
    require(play.world.audit()[-1]["event"] == "rolled_back", "the audit tells of the way back")
    play.unharmed(what, f"exit 1, {before} serves", seconds, count)


def wrong_secret(play: Play) -> None:
    """A database address that leads nowhere, and then files that must not be used at all."""
    world = play.world
    kept = world.on_host("cat", "/opt/platform/secrets/secrets.env")
    write_secrets(
        world, {"WINDMILL_DATABASE_URL": "postgres://windmill_b:not-a-real-one@postgres:5432/nowhere"}
    )
    before = play.serving()
    bundle = play.bundle(before)
    with play.watched() as count:
        done, seconds = timed(play, "deploy", bundle, "--no-backup")
    expect(done, FAILED, "serves, as before")
    play.unharmed("Wrong secret: a database that is not there", f"exit 1, {before} serves", seconds, count)
    world.write("/opt/platform/secrets/secrets.env", f"{kept}\n", "0600")
    path = next(line.split("=")[1] for line in kept.splitlines() if line.startswith("SECRET_WINDMILL_SALT="))
    _refused(
        play,
        "Secret that everybody may read",
        bundle,
        ("chmod", "0444", path),
        ("chmod", "0440", path),
        "everybody can read the secret",
    )
    _refused(
        play,
        "Secret that no service may read",
        bundle,
        ("chmod", "0400", path),
        ("chmod", "0440", path),
        "no service can read the secret",
    )
    away = f"{path}.away"
    _refused(
        play, "Secret that is missing", bundle, ("mv", path, away), ("mv", away, path), "is missing or empty"
    )


def _refused(
    play: Play, what: str, bundle: str, spoil: tuple[str, ...], mend: tuple[str, ...], words: str
) -> None:
    play.world.on_host(*spoil)
    try:
        with play.watched() as count:
            done, seconds = timed(play, "deploy", bundle, "--no-backup")
    finally:
        play.world.on_host(*mend)
    expect(done, REFUSED, words, "nothing was changed")
    play.unharmed(what, "exit 70, nothing changed", seconds, count)
