"""Bad input: refused before anything is changed, each with its way out."""

from __future__ import annotations

from tests.rehearsal.scenarios.play import REFUSED, Play, expect, timed
from tests.rehearsal.world import DOMAIN, host_values


def values_that_are_wrong(play: Play) -> None:
    """A name that leads elsewhere, and a disk that is short."""
    world = play.world
    bundle = str(world.folder / "bundles/platform-1.7.0.tar.gz")
    world.write("/opt/platform/host.env", host_values(DOMAIN_PANEL=f"elsewhere.{DOMAIN}"))
    done, seconds = timed(play, "deploy", bundle, "--no-backup")
    expect(done, REFUSED, "leads to nowhere and not to this host")
    play.add("DNS leads elsewhere", "exit 70, nothing changed", seconds)
    world.write("/opt/platform/host.env", host_values(DISK_FREE_MIN_MB="99000000"))
    done, seconds = timed(play, "deploy", bundle, "--no-backup")
    expect(done, REFUSED, "MB free, 99000000 MB are needed")
    play.add("Disk short", "exit 70, nothing changed", seconds)
    world.write("/opt/platform/host.env", host_values())
