"""What `wmctl host doctor` says of what serves: a host's alarm, which cron of another machine asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.serving_hosts import ServingHost, serving_host

OK, REFUSED = 0, 70


@pytest.fixture
def host(tmp_path: Path) -> ServingHost:
    """A host on which 1.4.2 serves on blue, and nothing is wrong."""
    made = serving_host(tmp_path)
    (made.root / "ballast").touch()
    with (made.root / "host.env").open("a") as values:
        values.write("DISK_USED_MAX_PERCENT=100\n")
    return made


def refusals(said: str) -> list[str]:
    """What is wrong, without times and ways out."""
    return [
        line.partition("refused: ")[2].partition(". ")[0] for line in said.splitlines() if "refused: " in line
    ]


def test_a_host_with_which_nothing_is_wrong_says_so(host: ServingHost) -> None:
    """The colour that is away and what has no check of its own are none of it."""
    (host.played / "absent").write_text("server_green")
    code, said = host.say("preflight")

    assert (code, refusals(said)) == (OK, []), said
    assert said.endswith("preflight: fine\n")


@pytest.mark.parametrize(
    ("kind", "service", "words"),
    [
        ("unhealthy", "door", "door is unhealthy by its own check"),
        ("absent", "worker_ops", "worker_ops has no container"),
        (
            "unhealthy",
            "backup",
            "the backup says no: copies are late, the log stopped, or no drill of eight days was good",
        ),
    ],
)
def test_a_service_that_is_not_well_is_named(host: ServingHost, kind: str, service: str, words: str) -> None:
    """With where to look."""
    (host.played / kind).write_text(service)
    code, said = host.say("preflight")

    assert (code, refusals(said)) == (REFUSED, [words]), said


def test_disks_that_fill_and_a_ballast_that_was_used_are_named(host: ServingHost) -> None:
    """Each disk once, whatever lies on it."""
    (host.root / "ballast").unlink()
    values = host.root / "host.env"
    values.write_text(values.read_text().replace("DISK_USED_MAX_PERCENT=100", "DISK_USED_MAX_PERCENT=0"))
    code, said = host.say("preflight")
    found = refusals(said)

    assert code == REFUSED
    assert found[-1] == f"{host.root}/ballast is missing: nothing is left to delete when the disk is full"
    assert found[0].startswith("the disk of / is ")
    assert all(one.endswith("% used, more than 0 %") for one in found[:-1])


def test_what_is_wrong_with_what_serves_stops_no_deploy(host: ServingHost) -> None:
    """It may be what mends it."""
    (host.played / "unhealthy").write_text("backup")
    (host.root / "ballast").unlink()
    host.release("1.4.3")
    code, said = host.say("deploy", "1.4.3", "--dry-run")

    assert (code, refusals(said)) == (OK, []), said


def test_a_name_that_leads_elsewhere_is_told_with_what_a_new_host_does(host: ServingHost) -> None:
    """It takes a release before the records are changed to it."""
    with (host.root / "host.env").open("a") as values:
        values.write("DOMAIN_HOOKS=localhost\n")
    host.program("ip", "#!/bin/sh", "echo '1: eth0 inet 203.0.113.7/24'")
    host.program("getent", "#!/bin/sh", "echo '203.0.113.9 STREAM hooks'")
    refused, said = host.say("preflight")
    with (host.root / "host.env").open("a") as values:
        values.write("PUBLIC_ADDRESSES=203.0.113.9\n")
    _, then = host.say("preflight")

    assert (refused, refusals(said)[0]) == (REFUSED, "localhost leads to 203.0.113.9 and not to this host")
    assert "While it still leads to the host that this one replaces, name that address there" in said
    assert "leads to" not in then


def test_a_processor_that_no_image_is_built_for_is_refused(host: ServingHost) -> None:
    """Before the first pull fails on it."""
    host.program("uname", "#!/bin/sh", '[ "$1" = -m ] && echo aarch64 || echo Linux')
    code, said = host.say("preflight")

    assert (code, refusals(said)) == (REFUSED, ["the processor is aarch64"])
    assert "Images are built for x86_64 (linux/amd64) alone" in said


def test_a_status_ends_with_what_was_done_last(host: ServingHost) -> None:
    """What decides whether a deploy that nobody saw the end of has one."""
    run = "20260301T101500Z-812-deploy"
    start = {"at": "2026-03-01T10:15:00Z", "event": "start", "run": run, "by": "anna", "version": "1.4.3"}
    lines = [
        {**start, "from": "1.4.2", "verb": "deploy"},
        {
            "at": "2026-03-01T10:16:00Z",
            "event": "ok",
            "run": run,
            "by": "anna",
            "version": "1.4.3",
            "verb": "deploy",
        },
        {"at": "2026-03-02T10:16:00Z", "event": "rotated", "run": "", "by": "bob", "kind": "door-token"},
    ]
    (host.root / "state/audit.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    code, said = host.say("status")

    assert code == OK
    assert said.splitlines()[-4:] == [
        "audit, the newest last",
        f"  2026-03-01T10:15:00Z  start  deploy  1.4.3  by anna  run {run}",
        f"  2026-03-01T10:16:00Z  ok  deploy  1.4.3  by anna  run {run}",
        "  2026-03-02T10:16:00Z  rotated  door-token  by bob",
    ]
