"""A deploy on a host whose Docker is played: what is looked at before, and what is told after."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.serving_hosts import ServingHost, serving_host

OK, FAILED, REFUSED, NEWER = 0, 1, 70, "1.4.3"
BEHIND = "door worker_ops backup"
"""What is behind the servers, as far as it is played."""


@pytest.fixture
def host(tmp_path: Path) -> ServingHost:
    """A host on which 1.4.2 serves."""
    return serving_host(tmp_path)


def test_a_proxy_file_that_is_none_is_refused_before_anything_is_changed(host: ServingHost) -> None:
    """No copy is made for it, and nothing of it lies around."""
    host.release(NEWER, proxy=True)
    host.wish("fail", "run caddy")
    before = sorted(path.name for path in host.root.iterdir())
    code, said = host.say("deploy", NEWER)

    assert (code, host.events, host.audited()) == (REFUSED, ["run caddy"], ["refused"]), said
    assert "refused: the proxy refuses its file" in said
    assert "preflight: 1 refused; nothing was changed" in said
    assert sorted(path.name for path in host.root.iterdir()) == before


def test_a_rotation_looks_at_the_proxy_s_file_too(host: ServingHost) -> None:
    """The host's own values come along, and may be none."""
    host.release(NEWER, proxy=True)
    host.say("deploy", NEWER, "--no-backup")
    with (host.root / "host.env").open("a") as values:
        values.write("DOMAIN_HOOKS=localhost\nPUBLIC_ADDRESSES=127.0.0.1 ::1\n")
    host.wish("fail", "run caddy")
    code, said = host.rotate("superadmin")

    assert (code, "failed: the proxy refuses its file" in said) == (1, True), said


def test_on_the_way_back_traffic_waits_for_no_worker(host: ServingHost) -> None:
    """One that ends a long job is waited for when the candidate serves, and before the end."""
    host.release(NEWER)
    host.wish("hold", f"up {BEHIND}\n{host.root}/proxy/color")
    code, said = host.say("rollback", "--to", NEWER)

    assert (code, f"up {BEHIND}" in host.events) == (OK, True), said
    assert said.index("renewed: door") < said.index(f"rollback: {NEWER} serves")


def test_a_way_back_whose_candidate_fails_takes_its_workers_away_again(host: ServingHost) -> None:
    """They were begun beside it: those of what serves are put in their place when all of that has ended."""
    host.release(NEWER)
    host.wish("fail", "up server_green")
    code, said = host.say("rollback", "--to", NEWER)
    ups = [event for event in host.events if event.startswith("up ") and "postgres" not in event]

    assert (code, "1.4.2 serves, as before" in said) == (FAILED, True), said
    assert sorted(ups[:2]) == [f"up {BEHIND}", "up server_green"]
    assert ups[2:] == ["up server_blue", f"up caddy {BEHIND}"]


def test_workers_that_fail_beside_the_candidate_are_tried_behind_it(host: ServingHost) -> None:
    """What one moment refused, the next may give; and what is refused again is said in its own words."""
    host.release(NEWER)
    host.wish("fail", f"up {BEHIND}")
    code, said = host.say("rollback", "--to", NEWER)

    assert (code, f"rollback: {NEWER} serves" in said) == (OK, True), said
    assert host.events[-2:] == [f"up caddy {BEHIND}", "rm server_blue"]


def test_a_release_that_serves_is_no_failure_when_its_programs_find_no_room(host: ServingHost) -> None:
    """The older programs go on, and the run says so."""
    folder = host.release(NEWER)
    program = (host.root / "bin/platform_host.sh").read_bytes()
    (folder / "platform_host.sh").write_bytes(program + b"# newer\n")
    host.program("install", "#!/bin/sh", "echo 'No space left on device' >&2", "exit 1")
    run = "20260301T101500Z-1-deploy"
    words = ("supervise", run, "deploy", NEWER, "--no-backup")
    host.say(*words, program=f"releases/{NEWER}/platform_host.sh")
    code, said = host.say("follow", run)

    assert (code, f"deploy: {NEWER} serves" in said) == (OK, True), said
    assert "warning: the programs of this release could not be put into" in said
    assert (host.root / "bin/platform_host.sh").read_bytes() == program


@pytest.mark.parametrize(("port", "shown"), [("80/tcp", "80"), ("443/tcp", "443"), ("443/udp", "443/udp")])
def test_a_port_that_another_program_has_is_named_with_it(host: ServingHost, port: str, shown: str) -> None:
    """Over udp too, where newer browsers come."""
    number, _, kind = port.partition("/")
    holder = 'UNCONN 0 0 *:1 *:* users:(("nginx",pid=812,fd=6))'
    only = f'case "$*" in *--{kind}*":{number}") echo \'{holder}\' ;; esac'
    host.program("ss", "#!/bin/sh", only)
    code, said = host.say("deploy", "1.4.2", "--dry-run")

    assert (code, f"refused: port {shown} is taken by nginx, process 812." in said) == (REFUSED, True), said
