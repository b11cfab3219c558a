"""A host on which a release serves, without a Docker: the real program on a folder, containers played."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyrage

from tests.support.aged import path_with_age
from tests.support.bundles import DIGEST, PROGRAM, VERSION, manifest
from tests.support.wmctl import REPOSITORY

HEALTHY = '{"database_healthy": true, "workers_alive": 3}'
"""What a server says, to whatever it is asked."""


@dataclass(frozen=True)
class ServingHost:
    """A folder that plays /opt/platform, on which a release serves, with `rotating_docker` as its Docker."""

    root: Path

    def rotate(self, kind: str) -> tuple[int, str]:
        """Replace a secret: the exit code, and all it said."""
        return self.say("rotate", kind)

    def say(self, *words: str, program: str = "bin/platform_host.sh") -> tuple[int, str]:
        """Run the host's program, or that of a release: its exit code, and all it said."""
        done = subprocess.run(
            ["bash", str(self.root / program), "--root", str(self.root), *words],
            stdin=subprocess.DEVNULL,
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

    def program(self, name: str, *lines: str) -> None:
        """A program of the test, before those of the system."""
        file = self.played / name
        file.write_text("\n".join(lines) + "\n")
        file.chmod(0o755)

    def takes_no_more(self, file: str) -> None:
        """Let every writing of a file of the host fail halfway, as on a full disk."""
        self.program(
            "cat",
            "#!/bin/bash",
            "exec 3>&1",
            f'case $(readlink /proc/self/fd/3) in "{self.root}/{file}".*) printf half; exit 1 ;; esac',
            'exec /bin/cat "$@"',
        )

    def secrets(self, *words: str, given: str = "") -> None:
        """Run host_secrets.sh."""
        program = [str(self.root / "bin/host_secrets.sh"), "--root", str(self.root), *words]
        subprocess.run(program, input=given, text=True, capture_output=True, check=True)

    def release(self, version: str, *, proxy: bool = False) -> Path:
        """Put a release there, complete, with files of the proxy or without; its folder."""
        folder, facts = self.root / "releases" / version, manifest(version, schema_head="1")
        if proxy:
            facts = facts.replace(
                b'"images": {', b'"images": {"platform-caddy": "' + DIGEST.encode() + b'", '
            )
        folder.mkdir()
        (folder / "release.json").write_bytes(facts)
        if proxy:
            (folder / "caddy").mkdir()
            (folder / "caddy/Caddyfile").write_text("nonsense: {[\n")
        (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(facts).hexdigest()}  ./release.json\n")
        return folder

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


def serving_host(folder: Path) -> ServingHost:
    """A host with secrets, on which 1.4.2 serves."""
    made = ServingHost(folder / "host")
    for name in ("state/runs", "releases", "proxy", "secrets", "bin", "bundles"):
        (made.root / name).mkdir(parents=True)
    made.played.mkdir()
    script = REPOSITORY / "tests/support/rotating_docker.py"
    made.program("docker", "#!/bin/sh", f'exec "{sys.executable}" -ISs "{script}" "$@"')
    made.program("sleep", "#!/bin/sh", "exec true")
    made.program("curl", "#!/bin/sh", f"echo '{HEALTHY}'")
    (made.root / "bin/platform_host.sh").write_bytes(PROGRAM)
    program = made.root / "bin/host_secrets.sh"
    shutil.copy(REPOSITORY / "infra/scripts/remote/host_secrets.sh", program)
    if os.getuid():  # no root: its own group stands for the services'
        own = f"OWNER={os.getuid()}:{os.getgid()}"
        program.write_text(program.read_text().replace("OWNER=root:10001", own))
    (made.root / "host.env").write_text(
        "DISK_FREE_MIN_MB=1\nMEMORY_FREE_MIN_MB=1\nHEALTH_WAIT_S=5\nWATCH_S=0\n"
    )
    person = pyrage.x25519.Identity.generate().to_public()
    made.secrets("put", "BACKUP_RECIPIENTS", given=f"{person}\n")
    made.secrets("make")
    made.release(VERSION)
    deployed = {"version": VERSION, "previous": "1.4.1", "color": "blue"}
    (made.root / "state/deployed.json").write_text(json.dumps(deployed))
    shutil.copy(made.root / "secrets/secrets.env", made.root / "release.env")
    return made
