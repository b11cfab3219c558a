"""The database dies, and its disk fills up: nothing that was acknowledged is lost."""

from __future__ import annotations

import time

from tests.rehearsal import ledger
from tests.rehearsal.engine import wait_for
from tests.rehearsal.scenarios.play import Play
from tests.rehearsal.world import World

POSTGRES = "platform-postgres-1"
DATA = "/var/lib/docker/volumes/platform_database/_data"
SMALL = "/srv/small"
_FILL = f"""
for _ in $(seq 40); do
    echo 'INSERT INTO rehearsal_ledger DEFAULT VALUES; SELECT pg_switch_wal()' |
        timeout 10 docker exec -i {POSTGRES} psql -h /run/postgresql -U postgres -d windmill -qAtX || break
done
"""
_TO_SMALL = f"""
size=$(($(du -sm {DATA} | cut -f1) + 160))
mkdir -p {SMALL}; mount -t tmpfs -o size=${{size}}m small {SMALL}
cp -a {DATA} {SMALL}/data; head -c 48M /dev/zero >{SMALL}/ballast; mount --bind {SMALL}/data {DATA}
"""
_BACK = f"umount {DATA}; rm -rf {DATA}/*; cp -a {SMALL}/data/. {DATA}/; umount {SMALL}"


def killed_database(play: Play) -> None:
    """SIGKILL of the whole server while rows are written."""
    world = play.world
    with play.watched() as count, ledger.writing(world):
        wait_for(lambda: ledger.takes(world), "rows are written")
        began = time.monotonic()
        world.on_host("pkill", "-KILL", "-f", "^postgres -D")
        wait_for(lambda: ledger.takes(world), "the database takes writes again", limit_s=60)
        seconds = time.monotonic() - began
        wait_for(lambda: _well(play), "Windmill says that its database is well", limit_s=60)
    rows = ledger.kept(world)
    play.add(
        "Database killed (SIGKILL) while it is written",
        f"takes writes again by itself; {rows} of {rows} acknowledged rows are there",
        seconds,
        count,
        "under 10 s, nothing lost",
        met=seconds < 10,
    )


def _well(play: Play) -> bool:
    health = play.world.status()["health"]
    return isinstance(health, dict) and health.get("database_healthy") is True


def full_disk(play: Play) -> None:
    """The database's disk fills up until it cannot even recover; the ballast brings it back."""
    world = play.world
    _move(world, to_small=True)
    since = world.on_host("date", "+%s")
    try:
        with ledger.writing(world):
            wait_for(lambda: ledger.takes(world), "rows are written")
            world.on_host("sh", "-c", f"cat /dev/zero >{SMALL}/grown", check=False)
            # Small rows go on fitting into what the log has already; a new file of it does not.
            world.on_host("sh", "-c", _FILL, check=False)
            wait_for(lambda: not ledger.takes(world), "the database takes no more writes", limit_s=30)
            said = world.on_host("sh", "-c", f"docker logs --since {since} {POSTGRES} 2>&1", check=False)
            began = time.monotonic()
            world.on_host("rm", f"{SMALL}/ballast")
            wait_for(lambda: _started(world), "the database takes writes again", limit_s=90)
            seconds = time.monotonic() - began
        rows = ledger.kept(world)
    finally:
        world.on_host("rm", "-f", f"{SMALL}/grown", f"{SMALL}/ballast")
        _move(world, to_small=False)
    named = "its log names it" if "No space left on device" in said else "its log does not name it"
    play.add(
        "Disk of the database full, then the ballast deleted",
        f"{named}; {rows} of {rows} acknowledged rows are there",
        seconds,
        goal="nothing lost",
        met="No space left" in said,
    )


def _started(world: World) -> bool:
    world.on_host("docker", "start", POSTGRES, check=False)
    return ledger.takes(world)


def _move(world: World, *, to_small: bool) -> None:
    """The database's folder onto a disk of its own that has little room, with a ballast; or back."""
    script = f"docker stop {POSTGRES}\n{_TO_SMALL if to_small else _BACK}\ndocker start {POSTGRES}"
    world.on_host("sh", "-ec", script)
    wait_for(lambda: _healthy(world), "the database is healthy by its own check", limit_s=90)
    wait_for(world.serves, "it serves", limit_s=60)


def _healthy(world: World) -> bool:
    form = "{{.State.Status}} {{.State.Health.Status}}"
    return world.on_host("docker", "inspect", "--format", form, POSTGRES) == "running healthy"
