"""`deploy_vps.sh` at an operator's desk: what it says when it is told nonsense, and when SSH is cut."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.bundles import PROGRAM, bundle
from tests.support.wmctl import REPOSITORY

FAILED, USAGE, REFUSED, UNKNOWN = 1, 64, 70, 80
# What stands behind it: the real program on a folder. `cut` names the word at whose answer the connection
# breaks, and `said` what ssh says then.
SSH = """#!/bin/bash
for line in "$@"; do :; done
if [ -f "{folder}/cut" ] && [[ $line == "$(cat "{folder}/cut")"* ]]; then
    [ -f "{folder}/kept-out" ] || bash "{program}" --root "{folder}/host" gate "$line" >/dev/null 2>&1
    cat "{folder}/said" >&2
    exit 255
fi
exec bash "{program}" --root "{folder}/host" gate "$line"
"""


@dataclass(frozen=True)
class Desk:
    """A key, a pinned host key, and an `ssh` that leads into a folder."""

    folder: Path

    def say(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the script as the guide tells."""
        where = ("--host", "platform-deploy@vps.invalid", "--identity", str(self.folder / "deploy"))
        return self.bare(*where, "--known-hosts", str(self.folder / "known"), *words)

    def bare(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the script with these words alone."""
        return run(
            REPOSITORY / "infra/scripts/deploy_vps.sh", words, f"{self.folder}/bin:{os.environ['PATH']}"
        )

    def cut(self, word: str, said: str, *, kept_out: bool = False) -> None:
        """Let the connection break at a word, after the host did it, or before it was let in."""
        (self.folder / "cut").write_text(word)
        (self.folder / "said").write_text(f"{said}\n")
        if kept_out:
            (self.folder / "kept-out").touch()


def run(program: Path, words: Sequence[str], path: str) -> subprocess.CompletedProcess[str]:
    """A script, to its end."""
    return subprocess.run(
        [program, *words],
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """One whose host was made ready and has no release."""
    for name in ("bin", "host/state/runs", "host/releases", "host/proxy"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "platform_host.sh").write_bytes(PROGRAM)
    ssh = tmp_path / "bin/ssh"
    ssh.write_text(SSH.format(folder=tmp_path, program=tmp_path / "platform_host.sh"))
    ssh.chmod(0o755)
    (tmp_path / "deploy").write_text("not-a-real key\n")
    (tmp_path / "known").write_text("vps.invalid ssh-ed25519 AAAA\n")
    return Desk(tmp_path)


def runs_of(desk: Desk) -> list[str]:
    """The runs that began at the host."""
    return sorted(path.stem for path in (desk.folder / "host/state/runs").glob("*.log"))


def test_a_run_is_begun_and_followed_to_its_own_end(desk: Desk) -> None:
    """70: refused before anything was changed."""
    done = desk.say("rollback")

    assert (done.returncode, len(runs_of(desk))) == (REFUSED, 1), done.stderr
    assert "there is no previous release to go back to" in done.stdout


@pytest.mark.parametrize(
    "said",
    [
        "Connection to vps.invalid closed by remote host.",
        "Timeout, server vps.invalid not responding.",
        "client_loop: send disconnect: Broken pipe",
    ],
)
def test_nobody_knows_whether_a_run_began_when_the_answer_is_cut_off(desk: Desk, said: str) -> None:
    """It did, and to say that nothing was changed would send somebody to begin a second one."""
    desk.cut("start", said)
    done = desk.say("rollback")

    assert (done.returncode, len(runs_of(desk))) == (UNKNOWN, 1)
    assert said in done.stderr
    assert "whether it began is not known" in done.stderr
    assert "deploy_vps.sh status names the run; then: deploy_vps.sh follow RUN" in done.stderr
    assert "nothing was changed" not in done.stderr


@pytest.mark.parametrize(
    "said",
    [
        "ssh: connect to host vps.invalid port 22: Connection refused",
        "ssh: Could not resolve hostname vps.invalid: Name or service not known",
        "Host key verification failed.",
        "platform-deploy@vps.invalid: Permission denied (publickey).",
        "kex_exchange_identification: Connection closed by remote host",
    ],
)
def test_a_host_that_cannot_be_entered_was_not_changed(desk: Desk, said: str) -> None:
    """And ssh's own words say why."""
    desk.cut("start", said, kept_out=True)
    done = desk.say("rollback")

    assert (done.returncode, runs_of(desk)) == (REFUSED, [])
    assert said in done.stderr
    assert "cannot be entered (see above); nothing was changed" in done.stderr


def test_a_bundle_that_is_cut_off_on_its_way_is_sent_again(desk: Desk) -> None:
    """What serves is none of it."""
    file = desk.folder / "platform-1.4.2.tar.gz"
    file.write_bytes(bundle())
    desk.cut("receive", "Connection to vps.invalid closed by remote host.")
    done = desk.say("deploy", str(file))

    assert (done.returncode, runs_of(desk)) == (FAILED, [])
    assert "what serves was not touched. Say it again." in done.stderr


def test_a_bundle_that_is_no_archive_is_named(desk: Desk) -> None:
    """A page of an error that somebody saved under its name, for one."""
    file = desk.folder / "platform-1.4.2.tar.gz"
    file.write_text("<html>404</html>")
    done = desk.say("deploy", str(file))

    assert done.returncode == USAGE
    assert f"{file} is not the bundle of a release" in done.stderr


@pytest.mark.parametrize("option", ["--host", "--port", "--identity", "--known-hosts", "--by"])
def test_an_option_without_its_value_is_named(desk: Desk, option: str) -> None:
    """Not ended without a word."""
    done = desk.bare(option)

    assert (done.returncode, f"{option} wants a value" in done.stderr) == (USAGE, True)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("host_secrets.sh", ("--root",)),
        ("host_secrets.sh", ("--owner",)),
        ("platform_host.sh", ("--root",)),
        ("platform_host.sh", ("--root", "{root}", "rollback", "--to")),
        ("platform_host.sh", ("--root", "{root}", "preflight", "--now")),
    ],
)
def test_the_host_s_programs_name_it_too(desk: Desk, program: str, words: tuple[str, ...]) -> None:
    """Whoever stands before the host's own console."""
    file = desk.folder / program
    if program == "host_secrets.sh":
        file = REPOSITORY / "infra/scripts/remote/host_secrets.sh"
    file.chmod(0o755)
    done = run(file, [word.format(root=desk.folder / "host") for word in words], os.environ["PATH"])

    assert (done.returncode, f"{words[-1]} wants a value" in done.stderr) == (USAGE, True), done
