"""What a person reads of a host's copies: `backup list`, `drill` and `now`, by the host's own program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platform_cli.backups.holdings import findings, read_holdings, size
from platform_core.errors import HostUnreachable
from tests.support.backup_desks import BackupDesk
from tests.support.wmctl import REPOSITORY

PLAYED = Path(__file__).resolve().parents[2] / "support/played_docker.py"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SPAN = "any instant from 2026-02-01T00:00:00Z to 2026-03-01T{}:00Z (system 7341)"
SECRET = "AGE-SECRET-KEY-PLATFORM-CORE-TEST-NOT-A-REAL-ONE"


def copy(hours: int) -> dict[str, object]:
    """A copy so many hours ago."""
    at = (NOW - timedelta(hours=hours)).isoformat()
    return {"name": f"copy-{hours}", "ended_at": at, "bytes": 1_500_000, "timeline": 1}


def span(minutes: int) -> dict[str, object]:
    """A time that ends so many minutes ago."""
    return {
        "from": "2026-02-01T00:00:00Z",
        "to": (NOW - timedelta(minutes=minutes)).isoformat(),
        "timeline": 1,
        "system": "7341",
    }


def drilled(days: int, *, ok: bool = True) -> dict[str, object]:
    """A drill so many days ago."""
    checks = [
        {"name": "open", "ok": True, "said": "1.5 MB"},
        {"name": "audit", "ok": ok, "said": "7 entries"},
    ]
    at = (NOW - timedelta(days=days)).isoformat()
    return {"at": at, "copy": "copy-9", "took_s": 41, "ok": ok, "checks": checks}


def document(**other: object) -> str:
    """What a host answers that is well, but for what is said."""
    bundle = {"name": "secrets.tar.age", "bytes": 9, "at": (NOW - timedelta(days=3)).isoformat()}
    well: dict[str, object] = {
        "copies": [copy(33), copy(9)],
        "covered": [span(1)],
        "dumps": [],
        "drill": drilled(2),
        "bundles": [bundle],
        "aside": [],
    }
    return json.dumps({**well, **other})


@pytest.fixture
def desk(tmp_path: Path) -> BackupDesk:
    """A host whose backup service is played."""
    made = BackupDesk.furnished(tmp_path)
    (tmp_path / "played/volume").mkdir(parents=True)
    played = f'PLAYED="{tmp_path}/played" exec "{sys.executable}" -ISs "{PLAYED}" "$@"'
    made.program("docker", ["#!/bin/sh", played])
    return made


def test_a_host_that_is_well_says_so_line_by_line() -> None:
    """Every line with its mark."""
    assert list(findings(read_holdings(document()), NOW)) == [
        ("ok", "copies", "2, 3.0 MB, the newest 9 h ago", ""),
        ("ok", "time", SPAN.format("11:59"), ""),
        ("ok", "drill", "2 days ago, of copy-9, in 41 s", ""),
        ("ok", "secrets", "the newest bundle is of 3 days ago", ""),
    ]


@pytest.mark.parametrize(
    ("other", "about", "mark", "says"),
    [
        ({"copies": []}, "copies", "broken", "there is none"),
        ({"copies": [copy(30)]}, "copies", "broken", "1, 1.5 MB, the newest 30 h ago"),
        ({"covered": []}, "time", "broken", "no instant can be gone back to"),
        ({"covered": [span(11)]}, "time", "broken", SPAN.format("11:49")),
        ({"drill": None}, "drill", "warning", "no copy was ever tried"),
        ({"drill": None, "copies": [copy(193), copy(9)]}, "drill", "broken", "no copy was ever tried"),
        ({"drill": drilled(9)}, "drill", "broken", "9 days ago, of copy-9, in 41 s"),
        ({"drill": drilled(1, ok=False)}, "drill", "broken", "24 h ago, of copy-9, in 41 s: FAILED in audit"),
        ({"bundles": []}, "secrets", "warning", "no bundle of them is on the host"),
        ({"aside": ["data.before-1"]}, "aside", "warning", "data.before-1: what a restore replaced"),
    ],
)
def test_what_is_not_well_has_its_mark_and_what_to_do(
    other: dict[str, object], about: str, mark: str, says: str
) -> None:
    """Each on the line of what it is about."""
    row = next(row for row in findings(read_holdings(document(**other)), NOW) if row[1] == about)

    assert (row[0], row[2], bool(row[3])) == (mark, says, True)


def test_a_log_that_stopped_is_said_of_the_newest_time_only() -> None:
    """What an earlier cluster wrote ends where it ended."""
    rows = [
        row
        for row in findings(read_holdings(document(covered=[span(9000), span(30)])), NOW)
        if row[1] == "time"
    ]

    assert [(row[0], row[3]) for row in rows] == [
        ("ok", ""),
        ("broken", "Nothing newer comes in; see ops/runbooks/backup-stale.md."),
    ]


def test_list_shows_what_the_host_says_and_ends_with_1_when_it_is_not_well(desk: BackupDesk) -> None:
    """The copies by name, the drill from its file, and one document for programs."""
    found = json.loads(document())
    del found["drill"], found["bundles"], found["aside"]
    (desk.folder / "played/list.json").write_text(json.dumps(found))
    desk.holds("backups/drill.json", json.dumps(drilled(2)).encode())
    desk.holds("bundles/secrets.tar.age", b"sealed")
    shown = desk.say("list")
    told = json.loads(desk.say("list", "--json").out)

    assert shown.code == 1  # the copies of the test are of another year
    assert "copy-9" in shown.out
    assert "Run `wmctl backup now`" in shown.out
    assert (told["drill"], [one["name"] for one in told["bundles"]], told["aside"]) == (
        drilled(2),
        ["secrets.tar.age"],
        [],
    )


@pytest.mark.parametrize("failing", ["", "backup fetch", "backup list", "host doctor"])
def test_the_line_for_cron_speaks_when_one_of_its_three_fails(tmp_path: Path, failing: str) -> None:
    """Cron mails what a line says: that is the alarm, so a host that is well says nothing."""
    page = (REPOSITORY / "docs/guides/restore.md").read_text()
    line = next(one for one in page.splitlines() if one.startswith("7 * * * *")).removeprefix("7 * * * *")
    wmctl = tmp_path / "wmctl"
    wmctl.write_text(f'#!/bin/sh\necho "$1 $2"; [ "$1 $2" != "{failing}" ] || {{ echo why >&2; exit 70; }}\n')
    wmctl.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    said = subprocess.run(["sh", "-c", line], env=path, capture_output=True, text=True, check=False)

    assert (said.stdout.splitlines()[-2:], said.stderr) == ([failing, "why"] if failing else [], "")


@pytest.mark.parametrize(("code", "exit_code"), [(0, 0), (1, 1), (6, 70)])
def test_a_drill_shows_each_look_and_ends_as_the_host_does(
    desk: BackupDesk, code: int, exit_code: int
) -> None:
    """The identity reaches the program's input with this host's salt, and no file of the host."""
    (desk.folder / "played/drill.json").write_text(json.dumps(drilled(0, ok=code == 0)) if code < 6 else "")
    (desk.folder / "played/drill.code").write_text(str(code))
    salt = desk.holds("secrets/windmill_salt.abc", b"not-a-real-salt")
    desk.holds("secrets/secrets.env", f"SECRET_WINDMILL_SALT={salt}\n".encode())
    identity = desk.folder / "identity"
    identity.touch(mode=0o600)
    identity.write_text(f"{SECRET}\n")
    done = desk.say("drill", "--identity", str(identity))

    assert done.code == exit_code, done.out + done.err
    assert ("7 entries" in done.out) == (code < 6)
    given = (desk.folder / "played/drilled").read_text()
    assert given.splitlines() == [SECRET, "WINDMILL_SALT=not-a-real-salt"]
    audit = (desk.host / "state/audit.jsonl").read_text()
    assert json.loads(audit)["ok"] == ("yes" if code == 0 else "no")
    assert "SECRET" not in audit


def test_a_copy_is_taken_at_once_under_its_reason(desk: BackupDesk) -> None:
    """And stands in the host's audit."""
    done = desk.say("now", "--reason", "beforemove")

    assert done.code == 0, done.err
    assert (desk.folder / "played/events").read_text() == "backup now --reason beforemove\n"
    assert json.loads((desk.host / "state/audit.jsonl").read_text())["event"] == "copied"


@pytest.mark.parametrize("answer", ["", "[]", "{}", '{"copies": 1}'])
def test_an_answer_that_is_no_list_is_said_so(answer: str) -> None:
    """An older host, or something between."""
    with pytest.raises(HostUnreachable, match="no list of copies"):
        read_holdings(answer)


def test_sizes_are_as_people_read_them() -> None:
    """By thousands, one digit from a million on."""
    assert [size(count) for count in (0, 999, 1000, 1_500_000, 2_340_000_000, 10**16, "x")] == [
        "0 B",
        "999 B",
        "1 KB",
        "1.5 MB",
        "2.3 GB",
        "10000.0 TB",
        "?",
    ]
