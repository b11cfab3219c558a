"""`wmctl host` at a desk: pinned keys, and a host played by the real program behind an `ssh` of the test."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_cli.hosts.connection import unreachable
from platform_cli.hosts.known import Host, Hosts, keys_in, new_host
from platform_cli.hosts.pinning import fingerprint_of
from platform_core.errors import InvalidInput, NotFound
from tests.support.bundles import PROGRAM, VERSION, bundle
from tests.support.wmctl import Said, Terminal

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIjepcmFzJf12IESmfvspzJcP/2UR0LHJri8kVgaLkZo"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
# What stands behind the line: the real program on a folder, as the deploy key's forced command runs it.
SSH = """#!/bin/sh
printf '%s\\n' "$@" >"{folder}/asked"
for line in "$@"; do :; done
case "$line" in
    start* | prune*) [ ! -f "{folder}/cut-word" ] || {{
        bash "{program}" --root "{folder}/host" gate "$line" >/dev/null
        cat "{folder}/cut-word" >&2
        exit 255
    }} ;;
    follow*) [ ! -f "{folder}/cut" ] || {{
        rm "{folder}/cut"
        bash "{program}" --root "{folder}/host" gate "$line" | head -c 30
        exit 255
    }} ;;
esac
exec bash "{program}" --root "{folder}/host" gate "$line"
"""


@dataclass(frozen=True)
class Desk:
    """A user's configuration, a host in a folder, and an `ssh` that leads there."""

    folder: Path

    def say(self, *words: str) -> Said:
        """Run `wmctl host ...`."""
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return Terminal({"XDG_CONFIG_HOME": str(self.folder / "config"), "PATH": path}).run("host", *words)

    @property
    def asked(self) -> list[str]:
        """What ssh was started with."""
        return (self.folder / "asked").read_text().splitlines()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """One with a host called prod."""
    for name in ("bin", "config", "host/state/runs", "host/releases", "host/proxy", "host/bin"):
        (tmp_path / name).mkdir(parents=True)
    ssh = tmp_path / "bin/ssh"
    program = tmp_path / "platform_host.sh"
    program.write_bytes(PROGRAM)
    ssh.write_text(SSH.format(folder=tmp_path, program=program))
    ssh.chmod(0o755)
    (tmp_path / "deploy").write_text("not-a-real key\n")
    (tmp_path / "host.pub").write_text(f"{KEY} root@vps\n")
    made = Desk(tmp_path)
    identity, host_key = str(tmp_path / "deploy"), str(tmp_path / "host.pub")
    said = made.say("add", "prod", "--address", "vps.invalid", "--identity", identity, "--host-key", host_key)
    assert said.code == 0, said
    return made


def test_a_host_is_entered_by_its_pinned_key_alone(desk: Desk) -> None:
    """Nothing is learnt from the network, no password is asked, no other key is offered."""
    desk.say("status")

    assert (desk.folder / "config/wmctl/known_hosts.prod").read_text() == f"vps.invalid {KEY}\n"
    pinned = f'UserKnownHostsFile="{desk.folder}/config/wmctl/known_hosts.prod"'
    options = {
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
    }
    assert {pinned, *options} <= set(desk.asked)
    assert desk.asked[-2:] == ["platform-deploy@vps.invalid", "status"]


def test_status_is_the_hosts_own_document(desk: Desk) -> None:
    """On stdout, for a program."""
    said = desk.say("status", "--json")

    assert said.code == 0
    assert json.loads(said.out)["deployed"] is None


def test_a_run_is_followed_and_ends_with_the_hosts_own_code(desk: Desk) -> None:
    """70: refused before anything was changed."""
    said = desk.say("rollback", "--yes")

    assert said.code == 70
    assert "there is no previous release to go back to" in said.out
    assert "it goes on at prod whatever happens here" in said.err


def test_a_cut_connection_shows_every_line_once(desk: Desk) -> None:
    """The new one goes on where the old one was cut, in the middle of a line."""
    (desk.folder / "cut").touch()
    said = desk.say("resume")

    assert said.code == 0
    assert [line.partition("  ")[2] for line in said.out.splitlines()] == [
        "resume: nothing was left half done"
    ]
    assert "The connection is lost; the run goes on there. Again (1)" in said.err


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Connection to vps.invalid closed by remote host.", "whether it began is not known"),
        ("ssh: connect to host vps.invalid port 22: Connection refused", "prod cannot be entered"),
    ],
)
def test_a_run_whose_begin_was_cut_off_is_looked_for(desk: Desk, said: str, words: str) -> None:
    """Only who was not let in has changed nothing."""
    (desk.folder / "cut-word").write_text(f"{said}\n")
    done = desk.say("rollback", "--yes")

    assert (done.code, words in done.err) == (5, True), done
    assert ("wmctl host status" in done.err) is ("not known" in words)


def test_a_word_whose_answer_was_cut_off_may_have_been_done(desk: Desk) -> None:
    """It is not said that nothing was sent."""
    (desk.folder / "cut-word").write_text("client_loop: send disconnect: Broken pipe\n")
    done = desk.say("prune")

    assert (done.code, "was cut before it answered: client_loop" in done.err) == (5, True), done
    assert "Nothing was sent" not in done.err


def test_nobody_to_ask_means_nothing_is_done(desk: Desk) -> None:
    """A rollback wants a word, and a pipe cannot give one."""
    said = desk.say("rollback")

    assert said.code == 4
    assert "There is nobody to ask" in said.err
    assert not (desk.folder / "asked").exists()


def test_a_deploy_sends_the_bundle_and_begins_a_run(desk: Desk) -> None:
    """It arrives whole; without a Docker the host refuses, and says so."""
    file = desk.folder / f"platform-{VERSION}.tar.gz"
    file.write_bytes(bundle())
    said = desk.say("deploy", str(file), "--yes")

    assert (desk.folder / "host/releases" / VERSION / "release.json").is_file()
    assert said.code == 70, said
    assert "refused:" in said.out


def test_a_dry_run_leaves_nothing_on_the_host(desk: Desk) -> None:
    """Not even the release."""
    file = desk.folder / f"platform-{VERSION}.tar.gz"
    file.write_bytes(bundle())
    desk.say("deploy", str(file), "--dry-run")

    assert [path for path in (desk.folder / "host").rglob("*") if path.is_file()] == []


def test_a_word_that_is_none_never_leaves_this_machine(desk: Desk) -> None:
    """The host would refuse it too."""
    said = desk.say("logs", "caddy; id")

    assert said.code == 2
    assert "is not a plain word" in said.err
    assert not (desk.folder / "asked").exists()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ((), "SSH_PORT=2222\n"),
        (("--set", "SKIP=swap", "--set", "SSH_PORT=22"), "SSH_PORT=22\nSKIP=swap\n"),
    ],
)
def test_a_host_is_told_the_port_it_is_entered_by(desk: Desk, words: tuple[str, ...], values: str) -> None:
    """Its firewall lets that one in; the host would be shut for ever at the end of a good bootstrap."""
    (desk.folder / "deploy.pub").write_text(f"{OTHER} ana\n")
    ssh = desk.folder / "bin/ssh"
    ssh.write_text(f'#!/bin/sh\ncat >"{desk.folder}/sent"\necho "ready: 0 changed"\n')
    identity, host_key = str(desk.folder / "deploy"), str(desk.folder / "host.pub")
    kept = ("--identity", identity, "--host-key", host_key, "--port", "2222")
    desk.say("add", "prod", "--address", "vps.invalid", *kept)
    said = desk.say("bootstrap", *words)

    assert (said.code, said.out) == (0, "ready: 0 changed\n")
    with tarfile.open(desk.folder / "sent") as sent:
        found = {name: sent.extractfile(f"./{name}") for name in ("values", "deploy_keys")}
        assert {name: file.read().decode() for name, file in found.items() if file} == {
            "values": values,
            "deploy_keys": f"{OTHER} ana\n",
        }


def test_hosts_are_kept_and_forgotten(desk: Desk) -> None:
    """With the file that pinned them."""
    kept = json.loads(desk.say("list", "--json").out)
    desk.say("remove", "prod")

    assert [(each["name"], each["address"], each["keys"]) for each in kept] == [
        ("prod", "vps.invalid", [KEY]),
    ]
    assert json.loads(desk.say("list", "--json").out) == []
    assert not (desk.folder / "config/wmctl/known_hosts.prod").exists()


# --- Parts --------------------------------------------------------------------------------------------------


def test_keys_are_found_in_every_form_they_are_shown_in() -> None:
    """A .pub file, known_hosts, ssh-keyscan with its comments; each once."""
    text = f"# vps.invalid:22 SSH-2.0\nvps.invalid {KEY}\n{KEY} root@vps\n{OTHER}\n"

    assert keys_in(text) == (KEY, OTHER)
    with pytest.raises(InvalidInput):
        keys_in("nothing of the kind")


def test_a_fingerprint_is_the_one_a_console_shows() -> None:
    """What `ssh-keygen -lf` says of that key."""
    assert fingerprint_of(KEY) == "SHA256:Z43jxQhM0xnA4O+kp1gfi8TStVCaRTvLq/JIEWgBjD8"
    assert fingerprint_of("no key") == ""


def test_a_host_on_another_port_is_pinned_with_it() -> None:
    """As OpenSSH writes it."""
    assert Host("a", "vps.invalid", 2222, "key", (KEY,)).known_hosts == f"[vps.invalid]:2222 {KEY}\n"


@pytest.mark.parametrize(
    ("name", "address", "port"),
    [
        ("Prod", "vps.invalid", 22),
        ("prod", "a b", 22),
        ("prod", "-oProxyCommand=id", 22),
        ("prod", "vps.invalid", 0),
    ],
)
def test_a_host_that_cannot_be_one_is_refused(tmp_path: Path, name: str, address: str, port: int) -> None:
    """Above all an address that ssh would read as an option."""
    identity = tmp_path / "key"
    identity.touch()

    with pytest.raises(InvalidInput):
        new_host(name, address, port, identity, (KEY,))


def test_without_a_name_the_only_host_is_meant(tmp_path: Path) -> None:
    """With two, one must be named; a near miss is named back."""
    hosts = Hosts(tmp_path)
    hosts.add(Host("prod", "a.invalid", 22, "key", (KEY,)))

    assert hosts.choose(None).name == "prod"
    with pytest.raises(NotFound, match="no host 'prd'"):
        hosts.choose("prd")


def test_a_changed_host_key_is_told_from_a_host_that_is_away() -> None:
    """The first may be somebody in between."""
    host = Host("prod", "a.invalid", 22, "key", (KEY,))
    changed = unreachable(host, "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @")
    away = unreachable(host, "ssh: connect to host a.invalid port 22: Connection refused")

    assert "shows another key than the pinned one" in changed.one_line()
    assert "Connection refused" in away.one_line()
    assert (changed.exit_code, away.exit_code) == (5, 5)
