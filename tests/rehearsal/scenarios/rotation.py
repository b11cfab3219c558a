"""Secrets are replaced while they are in use, and no request fails."""

from __future__ import annotations

import subprocess
import time

from tests.rehearsal import desk
from tests.rehearsal.scenarios.play import REFUSED, Play, expect, require
from tests.rehearsal.windmill import Windmill
from tests.rehearsal.world import World

KINDS = {
    "windmill-database": "the database's login of Windmill",
    "database-tls": "the database's certificate",
    "superadmin": "Windmill's superadmin",
    "door-database": "the door's password",
    "backup-database": "the backup's password",
}


def rotations(play: Play) -> None:
    """Every kind that the host makes by itself, one after the other, and one it does not know."""
    world = play.world
    desk.know(world)
    before = _secrets(world)
    for kind, what in KINDS.items():
        began = time.monotonic()
        with play.watched() as count:
            desk.wmctl(world, "secret", "rotate", kind, "--host", desk.HOST)
        last = world.audit()[-1]
        require(last["event"] == "rotated" and last["kind"] == kind, f"the audit tells of it: {last}")
        after = _secrets(world)
        require(after != before, f"no secret is another after {kind}")
        before = after
        play.unharmed(f"Rotation: {what}", "replaced, in use", time.monotonic() - began, count)
    Windmill(world).prepare()  # the new superadmin's secret opens Windmill
    _salt_stays(play)


def _salt_stays(play: Play) -> None:
    """What cannot be replaced in place is refused, with the reason."""
    began = time.monotonic()
    done = subprocess.run(
        play.world.as_root("/opt/platform/bin/platform_host.sh rotate windmill-salt"),
        capture_output=True,
        text=True,
        check=False,
    )
    expect(done, REFUSED, "the salt cannot be replaced in place")
    play.add("Rotation: the salt", "exit 70, with the reason", time.monotonic() - began)


def _secrets(world: World) -> set[str]:
    return set(world.on_host("cat", "/opt/platform/secrets/secrets.env").split())
