"""Jobs on the workers: one that is hostile, one long, one greedy. Windmill itself must play."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime

from tests.rehearsal import releases
from tests.rehearsal.scenarios.play import OK, Play, begun, require
from tests.rehearsal.windmill import Windmill

LONG_S = 12
SERVERS = {"server_blue": (8000,), "server_green": (8000,), "caddy": (80, 443, 8001, 2019), "door": (8787,)}


def hostile_job(play: Play) -> None:
    """It gets at nothing: not at its worker, not at another customer's job, not at the servers."""
    windmill = Windmill(play.world)
    windmill.prepare()
    windmill.deploy("f/south/leaves", "leaves.py", tag="ops")
    windmill.deploy("f/north/hostile", "hostile.py", tag="ops")
    began = time.monotonic()
    marker, nonce = f"marker{secrets.token_hex(8)}", secrets.randbelow(1_000_000)
    left = windmill.run("f/south/leaves", marker=marker)
    require(isinstance(left, list) and len(left) > 2, f"the other customer's job left its marker: {left}")
    found = windmill.run(
        "f/north/hostile",
        limit_s=120,
        marker=marker,
        nonce=nonce,
        names=[f"{name}:{port}" for name, ports in SERVERS.items() for port in ports],
        addresses=_addresses(play),
    )
    assert isinstance(found, dict)
    require(found["own"] is True and found["sum"] == nonce + 1, f"the job proves that it ran: {found}")
    got = {name: what for name, what in found["got"].items() if what}
    require(not got and len(found["got"]) == 12, f"a hostile job got {got}")
    play.add(
        "Hostile job tries: " + ", ".join(sorted(found["got"])),
        f"ran, and got none of {len(found['got'])}",
        time.monotonic() - began,
    )


def _addresses(play: Play) -> list[str]:
    """Where the servers are, network by network, as a job that guesses would try."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    found = []
    for name, ports in SERVERS.items():
        said = play.world.on_host("docker", "inspect", "--format", form, f"platform-{name}-1", check=False)
        found += [f"{address}:{port}" for address in said.split() if "." in address for port in ports]
    gateways = "{{range .NetworkSettings.Networks}}{{.Gateway}} {{end}}"
    said = play.world.on_host("docker", "inspect", "--format", gateways, "platform-worker_ops-1")
    return found + [f"{address}:22" for address in [*said.split(), play.world.ip] if "." in address]


def long_job(play: Play) -> None:
    """A job runs on while its worker is renewed: it ends well, once, on the worker that began it."""
    world, windmill = play.world, Windmill(play.world)
    windmill.prepare()
    windmill.deploy("f/north/long", "long.py")
    bundle = releases.release(world, "1.1.6")
    before = {world.container("worker_default")[:12], world.container("worker_webhook")[:12]}
    began = time.monotonic()
    with play.watched() as count:
        client = begun(world, bundle, "candidate: server")
        job = windmill.start("f/north/long", seconds=LONG_S)
        said = client.communicate(timeout=300)[0]
    require(client.returncode == OK and "1.1.6 serves" in said, said[-2000:])
    good, result = windmill.wait(job)
    require(good and isinstance(result, dict), f"the long job was lost: {result}")
    assert isinstance(result, dict)
    renewed = datetime.fromisoformat(
        world.on_host("docker", "inspect", "--format", "{{.State.StartedAt}}", "platform-worker_default-1")[
            :19
        ]
    ).replace(tzinfo=UTC)
    require(result["host"] in before, f"it ended on {result['host']}, where it did not begin: {before}")
    require(result["ended"] - result["began"] >= LONG_S, f"it was not cut short: {result}")
    require(
        renewed.timestamp() + 1 > result["began"], f"its worker was not renewed meanwhile: {result} {renewed}"
    )
    play.unharmed(
        f"Job of {LONG_S} s while the workers are renewed",
        "ends well, once, on the worker that began it",
        time.monotonic() - began,
        count,
    )


def greedy_job(play: Play) -> None:
    """A job wants more memory than its worker may have: it fails alone."""
    windmill = Windmill(play.world)
    windmill.prepare()
    windmill.deploy("f/north/greedy", "greedy.py", tag="ops")
    windmill.deploy("f/south/next", "long.py", tag="ops")
    began = time.monotonic()
    with play.watched() as count:
        good, result = windmill.wait(windmill.start("f/north/greedy", megabytes=1600), limit_s=120)
        require(not good, f"it got more memory than its worker has: {result}")
        after = windmill.run("f/south/next", seconds=0.1, limit_s=120)
    require(isinstance(after, dict), f"the next job on that worker runs: {after}")
    play.unharmed(
        "Job that takes more memory than its worker has",
        "it fails alone; the next job runs",
        time.monotonic() - began,
        count,
    )
