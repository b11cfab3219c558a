"""A colleague is let into Windmill, makes the door's token, and leaves; needs `guide.first_customer`."""

from __future__ import annotations

import time

from tests.rehearsal import desk
from tests.rehearsal.scenarios import guide
from tests.rehearsal.scenarios.play import Play, require
from tests.rehearsal.windmill import WORKSPACE
from tests.rehearsal.world import DOMAIN

WHO = f"eva@{DOMAIN}"
AT = f"https://windmill.{DOMAIN}"


def colleague(play: Play) -> None:
    """Who leaves takes no webhook along: the door is given another token, and nothing of theirs is left."""
    world = play.world
    root, own = (desk.checkout(world) / name for name in ("superadmin.token", "eva.token"))
    root.write_text(world.secret("WINDMILL_SUPERADMIN"))
    root.chmod(0o600)
    how = (WHO, "--url", AT, "--token-from", str(root))
    door = ("secret", "rotate", "door-token", "--host", desk.HOST, "--target")
    began = time.monotonic()
    with play.watched() as count, guide.at_work(world) as say:
        say("instance", "admit", *how, "--token-to", str(own))
        say("target", "add", "eva", "--url", AT, "--workspace", WORKSPACE, "--token-file", str(own))
        say(*door, "eva")
        refused = desk.failed(world, "instance", "dismiss", *how)
        require(f"rotate door-token --host {desk.HOST}" in refused, f"the door's token is named: {refused}")
        say(*door, "prod")
        say("instance", "dismiss", *how, "--doors-too")
        say("target", "remove", "eva")
    seconds = time.monotonic() - began
    root.unlink()
    tables = ("token", "usr", "password")
    left = "; ".join(f"SELECT count(*) FROM {table} WHERE email = '{WHO}'" for table in tables)
    require(world.sql("windmill", left).split() == ["0"] * len(tables), "nothing of theirs is left")
    play.unharmed("A colleague let in and out", "nothing of theirs is left", seconds, count)
    guide.handled(play, "Signed webhook after they left")
