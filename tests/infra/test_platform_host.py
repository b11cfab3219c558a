"""The program on the host, without a Docker: what it refuses, and how a run is begun, followed and ended.

What it does with containers is rehearsed for real: `make rehearsal`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.bundles import PROGRAM, VERSION, bundle, manifest
from tests.support.open_files import has_open
from tests.support.written_flows import until

ROOT = Path(__file__).resolve().parents[2]
OK, FAILED, USAGE, REFUSED, LOCKED = 0, 1, 64, 70, 75
TOOLS = (
    "bash jq curl flock ss tar sha256sum date uname sort head cat readlink mktemp rm grep sed tr chmod mv "
    "sync dirname find"
)
"""What the program needs beside a Docker."""


@dataclass(frozen=True)
class Said:
    """What it said and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class HostFolder:
    """A folder that plays /opt/platform."""

    root: Path

    @property
    def program(self) -> Path:
        """The program, as a deploy puts it there."""
        return self.root.with_name("platform_host.sh")

    def say(self, *words: str, given: bytes = b"", program: Path | None = None) -> Said:
        """Run the program there."""
        done = subprocess.run(
            ["bash", str(program or self.program), "--root", str(self.root), *words],
            input=given,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    def state(self, name: str, content: str | Mapping[str, object]) -> None:
        """Write a file of the state."""
        text = content if isinstance(content, str) else json.dumps(content)
        (self.root / "state" / name).write_text(text)

    def listing(self) -> dict[str, str]:
        """Every file and its content's hash."""
        return {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def host(tmp_path: Path) -> HostFolder:
    """A host that was made ready and has no release."""
    for name in ("state/runs", "releases", "proxy", "secrets", "bin"):
        (tmp_path / "host" / name).mkdir(parents=True)
    made = HostFolder(tmp_path / "host")
    made.program.write_bytes(PROGRAM)
    return made


def receive(host: HostFolder, sent: bytes, version: str = VERSION) -> Said:
    """Send a bundle."""
    return host.say("receive", version, hashlib.sha256(sent).hexdigest(), given=sent)


def begun(host: HostFolder, *words: str) -> str:
    """Begin a run; its name."""
    said = host.say("start", *words)
    assert said.code == OK, said
    return said.out.strip()


# --- One program of many parts ------------------------------------------------------------------------------


def test_a_bundle_and_a_bootstrap_bring_the_same_program() -> None:
    """Both put the parts together, in one order."""
    script = ROOT / "infra/scripts/host_program.sh"
    made = subprocess.run([script], capture_output=True, check=True, cwd="/").stdout

    assert made == PROGRAM


def test_each_part_only_defines_functions_and_none_is_defined_twice() -> None:
    """So their order does not matter, and no part takes the place of another."""
    parts = ROOT / "infra/scripts/remote/platform_host"
    outside, names = [], []
    for file in [*sorted((parts / "parts").glob("*.sh")), parts / "main.sh"]:
        for line in file.read_text().splitlines():
            named = re.fullmatch(r"([a-z_]+)\(\) \{.*", line)
            names += [named.group(1)] if named else []
            if not named and line and not line.startswith(("#", " ", "}")):
                outside.append(f"{file.name}: {line}")

    assert outside == ['main.sh: main "$@"']
    assert sorted(names) == sorted(set(names))


# --- What a deploy key may say ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        *("", "id", "bash", "status; id", "status && id", "logs $(id)", "logs `id`", "status > /tmp/x"),
        *("../../bin/sh", "supervise x deploy 1.4.2", "deploy 1.4.2", "resume", "rollback", "gate status"),
        "status 'a b'",
    ],
)
def test_a_deploy_key_may_say_plain_words_of_a_short_list(host: HostFolder, line: str) -> None:
    """Whatever else it says is refused, and nothing is different after it."""
    before = host.listing()
    said = host.say("gate", line)

    assert (said.code, said.out) == (USAGE, "")
    assert host.listing() == before


def test_the_gate_lets_a_status_through(host: HostFolder) -> None:
    """And nothing serves yet."""
    said = host.say("gate", "status --json")
    document = json.loads(said.out)

    assert said.code == OK
    assert {name: document[name] for name in ("deployed", "deploying", "lock", "releases", "audit")} == {
        "deployed": None,
        "deploying": None,
        "lock": None,
        "releases": [],
        "audit": [],
    }


def test_a_host_that_was_not_made_ready_says_how(host: HostFolder) -> None:
    """Before anything else."""
    shutil.rmtree(host.root / "state")
    said = host.say("status")

    assert said.code == REFUSED
    assert "Run: wmctl host bootstrap" in said.err


# --- A bundle that arrives ----------------------------------------------------------------------------------


def test_a_bundle_is_put_in_place_whole_and_again_is_the_same(host: HostFolder) -> None:
    """Under its version."""
    first, second = receive(host, bundle()), receive(host, bundle())

    assert (first.code, second.code) == (OK, OK)
    assert "is in place" in first.out
    assert "is here already, and the same" in second.out
    assert sorted(path.name for path in (host.root / "releases").iterdir()) == [VERSION]


def test_a_release_never_changes(host: HostFolder) -> None:
    """The same number with other content is refused, and the first stays."""
    receive(host, bundle())
    before = host.listing()
    said = receive(host, bundle(more={"caddy": b"another"}))

    assert said.code == REFUSED
    assert "give it another number" in said.err
    assert host.listing() == before


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (bundle(link="./caddy"), "links or paths that lead out of it"),
        (bundle(more={"../escaped": b"x"}), "links or paths that lead out of it"),
        (bundle(more={"/escaped": b"x"}), "links or paths that lead out of it"),
        (bundle("1.4.3"), "the bundle is not release 1.4.2"),
    ],
)
def test_a_bundle_that_is_not_what_it_should_be_leaves_nothing(
    host: HostFolder, sent: bytes, words: str
) -> None:
    """Nothing outside its folder, nothing of it under its version."""
    said = receive(host, sent)

    assert said.code == REFUSED
    assert words in said.err
    assert not (host.root / "releases" / VERSION).exists()
    assert not (host.root / "releases/escaped").exists()


def test_a_bundle_that_arrived_damaged_is_refused(host: HostFolder) -> None:
    """By its hash, before it is opened."""
    said = host.say("receive", VERSION, "0" * 64, given=bundle())

    assert said.code == REFUSED
    assert "arrived damaged" in said.err


def test_what_arrives_and_is_refused_leaves_nothing_behind(host: HostFolder, tmp_path: Path) -> None:
    """Neither where releases are nor where one is only tried."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    sent, wrong = bundle("1.4.3"), hashlib.sha256(bundle("1.4.3")).hexdigest()
    for verb in ("receive", "try"):
        done = subprocess.run(
            ["bash", str(host.program), "--root", str(host.root), verb, VERSION, wrong],
            input=sent,
            env={**os.environ, "TMPDIR": str(scratch)},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, b"is not release 1.4.2" in done.stderr) == (REFUSED, True)

    assert [*scratch.iterdir(), *(host.root / "releases").iterdir()] == []


def test_of_two_that_arrive_at_once_none_is_put_into_the_other(host: HostFolder, tmp_path: Path) -> None:
    """The second finds the same there."""
    sent = bundle()
    digest = hashlib.sha256(sent).hexdigest()
    first = tmp_path / "bin/mv"
    first.parent.mkdir()
    # Just as the second is about to move its own, the first one's is there.
    mv = shutil.which("mv")
    whole = f'cp -r "{tmp_path}/other/releases/{VERSION}" "{host.root}/releases/{VERSION}"'
    first.write_text(f'#!/bin/sh\n{whole}\nexec "{mv}" "$@"\n')
    first.chmod(0o755)
    shutil.copytree(host.root, tmp_path / "other")
    receive(HostFolder(tmp_path / "other"), sent)
    done = subprocess.run(
        ["bash", str(host.program), "--root", str(host.root), "receive", VERSION, digest],
        input=sent,
        env={**os.environ, "PATH": f"{first.parent}:{os.environ['PATH']}"},
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, b"is here already, and the same" in done.stdout) == (OK, True), done
    assert [path.name for path in (host.root / "releases").iterdir()] == [VERSION]
    assert not (host.root / "releases" / VERSION / "release").exists()


# --- Runs ---------------------------------------------------------------------------------------------------


def test_a_run_goes_on_by_itself_and_is_followed_to_its_own_end(host: HostFolder) -> None:
    """A rollback on a host that has nothing to go back to: refused, by the detached half."""
    run = begun(host, "rollback", "--by", "ana")
    said = host.say("follow", run)

    assert said.code == REFUSED
    assert "there is no previous release to go back to" in said.out


def test_a_run_is_followed_from_the_byte_where_the_connection_was_lost(host: HostFolder) -> None:
    """So nothing is shown twice and nothing is missed."""
    run = begun(host, "resume", "--by", "ana")
    whole = host.say("follow", run).out
    rest = host.say("follow", run, "11").out

    assert whole.endswith("nothing was left half done\n")
    assert rest == whole[10:]


def test_a_run_that_was_killed_says_so(host: HostFolder) -> None:
    """It has no exit code of its own then."""
    (host.root / "state/runs/20260301T101500Z-1-deploy.log").write_text("begun\n")
    (host.root / "state/runs/20260301T101500Z-1-deploy.pid").write_text("999999\n")
    said = host.say("follow", "20260301T101500Z-1-deploy")

    assert said.code == FAILED
    assert said.out == "begun\n"
    assert "the run ended without a word" in said.err


def test_a_run_that_ended_is_told_at_once_whoever_has_its_number_now(host: HostFolder) -> None:
    """Nobody is waited for."""
    (host.root / "state/runs/20260301T101500Z-1-deploy.log").write_text("begun\n")
    (host.root / "state/runs/20260301T101500Z-1-deploy.pid").write_text(f"{os.getpid()}\n")
    (host.root / "state/runs/20260301T101500Z-1-deploy.rc").write_text("70\n")
    said = host.say("follow", "20260301T101500Z-1-deploy")

    assert said == Said(REFUSED, "begun\n", "")


@pytest.mark.parametrize("number", [str(os.getpid()), ""], ids=["of-somebody-else", "none"])
def test_a_run_of_before_a_reboot_or_that_never_began_is_not_waited_for(
    host: HostFolder, number: str
) -> None:
    """Its number is somebody else's now, or there is none."""
    (host.root / "state/runs/20260301T101500Z-1-deploy.log").write_text("begun\n")
    (host.root / "state/runs/20260301T101500Z-1-deploy.boot").write_text("another\n")
    if number:
        (host.root / "state/runs/20260301T101500Z-1-deploy.pid").write_text(f"{number}\n")
    said = host.say("follow", "20260301T101500Z-1-deploy")

    assert (said.code, said.out) == (FAILED, "begun\n")
    assert "the run ended without a word" in said.err


def test_two_at_once_are_one(host: HostFolder) -> None:
    """The second is told whose turn it is; the kernel gives the lock back when its holder is gone."""
    with (host.root / "state/deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("deploy of 1.4.1 by ana\n")
        lock.flush()
        held = host.say("resume")
    free = host.say("resume")

    assert (held.code, free.code) == (LOCKED, OK)
    assert "another deploy is running: deploy of 1.4.1 by ana" in held.err


def test_who_only_looks_stands_in_nobody_s_way(host: HostFolder) -> None:
    """A status has the lock for an instant: a run waits for that, and does not say that another one runs."""
    command = ["bash", str(host.program), "--root", str(host.root), "resume"]
    lock = host.root / "state/deploy.lock"
    with lock.open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_EX)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            until(lambda: has_open(run.pid, lock), "the run comes to the lock")
            fcntl.flock(looking, fcntl.LOCK_UN)
            said, _ = run.communicate(timeout=30)

    assert (run.returncode, "nothing was left half done" in said) == (OK, True)


def test_the_lock_names_the_run_that_has_it(host: HostFolder) -> None:
    """So that `status` tells whose connection was cut what to follow."""
    run = begun(host, "resume", "--by", "ana")
    host.say("follow", run)

    assert (host.root / "state/deploy.lock").read_text().rstrip().endswith(f", run {run}")


def test_a_daemon_started_in_a_deploy_does_not_keep_the_lock(host: HostFolder, tmp_path: Path) -> None:
    """Whatever `docker` leaves running has not the descriptor of the lock."""
    fake = tmp_path / "bin/docker"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nls -l /proc/self/fd | grep -c deploy.lock >>"$SEEN"\nexit 1\n')
    fake.chmod(0o755)
    seen = tmp_path / "seen"
    environment = {**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}", "SEEN": str(seen)}
    receive(host, bundle())
    command = [
        "bash",
        str(host.program),
        "--root",
        str(host.root),
        "deploy",
        VERSION,
        "--no-backup",
    ]
    subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)

    assert set(seen.read_text().split()) == {"0"}


# --- What is refused before anything is changed -------------------------------------------------------------


def test_without_docker_nothing_is_changed(host: HostFolder, tmp_path: Path) -> None:
    """And the way out is named."""
    receive(host, bundle())
    bare = tmp_path / "bare"
    bare.mkdir()
    for tool in TOOLS.split():
        found = shutil.which(tool)
        (bare / tool).symlink_to(found or "/bin/true")
    before = host.listing()
    command = [
        str(bare / "bash"),
        str(host.program),
        "--root",
        str(host.root),
        "deploy",
        VERSION,
    ]
    done = subprocess.run(
        command, env={"PATH": str(bare)}, capture_output=True, text=True, check=False, timeout=60
    )
    after = host.listing()

    assert done.returncode == REFUSED, done.stdout + done.stderr
    assert "there is no Docker. Run: wmctl host bootstrap." in done.stdout
    assert {name for name in after if after[name] != before.get(name)} == {"state/deploy.lock"}


def test_a_release_that_is_not_there_is_named_with_those_that_are(host: HostFolder) -> None:
    """A wrong number is a typing mistake most of the time."""
    receive(host, bundle())
    host.state("deployed.json", {"version": VERSION, "previous": "1.4.1", "color": "blue"})
    said = host.say("rollback")

    assert said.code == REFUSED
    assert "release 1.4.1 is not on this host any more. On it are: 1.4.2" in said.err


def test_no_way_back_over_a_schema_that_the_older_release_does_not_know(host: HostFolder) -> None:
    """Restore is offered, with the time of the backup; the refusal stands in the audit."""
    receive(host, bundle("1.4.1"), "1.4.1")
    receive(host, bundle(more={"release.json": manifest(VERSION, schema_head="2")}))
    host.state(
        "deployed.json", {"version": VERSION, "previous": "1.4.1", "color": "blue", "backup_at": "2026-03-01"}
    )
    said = host.say("rollback", "--by", "ana")
    audit = json.loads((host.root / "state/audit.jsonl").read_text())

    assert said.code == REFUSED
    assert "1.4.2 moved the schema from 1 to 2" in said.out
    assert "Restore the backup made before that deploy (2026-03-01)" in said.out
    assert (audit["event"], audit["by"], audit["version"]) == ("refused", "ana", "1.4.1")


@pytest.mark.parametrize(
    "words",
    [
        ("deploy",),
        ("deploy", "latest"),
        ("deploy", "1.4"),
        ("deploy", "1.4.2;id"),
        ("receive", VERSION, "short"),
        ("logs", "../x"),
        ("prune", "--keep", "1"),
        ("nonsense",),
        ("start", "prune"),
    ],
)
def test_a_wrong_word_is_wrong_usage(host: HostFolder, words: tuple[str, ...]) -> None:
    """Exit 64, and nothing is different."""
    before = host.listing()

    assert host.say(*words).code == USAGE
    assert host.listing() == before
