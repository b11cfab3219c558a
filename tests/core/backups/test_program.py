"""The program as its container starts it: answers on stdout, one line of reason on stderr, and exit codes."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.support.vaults import Vault
from tests.support.written_flows import until


def _refused(vault: Vault, *words: str, check: int, stdin: str = "") -> str:
    done = vault.run(*words, stdin=stdin, check=check)
    assert done.stdout == b""
    return done.stderr.decode()


def test_a_copy_is_taken_listed_and_verified(vault: Vault) -> None:
    """The name is all that `now` says: the deploy keeps it."""
    name = vault.run("now", "--reason", "deploy").stdout.decode().strip()
    (copy,) = vault.say("list")["copies"]

    assert (copy["name"], copy["reason"], name.endswith("-deploy")) == (name, "deploy", True)
    assert vault.run("verify", name).stdout.decode() == f"{name} is what was written\n"
    assert vault.say("list")["covered"] == [
        {"from": copy["ended_at"], "to": copy["ended_at"], "timeline": 1, "system": copy["system"]}
    ]


def test_what_cannot_be_is_said_in_one_line(vault: Vault) -> None:
    """With the way out, and nothing on stdout."""
    assert _refused(vault, "now", "--reason", "Two Words", check=2) == (
        "backup: The reason is one word of at most 20 small letters\n"
    )
    assert _refused(vault, "verify", "nothing", check=3) == (
        "backup: There is no copy 'nothing'; a name is like 20260131T031000Z-daily\n"
    )
    assert "The copies do not reach" in _refused(vault, "restore", "--to", "2026-01-31T03:10:00Z", check=4)
    assert "usage: backup" in _refused(vault, "restore", check=2)
    (vault.place.secrets / "backup_recipients").write_text("", encoding="ascii")
    assert "names no recipient: nobody could open the copies" in _refused(vault, "now", check=6)


def test_a_wrong_password_is_said_and_not_shown(vault: Vault) -> None:
    """Neither the old one nor the new one."""
    (vault.place.secrets / "backup_database_password").write_text(
        "not-a-real-other-password", encoding="ascii"
    )
    said = _refused(vault, "now", check=6)

    assert "refuses the password of this login" in said
    assert "not-a-real" not in said


def test_two_copies_at_once_are_not_made(vault: Vault) -> None:
    """The second is told to wait."""
    with vault.place.one_at_a_time():
        assert "Wait for it to end" in _refused(vault, "now", check=4)


def test_a_copy_that_is_killed_is_none_and_the_next_one_is_made(vault: Vault) -> None:
    """And what it left is gone."""
    command = [sys.executable, "-m", "platform_core.backups", "now"]
    victim = subprocess.Popen(command, env=vault.environment, stdout=subprocess.DEVNULL)
    part = vault.place.copies / ".part"
    until(lambda: part.exists() or victim.poll() is not None, "the copy to begin")
    victim.kill()
    assert victim.wait() == -signal.SIGKILL
    assert vault.place.list_copies() == []

    name = vault.run("now").stdout.decode().strip()
    assert sorted(path.name for path in vault.place.copies.iterdir()) == [
        f"{name}.json",
        f"{name}.tar.zst.age",
    ]


def test_no_identity_and_no_salt_is_in_anything_that_is_said(vault: Vault) -> None:
    """Also when what was given is no identity at all."""
    vault.run("now")
    done = vault.run("drill", stdin="AGE-SECRET-KEY-1nonsense\nWINDMILL_SALT=short\n", check=6)

    assert (b"nonsense" in done.stderr, b"short\n" in done.stderr, done.stdout) == (False, False, b"")
