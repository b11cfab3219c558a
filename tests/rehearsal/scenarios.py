"""What is rehearsed, in the order of a host's life. Each scenario proves what it says, or raises."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.rehearsal import releases
from tests.rehearsal.engine import PREFIX, Broke, docker, run, wait_for
from tests.rehearsal.prober import Address, Count, visiting
from tests.rehearsal.report import Row
from tests.rehearsal.world import DOMAIN, VPS, World, bootstrap, furnish, host_values, write_secrets

OK, FAILED, USAGE, REFUSED, LOCKED = 0, 1, 64, 70, 75


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

    def serving(self) -> str:
        """The version that the host says serves."""
        deployed = self.world.status()["deployed"]
        return str(deployed["version"]) if isinstance(deployed, dict) else ""


def visited(world: World) -> tuple[Address, ...]:
    """Where visitors ask: a page of Windmill, and a webhook that carries no signature."""
    # The door answers 404 or 401 to what it does not know; Windmill, its fallback, too.
    return (
        world.address("windmill", "/api/version"),
        world.address("hooks", "/api/r/nobody/here", "POST", 401, 404, 405, 501),
    )


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


# --- Up ---------------------------------------------------------------------------------------------------


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
        "Bare Debian 13 to HTTPS: Docker, firewall, keys, images, certificate",
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


def dry_run(play: Play) -> None:
    """A plan, and nothing is different after it."""
    world = play.world
    bundle = releases.release(world, "1.1.0")
    listing = (
        "sh",
        "-c",
        "cd /opt/platform; find . -type f -newer state/deployed.json; docker ps -aq; docker images -q | sort",
    )
    before = world.on_host(*listing)
    done, seconds = timed(play, "deploy", str(bundle), "--dry-run", "--no-backup")
    expect(done, OK, "changes  platform-windmill", "same     platform-postgres", "nothing was changed")
    after = world.on_host(*listing)
    require(after == before, f"a dry run changed something: {before!r} is now {after!r}")
    play.add("Dry run of an upgrade", "the differences; nothing changed", seconds)


def upgrade(play: Play) -> None:
    """To a good release, with the backup that every deploy makes first."""
    bundle = str(play.world.folder / "bundles/platform-1.1.0.tar.gz")
    with play.watched() as count:
        done, seconds = timed(play, "deploy", bundle)
    expect(done, OK, "backup: done", "1.1.0 serves")
    require(play.serving() == "1.1.0", "1.1.0 serves")
    made = play.world.on_host("ls", "/opt/platform/backups")
    require("-deploy.tar.zst.age" in made, f"no copy was made: {made}")
    play.add(
        "Upgrade, with a backup", "1.1.0 serves", seconds, count, "0 failed requests", met=not count.failed
    )


def same_again(play: Play) -> None:
    """The same release once more."""
    with play.watched() as count:
        done, seconds = timed(
            play, "deploy", str(play.world.folder / "bundles/platform-1.1.0.tar.gz"), "--no-backup"
        )
    expect(done, OK, "nothing to do")
    play.add("The same release once more", "nothing to do", seconds, count)


# --- Bad releases -----------------------------------------------------------------------------------------


def bad_release(play: Play) -> None:
    """It crashes at start."""
    _goes_back(play, "1.2.0", "crash", "Release that crashes at start")


def silent_release(play: Play) -> None:
    """It starts and never answers."""
    _goes_back(play, "1.2.1", "silent", "Release that never answers")


def crash_looping_release(play: Play) -> None:
    """It is healthy for some seconds, gets traffic, and falls."""
    _goes_back(play, "1.3.0", "loop", "Release that falls after it got traffic")


def bad_workers(play: Play) -> None:
    """The server is fine, its workers are not."""
    _goes_back(play, "1.3.1", "workers", "Release whose workers crash")


def _goes_back(play: Play, version: str, fault: str, what: str) -> None:
    bundle = releases.release(play.world, version, fault=fault)
    with play.watched() as count:
        done, seconds = timed(play, "deploy", str(bundle), "--no-backup")
    expect(done, FAILED, "serves, as before")
    require(play.serving() == "1.1.0", f"1.1.0 serves after {version}")
    require(play.world.audit()[-1]["event"] == "rolled_back", "the audit tells of the way back")
    play.add(what, "exit 1, 1.1.0 serves", seconds, count, "0 failed requests", met=not count.failed)


def wrong_secret(play: Play) -> None:
    """A database address that leads nowhere, and then files that must not be used at all."""
    world = play.world
    kept = world.on_host("cat", "/opt/platform/secrets/secrets.env")
    write_secrets(
        world, {"WINDMILL_DATABASE_URL": "postgres://windmill_b:not-a-real-one@postgres:5432/nowhere"}
    )
    bundle = str(world.folder / "bundles/platform-1.1.0.tar.gz")
    with play.watched() as count:
        done, seconds = timed(play, "deploy", bundle, "--no-backup")
    expect(done, FAILED, "serves, as before")
    play.add(
        "Wrong secret: a database that is not there",
        "exit 1, 1.1.0 serves",
        seconds,
        count,
        "0 failed requests",
        met=not count.failed,
    )
    world.write("/opt/platform/secrets/secrets.env", kept)
    path = next(line.split("=")[1] for line in kept.splitlines() if line.startswith("SECRET_WINDMILL_SALT="))
    _refused(
        play,
        "Secret that everybody may read",
        bundle,
        ("chmod", "0444", path),
        ("chmod", "0440", path),
        "everybody can read the secret",
    )
    away = f"{path}.away"
    _refused(
        play, "Secret that is missing", bundle, ("mv", path, away), ("mv", away, path), "is missing or empty"
    )


def _refused(
    play: Play, what: str, bundle: str, spoil: tuple[str, ...], mend: tuple[str, ...], words: str
) -> None:
    play.world.on_host(*spoil)
    try:
        with play.watched() as count:
            done, seconds = timed(play, "deploy", bundle, "--no-backup")
    finally:
        play.world.on_host(*mend)
    expect(done, REFUSED, words, "nothing was changed")
    play.add(what, "exit 70, nothing changed", seconds, count, "0 failed requests", met=not count.failed)


# --- What goes wrong around it ----------------------------------------------------------------------------


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
    play.add(
        "Registry down", "exit 70, nothing changed", seconds, count, "0 failed requests", met=not count.failed
    )
    gone = releases.release(play.world, "1.4.1", windmill=releases.NO_SUCH_DIGEST)
    with play.watched() as count:
        done, seconds = timed(play, "deploy", str(gone), "--no-backup")
    expect(done, REFUSED, "cannot be had")
    play.add(
        "Digest gone", "exit 70, nothing changed", seconds, count, "0 failed requests", met=not count.failed
    )


def lost_connection(play: Play) -> None:
    """The operator's SSH is cut in the middle of a deploy; the deploy goes on."""
    world = play.world
    bundle = releases.release(world, "1.5.0")
    began = time.monotonic()
    with play.watched() as count:
        client = _begun(world, bundle, "candidate:")
        client.kill()
        world.on_host("pkill", "-KILL", "-f", "sshd-session|sshd: platform-deploy", check=False)
        client.wait()
        wait_for(lambda: play.serving() == "1.5.0", "the deploy goes on alone", limit_s=180)
    play.add(
        "SSH cut in the middle of a deploy",
        "1.5.0 serves",
        time.monotonic() - began,
        count,
        "0 failed requests",
        met=not count.failed,
    )


def two_at_once(play: Play) -> None:
    """The second is told who deploys."""
    bundle = releases.release(play.world, "1.6.0")
    began = time.monotonic()
    with play.watched() as count:
        first = _begun(play.world, bundle, "candidate:")
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
    client = _begun(world, bundle, "candidate:")
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
    play.add(
        "The same deploy again after that",
        "1.7.0 serves",
        seconds,
        count,
        "0 failed requests",
        met=not count.failed,
    )


def _begun(world: World, bundle: Path, word: str) -> subprocess.Popen[str]:
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


# --- Back -------------------------------------------------------------------------------------------------


def rollback(play: Play) -> None:
    """One command, to the previous release."""
    with play.watched() as count:
        done, seconds = timed(play, "rollback")
    expect(done, OK, "1.6.0 serves")
    require(play.serving() == "1.6.0", "1.6.0 serves")
    good = seconds < 10 and not count.failed
    play.add("Rollback", "1.6.0 serves", seconds, count, "under 10 s, 0 failed requests", met=good)


def rollback_over_schema(play: Play) -> None:
    """Not onto a schema that the older program does not know."""
    bundle = releases.release(play.world, "1.8.0", schema_head="2")
    expect(play.world.deploying("deploy", str(bundle), "--no-backup"), OK, "1.8.0 serves")
    with play.watched() as count:
        done, seconds = timed(play, "rollback")
    expect(done, REFUSED, "moved the schema from 1 to 2", "Restore the backup")
    play.add(
        "Rollback over a schema that moved",
        "exit 70, restore is offered",
        seconds,
        count,
        "0 failed requests",
        met=not count.failed,
    )


def reboot(play: Play) -> None:
    """The host is restarted in good order."""
    began = time.monotonic()
    docker("restart", "--time", "60", VPS)
    down = time.monotonic()
    wait_for(play.world.serves, "the host serves after a reboot", limit_s=120)
    play.add("Reboot", f"serves {time.monotonic() - down:.1f} s after the start", time.monotonic() - began)


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


ALL: tuple[Callable[[Play], None], ...] = (
    bare_host_to_https,
    strangers_are_kept_out,
    firewall_holds,
    bootstrap_again,
    dry_run,
    upgrade,
    same_again,
    bad_release,
    silent_release,
    crash_looping_release,
    bad_workers,
    wrong_secret,
    registry_down,
    wrong_host_key,
    lost_connection,
    two_at_once,
    killed_host,
    values_that_are_wrong,
    rollback,
    rollback_over_schema,
    reboot,
)
