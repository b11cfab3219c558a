"""`wmctl secret` about a host: the real programs on a folder, behind an `ssh` of the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pyrage
import pytest

from tests.support.aged import path_with_age
from tests.support.bundles import PROGRAM
from tests.support.wmctl import REPOSITORY, Said, Terminal

REMOTE = REPOSITORY / "infra/scripts/remote"
# Behind the line is the real program on a folder. A key opens the deploy account when the host lists it.
SSH = """#!/bin/bash
while [ $# -gt 2 ]; do [ "$1" != -i ] || key=$2; shift; done
program="{folder}/host/bin/platform_host.sh --root {folder}/host"
public=$(ssh-keygen -y -P '' -f "$key" | cut -d' ' -f2)
case "$1" in
    root@*) exec bash $program ${{2#/opt/platform/bin/platform_host.sh}} ;;
    *) grep -qF "$public" {folder}/keys || {{ echo 'Permission denied (publickey).' >&2; exit 255; }}
       exec bash $program gate "$2" ;;
esac
"""

DOCKER = """#!/bin/sh
case "$*" in
    "ps "*--format*) [ ! -e "{folder}/door" ] || echo door c-door ;;
    *.Config.Env*) echo A=b; echo "PLATFORM_INGEST_WINDMILL_WORKSPACE=$(cat "{folder}/door")" ;;
esac
"""


@dataclass(frozen=True)
class Desk:
    """A user's configuration, a host in a folder, and an `ssh` that leads there."""

    folder: Path
    person: pyrage.x25519.Identity

    def say(self, *words: str, **variables: str) -> Said:
        """Run `wmctl secret ...`."""
        path = f"{self.folder}/bin:{path_with_age(self.folder / 'age')}"
        known = {"XDG_CONFIG_HOME": str(self.folder / "config"), "PATH": path, **variables}
        return Terminal(known).say("secret", *words)

    @property
    def host(self) -> Path:
        """What plays /opt/platform."""
        return self.folder / "host"

    def identity(self, *, mode: int = 0o600) -> Path:
        """The private key of the person who may open bundles."""
        file = self.folder / "identity"
        file.write_text(f"# ana\n{self.person}\n")
        file.chmod(mode)
        return file

    def make_secrets(self) -> None:
        """As an operator does on a new host."""
        for words, given in ((("put", "BACKUP_RECIPIENTS"), f"{self.person.to_public()}\n"), (("make",), "")):
            self.on_host(*words, given=given)

    def on_host(self, *words: str, given: str = "") -> None:
        """Run host_secrets.sh there."""
        owner = f"{os.getuid()}:{os.getgid()}"
        program = [str(self.host / "bin/host_secrets.sh"), "--root", str(self.host), "--owner", owner]
        subprocess.run([*program, *words], input=given, text=True, capture_output=True, check=True)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """One with a host called prod, which has no secrets yet."""
    for name in ("bin", "config", "host/state/runs", "host/releases", "host/bin", "host/secrets"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "host/secrets").chmod(0o750)
    (tmp_path / "host/bin/platform_host.sh").write_bytes(PROGRAM)
    shutil.copy(REMOTE / "host_secrets.sh", tmp_path / "host/bin/")
    (tmp_path / "host/host.env").write_text(f"DEPLOY_KEYS_FILE={tmp_path}/keys\n")
    for name, text in (("ssh", SSH), ("docker", DOCKER)):
        file = tmp_path / "bin" / name
        file.write_text(text.format(folder=tmp_path))
        file.chmod(0o755)
    for name in ("deploy", "github", "host-key"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(tmp_path / name)]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
    forced = 'restrict,command="/usr/bin/sudo -n /opt/platform/bin/platform_host.sh gate x"'
    listed = [f"{forced} {(tmp_path / f'{name}.pub').read_text()}" for name in ("deploy", "github")]
    (tmp_path / "keys").write_text("".join(listed))
    made = Desk(tmp_path, pyrage.x25519.Identity.generate())
    where = ("--address", "vps.invalid", "--identity", str(tmp_path / "deploy"))
    known = Terminal({"XDG_CONFIG_HOME": str(tmp_path / "config")}).run(
        "host", "add", "prod", *where, "--host-key", str(tmp_path / "host-key.pub")
    )
    assert known.code == 0, known
    return made


def test_names_and_ages_are_shown_and_what_is_wrong_ends_with_1(desk: Desk) -> None:
    """Never a value."""
    desk.make_secrets()
    listed = json.loads(desk.say("list", "--host", "prod", "--json").out)
    checked = desk.say("check", "--host", "prod")

    assert {row["state"] for row in listed} == {"here"}
    assert len(listed) == 10
    assert (checked.code, "there is no bundle of them" in checked.out) == (1, True)


def test_what_a_person_gives_a_host_goes_over_the_pinned_connection_and_is_audited(desk: Desk) -> None:
    """By stdin, as root; what is none is refused by the host, and nothing is changed."""
    desk.make_secrets()
    _as_this_user(desk)
    file, key = desk.folder / "recipients.txt", f"{pyrage.x25519.Identity.generate().to_public()}\n"
    file.write_text(key)
    words = ("BUNDLE_RECIPIENTS", "--host", "prod", "--from", str(file))
    done = desk.say("set", *words)
    file.write_text(f"{desk.person}\n")
    refused = desk.say("set", *words)
    spoilt = [
        desk.say("set", "acme", *words),
        desk.say("set", "recipients", *words[1:]),
        desk.say("set"),
    ]

    assert (done.code, "BUNDLE_RECIPIENTS is kept on prod" in done.err) == (0, True), done
    kept = next((desk.host / "secrets").glob("bundle_recipients.*"))
    assert kept.read_text().strip() == key.strip()
    assert (refused.code, "is a private key" in refused.err) == (70, True), refused
    assert [one.code for one in spoilt] == [2, 2, 2], spoilt
    audited = [json.loads(line) for line in (desk.host / "state/audit.jsonl").read_text().splitlines()]
    assert [(one["event"], one["kind"]) for one in audited] == [("put", "BUNDLE_RECIPIENTS")]
    assert str(desk.person) not in refused.out + refused.err


def test_a_bundle_is_fetched_once_opened_and_named_and_put_back(desk: Desk) -> None:
    """What a lost host had, a new one has."""
    desk.make_secrets()
    file, identity = desk.folder / "prod.tar.age", desk.identity()
    fetched = desk.say("bundle", str(file), "--host", "prod")
    again = desk.say("bundle", str(file), "--host", "prod")
    named = desk.say("unbundle", str(file), "--identity", str(identity), "--dry-run")
    before = {path.name: path.read_bytes() for path in (desk.host / "secrets").iterdir()}
    shutil.rmtree(desk.host / "secrets")
    (desk.host / "secrets").mkdir(mode=0o750)
    back = _put_back(desk, file, identity)

    assert fetched.code == 0, fetched
    assert file.stat().st_mode & 0o777 == 0o600
    assert (again.code, "is there already" in again.err) == (2, True)
    assert "WINDMILL_SALT" in named.out.split()
    assert back.code == 0, back
    assert "in place 10 secrets" in back.out
    assert {path.name: path.read_bytes() for path in (desk.host / "secrets").iterdir()} == before


def _put_back(desk: Desk, file: Path, identity: Path) -> Said:
    """As root of the host."""
    _as_this_user(desk)
    return desk.say("unbundle", str(file), "--identity", str(identity), "--host", "prod")


def _as_this_user(desk: Desk) -> None:
    """Where the tests are no root, its own group stands for the services'."""
    if os.getuid():
        program = desk.host / "bin/host_secrets.sh"
        own = f"OWNER={os.getuid()}:{os.getgid()}"
        program.write_text(program.read_text().replace("OWNER=root:10001", own))


def test_a_host_that_has_secrets_keeps_them(desk: Desk) -> None:
    """A bundle put back in the wrong place would lock out what serves there."""
    desk.make_secrets()
    file = desk.folder / "prod.tar.age"
    desk.say("bundle", str(file), "--host", "prod")
    said = desk.say("unbundle", str(file), "--identity", str(desk.identity()), "--host", "prod")

    assert (said.code, "secrets of its own" in said.err) == (70, True)


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        ("stranger", 6, "does not open with this identity"),
        ("damaged", 6, "does not open with this identity, or it is damaged"),
        ("open identity", 6, "may read the identity"),
        ("no bundle", 2, "is no bundle"),
    ],
)
def test_what_cannot_be_opened_never_leaves_the_desk(desk: Desk, spoil: str, code: int, words: str) -> None:
    """The host is not even asked."""
    desk.make_secrets()
    file = desk.folder / "prod.tar.age"
    desk.say("bundle", str(file), "--host", "prod")
    identity = desk.identity(mode=0o644 if spoil == "open identity" else 0o600)
    sent = file.read_bytes()
    if spoil == "stranger":
        identity.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    elif spoil == "damaged":
        file.write_bytes(sent[:-20] + bytes([sent[-20] ^ 1]) + sent[-19:])
    elif spoil == "no bundle":
        file.write_bytes(b"something else\n")
    said = desk.say("unbundle", str(file), "--identity", str(identity), "--host", "prod")

    assert (said.code, words in said.err) == (code, True), said
    assert str(desk.person) not in said.err + said.out


def test_a_deploy_key_is_let_in_tried_and_only_then_the_old_one_is_shut_out(desk: Desk) -> None:
    """The other key on the list, GitHub's, stays."""
    desk.make_secrets()
    before = (desk.folder / "deploy").read_text()
    other = (desk.folder / "github.pub").read_text().split()[1]
    said = desk.say("rotate", "deploy-key", "--host", "prod")
    listed = (desk.folder / "keys").read_text()

    assert said.code == 0, said
    assert (desk.folder / "deploy").read_text() != before
    assert [name for name in ("deploy.old", "deploy.new") if (desk.folder / name).exists()] == []
    assert (listed.count("restrict,command="), other in listed) == (2, True)
    assert desk.say("list", "--host", "prod").code == 0


def test_a_half_replaced_deploy_key_is_ended_by_a_repeat(desk: Desk) -> None:
    """Cut between the two names: the new one is let in, and the old one has its other name."""
    desk.make_secrets()
    shutil.copytree(desk.folder, desk.folder.with_name("again"), dirs_exist_ok=True)
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(desk.folder / "deploy.new")]
    subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
    first = (desk.folder / "keys").read_text()
    forced = first.split(" ssh-")[0]
    (desk.folder / "keys").write_text(f"{first}{forced} {(desk.folder / 'deploy.new.pub').read_text()}")
    for name in ("deploy.pub", "deploy"):
        (desk.folder / name).rename(desk.folder / name.replace("deploy", "deploy.old"))
    said = desk.say("rotate", "deploy-key", "--host", "prod")

    assert said.code == 0, said
    assert (desk.folder / "keys").read_text().count("restrict,command=") == 2
    assert not (desk.folder / "deploy.old").exists()


def test_a_key_that_opens_nothing_leaves_the_old_one_in_place(desk: Desk) -> None:
    """The host does not let it in: its list is not as bootstrap wrote it."""
    (desk.folder / "keys").write_text((desk.folder / "deploy.pub").read_text())
    before = (desk.folder / "deploy").read_text()
    said = desk.say("rotate", "deploy-key", "--host", "prod")

    assert (said.code, "is not as bootstrap wrote it" in said.err) == (4, True), said
    assert (desk.folder / "deploy").read_text() == before


def test_a_rotation_is_a_run_on_the_host_and_ends_with_its_code(desk: Desk) -> None:
    """70: nothing serves there yet."""
    desk.make_secrets()
    said = desk.say("rotate", "superadmin", "--host", "prod")

    assert (said.code, "nothing serves here yet" in said.out) == (70, True), said


def test_a_token_of_another_workspace_than_the_doors_is_not_even_made(desk: Desk) -> None:
    """It would wake nobody. Windmill is asked nothing, and nothing waits on the host."""
    desk.make_secrets()
    staging = {
        "WMCTL_URL": "http://127.0.0.1:9",
        "WMCTL_WORKSPACE": "staging",
        "WMCTL_TOKEN": "not-a-real-token",
    }
    without = desk.say("rotate", "door-token", "--host", "prod", **staging)
    (desk.folder / "door").write_text("production")
    other = desk.say("rotate", "door-token", "--host", "prod", **staging)
    right = desk.say("rotate", "door-token", "--host", "prod", **{**staging, "WMCTL_WORKSPACE": "production"})

    assert (without.code, "No door runs on prod" in without.err) == (4, True), without
    assert (other.code, "in the workspace production" in other.err) == (4, True), other
    assert "WINDMILL_WORKSPACE=staging" in other.err
    assert "http://127.0.0.1:9" in right.err  # the one that does get as far as Windmill, where nobody is here
    assert "NEXT_" not in (desk.host / "secrets/secrets.env").read_text()


def test_the_salt_is_refused_with_the_reason(desk: Desk) -> None:
    """Also by the host itself."""
    said = desk.say("rotate", "windmill-salt", "--host", "prod")
    direct = subprocess.run(
        ["bash", desk.host / "bin/platform_host.sh", "--root", desk.host, "rotate", "windmill-salt"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (said.code, "could not read each other's secrets" in said.err) == (4, True)
    assert (direct.returncode, "could not read each other's secrets" in direct.stderr) == (70, True)


@pytest.mark.parametrize(
    "line",
    [
        "keys list",
        "keys add",
        "secrets unbundle",
        "secrets take WINDMILL_SALT",
        "secrets put BACKUP_RECIPIENTS",
    ],
)
def test_a_deploy_key_may_not_change_who_deploys_nor_put_secrets(desk: Desk, line: str) -> None:
    """That is root's."""
    said = subprocess.run(
        ["bash", desk.host / "bin/platform_host.sh", "--root", desk.host, "gate", line],
        capture_output=True,
        text=True,
        input="not-a-real-token-of-the-door",
        check=False,
    )

    assert (said.returncode, said.stdout) == (64, "")
