"""Data that is lost comes back: one customer's to an instant, and everything on a new host."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

from tests.rehearsal import desk
from tests.rehearsal.engine import Broke, wait_for
from tests.rehearsal.scenarios.play import OK, Play, expect, require
from tests.rehearsal.windmill import WORKSPACE, Windmill
from tests.rehearsal.world import World, furnish_trust, hand_over_host, host_values, lose_host


def one_customer(play: Play) -> None:
    """A customer's rows are deleted by mistake: they come back, and nobody else notices."""
    world = play.world
    desk.know(world)
    desk.customers(world, "make")
    desk.wmctl(world, "backup", "now", "--host", desk.HOST, "--reason", "rehearsal")
    before = desk.customers(world, "note", "kept")
    instant = _now(world)
    wait_for(lambda: _now(world) > instant, "the instant is over")
    desk.customers(world, "damage")
    later = desk.customers(world, "note", "later")
    _until_covered(world, instant)
    began = time.monotonic()
    with play.watched() as count:
        desk.wmctl(
            world,
            *("backup", "restore", "--to", instant, "--customer", "acme", *desk.admin(world)),
            *("--identity", desk.identity(world), "--yes", desk.HOST),
        )
    seconds = time.monotonic() - began
    found = desk.customers(world, "show")
    require(found["acme"] == before["acme"], f"acme has what it had at {instant}: {found}, not {before}")
    require(found["other"] == later["other"], f"the other customer keeps what it wrote since: {found}")
    play.unharmed("One customer put back to an instant", "acme as it was, others as they are", seconds, count)


def drill(play: Play) -> None:
    """The newest copy is recovered beside, looked at, and a secret of Windmill opened with it."""
    world, windmill = play.world, Windmill(play.world)
    windmill.prepare()
    path = "f/acme/rehearsal"
    if windmill.ask("GET", f"/w/{WORKSPACE}/variables/exists/{path}") is not True:
        body = {"path": path, "value": "not-a-real-one", "is_secret": True, "description": ""}
        windmill.ask("POST", f"/w/{WORKSPACE}/variables/create", body)
    desk.wmctl(world, "backup", "now", "--host", desk.HOST, "--reason", "rehearsal")
    began = time.monotonic()
    with play.watched() as count:
        desk.wmctl(world, "backup", "drill", "--host", desk.HOST, "--identity", desk.identity(world))
    seconds = time.monotonic() - began
    result = json.loads(world.on_host("cat", "/opt/platform/backups/drill.json"))
    require(result["ok"] is True, f"the drill says {result}")
    checks = ", ".join(check["name"] for check in result["checks"])
    play.unharmed(f"Drill of the newest copy: {checks}", "all well", seconds, count)


def total_loss(play: Play) -> None:
    """The host is gone with its disk. A new one, from what is at the desk."""
    world = play.world
    version = play.serving()
    away = world.folder / "away"
    bundle = away / "secrets.tar.age"
    away.mkdir(exist_ok=True)
    wrote = desk.customers(world, "note", "last")
    _until_covered(world, _now(world))
    desk.wmctl(world, "secret", "bundle", str(bundle), "--host", desk.HOST)
    desk.wmctl(world, "backup", "fetch", "--to", str(away / "copies"), "--host", desk.HOST)
    reached = _covered(world)
    audit = len(world.audit())
    lose_host()
    began = time.monotonic()
    hand_over_host(world)
    desk.know(world)
    values = world.folder / "host.env"
    values.write_text(host_values())
    desk.wmctl(
        world,
        *("host", "bootstrap", *desk.admin(world), "--host-values", str(values)),
        *("--set", "SKIP=swap", "--set", "BALLAST_MB=64"),
    )
    desk.wmctl(
        world, "secret", "unbundle", str(bundle), "--identity", desk.identity(world), *desk.admin(world)
    )
    furnish_trust(world)
    desk.wmctl(world, "backup", "send", "--from", str(away / "copies"), *desk.admin(world))
    expect(world.deploying("deploy", play.bundle(version), "--no-backup"), OK, f"{version} serves")
    serving = time.monotonic() - began
    desk.wmctl(
        world,
        *("backup", "restore", "--to", reached, *desk.admin(world), "--identity", desk.identity(world)),
        *("--yes", desk.HOST),
    )
    wait_for(world.serves, "the new host serves", limit_s=60)
    found = desk.customers(world, "show")
    require(found == wrote, f"everybody has what they wrote last: {found}, not {wrote}")
    seconds = time.monotonic() - began
    play.add(
        "Total loss, then a new host from what is at the desk",
        f"serves after {serving:.0f} s, with all data after {seconds:.0f} s; audit of {audit} lines",
        seconds,
        goal="under 90 s",
        met=seconds < 90,
    )


def _now(world: World) -> str:
    """The host's time, and not before its next second: an instant after everything that was written."""
    seconds = int(world.on_host("date", "+%s")) + 1
    return (datetime.fromtimestamp(seconds, UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _covered(world: World) -> str:
    listed = json.loads(desk.wmctl(world, "backup", "list", "--host", desk.HOST, "--json", check=False))
    ends = [str(row["to"]) for row in listed["covered"]]
    if not ends:
        raise Broke(f"no copy covers anything: {listed}")
    return max(ends)


def _until_covered(world: World, instant: str) -> None:
    """Writes go on, as they do; the log up to an instant is in the copies."""
    wanted = datetime.fromisoformat(instant) + timedelta(seconds=1)

    def covered() -> bool:
        desk.customers(world, "show")
        return datetime.fromisoformat(_covered(world)) >= wanted

    wait_for(covered, f"copies reach {instant}", limit_s=90)
