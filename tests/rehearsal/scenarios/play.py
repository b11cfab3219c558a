"""A rehearsal under way: what every scenario is given, and the words they judge with."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.rehearsal.engine import Broke
from tests.rehearsal.prober import Address, Count, visiting
from tests.rehearsal.report import Row
from tests.rehearsal.world import World

OK, FAILED, USAGE, REFUSED, LOCKED = 0, 1, 64, 70, 75
UNHARMED = "0 failed requests"


@dataclass
class Play:
    """A rehearsal under way: its world, and the rows so far."""

    world: World
    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)

    @contextmanager
    def watched(self) -> Iterator[Count]:
        """Visitors at Windmill's name and at the door, for as long as the block runs."""
        with visiting(visited(self.world), self.world.trust) as count:
            yield count

    def add(
        self,
        what: str,
        came_out: str,
        seconds: float,
        count: Count | None = None,
        goal: str = "",
        *,
        met: bool = True,
    ) -> None:
        """Note a row, and say it."""
        row = Row(what, came_out, seconds, count or Count(), goal, met)
        self.rows.append(row)
        self.say(row.line + (f"  {row.count.failures[:3]}" if row.count.failed else ""))

    def unharmed(self, what: str, came_out: str, seconds: float, count: Count) -> None:
        """Note a row in which no request may have failed."""
        self.add(what, came_out, seconds, count, UNHARMED, met=not count.failed)

    def refused(self, what: str, bundle: str, words: str) -> None:
        """A deploy of this bundle is refused with these words before anything was changed. Raises: Broke."""
        with self.watched() as count:
            done, seconds = timed(self, "deploy", bundle, "--no-backup")
        expect(done, REFUSED, words, "nothing was changed")
        self.unharmed(what, "exit 70, nothing changed", seconds, count)

    def bundle(self, version: str) -> str:
        """The bundle of a release that was made before."""
        return str(self.world.folder / f"bundles/platform-{version}.tar.gz")

    def serving(self) -> str:
        """The version that the host says serves."""
        deployed = self.world.status()["deployed"]
        return str(deployed["version"]) if isinstance(deployed, dict) else ""


def visited(world: World) -> tuple[Address, ...]:
    """Where visitors ask: Windmill, and by signed webhooks the door; before a customer is there, unsigned."""
    # The door answers 404 or 401 to what it does not know; Windmill, its fallback, too.
    hook = world.address("hooks", "/api/r/nobody/here", "POST", 401, 404, 405, 501)
    if world.sender:
        hook = replace(world.address("hooks", world.sender.path, "POST"), sender=world.sender)
    return (world.address("windmill", "/api/version"), hook)


def require(true: bool, what: str) -> None:
    """Raises: Broke when it is not so."""
    if not true:
        raise Broke(what)


def expect(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Raises: Broke when a program ended otherwise, or did not say these words."""
    said = done.stdout + done.stderr
    require(done.returncode == code, f"ended with {done.returncode}, not {code}: {said[-3000:]}")
    for word in words:
        require(word in said, f"did not say {word!r}: {said[-3000:]}")


def timed(play: Play, *words: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Say something to the host and measure it."""
    began = time.monotonic()
    done = play.world.deploying(*words)
    return done, time.monotonic() - began


def begun(world: World, bundle: Path, word: str) -> subprocess.Popen[str]:
    """A deploy under way, as far as a word of its log."""
    client = subprocess.Popen(
        world.words_of("deploy", str(bundle), "--no-backup"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert client.stdout is not None
    said = []
    for line in client.stdout:
        said.append(line)
        if word in line:
            return client
    raise Broke(f"the deploy never said {word!r}: {''.join(said)}")
