"""A desk and a host of a test: `wmctl` at one end, the host's real program at the other, an `ssh` between."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from platform_cli.hosts.connection import Connection
from platform_cli.hosts.known import Host
from tests.support.bundles import PROGRAM
from tests.support.wmctl import Said, Terminal

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIjepcmFzJf12IESmfvspzJcP/2UR0LHJri8kVgaLkZo"
# The deploy account's line goes through the gate; root's begins with the program itself. `cut` is how many
# bytes of an answer come before the connection breaks, once.
SSH = """#!/bin/bash
printf '%s\\n' "$*" >>"{folder}/asked"
line=${{@: -1}}
run() {{
    local -a words=(gate "$line")
    if [[ $line == /opt/platform/bin/platform_host.sh\\ * ]]; then read -r -a words <<<"${{line#* }}"; fi
    bash "{program}" --root "{folder}/host" "${{words[@]}}"
}}
if [ -f "{folder}/cut" ] && [[ $line == *"backup bytes"* ]]; then
    count=$(cat "{folder}/cut") && rm "{folder}/cut"
    run | head -c "$count"
    exit 255
fi
run
"""


@dataclass(frozen=True)
class BackupDesk:
    """A user's configuration, a host called prod in a folder, and an `ssh` that leads there."""

    folder: Path

    @classmethod
    def furnished(cls, folder: Path) -> BackupDesk:
        """One whose host was made ready."""
        for name in (
            "bin",
            "config",
            *(f"host/{part}" for part in ("state/runs", "releases", "backups", "bundles")),
        ):
            (folder / name).mkdir(parents=True)
        program = folder / "platform_host.sh"
        program.write_bytes(PROGRAM)
        ssh = folder / "bin/ssh"
        ssh.write_text(SSH.format(folder=folder, program=program))
        ssh.chmod(0o755)
        (folder / "deploy").write_text("not-a-real key\n")
        (folder / "host.pub").write_text(f"{KEY} root@vps\n")
        made = cls(folder)
        identity, host_key = str(folder / "deploy"), str(folder / "host.pub")
        words = ("--address", "vps.invalid", "--identity", identity, "--host-key", host_key)
        assert made.terminal.say("host", "add", "prod", *words).code == 0
        return made

    @property
    def host(self) -> Path:
        """What plays /opt/platform."""
        return self.folder / "host"

    @property
    def terminal(self) -> Terminal:
        """Where `wmctl` is typed."""
        return Terminal({"XDG_CONFIG_HOME": str(self.folder / "config"), "PATH": self.path})

    @property
    def path(self) -> str:
        """Programs of the test before those of the system."""
        return f"{self.folder}/bin:{os.environ['PATH']}"

    def say(self, *words: str) -> Said:
        """Run `wmctl backup ...`."""
        return self.terminal.say("backup", *words)

    def connection(self, account: str = "platform-deploy") -> Connection:
        """The way in, for what is called and not typed."""
        host = Host("prod", "vps.invalid", 22, str(self.folder / "deploy"), (KEY,))
        return Connection(host, self.folder / "known_hosts", account)

    def asked(self, words: str) -> list[str]:
        """The lines that ssh was started with and that hold these words."""
        file = self.folder / "asked"
        return [line for line in file.read_text().splitlines() if words in line] if file.exists() else []

    def holds(self, path: str, content: bytes) -> Path:
        """Put a file among the host's copies or bundles."""
        file = self.host / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def program(self, name: str, lines: Sequence[str]) -> None:
        """A program of the test on the path of both ends."""
        file = self.folder / "bin" / name
        file.write_text("\n".join(lines) + "\n")
        file.chmod(0o755)


def tree_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path, hidden ones too."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }
