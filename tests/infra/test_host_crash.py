"""What comes after a deploy or a rollback that was killed: the half one is ended, then the new one done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.bundles import VERSION
from tests.support.serving_hosts import ServingHost, serving_host

OK, FAILED, BROKEN = 0, 1, 80
OLDER, NEWER = "1.4.1", "1.4.3"
COPY = "deploy e3b0c44298fc"
"""`backup now --reason deploy`, as the played Docker notes it: its last word, the hash of nothing."""


@pytest.fixture
def host(tmp_path: Path) -> ServingHost:
    """A host on which 1.4.2 serves, and 1.4.1 and 1.4.3 lie beside it."""
    made = serving_host(tmp_path)
    for version in (OLDER, NEWER):
        made.release(version)
    return made


def cut(host: ServingHost, verb: str, version: str) -> None:
    """What a killed run leaves."""
    half = {"version": version, "from": VERSION, "color": "green", "old_color": "blue", "phase": "candidate"}
    facts = {**half, "run": "20260301T101500Z-1-x", "at": "2026-03-01T10:15:00Z", "verb": verb, "by": "bob"}
    (host.root / "state/deploying.json").write_text(json.dumps(facts))


@pytest.mark.parametrize("verb", ["rollback", "rotate"])
def test_a_deploy_after_a_cut_way_back_is_a_deploy(host: ServingHost, verb: str) -> None:
    """It makes its copy first, and says what it was."""
    cut(host, verb, OLDER if verb == "rollback" else VERSION)
    code, said = host.say("deploy", NEWER, "--by", "anna")
    last = json.loads((host.root / "state/audit.jsonl").read_text().splitlines()[-1])

    assert code == OK, said
    assert f"resume: {VERSION} serves, as before" in said
    assert COPY in host.events
    assert f"deploy: {NEWER} serves (server_green)" in said
    assert {name: last[name] for name in ("event", "version", "from", "verb", "by")} == {
        "event": "ok",
        "version": NEWER,
        "from": VERSION,
        "verb": "deploy",
        "by": "anna",
    }


def test_a_way_back_after_a_cut_deploy_waits_for_no_copy_and_needs_no_room(host: ServingHost) -> None:
    """A full disk may be why it is taken."""
    values = host.root / "host.env"
    values.write_text(values.read_text().replace("DISK_FREE_MIN_MB=1\n", "DISK_FREE_MIN_MB=99000000\n"))
    cut(host, "deploy", NEWER)
    code, said = host.say("rollback", "--by", "anna")

    assert code == OK, said
    assert f"rollback: {OLDER} serves (server_green)" in said
    assert COPY not in host.events


# --- A disk that takes no more ------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["state/deploying.json", "proxy/color", f"releases/{NEWER}/release.env"])
def test_what_cannot_be_written_ends_a_deploy_and_what_served_serves(host: ServingHost, file: str) -> None:
    """The way back is gone with the files as they are; no file is empty afterwards."""
    (host.root / "proxy/color").write_text("blue")
    host.takes_no_more(file)
    code, said = host.say("deploy", NEWER, "--no-backup")
    serves = json.loads((host.root / "state/deployed.json").read_text())["version"]
    left = sorted(path.name for path in (host.root / "state").iterdir() if path.is_file())

    assert f"the disk takes no more: {host.root / file} cannot be written" in said
    assert (serves, (host.root / "proxy/color").read_text()) == (VERSION, "blue")
    # What traffic goes by could be written neither there nor back.
    if file == "proxy/color":
        assert (code, "the way back failed too" in said) == (BROKEN, True)
        assert left == ["audit.jsonl", "deploy.lock", "deployed.json", "deploying.json"]
    else:
        assert (code, f"{VERSION} serves, as before" in said) == (FAILED, True)
        assert left == ["audit.jsonl", "deploy.lock", "deployed.json"]


def test_a_switch_that_cannot_be_noted_is_ended_by_resume(host: ServingHost) -> None:
    """The new one serves and the old server is gone: 80, and not that what served before serves."""
    host.takes_no_more("state/deployed.json")
    code, said = host.say("deploy", NEWER, "--no-backup")
    (host.played / "cat").unlink()
    resumed, told = host.say("resume")

    assert (code, f"{NEWER} serves (server_green), but the disk takes no more" in said) == (BROKEN, True), (
        said
    )
    assert (resumed, f"resume: {NEWER} serves" in told) == (OK, True), told
    assert json.loads((host.root / "state/deployed.json").read_text())["version"] == NEWER
    assert not (host.root / "state/deploying.json").exists()


def test_without_room_for_the_audit_the_way_back_is_gone_all_the_same(host: ServingHost) -> None:
    """Its line is in what the run said."""
    (host.root / "state/audit.jsonl").mkdir()
    host.wish("fail", "up server_green")
    code, said = host.say("deploy", NEWER, "--no-backup")

    assert (code, f"{VERSION} serves, as before" in said) == (FAILED, True), said
    assert 'the audit takes no more: {"at":' in said
    assert not (host.root / "state/deploying.json").exists()
