"""The operator's desk: `wmctl` with a configuration of the rehearsal's own, and customers of the cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.rehearsal.engine import Broke, run
from tests.rehearsal.world import DOMAIN, NAMES, ROOT, World

HOST = "prod"
NAME = f"vps.{DOMAIN}"
REFUSED = 70
PROGRAMS = Path(__file__).parent / "programs"
# A desk resolves the host's names; this machine need not: only the desk's programs see another list of hosts.
_AT_DESK = 'mount --bind "$0" /etc/hosts && exec "$@"'


def terminal(world: World) -> dict[str, str]:
    """What a terminal of this desk has set."""
    return {
        "XDG_CONFIG_HOME": str(world.folder / "config"),
        "SSL_CERT_FILE": str(world.folder / "root.crt"),
        "NO_COLOR": "1",
    }


def at_desk(world: World, *words: str) -> list[str]:
    """The command line by which a program of the desk knows the host's names."""
    names = [NAME, *(f"{name}.{DOMAIN}" for name in NAMES)]
    hosts = world.folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{world.ip} {' '.join(names)}\n")
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _AT_DESK, str(hosts), *words]


def checkout(world: World) -> Path:
    """The desk's own clone of the repository, made when it is first asked for."""
    folder = world.folder / "checkout"
    if not folder.exists():
        run("git", "clone", "--quiet", str(ROOT), str(folder))
    return folder


def wmctl(
    world: World,
    *words: str,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Say something to the host as an operator does; what it said. Raises: Broke, unless `check` is off."""
    done = _said(world, words, environment or {}, folder)
    if check and done.returncode:
        said = done.stdout[-1500:] + done.stderr[-1500:]
        raise Broke(f"wmctl {' '.join(words[:3])} ended with {done.returncode}: {said}")
    return done.stdout


def refused(world: World, *words: str) -> str:
    """Say something that must be refused with exit code 70; all it said. Raises: Broke when it was not."""
    done = _said(world, words, {})
    if done.returncode != REFUSED:
        raise Broke(f"wmctl {' '.join(words[:3])} ended with {done.returncode}, not {REFUSED}: {done.stdout}")
    return done.stdout + done.stderr


def failed(world: World, *words: str) -> str:
    """Say something that must end badly; all it said. Raises: Broke when it went well."""
    done = _said(world, words, {})
    if not done.returncode:
        raise Broke(f"wmctl {' '.join(words[:3])} went well: {done.stdout}")
    return done.stdout + done.stderr


def _said(
    world: World, words: tuple[str, ...], environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        at_desk(world, sys.executable, "-m", "platform_cli", *words),
        cwd=folder,
        env={**os.environ, **terminal(world), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def know(world: World) -> None:
    """Tell the desk of the host: its address, the key that may deploy, its pinned key."""
    wmctl(world, "host", "remove", HOST, check=False)
    key = world.folder / "host_key.pub"
    key.write_text(world.on_host("cat", "/etc/ssh/ssh_host_ed25519_key.pub") + "\n")
    fingerprint = run("ssh-keygen", "-l", "-f", str(key)).split()[1]
    wmctl(
        world,
        *("host", "add", HOST, "--address", NAME, "--identity", str(world.folder / "deploy")),
        *("--fingerprint", fingerprint),
    )


def admin(world: World) -> tuple[str, ...]:
    """Options that enter as an administrator."""
    return ("--host", HOST, "--as", "root", "--admin-key", str(world.folder / "admin"))


def identity(world: World) -> str:
    """The file that opens copies; it is on no host."""
    file = world.folder / "backup.identity"
    file.chmod(0o600)
    return str(file)


def customers(world: World, *words: str) -> dict[str, list[str]]:
    """Say one of make, note WORD, damage or show to the customers' databases; the notes of each customer."""
    image = world.digests["platform-backup"]
    said = world.on_host(
        *("docker", "run", "--rm", "--interactive", "--network", "none", "--user", "10002:10002"),
        *("--volume", "platform_socket:/run/postgresql", "--env", "PGHOST=/run/postgresql"),
        *("--env", "PGUSER=postgres", "--entrypoint", "python3", image, "-", *words),
        given=(PROGRAMS / "customers.py").read_bytes(),
    )
    found: dict[str, list[str]] = json.loads(said.splitlines()[-1])
    return found
