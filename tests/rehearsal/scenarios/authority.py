"""The certificate authority is away when a certificate is due, until it is over, and comes back."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from tests.rehearsal import desk
from tests.rehearsal.engine import PAUSE, PREFIX, Broke, docker, wait_for
from tests.rehearsal.scenarios.play import Play, require
from tests.rehearsal.world import NAMES, World
from tests.support import certificates

CA = f"{PREFIX}-ca"
LEFT_S = 30
DATA = "/var/lib/docker/volumes/platform_certificates/_data"


def authority_down(play: Play) -> None:
    """What is due is served to its end, the host says what is wrong, and it mends itself."""
    world = play.world
    desk.know(world)
    docker("stop", CA)
    try:
        until = _plant(world)
        _served_to_its_end(play, until)
        _over(play)
    finally:
        docker("start", CA)
    began = time.monotonic()
    wait_for(world.serves, "a new certificate, once there is an authority", limit_s=180)
    seconds = time.monotonic() - began
    wait_for(lambda: _states(world) == {"fine"}, "all names have a new one", limit_s=60)
    # Its services are looked at too: the backup's own check comes round once a minute.
    doctor = ("host", "doctor", "--host", desk.HOST)
    with suppress(Broke):
        fine = "preflight: fine"
        wait_for(lambda: fine in desk.wmctl(world, *doctor, check=False), fine, limit_s=120)
    desk.wmctl(world, *doctor)
    play.add("The authority is back", "a new certificate without anybody's help", seconds)


def _served_to_its_end(play: Play, until: datetime) -> None:
    with play.watched() as count:
        said = _doctor(play.world, "was not renewed in time")
        _wait_until(until - timedelta(seconds=3))
    require("nothing was changed" in said, said)
    what = "Certificate authority down while a certificate is due"
    play.unharmed(what, "the old one is served; doctor names it, exit 70", LEFT_S, count)


def _over(play: Play) -> None:
    _wait_until(_until(play.world) + timedelta(seconds=1))
    began = time.monotonic()
    require(not play.world.serves(), "no visitor takes a certificate that is over")
    require(_states(play.world) == {"over"}, "status says that they are over")
    _doctor(play.world, "ended 20")
    play.add(
        "Certificate over, authority still down",
        "visitors refuse it; status and doctor name it, exit 70",
        time.monotonic() - began,
    )


def _doctor(world: World, words: str) -> str:
    said = desk.refused(world, "host", "doctor", "--host", desk.HOST)
    require(words in said, f"doctor says {words!r}: {said}")
    return said


def _plant(world: World) -> datetime:
    """Certificates of the authority's own that have seconds to live; the proxy reads them as it starts."""
    home = world.folder / "authority/data/caddy/pki/authorities/local"
    issuer, issuer_key = ((home / f"intermediate.{kind}").read_bytes() for kind in ("crt", "key"))
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LEFT_S)
    for name in NAMES:
        path = world.on_host("find", DATA, "-name", f"{name}.*.key").removesuffix(".key")
        key = certificates.public_half(world.on_host("cat", f"{path}.key").encode())
        host = path.rsplit("/", 1)[-1]
        leaf = certificates.issued(
            issuer, issuer_key, host, key, since=until - timedelta(hours=12), until=until
        )
        world.write(f"{path}.crt", (leaf + issuer).decode(), "0600", "10004:10004")
    world.on_host("docker", "restart", "platform-caddy-1")
    wait_for(world.serves, "the proxy serves what was planted", limit_s=15)
    require(_until(world) == until, "that is what the world is shown")
    return until


def _listed(world: World) -> list[dict[str, str]]:
    found = world.status()["certificates"]
    assert isinstance(found, list)
    return found


def _states(world: World) -> set[str]:
    return {row["state"] for row in _listed(world)}


def _until(world: World) -> datetime:
    return max(datetime.fromisoformat(row["until"]) for row in _listed(world))


def _wait_until(instant: datetime) -> None:
    PAUSE.wait(max(0.0, (instant - datetime.now(UTC)).total_seconds()))
