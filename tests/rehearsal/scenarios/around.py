"""What goes wrong around a deploy: the registry, the connection, the host itself."""

from __future__ import annotations

import time

from tests.rehearsal import releases
from tests.rehearsal.engine import PREFIX, Broke, docker, wait_for
from tests.rehearsal.scenarios.play import FAILED, LOCKED, OK, REFUSED, Play, begun, expect, require, timed
from tests.rehearsal.world import VPS


def registry_down(play: Play) -> None:
    """No registry, and then a registry that has no such digest."""
    bundle = releases.release(play.world, "1.4.0")
    docker("stop", f"{PREFIX}-registry")
    try:
        with play.watched() as count:
            done, seconds = timed(play, "deploy", str(bundle), "--no-backup")
    finally:
        docker("start", f"{PREFIX}-registry")
    expect(done, REFUSED, "cannot be had", "nothing was changed")
    play.unharmed("Registry down", "exit 70, nothing changed", seconds, count)
    gone = releases.release(play.world, "1.4.1", windmill=releases.NO_SUCH_DIGEST)
    with play.watched() as count:
        done, seconds = timed(play, "deploy", str(gone), "--no-backup")
    expect(done, REFUSED, "cannot be had")
    play.unharmed("Digest gone", "exit 70, nothing changed", seconds, count)


def cut_pull(play: Play) -> None:
    """The registry dies while an image of a release comes in; then the same deploy goes well."""
    bundle = releases.release(play.world, "1.4.2", weight_mb=400)
    began = time.monotonic()
    with play.watched() as count:
        client = begun(play.world, bundle, "pull:")
        docker("kill", f"{PREFIX}-registry")
        said = client.communicate(timeout=300)[0]
        docker("start", f"{PREFIX}-registry")
    require(client.returncode == REFUSED and "nothing was changed" in said, said[-2000:])
    play.unharmed("Registry dies in the middle of a pull", "exit 70", time.monotonic() - began, count)
    with play.watched() as count:
        done, seconds = timed(play, "deploy", str(bundle), "--no-backup")
    expect(done, OK, "1.4.2 serves")
    play.unharmed("The same deploy again after that", "1.4.2 serves", seconds, count)


def lost_connection(play: Play) -> None:
    """The operator's SSH is cut in the middle of a deploy; the deploy goes on."""
    world = play.world
    bundle = releases.release(world, "1.5.0")
    began = time.monotonic()
    with play.watched() as count:
        client = begun(world, bundle, "candidate:")
        client.kill()
        world.on_host("pkill", "-KILL", "-f", "sshd-session|sshd: platform-deploy", check=False)
        client.wait()
        wait_for(lambda: _serves(play, "1.5.0"), "the deploy goes on alone", limit_s=180)
    play.add(
        "SSH cut in the middle of a deploy",
        "1.5.0 serves",
        time.monotonic() - began,
        count,
        "0 failed requests",
        met=not count.failed,
    )


def _serves(play: Play, version: str) -> bool:
    """Also when this very question was cut off with the rest."""
    try:
        return play.serving() == version
    except Broke:
        return False


def two_at_once(play: Play) -> None:
    """The second is told who deploys."""
    bundle = releases.release(play.world, "1.6.0")
    began = time.monotonic()
    with play.watched() as count:
        first = begun(play.world, bundle, "candidate:")
        second = play.world.deploying("deploy", str(bundle), "--no-backup")
        first.communicate(timeout=300)
    expect(second, LOCKED, "another deploy is running", "by rehearsal")
    require(first.returncode == OK and play.serving() == "1.6.0", "the first deploy ends well")
    play.add(
        "Two deploys at once",
        "exit 75 for the second, 1.6.0 serves",
        time.monotonic() - began,
        count,
        "0 failed requests",
        met=not count.failed,
    )


def killed_host(play: Play) -> None:
    """The whole host dies in the middle of a deploy, and comes back."""
    world = play.world
    bundle = releases.release(world, "1.7.0")
    client = begun(world, bundle, "candidate:")
    docker("kill", "--signal", "KILL", VPS)
    began = time.monotonic()
    docker("start", VPS)
    wait_for(world.serves, "the host serves again", limit_s=120)
    seconds = time.monotonic() - began
    said = client.communicate(timeout=300)[0]  # it connects again by itself, and is told
    require(client.returncode == FAILED and "ended without a word" in said, said[-2000:])
    wait_for(lambda: world.status()["deploying"] is None, "what was half done is ended", limit_s=120)
    require(play.serving() == "1.6.0", "1.6.0 serves after the crash")
    play.add(
        "SIGKILL of the host in the middle of a deploy",
        "1.6.0 serves; the half deploy was ended at boot",
        seconds,
    )
    with play.watched() as count:
        done, seconds = timed(play, "deploy", str(bundle), "--no-backup")
    expect(done, OK, "1.7.0 serves")
    play.unharmed("The same deploy again after that", "1.7.0 serves", seconds, count)


def wrong_host_key(play: Play) -> None:
    """Another host answers at the address: nothing is sent."""
    world, known = play.world, play.world.folder / "known_hosts"
    kept = known.read_text()
    other = (world.folder / "stranger.pub").read_text().split()
    known.write_text(f"{world.ip} {other[0]} {other[1]}\n")
    try:
        done, seconds = timed(play, "status")
    finally:
        known.write_text(kept)
    expect(done, REFUSED, "nothing was changed")
    play.add("Host key changed", "exit 70, nothing sent", seconds)


def reboot(play: Play) -> None:
    """The host is restarted in good order."""
    began = time.monotonic()
    docker("restart", "--time", "60", VPS)
    down = time.monotonic()
    wait_for(play.world.serves, "the host serves after a reboot", limit_s=120)
    play.add("Reboot", f"serves {time.monotonic() - down:.1f} s after the start", time.monotonic() - began)
