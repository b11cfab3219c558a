"""Making a bare host ready, by the real program on a folder: what it refuses, and what it leaves behind.

That Docker, systemd, sshd and the kernel take what it writes is rehearsed for real: `make rehearsal`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.bare_hosts import HOST_VALUES, BareHost, bare_host

REPOSITORY = Path(__file__).resolve().parents[2]
OK, FAILED, REFUSED = 0, 1, 70
ANA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIjepcmFzJf12IESmfvspzJcP/2UR0LHJri8kVgaLkZo"
GITHUB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
KEYS = "etc/ssh/platform-deploy-keys"


@pytest.fixture
def host(tmp_path: Path) -> BareHost:
    """One on which nothing of the platform is."""
    return bare_host(tmp_path)


def let_in(host: BareHost) -> list[str]:
    """The keys that may deploy, each without the program it is forced to, which all must have."""
    program = f"/usr/bin/sudo -n {host.folder}/opt/platform/bin/platform_host.sh gate"
    forced = f'restrict,command="{program} \\"$SSH_ORIGINAL_COMMAND\\"" '
    lines = host.read(KEYS).splitlines()
    assert [line for line in lines if not line.startswith(forced)] == []
    return [line.removeprefix(forced) for line in lines]


# --- Before anything is changed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host_values", "words"),
    [
        (None, "no values yet, and none were given. Say --host-values FILE; it holds DOMAIN_HOOKS"),
        ("DOMAIN_HOOKS=hooks.example.org\n", "lack DOMAIN_PANEL DOMAIN_WINDMILL WINDMILL_ALLOWED"),
        (HOST_VALUES.replace("ops@example.org", ""), "the host's values lack ACME_EMAIL."),
        (HOST_VALUES + 'WORKER_GRACE="20s"\n', "line 6 of the host's values is not NAME=value"),
        (HOST_VALUES.replace("\n", "\r\n", 1), "line 1 of the host's values is not NAME=value"),
    ],
)
def test_a_host_without_its_names_is_refused_and_stays_bare(
    host: BareHost, host_values: str | None, words: str
) -> None:
    """Packages, Docker and an account were there before somebody was told that names are missing."""
    before = host.listing()
    said = host.make_ready(f"{ANA} ana\n", host_values)

    assert (said.code, said.out) == (REFUSED, "")
    assert words in said.err
    assert (host.listing(), host.done) == (before, [])


def test_the_values_that_the_guide_shows_are_enough(host: BareHost) -> None:
    """As they stand on the page."""
    page = (REPOSITORY / "docs/guides/new-vps.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n((?:[A-Z_]+=.*\n)+)```$", page, re.MULTILINE)

    assert len(shown) == 1
    assert host.make_ready(f"{ANA} ana\n", shown[0]).code == OK
    assert host.read("opt/platform/host.env") == shown[0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"SSH_PORT": "ssh"}, "SSH_PORT is 'ssh' and no port"),
        ({"SSH_PORT": "70000"}, "SSH_PORT is '70000' and no port"),
        ({"SWAP_MB": "2G"}, "SWAP_MB is '2G' and no number of megabytes"),
        ({"SKIP": "swap firewall"}, "'firewall' cannot be skipped"),
        ({"SSHPORT": "2222"}, "there is no value 'SSHPORT'"),
    ],
)
def test_a_value_that_means_nothing_is_refused(host: BareHost, values: dict[str, str], words: str) -> None:
    """With the way to say it."""
    before = host.listing()
    said = host.make_ready(f"{ANA} ana\n", values=values)

    assert (said.code, said.out) == (REFUSED, "")
    assert words in said.err
    assert (host.listing(), host.done) == (before, [])


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("# nobody\n", "deploy_keys holds no public key"),
        (f'command="/bin/sh" {ANA}\n', 'holds a line that is no public key: command="/bin/sh"'),
        ("ssh-ed25519 AAAA\n", "holds a line that is no public key: ssh-ed25519 AAAA"),
    ],
)
def test_what_is_no_public_key_may_not_deploy(host: BareHost, keys: str, words: str) -> None:
    """Options before a key would take the place of the program that it is forced to."""
    said = host.make_ready(keys)

    assert (said.code, said.out) == (REFUSED, "")
    assert words in said.err


def test_a_processor_for_which_there_are_no_images_is_refused(host: BareHost) -> None:
    """Before a host is made ready on which no release could start."""
    host.write("processor", "aarch64\n")
    said = host.make_ready(f"{ANA} ana\n")

    assert (said.code, said.out) == (REFUSED, "")
    assert "the processor is aarch64. Use a host with x86_64" in said.err


# --- Keys that may deploy -----------------------------------------------------------------------------------


def test_making_ready_again_shuts_nobody_out(host: BareHost) -> None:
    """GitHub's key was let in beside; a colleague says it again with no other key than their own."""
    first = host.make_ready(f"{ANA} ana\n{GITHUB} github\n")
    second = host.make_ready(f"{ANA} ana at another desk\n")

    assert (first.code, second.code) == (OK, OK)
    assert let_in(host) == [f"{ANA} ana", f"{GITHUB} github"]
    assert "ok       deploy keys\n" in second.out
    assert "deploy keys let in before stay: 1. To shut one out: platform_host.sh keys remove" in second.out


def test_a_new_key_comes_beside_those_that_are_there(host: BareHost) -> None:
    """In place stays who is there; a line that somebody wrote by hand is forced to the program as well."""
    host.write(KEYS, f"{GITHUB} by hand\n")
    said = host.make_ready(f"{ANA} ana\n")

    assert said.code == OK, said
    assert let_in(host) == [f"{GITHUB} by hand", f"{ANA} ana"]


# --- The firewall -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entered", "sshd", "ports"),
    [
        ("22", {}, ["22"]),
        ("2222", {}, ["22", "2222"]),
        ("22", {"port": "2222"}, ["22", "2222"]),
        ("22", {"listenaddress": "[::]:2200"}, ["22", "2200"]),
    ],
)
def test_ssh_is_let_in_wherever_it_listens(
    host: BareHost, entered: str, sshd: dict[str, str], ports: list[str]
) -> None:
    """The port it was entered by, and those sshd itself names: else the door shuts behind whoever asks."""
    host.sshd_is_set(**sshd)
    said = host.make_ready(f"{ANA} ana\n", values={"SSH_PORT": entered})
    rules = host.set_firewall().splitlines()

    assert said.code == OK, said
    wanted = [f"-A PLATFORM-IN -p tcp --dport {port} -j RETURN" for port in ports]
    assert [line for line in rules if "-p tcp --dport" in line and "PLATFORM-IN" in line] == wanted * 2


def test_the_rules_are_handed_over_as_whole_chains(host: BareHost) -> None:
    """One by one they would leave the host open for a moment at each restart of Docker."""
    host.make_ready(f"{ANA} ana\n")
    rules = host.set_firewall().splitlines()
    chains = [":PLATFORM-IN - [0:0]", ":PLATFORM-JOBS - [0:0]", ":DOCKER-USER - [0:0]"]
    second = rules.index("# ip6tables-restore --noflush --wait")

    assert rules[:5] == ["# iptables-restore --noflush --wait", "*filter", *chains]
    assert rules[second + 1 : second + 5] == ["*filter", *chains]
    assert (rules[second - 1], rules[-1]) == ("COMMIT", "COMMIT")
    assert rules[second - 5 : second - 1] == [
        "-I INPUT -i eth0 -j PLATFORM-IN",
        "-I INPUT -i docker0 -j PLATFORM-JOBS",
        "-I INPUT -i br-+ -j PLATFORM-JOBS",
        "-I FORWARD -j DOCKER-USER",
    ]


def test_what_leads_to_the_chains_is_there_once(host: BareHost) -> None:
    """A jump that is there is not inserted again, and what iptables says of it is no rule."""
    host.make_ready(f"{ANA} ana\n")
    host.write("jumps", "")
    rules = [line for line in host.set_firewall().splitlines() if not line.startswith(("-A", ":", "#"))]

    assert rules == ["*filter", "COMMIT"] * 2


# --- Keys only ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sshd", "words"),
    [
        ({"passwordauthentication": "yes"}, "still lets root in by a password (passwordauthentication, "),
        ({"kbdinteractiveauthentication": "yes"}, "by a password (kbdinteractiveauthentication)"),
        ({"authorizedkeysfile": ".ssh/authorized_keys"}, "is looked for in '.ssh/authorized_keys' and"),
    ],
)
def test_a_host_that_sshd_keeps_otherwise_is_not_called_ready(
    host: BareHost, sshd: dict[str, str], words: str
) -> None:
    """An sshd_config that reads no other file, or says the word first, wins over a file of ours."""
    host.sshd_is_set(**sshd)
    host.write("etc/ssh/sshd_config", "UsePAM yes\nPasswordAuthentication yes\n")
    said = host.make_ready(f"{ANA} ana\n")

    assert said.code == FAILED
    assert words in said.err
    assert "then say this again" in said.err
    assert "ready:" not in said.out
    assert "ssh: keys only" not in said.out


def test_a_password_names_the_line_that_lets_it_in(host: BareHost) -> None:
    """File and line, so that it is found at three in the morning."""
    host.sshd_is_set(passwordauthentication="yes")
    host.write("etc/ssh/sshd_config", "UsePAM yes\nPasswordAuthentication yes\n")

    assert f"{host.folder}/etc/ssh/sshd_config:2" in host.make_ready(f"{ANA} ana\n").err


def test_ssh_reads_its_settings_again_when_they_were_mended(host: BareHost) -> None:
    """Our own file is the same as before, and the one that was mended is another."""
    host.sshd_is_set(passwordauthentication="yes")
    first = host.make_ready(f"{ANA} ana\n")
    host.sshd_is_set()
    second = host.make_ready(f"{ANA} ana\n")

    assert (first.code, second.code) == (FAILED, OK)
    assert host.done[-1] == "systemctl reload-or-restart ssh"


# --- The ballast --------------------------------------------------------------------------------------------


def test_a_ballast_that_finds_no_room_leaves_no_half_of_itself(host: BareHost) -> None:
    """The next time it would be taken for the whole."""
    host.write("bin/fallocate", '#!/bin/sh\nfor file in "$@"; do :; done\n: >"$file"\nexit 1\n')
    (host.folder / "bin/fallocate").chmod(0o755)
    said = host.make_ready(f"{ANA} ana\n", values={"BALLAST_MB": "1024"})

    assert said.code == FAILED
    assert "there is no room for a ballast of 1024 MB" in said.err
    assert not (host.folder / "opt/platform/ballast").exists()


def test_a_ballast_that_was_given_away_is_made_again(host: BareHost) -> None:
    """By the same command."""
    host.make_ready(f"{ANA} ana\n", values={"BALLAST_MB": "1"})
    (host.folder / "opt/platform/ballast").unlink()
    said = host.make_ready(f"{ANA} ana\n", values={"BALLAST_MB": "1"})

    assert "changed  ballast, 1 MB" in said.out
    assert (host.folder / "opt/platform/ballast").stat().st_size == 1024 * 1024
