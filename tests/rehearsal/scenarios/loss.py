"""Data that is lost comes back: one customer's to an instant, and everything on a new host."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.rehearsal import desk
from tests.rehearsal.engine import Broke, docker, run, wait_for
from tests.rehearsal.scenarios import guide
from tests.rehearsal.scenarios.play import OK, Play, expect, require
from tests.rehearsal.windmill import WORKSPACE, Windmill
from tests.rehearsal.world import (
    World,
    furnish_trust,
    hand_over_host,
    host_values,
    lead_names_elsewhere,
    lead_names_here,
    lose_host,
)


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
            *("backup", "restore", "--to", instant, "--customer", "north", *desk.admin(world)),
            *("--identity", desk.identity(world), "--yes", desk.HOST),
        )
    seconds = time.monotonic() - began
    found = desk.customers(world, "show")
    require(found["north"] == before["north"], f"north has what it had at {instant}: {found}, not {before}")
    require(found["south"] == later["south"], f"the other customer keeps what it wrote since: {found}")
    play.unharmed(
        "One customer put back to an instant", "north as it was, others as they are", seconds, count
    )


def spoilt_copy(play: Play) -> None:
    """A byte of a copy is another, and a key is not the copies': both are told, and nothing is put back."""
    world = play.world
    desk.wmctl(world, "backup", "now", "--host", desk.HOST, "--reason", "rehearsal")
    newest = world.on_host("sh", "-c", "ls /opt/platform/backups/copies/*.tar.zst.age | tail -n 1")
    wrong = _another_identity(world)
    began = time.monotonic()
    said = desk.failed(world, "backup", "drill", "--host", desk.HOST, "--identity", wrong)
    require("identity" in said or "key" in said, f"the wrong key is named: {said}")
    world.on_host("cp", "-a", newest, f"{newest}.kept")
    flip = 'printf "\\377" | dd of="$1" bs=1 seek=200000 conv=notrunc status=none; ! cmp -s "$1" "$1.kept"'
    world.on_host("sh", "-ec", flip, "flip", newest)
    try:
        said = desk.failed(world, "backup", "drill", "--host", desk.HOST, "--identity", desk.identity(world))
    finally:
        world.on_host("mv", f"{newest}.kept", newest)
    name = newest.rsplit("/", 1)[-1].partition(".")[0]
    require(name in said, f"the spoilt copy {name} is named: {said}")
    result = json.loads(world.on_host("cat", "/opt/platform/backups/drill.json"))
    require(result["ok"] is False, f"the drill that failed is written down: {result}")
    seconds = time.monotonic() - began
    play.add("A wrong key; a copy with one byte changed", "both refused and named by the drill", seconds)


def _another_identity(world: World) -> str:
    file = world.folder / "other.identity"
    made = docker("run", "--rm", "--entrypoint", "age-keygen", "platform-backup:rehearsal")
    file.write_text(f"{made}\n")
    file.chmod(0o600)
    return str(file)


def drill(play: Play) -> None:
    """The newest copy is recovered beside, looked at, and a secret of Windmill opened with it."""
    world, windmill = play.world, Windmill(play.world)
    windmill.prepare()
    path = "f/north/rehearsal"
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
    elsewhere = lead_names_elsewhere()
    began = time.monotonic()
    hand_over_host(world, named=False)
    desk.know(world)
    values = world.folder / "host.env"
    values.write_text(host_values(PUBLIC_ADDRESSES=elsewhere))
    _bootstrap(world, values)
    desk.wmctl(
        world, "secret", "unbundle", str(bundle), "--identity", desk.identity(world), *desk.admin(world)
    )
    furnish_trust(world)
    desk.wmctl(world, "backup", "send", "--from", str(away / "copies"), *desk.admin(world))
    expect(world.deploying("deploy", play.bundle(version), "--no-backup"), OK, f"{version} serves")
    deployed = time.monotonic() - began
    desk.wmctl(
        world,
        *("backup", "restore", "--to", reached, *desk.admin(world), "--identity", desk.identity(world)),
        *("--yes", desk.HOST),
    )
    found = desk.customers(world, "show")
    require(found == wrote, f"everybody has what they wrote last: {found}, not {wrote}")
    restored = time.monotonic() - began
    lead_names_here()
    run(*world.as_root("docker restart platform-caddy-1"))
    wait_for(world.serves, "the new host serves", limit_s=60)
    seconds = time.monotonic() - began
    came_out = (
        f"deployed after {deployed:.0f} s, all data after {restored:.0f} s; then the names were led to it"
    )
    what = "Total loss, then a new host from what is at the desk"
    play.add(f"{what} (audit of {audit} lines)", came_out, seconds, goal="under 90 s", met=seconds < 90)
    values.write_text(host_values())
    _bootstrap(world, values)
    desk.wmctl(world, "host", "doctor", "--host", desk.HOST)
    if world.sender:
        guide.handled(play, "Signed webhook to the first customer, on the new host")


def _bootstrap(world: World, values: Path) -> None:
    desk.wmctl(
        world,
        *("host", "bootstrap", *desk.admin(world), "--host-values", str(values)),
        *("--set", "SKIP=swap", "--set", "BALLAST_MB=64"),
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
