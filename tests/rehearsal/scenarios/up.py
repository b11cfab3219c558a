"""From a bare host to one that serves, and to the next release."""

from __future__ import annotations

import subprocess
import time

from tests.rehearsal import desk, releases
from tests.rehearsal.engine import run, wait_for
from tests.rehearsal.scenarios.play import OK, Play, expect, require, timed
from tests.rehearsal.world import bootstrap, furnish


def bare_host_to_https(play: Play) -> None:
    """Bootstrap, secrets, first deploy, certificate."""
    world = play.world
    first = releases.release(world, "1.0.0")
    began = time.monotonic()
    said = bootstrap(world)
    ready = time.monotonic() - began
    require("ready:" in said, said)
    furnish(world)
    expect(world.deploying("deploy", str(first)), OK, "1.0.0 serves")
    wait_for(world.serves, "HTTPS", limit_s=30)
    seconds = time.monotonic() - began
    require(world.deploying("status").returncode == OK, "status after the first deploy")
    play.add(
        f"Bare {world.system} to HTTPS: Docker, firewall, keys, images, certificate",
        f"serves; {ready:.0f} s of it are packages",
        seconds,
        goal="under 60 s",
        met=seconds < 60,
    )


def bootstrap_again(play: Play) -> None:
    """A repeat changes nothing."""
    began = time.monotonic()
    with play.watched() as count:
        said = bootstrap(play.world)
    require("ready: 0 changed" in said, said)
    play.add("Bootstrap once more", "0 steps changed", time.monotonic() - began, count)


def strangers_are_kept_out(play: Play) -> None:
    """The deploy key opens no shell, and nobody else's key opens anything."""
    world, began = play.world, time.monotonic()
    ssh = ("ssh", "-T", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={world.folder}/known_hosts", "-i")
    for key, line in (
        ("deploy", "id"),
        ("deploy", "status; id"),
        ("deploy", "logs $(id)"),
        ("stranger", "status"),
    ):
        done = subprocess.run(
            [*ssh, str(world.folder / key), f"platform-deploy@{world.ip}", line],
            capture_output=True,
            text=True,
            check=False,
        )
        require(done.returncode != OK and "uid=" not in done.stdout + done.stderr, f"{key} may say {line!r}")
    play.add("Deploy key asks for a shell; a stranger's key", "both refused", time.monotonic() - began)


def firewall_holds(play: Play) -> None:
    """What is not meant for the world cannot be reached, published by Docker or not."""
    world, began = play.world, time.monotonic()
    caddy = world.digests["platform-caddy"]
    open_port = ("--publish", "8099:8099", "--entrypoint", "sleep", caddy, "30")
    world.on_host("docker", "run", "--detach", "--rm", "--name", "rehearsal-open", *open_port)
    for port in (8099, 111, 2375, 5432, 8000):
        done = subprocess.run(
            ["timeout", "2", "bash", "-c", f"</dev/tcp/{world.ip}/{port}"], capture_output=True, check=False
        )
        require(done.returncode != OK, f"port {port} is open to the world")
    run("timeout", "5", "bash", "-c", f"</dev/tcp/{world.ip}/443")
    world.on_host("docker", "rm", "--force", "rehearsal-open", check=False)
    play.add(
        "Ports 111, 2375, 5432, 8000 and one that Docker publishes",
        "closed to the world",
        time.monotonic() - began,
    )


def dry_run(play: Play) -> None:
    """A plan, and nothing is different after it."""
    world = play.world
    bundle = releases.release(world, "1.1.0")
    # The log and dumps come by the backup's own clock; a copy of the cluster would be the dry run's doing.
    by_clock = "-not -path './backups/wal/*' -not -path './backups/customers/*'"
    files = f"find . -type f {by_clock} -newer state/deployed.json"
    listing = ("sh", "-c", f"cd /opt/platform; {files}; docker ps -aq; docker images -q | sort")
    before = world.on_host(*listing)
    done, seconds = timed(play, "deploy", str(bundle), "--dry-run", "--no-backup")
    expect(done, OK, "changes  platform-windmill", "same     platform-postgres", "nothing was changed")
    after = world.on_host(*listing)
    require(after == before, f"a dry run changed something: {before!r} is now {after!r}")
    play.add("Dry run of an upgrade", "the differences; nothing changed", seconds)


def upgrade(play: Play) -> None:
    """To a good release, with the backup that every deploy makes first."""
    bundle = play.bundle("1.1.0")
    with play.watched() as count:
        done, seconds = timed(play, "deploy", bundle)
    expect(done, OK, "backup: done", "1.1.0 serves")
    require(play.serving() == "1.1.0", "1.1.0 serves")
    made = play.world.on_host("ls", "/opt/platform/backups/copies")
    require("-deploy.tar.zst.age" in made, f"no copy was made: {made}")
    play.unharmed("Upgrade, with a backup", "1.1.0 serves", seconds, count)


def by_wmctl(play: Play) -> None:
    """What an operator types, there and back: deploy, status, doctor, logs, prune, rollback."""
    world = play.world
    desk.know(world)
    bundle, before = str(releases.release(world, "1.1.1")), play.serving()
    on, began = ("--host", desk.HOST), time.monotonic()
    with play.watched() as count:
        desk.wmctl(world, "host", "deploy", bundle, *on, "--yes")
        require(play.serving() == "1.1.1", "1.1.1 serves")
        said = desk.wmctl(world, "host", "status", *on)
        require("serves    1.1.1" in said and "ok  deploy  1.1.1" in said, f"status says what serves: {said}")
        desk.wmctl(world, "host", "doctor", *on)
        said = desk.wmctl(world, "host", "logs", "door", "--lines", "200", *on)
        require('"event"' in said, f"the door's log: {said[:300]}")
        desk.wmctl(world, "host", "prune", "--keep", "3", *on)
        desk.wmctl(world, "host", "rollback", *on, "--yes")
    require(play.serving() == before, f"{before} serves again")
    what = "wmctl host deploy, status, doctor, logs, prune, rollback"
    play.unharmed(what, f"1.1.1 served, {before} serves", time.monotonic() - began, count)


def same_again(play: Play) -> None:
    """The same release once more."""
    with play.watched() as count:
        done, seconds = timed(play, "deploy", play.bundle("1.1.0"), "--no-backup")
    expect(done, OK, "nothing to do")
    play.add("The same release once more", "nothing to do", seconds, count)
