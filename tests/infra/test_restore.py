"""Data put back on a host, from `wmctl` to the last step, without a Docker: exchanged, kept, taken back.

Containers are played; that PostgreSQL comes up on what is put there is rehearsed for real.
"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_cli.hosts.speaking import who
from tests.support.backup_desks import BackupDesk, tree_of
from tests.support.bundles import VERSION, manifest
from tests.support.runbooks import commands
from tests.support.wmctl import REPOSITORY, Said

PLAYED = Path(__file__).resolve().parents[1] / "support/played_docker.py"
TO = "2026-03-01T10:15:00Z"
EVERYTHING = ["backup", "door", "postgres", "server_blue", "worker_default", "worker_ops", "worker_webhook"]
HEALTHY = '{"database_healthy": true, "workers_alive": 3}'
SECRET = "AGE-SECRET-KEY-PLATFORM-CORE-TEST-NOT-A-REAL-ONE"


@dataclass(frozen=True)
class Host:
    """A host that serves a release, and the desk that speaks to it."""

    desk: BackupDesk

    @property
    def played(self) -> Path:
        """What the played Docker keeps."""
        return self.desk.folder / "played"

    @property
    def volume(self) -> Path:
        """What would be the database's volume."""
        return self.played / "volume"

    def restore(self, *words: str, identity: str = SECRET) -> Said:
        """`wmctl backup restore`, as root, by the name of the host."""
        file = self.desk.folder / "identity"
        file.touch(mode=0o600)
        file.write_text(f"# made for a test\n{identity}\n")
        given = () if "--undo" in words else ("--identity", str(file))
        return self.desk.say("restore", *words, *given, "--yes", "prod")

    def wish(self, kind: str, event: str) -> None:
        """Let this event fail, or kill the program at it."""
        (self.played / kind).write_text(event)

    def events(self) -> list[str]:
        """What happened to containers, in order."""
        file = self.played / "events"
        return file.read_text().splitlines() if file.exists() else []

    def serving(self) -> tuple[str, list[str]]:
        """Which data is in its place, and what runs."""
        return (self.volume / "data/content").read_text(), sorted(
            (self.played / "running").read_text().split()
        )

    def beside(self) -> list[str]:
        """What else is in the volume: by its kind, with its content where it is data."""
        return sorted(
            f"{path.name.split('-')[0]}: {(path / 'content').read_text()}" if path.is_dir() else path.name
            for path in self.volume.iterdir()
            if path.name != "data"
        )

    def audit(self) -> list[str]:
        """The events of the host's audit, in order."""
        file = self.desk.host / "state/audit.jsonl"
        return [json.loads(line)["event"] for line in file.read_text().splitlines()] if file.exists() else []

    def last_audited(self, event: str) -> dict[str, str]:
        """The last line of the host's audit about this event."""
        lines = (self.desk.host / "state/audit.jsonl").read_text().splitlines()
        told: list[dict[str, str]] = [json.loads(line) for line in lines]
        return [line for line in told if line["event"] == event][-1]

    @property
    def is_half_done(self) -> bool:
        """Whether a restore began and did not end."""
        return (self.desk.host / "state/restoring.json").exists()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """One that serves its own data."""
    desk = BackupDesk.furnished(tmp_path)
    made = Host(desk)
    release = desk.host / "releases" / VERSION
    release.mkdir()
    (release / "release.json").write_bytes(manifest(VERSION))
    (release / "compose.prod.yml").write_text("services: {}\n")
    (desk.host / "release.env").touch()
    (desk.host / "state/deployed.json").write_text(json.dumps({"version": VERSION, "color": "blue"}))
    (made.volume / "data").mkdir(parents=True)
    (made.volume / "data/content").write_text("live")
    (made.played / "running").write_text("\n".join(EVERYTHING))
    played = f'PLAYED="{made.played}" exec "{sys.executable}" -ISs "{PLAYED}" "$@"'
    desk.program("docker", ["#!/bin/sh", played])
    desk.program("curl", ["#!/bin/sh", f"echo '{HEALTHY}'"])
    desk.program("sleep", ["#!/bin/sh", "exec true"])
    return made


# --- Everything ---------------------------------------------------------------------------------------------


def test_everything_goes_back_and_what_was_there_stays_until_it_is_forgotten(host: Host) -> None:
    """Recovered while it serves; closed in order; undone and done again without a copy."""
    done = host.restore("--to", TO)
    restored, beside, events = host.serving(), host.beside(), host.events()
    undone = host.restore("--undo")

    assert (done.code, undone.code) == (0, 0), done.out + done.err + undone.out
    assert (restored, beside) == (("restored", EVERYTHING), ["data.before: live"])
    assert (host.serving(), host.beside()) == (("live", EVERYTHING), ["data.before: restored"])
    assert events == [
        f"recover --to {TO} --json",
        "stop door worker_webhook worker_default worker_ops server_blue",
        "psql SELECT pg_switch_wal()",
        "stop backup",
        "stop postgres",
        "exchanged",
        "up postgres",
        f"restores settle --copy 20260301T031000Z-daily --to 2026-03-01T10:14:59Z --by {who()}",
        "up backup worker_default worker_webhook worker_ops server_blue door",
    ]
    assert host.desk.say("forget", "--yes", "prod").code == 0
    assert host.beside() == []
    assert host.audit() == ["restoring", "restored", "restoring", "restored", "forgotten"]


@pytest.mark.parametrize(
    "event",
    [
        "up postgres",
        "restores settle --copy 20260301T031000Z-daily --to 2026-03-01T10:14:59Z --by {by}",
        "up backup worker_default worker_webhook worker_ops server_blue door",
    ],
)
def test_what_fails_on_the_way_brings_back_what_was_there(host: Host, event: str) -> None:
    """Exit 1, the data it had, everything runs, nothing half done; the copy's data is gone."""
    host.wish("fail", event.format(by=who()))
    done = host.restore("--to", TO)

    assert done.code == 1, done.out + done.err
    assert "It serves the data it had, as before" in done.out
    assert (host.serving(), host.beside(), host.is_half_done) == (("live", EVERYTHING), [], False)
    assert host.audit() == ["restoring", "failed", "returned"]


def test_when_the_way_back_fails_too_somebody_is_woken(host: Host) -> None:
    """Exit 80, and what is half done stays on record for `resume`."""
    host.wish("fail", "up postgres")
    host.wish("again", "and again")
    done = host.restore("--to", TO)

    assert done.code == 80, done.out
    assert "Wake somebody" in done.out
    assert host.audit()[-1] == "broken"
    (host.played / "fail").unlink()
    assert host.desk.terminal.say("host", "resume").code == 0
    assert (host.serving(), host.beside(), host.is_half_done) == (("live", EVERYTHING), [], False)


def test_an_identity_that_opens_nothing_is_refused_before_anything_stops(host: Host) -> None:
    """Exit 70; so end a copy that is damaged and a time that no copy reaches."""
    before = host.serving()
    host.wish("fail", f"recover --to {TO} --json")
    refused = host.restore("--to", TO)
    assert refused.code == 70, refused.out
    assert "nothing was changed" in refused.out
    assert (host.serving(), host.beside(), host.is_half_done) == (before, [], False)
    assert [event for event in host.events() if event.startswith(("stop", "up"))] == []


@pytest.mark.parametrize(
    ("event", "content"),
    [
        ("stop postgres", "live"),
        ("exchanged", "live"),
        ("up backup worker_default worker_webhook worker_ops server_blue door", "restored"),
    ],
)
def test_a_host_killed_in_the_middle_is_ended_by_resume(host: Host, event: str, content: str) -> None:
    """Back while the data has not proved itself; forward when it has."""
    host.wish("kill", event)
    done = host.restore("--to", TO)
    half = host.is_half_done
    resumed = host.desk.terminal.say("host", "resume")

    assert (done.code, half, resumed.code) == (1, True, 0), done.out + resumed.out + resumed.err
    assert "the run ended without a word" in done.err + done.out
    assert (host.serving(), host.is_half_done) == ((content, EVERYTHING), False)
    assert [name for name in host.beside() if not name.startswith("data.before")] == []


def test_a_crash_between_the_two_renames_is_ended_too(host: Host) -> None:
    """No data is in its place then, and the marker keeps the database from making itself an empty folder."""
    (host.volume / "data").rename(host.volume / "data.before-20260301T101500Z")
    (host.volume / "data.coming").mkdir()
    (host.volume / "restoring").touch()
    facts = {
        "phase": "exchange",
        "aside": "data.before-20260301T101500Z",
        "version": VERSION,
        "color": "blue",
    }
    (host.desk.host / "state/restoring.json").write_text(json.dumps(facts))
    resumed = host.desk.terminal.say("host", "resume")

    assert resumed.code == 0, resumed.out + resumed.err
    assert (host.serving(), host.beside(), host.is_half_done) == (("live", EVERYTHING), [], False)


def test_a_resumed_restore_lets_the_logins_in_again(host: Host) -> None:
    """With the passwords of the files, whatever they were when the copy was made."""
    secret = host.desk.folder / "windmill_database_url"
    secret.write_text("postgres://windmill_a:not-a-real@postgres/windmill")
    (host.desk.host / "release.env").write_text(f"SECRET_WINDMILL_DATABASE_URL={secret}\n")
    host.wish("kill", "up postgres")
    host.restore("--to", TO)
    resumed = host.desk.terminal.say("host", "resume")

    assert (resumed.code, host.serving()) == (0, ("live", EVERYTHING)), resumed.out + resumed.err
    assert [event for event in host.events() if event.startswith("exec")] == ["exec windmill-login"]


@pytest.mark.parametrize(
    ("half", "goal"),
    [
        ({"phase": "customer", "customer": "zeta"}, ("--customer", "acme")),
        ({"phase": "exchange", "aside": "data.before-20260301T101500Z"}, ()),
        ({"phase": "exchange", "aside": "data.before-20260301T101500Z"}, ("--customer", "acme")),
    ],
)
def test_after_a_half_restore_the_next_one_is_the_one_that_was_asked_for(
    host: Host, half: dict[str, str], goal: tuple[str, ...]
) -> None:
    """By whoever asks now, from the copy that is asked for now: what was cut is ended first, and no more."""
    cut = {**half, "copy": "20260228T031000Z-daily", "by": "bob", "version": VERSION, "color": "blue"}
    (host.desk.host / "state/restoring.json").write_text(json.dumps(cut))
    wanted = "20260227T031000Z-daily"
    done = host.restore(wanted, *goal)
    restored = next(
        event for event in host.events() if event.startswith(f"{'dump acme' if goal else 'recover'} ")
    )

    assert (done.code, host.is_half_done) == (0, False), done.out + done.err
    assert restored == (f"dump acme --copy {wanted}" if goal else f"recover {wanted} --json")
    assert host.last_audited("restored")["by"] == who()
    if goal:
        assert f"restores place acme --copy {wanted} --to  --by {who()}" in host.events()


@pytest.mark.parametrize("words", [("list",), ("forget", "--yes", "prod")])
def test_what_was_set_aside_is_not_said_to_be_nothing_when_nobody_looked(
    host: Host, words: tuple[str, ...]
) -> None:
    """No container starts: that is no answer."""
    (host.played / "list.json").write_text('{"copies": [], "covered": [], "dumps": []}')
    host.wish("no-tasks", "")
    said = host.desk.say(*words)

    assert (said.code, "what restores set aside cannot be looked at" in said.err) == (1, True), said


def test_an_undone_restore_that_cannot_look_changes_nothing(host: Host) -> None:
    """Exit 70, and not that nothing was set aside."""
    host.wish("no-tasks", "")
    said = host.restore("--undo")

    assert said.code == 70, said.out + said.err
    assert "what restores set aside cannot be looked at" in said.out
    assert (host.serving(), host.is_half_done) == (("live", EVERYTHING), False)


# --- One customer -------------------------------------------------------------------------------------------


def test_one_customer_goes_from_one_container_into_another_and_nothing_stops(host: Host) -> None:
    """The identity reaches the first of the two, and neither a file nor the audit."""
    done = host.restore("--to", TO, "--customer", "acme")
    kept = b"".join(tree_of(host.desk.host).values()) + "".join(host.events()).encode()

    assert done.code == 0, done.out + done.err
    assert host.events() == [
        f"dump acme --to {TO}",
        f"restores place acme --copy  --to {TO} --by {who()}",
    ]
    assert (host.serving(), host.is_half_done, host.audit()) == (("live", EVERYTHING), False, ["restored"])
    assert SECRET.encode() not in kept
    assert SECRET not in (host.desk.folder / "asked").read_text()


@pytest.mark.parametrize("event", [f"dump acme --to {TO}", "restores place acme --copy  --to {to} --by {by}"])
def test_a_customer_that_cannot_be_put_back_has_what_it_had(host: Host, event: str) -> None:
    """Whichever of the two failed; what it left is healed."""
    host.wish("fail", event.format(by=who(), to=TO))
    done = host.restore("--to", TO, "--customer", "acme")

    assert done.code == 1, done.out + done.err
    assert "acme has what it had; nobody else noticed" in done.out
    assert host.events()[-1] == f"restores heal acme --by {who()}"
    assert (host.serving(), host.is_half_done) == (("live", EVERYTHING), False)


# --- What the guide tells to type ---------------------------------------------------------------------------


def _told() -> list[str]:
    pages = (REPOSITORY / "docs/guides/restore.md", REPOSITORY / "ops/runbooks/backup-stale.md")
    typed = (line for page in pages for line in commands(page.read_text(encoding="utf-8")))
    return sorted({line for line in typed if line.startswith("wmctl backup ")})


@pytest.mark.parametrize("line", _told())
def test_a_line_of_the_guide_does_what_it_says(host: Host, line: str) -> None:
    """With the files of this desk in the place of the page's; whoever types it also types the host's name."""
    file, copies = host.desk.folder / "platform.identity", host.desk.folder / "copies"
    file.touch(mode=0o600)
    file.write_text(SECRET)
    host.desk.holds("backups/copies/20260131T021000Z-deploy.tar.zst.age", b"sealed")
    (copies / "backups/copies").mkdir(parents=True)
    (copies / "backups/copies/20260131T031000Z-daily.tar.zst.age").write_bytes(b"sealed")
    (host.volume / "data.before-20260101T000000Z").mkdir()
    (host.volume / "data.before-20260101T000000Z/content").write_text("before")
    (host.played / "list.json").write_text('{"copies": [], "covered": [], "dumps": []}')
    (host.played / "drill.json").write_text(
        '{"ok": true, "checks": [{"name": "open", "ok": true, "said": "x"}]}'
    )
    (host.played / "drill.code").write_text("0")
    here = {
        "platform.identity": str(file),
        "/srv/platform-copies": str(copies),
        "~/platform-bundles": str(host.desk.folder / "bundles"),
        "~/.ssh/id_ed25519": str(host.desk.folder / "deploy"),
    }
    words = [here.get(word, word) for word in shlex.split(line)[2:]]
    done = host.desk.say(*words, *(("--yes", "prod") if words[0] in ("restore", "forget") else ()))

    assert done.code == (1 if words[0] == "list" else 0), done.out + done.err
    assert host.is_half_done is False


# --- Who may say it, and what is asked first ----------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["start restore --to latest", "restore --to latest", "backup forget", "backup take x"]
)
def test_a_deploy_key_does_not_replace_data(host: Host, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither detached nor at once."""
    monkeypatch.setenv("PATH", host.desk.path)

    assert host.desk.connection().ask(*line.split()).code == 64
    assert host.events() == []


def test_it_says_what_is_lost_and_wants_the_hosts_name(host: Host) -> None:
    """Not any yes."""
    file = host.desk.folder / "identity"
    file.touch(mode=0o600)
    file.write_text(SECRET)
    words = ("--to", TO, "--customer", "acme", "--identity", str(file))
    nobody = host.desk.say("restore", *words)
    other = host.desk.say("restore", *words, "--yes", "staging")

    assert (nobody.code, other.code) == (4, 4)
    assert f"What was written of acme after {TO} is not there afterwards" in nobody.err
    assert "'staging' is not prod; nothing was done" in other.err
    assert host.events() == []


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("20260301T031000Z-daily", "--to", TO),
        ("--to", "yesterday"),
        ("--to", "2026-03-01T10:15:00"),
        ("--undo", "--to", TO),
    ],
)
def test_a_goal_that_is_none_is_refused_at_the_desk(host: Host, words: tuple[str, ...]) -> None:
    """An instant without its zone is two instants."""
    done = host.restore(*words)

    assert done.code == 2
    assert host.desk.asked("restore") == []


def test_an_identity_that_others_may_read_is_not_sent(host: Host) -> None:
    """Nor a file that holds none."""
    file = host.desk.folder / "identity"
    file.write_text(SECRET)
    file.chmod(0o640)
    read = host.desk.say("restore", "--to", TO, "--identity", str(file), "--yes", "prod")
    file.chmod(0o600)
    file.write_text("age1not-a-real-recipient")
    none = host.desk.say("restore", "--to", TO, "--identity", str(file), "--yes", "prod")

    assert (read.code, none.code) == (6, 6)
    assert "Others than you may read the identity" in read.err
    assert "holds no age identity" in none.err
    assert host.desk.asked("restore") == []
