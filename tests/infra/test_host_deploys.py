"""A deploy on a host whose Docker is played: what is looked at before, and what is told after."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.serving_hosts import ServingHost, serving_host

OK, REFUSED, NEWER = 0, 70, "1.4.3"


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
