"""A rotation on a host without a Docker: what fails or dies brings back what was there, or a repeat ends it.

That no request fails meanwhile is rehearsed for real: `make rehearsal`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyrage
import pytest

from tests.support.aged import path_with_age
from tests.support.bundles import PROGRAM, VERSION, manifest
from tests.support.wmctl import REPOSITORY

OK, FAILED, USAGE, REFUSED, LOCKED, KILLED = 0, 1, 64, 70, 75, -9


@dataclass(frozen=True)
class HostFolder:
    """A folder that plays /opt/platform, on which a release serves."""

    root: Path

    def rotate(self, kind: str) -> tuple[int, str]:
        """Its exit code, and all it said."""
        done = subprocess.run(
            ["bash", str(self.root / "bin/platform_host.sh"), "--root", str(self.root), "rotate", kind],
            env={**os.environ, "PATH": self._path(), "PLAYED": str(self.played)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            process_group=0,
        )
        return done.returncode, done.stdout + done.stderr

    def wish(self, what: str, at: str) -> None:
        """Let docker fail, or the program be killed, at an event."""
        (self.played / what).write_text(at)

    def secrets(self, *words: str, given: str = "") -> None:
        """Run host_secrets.sh."""
        program = [str(self.root / "bin/host_secrets.sh"), "--root", str(self.root), *words]
        subprocess.run(program, input=given, text=True, capture_output=True, check=True)

    @property
    def played(self) -> Path:
        """The folder of what plays docker."""
        return self.root.with_name("played")

    @property
    def events(self) -> list[str]:
        """What docker was told."""
        file = self.played / "events"
        return file.read_text().splitlines() if file.exists() else []

    def listed(self, name: str, where: str = "secrets/secrets.env") -> Path:
        """Which file a secret is, as the next deploy reads it, or as what serves has it."""
        lines = (self.root / where).read_text().splitlines()
        return next(Path(line.partition("=")[2]) for line in lines if line.startswith(f"SECRET_{name}="))

    def digest(self, name: str) -> str:
        """What the database is told of it."""
        return hashlib.sha256(self.listed(name).read_bytes()).hexdigest()[:12]

    def audited(self) -> list[str]:
        """The audit's events."""
        text = (self.root / "state/audit.jsonl").read_text()
        return [str(json.loads(line)["event"]) for line in text.splitlines()]

    def _path(self) -> str:
        return f"{self.played}:{path_with_age(self.root.with_name('age'))}"


@pytest.fixture
def host(tmp_path: Path) -> HostFolder:
    """A host with secrets, on which 1.4.2 serves."""
    made = HostFolder(tmp_path / "host")
    release = made.root / "releases" / VERSION
    for folder in (
        release,
        *(made.root / name for name in ("state/runs", "proxy", "secrets", "bin", "bundles")),
    ):
        folder.mkdir(parents=True)
    made.played.mkdir()
    docker = made.played / "docker"
    script = REPOSITORY / "tests/support/rotating_docker.py"
    docker.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    docker.chmod(0o755)
    (made.root / "bin/platform_host.sh").write_bytes(PROGRAM)
    program = made.root / "bin/host_secrets.sh"
    shutil.copy(REPOSITORY / "infra/scripts/remote/host_secrets.sh", program)
    if os.getuid():  # no root: its own group stands for the services'
        own = f"OWNER={os.getuid()}:{os.getgid()}"
        program.write_text(program.read_text().replace("OWNER=root:10001", own))
    (made.root / "host.env").write_text("DISK_FREE_MIN_MB=1\nMEMORY_FREE_MIN_MB=1\nHEALTH_WAIT_S=5\n")
    person = pyrage.x25519.Identity.generate().to_public()
    made.secrets("put", "BACKUP_RECIPIENTS", given=f"{person}\n")
    made.secrets("make")
    (release / "release.json").write_bytes(manifest(VERSION, schema_head="1"))
    sums = subprocess.run(
        ["sha256sum", "./release.json"], cwd=release, capture_output=True, check=True
    ).stdout
    (release / "SHA256SUMS").write_bytes(sums)
    deployed = {"version": VERSION, "previous": "1.4.1", "color": "blue"}
    (made.root / "state/deployed.json").write_text(json.dumps(deployed))
    shutil.copy(made.root / "secrets/secrets.env", made.root / "release.env")
    return made


def test_a_password_changes_in_the_database_and_then_for_who_has_it(host: HostFolder) -> None:
    """The door is away meanwhile: Windmill's routes take webhooks. The old file goes at the end."""
    old = host.listed("DOOR_DATABASE_PASSWORD")
    code, said = host.rotate("door-database")

    assert code == OK, said
    assert host.events == ["stop door", f"door-password {host.digest('DOOR_DATABASE_PASSWORD')}", "up door"]
    assert host.listed("DOOR_DATABASE_PASSWORD") == host.listed("DOOR_DATABASE_PASSWORD", "release.env")
    assert (old.exists(), len(list((host.root / "bundles").iterdir()))) == (False, 1)
    assert host.audited() == ["rotation_begun", "rotated"]
    assert not (host.root / "state/rotating.json").exists()


def test_what_fails_is_put_back(host: HostFolder) -> None:
    """The old password, the old list, the old door."""
    old, digest = host.listed("DOOR_DATABASE_PASSWORD"), host.digest("DOOR_DATABASE_PASSWORD")
    host.wish("fail", "up door")
    code, said = host.rotate("door-database")

    assert (code, "The old secret serves, as before" in said) == (FAILED, True), said
    assert host.listed("DOOR_DATABASE_PASSWORD") == old
    assert host.events[-2:] == [f"door-password {digest}", "up door"]
    assert host.audited() == ["rotation_begun", "rotation_failed"]
    assert not (host.root / "state/rotating.json").exists()


@pytest.mark.parametrize("at", ["stop door", "door-password", "up door"])
def test_a_rotation_that_was_killed_is_ended_by_a_repeat(host: HostFolder, at: str) -> None:
    """With the one new secret that it had made, and nothing else is rotated before."""
    old = host.listed("DOOR_DATABASE_PASSWORD")
    host.wish("kill", at)
    killed, _ = host.rotate("door-database")
    half = host.listed("DOOR_DATABASE_PASSWORD")
    other, refusal = host.rotate("backup-database")
    again, said = host.rotate("door-database")

    assert (killed, other, again) == (KILLED, REFUSED, OK), (refusal, said)
    assert "the rotation of door-database is half done" in refusal
    assert half != old
    assert (
        host.listed("DOOR_DATABASE_PASSWORD") == half == host.listed("DOOR_DATABASE_PASSWORD", "release.env")
    )
    assert host.events[-2:] == [f"door-password {host.digest('DOOR_DATABASE_PASSWORD')}", "up door"]


def test_a_token_of_the_door_waits_until_it_is_rotated_in(host: HostFolder) -> None:
    """Without one that waits, nothing begins."""
    refused, said = host.rotate("door-token")
    host.secrets("take", "DOOR_WINDMILL_TOKEN", given="not-a-real-token-of-windmill")
    code, _ = host.rotate("door-token")

    assert (refused, "no new token of the door waits" in said) == (REFUSED, True)
    assert (code, host.events) == (OK, ["up door"])
    assert host.listed("DOOR_WINDMILL_TOKEN").read_text() == "not-a-real-token-of-windmill"


def test_what_waits_for_a_deploy_goes_first(host: HostFolder) -> None:
    """It would come along unseen."""
    host.secrets("renew", "WINDMILL_SUPERADMIN")
    code, said = host.rotate("backup-database")

    assert (code, host.events) == (REFUSED, []), said
    assert "SECRET_WINDMILL_SUPERADMIN was changed and does not serve yet" in said


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("windmill-salt", REFUSED, "the salt cannot be replaced in place"),
        ("everything", USAGE, "there is no kind 'everything'"),
        ("", USAGE, "there are: windmill-database"),
    ],
)
def test_a_kind_that_is_none_is_refused(host: HostFolder, kind: str, code: int, words: str) -> None:
    """And the salt with its reason."""
    answer, said = host.rotate(kind)

    assert (answer, words in said, host.events) == (code, True, [])


def test_a_rotation_and_a_deploy_take_turns(host: HostFolder) -> None:
    """Both change what serves."""
    with (host.root / "state/deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = host.rotate("backup-database")

    assert (code, "another deploy is running" in said) == (LOCKED, True)
