"""Bad input: refused before anything is changed, each with its way out."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rehearsal import releases
from tests.rehearsal.engine import wait_for
from tests.rehearsal.scenarios.play import REFUSED, Play, expect, timed
from tests.rehearsal.world import DOMAIN, ROOT, World, host_values

OLD_COMPOSE = """#!/bin/sh
case "$1" in
    docker-cli-plugin-metadata) echo '{"SchemaVersion":"0.1.0","Vendor":"rehearsal","Version":"v2.12.2"}' ;;
    *) case "$*" in
        *"version --short"*) echo 2.12.2 ;;
        *) exec /usr/libexec/docker/cli-plugins/docker-compose "$@" ;;
    esac ;;
esac
"""
PLUGIN = "/usr/local/lib/docker/cli-plugins/docker-compose"


def values_that_are_wrong(play: Play) -> None:
    """A name that leads elsewhere, a disk that is short, a line that is no value."""
    world, bundle = play.world, _serving_bundle(play)
    for what, values, words in (
        ("DNS leads elsewhere", host_values(DOMAIN_PANEL=f"elsewhere.{DOMAIN}"), "leads to nowhere and not"),
        ("Disk short", host_values(DISK_FREE_MIN_MB="99000000"), "MB free, 99000000 MB are needed"),
        ("Host's values with a line that is none", host_values() + "oops\n", "is not NAME=value"),
    ):
        world.write("/opt/platform/host.env", values)
        try:
            play.refused(what, bundle, words)
        finally:
            world.write("/opt/platform/host.env", host_values())


def tools_that_are_wrong(play: Play) -> None:
    """No Docker, a Compose that is too old, a clock that is off."""
    world, bundle = play.world, _serving_bundle(play)
    docker = "/usr/bin/docker"
    with _spoiled(world, ("mv", docker, f"{docker}.away"), ("mv", f"{docker}.away", docker)):
        play.refused("No Docker", bundle, "there is no Docker. Run: wmctl host bootstrap.")
    world.on_host("mkdir", "-p", str(Path(PLUGIN).parent))
    world.write(PLUGIN, OLD_COMPOSE, "0755")
    with _spoiled(world, ("true",), ("rm", PLUGIN)):
        play.refused("Old Compose", bundle, "Compose 2.12.2 is older than 2.24")
    ahead = world.folder / "ahead"
    ahead.mkdir(exist_ok=True)
    (ahead / "date").write_text('#!/bin/sh\nexec /bin/date --date "now + 1 hour" "$@"\n')
    (ahead / "date").chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{ahead}:{path}"
    try:
        play.refused("Clock an hour off", bundle, "clock and yours differ by")
    finally:
        os.environ["PATH"] = path


def port_taken(play: Play) -> None:
    """Another program has the proxy's port: on a host whose own proxy is down, or which has none yet."""
    world, bundle = play.world, _serving_bundle(play)
    world.on_host("docker", "stop", "platform-caddy-1")
    holder = "systemd-run --quiet --unit rehearsal-holder python3 -m http.server 80"
    try:
        world.on_host("sh", "-c", holder)
        wait_for(lambda: bool(world.on_host("ss", "-Hltn", "sport = :80")), "port 80 is taken")
        done, seconds = timed(play, "deploy", bundle, "--no-backup")
    finally:
        world.on_host("systemctl", "stop", "rehearsal-holder", check=False)
        world.on_host("docker", "start", "platform-caddy-1")
    expect(done, REFUSED, "port 80 is taken by python3, process", "nothing was changed")
    wait_for(world.serves, "it serves again", limit_s=30)
    play.add("Port taken, while the proxy is down", "exit 70, nothing changed", seconds)


def files_that_are_wrong(play: Play) -> None:
    """A release whose compose file is none, one whose proxy file is none, and one that is not there."""
    play.refused(
        "Compose file invalid", _spoiled_release(play, "1.9.0", "compose/compose.prod.yml"), "refuses"
    )
    bundle = _spoiled_release(play, "1.9.1", "caddy/Caddyfile")
    play.refused("Proxy file invalid", bundle, "the proxy refuses its file")
    began = time.monotonic()
    with play.watched() as count:
        done = play.world.deploying("rollback", "9.9.9")
    expect(done, REFUSED, "release 9.9.9 is not on this host")
    play.unharmed("Release that is not there", "exit 70, those that are", time.monotonic() - began, count)


def _spoiled_release(play: Play, version: str, file: str) -> str:
    infra = play.world.folder / f"infra-{version}"
    for name in ("compose", "caddy"):
        shutil.copytree(ROOT / "infra" / name, infra / name)
    with (infra / file).open("a") as text:
        text.write("\nnonsense: {[\n")
    return str(releases.release(play.world, version, infra=infra))


def _serving_bundle(play: Play) -> str:
    return play.bundle(play.serving())


@contextmanager
def _spoiled(world: World, spoil: tuple[str, ...], mend: tuple[str, ...]) -> Iterator[None]:
    world.on_host(*spoil)
    try:
        yield
    finally:
        world.on_host(*mend)
