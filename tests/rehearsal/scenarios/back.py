"""The way back."""

from __future__ import annotations

from tests.rehearsal import releases
from tests.rehearsal.scenarios.play import OK, REFUSED, Play, expect, require, timed


def rollback(play: Play) -> None:
    """One command, to the previous release."""
    deployed = play.world.status()["deployed"]
    assert isinstance(deployed, dict)
    before = str(deployed["previous"])
    with play.watched() as count:
        done, seconds = timed(play, "rollback")
    expect(done, OK, f"{before} serves")
    require(play.serving() == before, f"{before} serves")
    good = seconds < 10 and not count.failed
    play.add("Rollback", f"{before} serves", seconds, count, "under 10 s, 0 failed requests", met=good)


def rollback_over_schema(play: Play) -> None:
    """Not onto a schema that the older program does not know."""
    bundle = releases.release(play.world, "1.8.0", schema_head="2")
    expect(play.world.deploying("deploy", str(bundle), "--no-backup"), OK, "1.8.0 serves")
    with play.watched() as count:
        done, seconds = timed(play, "rollback")
    expect(done, REFUSED, "moved the schema from 1 to 2", "Restore the backup")
    play.unharmed("Rollback over a schema that moved", "exit 70, restore is offered", seconds, count)
