"""A bare host in a folder: the real bootstrap program with its folders moved there, and tools played.

What it writes is real and can be read; what it would do to the machine is written down in `done`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.bundles import PROGRAM

ROOT = Path(__file__).resolve().parents[2]
REMOTE = ROOT / "infra/scripts/remote"
HOST_VALUES = """DOMAIN_HOOKS=hooks.example.org
DOMAIN_PANEL=panel.example.org
DOMAIN_WINDMILL=windmill.example.org
WINDMILL_ALLOWED=203.0.113.7/32
ACME_EMAIL=ops@example.org
"""
VALUES = {"SSH_PORT": "22", "SKIP": "swap time", "BALLAST_MB": "0"}
_NOTED = 'echo "{name} $*" >>"$PLAYED/done"\n'
# As iptables 1.8.7 of Ubuntu 22.04: asked whether a rule is there, it shows the rule.
_IPTABLES = 'case "$*" in *-C*) [ -f "$PLAYED/jumps" ] && echo "DOCKER-USER  all opt" ;; esac'
_TOOLS = {
    "id": "echo 0",
    "uname": 'cat "$PLAYED/processor"',
    "getent": 'case $1 in passwd) echo "$2:x:0:0:$2:$PLAYED/home:/bin/sh" ;; *) echo "$2:x:10001:" ;; esac',
    "dpkg-query": "printf installed",
    "docker": 'case "$*" in *compose*) echo 2.26.1 ;; *) echo 26.1.5 ;; esac',
    "chown": ":",
    "sysctl": 'case "$*" in *apparmor*) echo 0 ;; *) echo 100 ;; esac',
    "ip": 'echo "default via 192.0.2.1 dev eth0 proto static"',
    "visudo": ":",
    "sshd": 'case "$*" in *-T*) cat "$PLAYED/sshd" ;; esac',
    "systemctl": _NOTED.format(name="systemctl"),
    "iptables": _IPTABLES,
    "iptables-restore": 'echo "# iptables-restore $*" >>"$PLAYED/rules"; cat >>"$PLAYED/rules"',
    "ip6tables": _IPTABLES,
    "ip6tables-restore": 'echo "# ip6tables-restore $*" >>"$PLAYED/rules"; cat >>"$PLAYED/rules"',
}
_FOLDERS = ("/etc", "/opt", "/run", "/swapfile", "/proc/swaps")


@dataclass(frozen=True)
class Said:
    """What it said and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class BareHost:
    """Debian 13 on a processor of 64 bits, entered as root by a key."""

    folder: Path

    def make_ready(
        self, keys: str, host_values: str | None = HOST_VALUES, values: dict[str, str] | None = None
    ) -> Said:
        """Run all steps with these deploy keys, values of the host and values beside."""
        sent = self.folder / "sent"
        sent.mkdir(exist_ok=True)
        (sent / "platform_host.sh").write_bytes(PROGRAM)
        (sent / "host_secrets.sh").write_bytes((REMOTE / "host_secrets.sh").read_bytes())
        (sent / "deploy_keys").write_text(keys)
        (sent / "values").write_text("".join(f"{k}={v}\n" for k, v in {**VALUES, **(values or {})}.items()))
        (sent / "host.env").unlink(missing_ok=True)
        if host_values is not None:
            (sent / "host.env").write_text(host_values)
        return self._run(["bash", str(self.folder / "bootstrap_host.sh"), str(sent)])

    def set_firewall(self) -> str:
        """Run the firewall's program as systemd does; the rules that the kernel is handed."""
        (self.folder / "rules").unlink(missing_ok=True)
        said = self._run([str(self.folder / "opt/platform/bin/platform_firewall.sh")])
        assert said.code == 0, said
        return (self.folder / "rules").read_text()

    def listing(self) -> list[str]:
        """Every file of the host."""
        moved = [self.folder / name.strip("/") for name in _FOLDERS]
        return sorted(str(path) for top in moved for path in top.rglob("*") if path.is_file())

    def read(self, path: str) -> str:
        """A file of the host."""
        return (self.folder / path.lstrip("/")).read_text()

    def write(self, path: str, content: str) -> None:
        """Put a file on the host."""
        file = self.folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def sshd_is_set(self, **words: str) -> None:
        """What `sshd -T` answers, when it is not as the platform wants it."""
        said = {
            "port": "22",
            "passwordauthentication": "no",
            "kbdinteractiveauthentication": "no",
            "authorizedkeysfile": f"{self.folder}/etc/ssh/platform-deploy-keys",
            **words,
        }
        self.write("sshd", "".join(f"{word} {value}\n" for word, value in said.items()))

    @property
    def done(self) -> list[str]:
        """What was done to the machine's services."""
        return (self.folder / "done").read_text().splitlines()

    def _run(self, command: Sequence[str]) -> Said:
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        done = subprocess.run(
            command,
            env={**os.environ, "PATH": path, "PLAYED": str(self.folder), "SUDO_USER": "root"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Said(done.returncode, done.stdout, done.stderr)


def bare_host(folder: Path) -> BareHost:
    """One in this folder, on which nothing of the platform is."""
    made = BareHost(folder)
    program = (REMOTE / "bootstrap_host.sh").read_text()
    for name in _FOLDERS:
        program = program.replace(f" {name}/", f" {folder}{name}/").replace(f"={name}/", f"={folder}{name}/")
        program = program.replace(f'"{name}/', f'"{folder}{name}/')
    made.write("bootstrap_host.sh", program)
    made.write("etc/os-release", "ID=debian\nVERSION_ID=13\nPRETTY_NAME=Debian\n")
    made.write("home/.ssh/authorized_keys", "not-a-real key of an administrator\n")
    made.write("processor", "x86_64\n")
    made.write("done", "")
    made.sshd_is_set()
    (folder / "run/systemd/system").mkdir(parents=True)
    for name, does in _TOOLS.items():
        made.write(f"bin/{name}", f"#!/bin/sh\n{does}\n")
        (folder / "bin" / name).chmod(0o755)
    return made
