"""The world around a deploy: a registry with TLS, a certificate authority that speaks ACME, a bare host.

All of it runs on this machine's engine under one network. The host is a container with systemd, its own SSH
and, once it was made ready, its own Docker.
"""

from __future__ import annotations

import base64
import io
import json
import os
import secrets
import shutil
import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from platform_cli.hosts.ready import Wishes, pack
from tests.rehearsal.engine import PREFIX, Broke, build, docker, has_image, run, wait_for
from tests.rehearsal.prober import Address, Sender, ask

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "infra/scripts"
IMAGES = Path(__file__).parent / "images"
NAMES = ("hooks", "panel", "windmill")
DOMAIN = "rehearsal.test"
REGISTRY = f"registry.{DOMAIN}:5000"
AUTHORITY = f"ca.{DOMAIN}"
VPS = f"{PREFIX}-vps"
ELSEWHERE = f"{PREFIX}-elsewhere"
SECRETS = "/opt/platform/bin/host_secrets.sh"
REPLACED = {
    "DEBIAN_IMAGE": "local/debian:trixie",
    "CADDY_BASE_IMAGE": "local/caddy:2.11.7",
    "WINDMILL_BASE_IMAGE": "local/windmill:1.743.0",
}
"""What images are built on where the published ones cannot be had; a variable of that name wins."""
NAMES_SUBNET = "198.18.0.0/24"
"""Of the addresses for trials (RFC 2544): the host's own engine has none of them among its pools."""
_ADDRESS = f'{{{{(index .NetworkSettings.Networks "{PREFIX}").IPAddress}}}}'


@dataclass
class World:
    """Where everything is; made by `make`, gone with `engine.tidy`."""

    folder: Path
    windmill_version: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    sender: Sender | None = None
    """Who sends signed webhooks, once there is a customer to send them to."""

    @property
    def ip(self) -> str:
        """The host's address."""
        return docker("inspect", "--format", _ADDRESS, VPS)

    @property
    def trust(self) -> ssl.SSLContext:
        """What a visitor trusts: the authority's root and no other."""
        return ssl.create_default_context(cafile=str(self.folder / "root.crt"))

    def address(self, name: str, path: str, method: str = "GET", *good: int) -> Address:
        """A page of the platform."""
        return Address(self.ip, f"{name}.{DOMAIN}", path, method, good or (200,))

    def serves(self) -> bool:
        """Whether Windmill answers its version through the proxy, by a certificate that holds."""
        try:
            return ask(self.address("windmill", "/api/version"), self.trust, patience_s=2)[0] == 200
        except OSError:
            return False

    # --- The host -----------------------------------------------------------------------------------------

    def on_host(self, *words: str, given: bytes | None = None, check: bool = True) -> str:
        """Run something as the host's root, past SSH: what somebody at its console does."""
        interactive = ("--interactive",) if given is not None else ()
        return docker("exec", *interactive, VPS, *words, given=given, check=check)

    def container(self, service: str) -> str:
        """The whole id of a service's container."""
        return self.on_host("docker", "inspect", "--format", "{{.Id}}", f"platform-{service}-1")

    def secret(self, name: str) -> str:
        """What a secret of the host holds, as its root reads it."""
        listed = self.on_host("cat", "/opt/platform/secrets/secrets.env")
        path = next(
            line.split("=", 1)[1] for line in listed.splitlines() if line.startswith(f"SECRET_{name}=")
        )
        return self.on_host("cat", path)

    def sql(self, database: str, text: str, *, check: bool = True) -> str:
        """What the server answers its administrator, by its socket: a row a line, `|` between columns."""
        psql = ("psql", "-h", "/run/postgresql", "-U", "postgres", "-qAtX", "-d", database)
        words = ("docker", "exec", "--interactive", "platform-postgres-1", *psql)
        return self.on_host(*words, given=text.encode(), check=check)

    def write(self, path: str, content: str, mode: str = "0644", owner: str = "0:0") -> None:
        """Put a file on the host."""
        script = 'umask 077; cat >"$1.new"; chown "$3" "$1.new"; chmod "$2" "$1.new"; mv "$1.new" "$1"'
        self.on_host("sh", "-c", script, "write", path, mode, owner, given=content.encode())

    def deploying(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Say something by infra/scripts/deploy_vps.sh, as an operator does."""
        return subprocess.run(
            self.words_of(*words),
            env={**os.environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    def as_root(self, line: str) -> list[str]:
        """The command line of an administrator's SSH: root, by the key that the hoster was given."""
        return [
            *("ssh", "-T", "-i", str(self.folder / "admin"), "-o", "BatchMode=yes"),
            *("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={self.folder}/known_hosts"),
            *(f"root@{self.ip}", line),
        ]

    def words_of(self, *words: str) -> list[str]:
        """The command line of that script, for this host."""
        return [
            *(str(SCRIPTS / "deploy_vps.sh"), "--host", f"platform-deploy@{self.ip}", "--by", "rehearsal"),
            *("--identity", str(self.folder / "deploy"), "--known-hosts", str(self.folder / "known_hosts")),
            *words,
        ]

    def status(self) -> dict[str, object]:
        """What the host says of itself."""
        done = self.deploying("status", "--json")
        try:
            found: dict[str, object] = json.loads(done.stdout)
        except ValueError:
            raise Broke(f"status ended with {done.returncode}: {done.stderr[-500:]}") from None
        return found

    @property
    def system(self) -> str:
        """What the host is made of, such as Debian 13."""
        return self.on_host("sh", "-c", '. /etc/os-release; echo "${NAME%% *} $VERSION_ID"')

    def audit(self) -> list[dict[str, str]]:
        """Every line of the host's audit."""
        text = self.on_host("cat", "/opt/platform/state/audit.jsonl", check=False)
        return [json.loads(line) for line in text.splitlines()]


# --- Making it --------------------------------------------------------------------------------------------


def make(folder: Path) -> World:
    """Images, network, authority, registry, and the bare host. What is cached from before is used again."""
    world = World(folder)
    debian = base("DEBIAN_IMAGE")
    build(f"{PREFIX}-registry", IMAGES / "registry", DEBIAN=debian)
    build(f"{PREFIX}-vps", IMAGES / "vps", SYSTEM=os.environ.get("HOST_IMAGE", debian))
    docker("network", "create", PREFIX)
    _keys(world)
    _start_registry(world)
    _start_authority(world)
    hand_over_host(world)
    return world


def hand_over_host(world: World, *, named: bool = True) -> None:
    """A bare host, as a hoster hands it over: an administrator's key is in it, its own key is known.

    Not `named`: the host names do not lead to it yet.
    """
    _start_host(named=named)
    wait_for(_ssh_runs, "SSH of the host")
    let_in = "mkdir -p -m 0700 ~/.ssh && cat >~/.ssh/authorized_keys && chmod 0600 ~/.ssh/authorized_keys"
    world.on_host("sh", "-c", let_in, given=(world.folder / "admin.pub").read_bytes())
    key = world.on_host("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()
    (world.folder / "known_hosts").write_text(f"{world.ip} {key[0]} {key[1]}\n")


def lose_host() -> None:
    """The host is gone with everything on it."""
    docker("rm", "--force", "--volumes", VPS)


def lead_names_elsewhere() -> str:
    """The host names lead to an address where nobody serves, as to a lost host's; that address."""
    words = ("run", "--detach", "--name", ELSEWHERE, "--network", PREFIX, *_aliases())
    docker(*words, "--entrypoint", "sleep", f"{PREFIX}-vps", "infinity")
    return docker("inspect", "--format", _ADDRESS, ELSEWHERE)


def lead_names_here() -> None:
    """The records are changed: the names lead to the host, for the authority too."""
    docker("rm", "--force", ELSEWHERE)
    docker("network", "create", "--subnet", NAMES_SUBNET, f"{PREFIX}-names")
    docker("network", "connect", *_aliases(option="--alias"), f"{PREFIX}-names", VPS)
    docker("network", "connect", f"{PREFIX}-names", f"{PREFIX}-ca")


def base(name: str) -> str:
    """What an image is built on: as the environment says, else one made here, else the published one."""
    given = os.environ.get(name, "")
    if given or has_image(REPLACED[name]):
        return given or REPLACED[name]
    pinned = (ROOT / "infra/docker/bases.env").read_text().splitlines()
    published = next(line.split("=", 1)[1] for line in pinned if line.startswith(f"{name}="))
    docker("pull", "--quiet", published, check=False)
    return published


def _ssh_runs() -> bool:
    """Debian's SSH is a service; Ubuntu's since 24.04 is a socket that starts one for each visitor."""
    said = docker("exec", VPS, "systemctl", "is-active", "ssh.service", "ssh.socket", check=False)
    return "active" in said.split()


def _keys(world: World) -> None:
    for name in ("admin", "deploy", "stranger"):
        run(
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            f"rehearsal {name}",
            "-f",
            str(world.folder / name),
        )
    certificates = world.folder / "certificates"
    certificates.mkdir()
    authority_of(certificates)
    certificate(certificates, "registry", f"registry.{DOMAIN}")


def authority_of(folder: Path) -> None:
    """A private certificate authority: ca.crt and ca.key."""
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", "30", "-subj", "/CN=rehearsal", "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.crt"),
    )


def certificate(folder: Path, name: str, host: str) -> None:
    """A certificate of that authority for one host name: NAME.crt and NAME.key."""
    run(
        *("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", f"/CN={host}", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.csr"),
    )
    (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
    run(
        *("openssl", "x509", "-req", "-days", "30", "-in", f"{folder}/{name}.csr", "-CA", f"{folder}/ca.crt"),
        *("-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-extfile", f"{folder}/{name}.ext"),
        *("-out", f"{folder}/{name}.crt"),
    )


def _start_registry(world: World) -> None:
    docker(
        *("run", "--detach", "--name", f"{PREFIX}-registry", "--network", PREFIX),
        *("--network-alias", f"registry.{DOMAIN}", "--publish", "127.0.0.1:5000:5000"),
        *("--volume", f"{world.folder}/certificates:/certificates:ro", f"{PREFIX}-registry"),
    )


def _start_authority(world: World) -> None:
    home = world.folder / "authority"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    (home / "Caddyfile").write_text(
        f"{{\n\tauto_https disable_redirects\n}}\nhttps://{AUTHORITY} {{\n\ttls internal\n\tacme_server\n}}\n"
    )
    docker(
        *("run", "--detach", "--name", f"{PREFIX}-ca", "--network", PREFIX, "--network-alias", AUTHORITY),
        *("--user", "0:0", "--env", "XDG_DATA_HOME=/home/data", "--volume", f"{home}:/home"),
        *("platform-caddy:rehearsal", "run", "--config", "/home/Caddyfile"),
    )
    root = home / "data/caddy/pki/authorities/local/root.crt"
    wait_for(root.is_file, "the authority's root certificate")
    shutil.copy(root, world.folder / "root.crt")


def _aliases(option: str = "--network-alias") -> list[str]:
    return [word for name in NAMES for word in (option, f"{name}.{DOMAIN}")]


def _start_host(*, named: bool) -> None:
    aliases = _aliases() if named else []
    docker(
        *("run", "--detach", "--name", VPS, "--hostname", "vps", "--network", PREFIX, *aliases),
        *("--privileged", "--cgroupns", "private", "--tmpfs", "/run", "--tmpfs", "/run/lock"),
        # No overlay on an overlay: the host's engine and containerd keep images on volumes of ours.
        *("--volume", "/var/lib/docker", "--volume", "/var/lib/containerd", "--env", "container=docker"),
        *("--env", "SYSTEMD_PROC_CMDLINE=SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"),
        f"{PREFIX}-vps",
    )


# --- What a host is given ---------------------------------------------------------------------------------


def bootstrap(world: World) -> str:
    """Make the bare host ready, over SSH as root, with the real program; what it said."""
    # A container shares the swap of its machine, so it can have none of its own.
    wishes = Wishes(
        (world.folder / "deploy.pub").read_text(), host_values(), {"SKIP": "swap", "BALLAST_MB": "64"}
    )
    packed = io.BytesIO()
    pack(packed, ROOT, wishes)
    script = (
        'd=$(mktemp -d); tar -xzf - -C "$d" && bash "$d/bootstrap_host.sh" "$d"; r=$?; rm -rf "$d"; exit $r'
    )
    return run(*world.as_root(script), given=packed.getvalue())


def host_values(**other: str) -> str:
    """The host's own values."""
    values = {
        **{f"DOMAIN_{name.upper()}": f"{name}.{DOMAIN}" for name in NAMES},
        "WINDMILL_ALLOWED": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
        "ACME_EMAIL": "ops@rehearsal.test",
        "ACME_DIRECTORY": f"https://{AUTHORITY}/acme/local/directory",
        "SMOKE_CA": "/opt/platform/proxy/local/root.crt",
        "HEALTH_WAIT_S": "30",
        "WATCH_S": "8",
        "WORKER_GRACE": "20s",
        "DISK_FREE_MIN_MB": "2000",
        "DISK_USED_MAX_PERCENT": "99",  # the disk is that of the machine that rehearses
        **other,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def furnish(world: World) -> None:
    """Secrets, the authority's root, the registry's certificate: what an operator brings to a ready host."""
    world.on_host(SECRETS, "put", "BACKUP_RECIPIENTS", given=_recipient(world).encode())
    world.on_host(SECRETS, "make")
    furnish_trust(world)


def furnish_trust(world: World) -> None:
    """What only a rehearsal's host needs: the root of an authority and of a registry that the world lacks."""
    world.on_host("mkdir", "-p", "/opt/platform/proxy/local", f"/etc/docker/certs.d/{REGISTRY}")
    world.write("/opt/platform/proxy/local/root.crt", (world.folder / "root.crt").read_text())
    world.write("/opt/platform/proxy/local/global.caddy", "acme_ca_root /etc/caddy/local/root.crt\n")
    root = (world.folder / "certificates/ca.crt").read_text()
    world.write(f"/etc/docker/certs.d/{REGISTRY}/ca.crt", root)


def _recipient(world: World) -> str:
    """The public half of a key pair for backups; the other half stays with the operator."""
    made = docker("run", "--rm", "--entrypoint", "age-keygen", "platform-backup:rehearsal")
    (world.folder / "backup.identity").write_text(f"{made}\n")
    return next(line.split()[-1] for line in made.splitlines() if "public key" in line) + "\n"


def write_secrets(world: World, values: dict[str, str]) -> None:
    """Each secret in a file whose name ends in a hash of its content, and the list of the files."""
    listed = world.on_host("cat", "/opt/platform/secrets/secrets.env", check=False)
    paths = dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)
    for name, value in values.items():
        digest = base64.b32encode(secrets.token_bytes(5)).decode().lower()
        paths[f"SECRET_{name}"] = f"/opt/platform/secrets/{name.lower()}.{digest}"
        world.write(paths[f"SECRET_{name}"], value, "0440", "0:10001")
    lines = "".join(f"{name}={path}\n" for name, path in sorted(paths.items()))
    world.write("/opt/platform/secrets/secrets.env", lines, "0600")
