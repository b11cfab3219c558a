"""The first customer, by the page that an operator follows after a first deploy: each line as it stands.

From then on visitors send signed webhooks of that customer, and each that was acknowledged has to be stored.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tests.rehearsal import desk
from tests.rehearsal.engine import Broke, wait_for
from tests.rehearsal.prober import Sender, ask
from tests.rehearsal.scenarios.play import Play, require, visited
from tests.rehearsal.world import DOMAIN, ROOT, World
from tests.support.runbooks import commands

PAGE = ROOT / "docs/guides/deploy.md"
SECTION = "After the very first one"
CUSTOMER = "acme"
STATUS = f"/api/r/{CUSTOMER}/ycloud/status"
ASKED = (
    *("--display-name", "Acme", "--country", "PE", "--owner", "ana", "--sender-phone", "+51900000000"),
    *("--secrets-from", "acme.toml", "--yes"),
)
"""What `customer new` asks at a terminal."""


def first_customer(play: Play) -> None:
    """All lines of the page end well, and then a webhook is stored and handled within seconds."""
    world = play.world
    desk.know(world)
    _prepare(world)
    lines = list(said_by_the_page(world))
    tunnel = next(line for line in lines if " host tunnel " in line)
    began = time.monotonic()
    for line in lines[: lines.index(tunnel)]:
        _say(world, line, {})
    with _tunnel(world, tunnel) as environment:
        for line in lines[lines.index(tunnel) + 1 :]:
            _say(world, line, environment)
    seconds = time.monotonic() - began
    play.add(f"First customer, by the {len(lines)} lines of the guide", "each ended well", seconds)
    world.sender = Sender(STATUS, "whsec_not-a-real-one-of-status")
    handled(play, "Signed webhook to that customer")


@contextmanager
def at_work(world: World) -> Iterator[Callable[..., str]]:
    """At the desk, with the tunnel: a way to say `wmctl ...`, which raises Broke when it ends badly."""
    tunnel = next(line for line in said_by_the_page(world) if " host tunnel " in line)

    def say(*words: str) -> str:
        return desk.wmctl(world, *words, environment=environment, folder=desk.checkout(world))

    with _tunnel(world, tunnel) as environment:
        yield say


def nothing_lost(play: Play) -> None:
    """Every webhook that was answered with 200, in all that went before, is in the customer's database."""
    began, sender = time.monotonic(), play.world.sender
    if sender is None:
        raise Broke("there is no customer to whom webhooks were sent")
    stored = set(_asked(play.world, "SELECT event_id FROM inbox.event").split())
    lost = sender.acknowledged - stored
    require(not lost, f"{len(lost)} of {len(sender.acknowledged)} acknowledged webhooks are lost")
    wait_for(lambda: _waiting(play.world) == "0", "all of them are handled", limit_s=120)
    states = _asked(play.world, "SELECT state, count(*) FROM inbox.event GROUP BY state ORDER BY state")
    require(all(line.startswith("handled|") for line in states.splitlines()), f"all are handled: {states}")
    many = f"{len(sender.acknowledged):,} of {len(sender.acknowledged):,} acknowledged are stored and handled"
    play.add("Signed webhooks of the whole rehearsal", many, time.monotonic() - began, goal="nothing lost")


def said_by_the_page(world: World) -> Iterator[str]:
    """The lines of the section, with this rehearsal's names in the place of the page's."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {SECTION}\n")[2].partition("\n## ")[0]
    for line in commands(section):
        named = line.replace("example.org", DOMAIN).replace("~/.config", str(world.folder / "config"))
        yield named.replace("~/.ssh/id_ed25519", str(world.folder / "admin"))


def _prepare(world: World) -> None:
    """What the operator has beside the page: a clone, an SSH that knows its key, secrets from YCloud."""
    folder = desk.checkout(world)
    programs = world.folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, text in {
        "ssh": f'#!/bin/sh\nexec /usr/bin/ssh -i {world.folder}/admin -o BatchMode=yes "$@"\n',
        "wmctl": f'#!/bin/sh\nexec {sys.executable} -m platform_cli "$@"\n',
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    for name, text in {
        "acme.toml": 'ycloud_api_key = "not-a-real-ycloud-key-0123456789"\n',
        "inbound.txt": "whsec_not-a-real-one-of-inbound\n",
        "status.txt": "whsec_not-a-real-one-of-status\n",
    }.items():
        file = folder / name
        file.write_text(text)
        file.chmod(0o600)


def _say(world: World, line: str, environment: Mapping[str, str]) -> None:
    """One line of the page, by a shell. What it would ask at a terminal is given. Raises: Broke."""
    asks = {
        "wmctl customer new": " " + shlex.join(ASKED),
        "wmctl secret set": f" --from {'inbound' if 'inbound' in line else 'status'}.txt",
    }
    line += next((given for begin, given in asks.items() if line.startswith(begin)), "")
    done = subprocess.run(
        desk.at_desk(world, "bash", "-euc", line),
        cwd=desk.checkout(world),
        env={**_environment(world), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    well = done.returncode == 0 or (line.startswith("wmctl customer check") and _well_enough(done.stdout))
    if not well:
        raise Broke(f"{line} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")


def _well_enough(said: str) -> bool:
    """Here is no YCloud whose account could be looked at; all else has to be well."""
    return re.findall(r"✗ +(\S.*?)  ", said) == ["account ycloud"]


def _environment(world: World) -> dict[str, str]:
    path = f"{world.folder}/programs:{os.environ['PATH']}"
    return {**os.environ, **desk.terminal(world), "PATH": path, "HOME": str(world.folder)}


@contextmanager
def _tunnel(world: World, line: str) -> Iterator[Mapping[str, str]]:
    """What the line that it prints sets, until Ctrl-C."""
    command = subprocess.Popen(
        desk.at_desk(world, *shlex.split(line)),
        cwd=desk.checkout(world),
        env=_environment(world),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        first = command.stdout.readline() if command.stdout else ""
        require(first.startswith("export PLATFORM_DATABASE_URL="), f"the tunnel stands: {first!r}")
        name, _, value = shlex.split(first)[1].partition("=")
        yield {name: value}
    finally:
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=30)
    require(command.returncode == 0, f"Ctrl-C ends the tunnel in order: {command.returncode}")


def handled(play: Play, what: str) -> None:
    """A webhook comes in: the door stores it and wakes the customer's runner, which handles it."""
    world = play.world
    hook = visited(world)[1]
    wait_for(lambda: _waiting(world) == "0", "nothing of before waits", limit_s=60)
    wait_for(lambda: ask(hook, world.trust)[0] == 200, "the door takes a signed webhook", limit_s=30)
    began = time.monotonic()
    wait_for(lambda: _waiting(world) == "0", "the runner was woken and handled it", limit_s=30)
    seconds = time.monotonic() - began
    play.add(
        what,
        "stored by the door, handled by the customer's job",
        seconds,
        goal="under 10 s",
        met=seconds < 10,
    )


def _waiting(world: World) -> str:
    return _asked(world, "SELECT count(*) FROM inbox.event WHERE state = 'received'")


def _asked(world: World, question: str) -> str:
    where = f"SELECT database_name FROM control.tenant WHERE slug = '{CUSTOMER}'"
    return world.sql(world.sql("platform_control", where), question)
