"""Which hosts there are: address, key that may deploy, and the host's own key, pinned.

They are kept in `wmctl/hosts.json` in the user's folder of configuration, beside the targets. A host's key is
never learnt from the network: it comes from a file, or from the network only if its fingerprint is the one
that the host's console shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path

from platform_cli.replacing import replace_file
from platform_core.errors import ConfigurationError, InvalidInput, NotFound

ACCOUNT = "platform-deploy"
"""The account that `bootstrap` makes: its key opens one program and no shell."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)
_ADDRESS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?", re.ASCII)
_KEY = re.compile(
    r"(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa) ([A-Za-z0-9+/]{40,}={0,3})", re.ASCII
)
_LAST_PORT = 65_535
_SSH = 22


@dataclass(frozen=True, slots=True)
class Host:
    """One host. `keys` are its own, as `TYPE BASE64`; `identity` is the private key that may deploy."""

    name: str
    address: str
    port: int
    identity: str
    keys: tuple[str, ...]

    @property
    def known_hosts(self) -> str:
        """The lines of a known_hosts file that trust this host and no other."""
        place = self.address if self.port == _SSH else f"[{self.address}]:{self.port}"
        return "".join(f"{place} {key}\n" for key in self.keys)


class Hosts:
    """The hosts that one user's folder of configuration keeps."""

    def __init__(self, config_home: Path) -> None:
        """Nothing is read yet."""
        self._folder = config_home / "wmctl"
        self._file = self._folder / "hosts.json"

    def read(self) -> Mapping[str, Host]:
        """All of them by name. Raises: ConfigurationError naming the file when it is not as written."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            return {name: _host(name, facts) for name, facts in content["hosts"].items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigurationError(
                f"{self._file} is not in the form that wmctl writes",
                next_step="Move it away and add the hosts again.",
            ) from None

    def choose(self, name: str | None) -> Host:
        """The host of that name; without a name the only one. Raises: NotFound, ConfigurationError."""
        known = self.read()
        if name is None and len(known) == 1:
            return next(iter(known.values()))
        if name is None:
            raise ConfigurationError(
                f"There are {len(known)} hosts ({', '.join(sorted(known))})"
                if known
                else "wmctl knows no host",
                next_step="Name one with --host."
                if known
                else "Run `wmctl host add NAME --address ADDRESS`.",
            )
        if name in known:
            return known[name]
        near = get_close_matches(name, known, n=1)
        raise NotFound(
            f"There is no host {name[:40]!r}; known are: {', '.join(sorted(known)) or 'none'}",
            next_step=f"Did you mean {near[0]}?" if near else "See `wmctl host list`, or add it.",
        )

    def add(self, host: Host) -> Path:
        """Keep a host in place of the one of that name; the known_hosts file that pins it."""
        self._write({**self.read(), host.name: host})
        return self.known_hosts(host)

    def remove(self, name: str) -> Host:
        """Forget a host. Raises: NotFound."""
        host = self.choose(name)
        self._write({other: each for other, each in self.read().items() if other != name})
        (self._folder / f"known_hosts.{name}").unlink(missing_ok=True)
        return host

    def known_hosts(self, host: Host) -> Path:
        """A file of ours with the host's keys and nothing else, for SSH and for deploy_vps.sh."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return replace_file(self._folder / f"known_hosts.{host.name}", host.known_hosts)

    def _write(self, known: Mapping[str, Host]) -> None:
        facts = {
            name: {field: value for field, value in asdict(host).items() if field != "name"}
            for name, host in sorted(known.items())
        }
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._file, json.dumps({"hosts": facts}, indent=2) + "\n")


def new_host(name: str, address: str, port: int, identity: Path, keys: tuple[str, ...]) -> Host:
    """A host from what a person gave. Raises: InvalidInput naming what is wrong."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name[:40]!r} is not a name for a host",
            next_step="Use 1 to 40 of a-z, 0-9, _ and -, starting with a letter.",
        )
    if not _ADDRESS.fullmatch(address):
        raise InvalidInput(
            f"{address[:60]!r} is not an address", next_step="Use one such as vps.example.org."
        )
    if not 1 <= port <= _LAST_PORT:
        raise InvalidInput(f"{port} is no port", next_step="Use the port that SSH listens on, often 22.")
    if not identity.is_file():
        raise InvalidInput(
            f"There is no key {identity}",
            next_step="Make one: ssh-keygen -t ed25519 -f FILE; its public half goes to `host bootstrap`.",
        )
    return Host(name, address, port, str(identity.absolute()), keys)


def keys_in(text: str) -> tuple[str, ...]:
    """The keys in a .pub file, in known_hosts lines, or as ssh-keyscan prints them; comments are left out.

    Raises: InvalidInput when there is none.
    """
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found = tuple(dict.fromkeys(f"{kind} {key}" for line in lines for kind, key in _KEY.findall(line)))
    if not found:
        raise InvalidInput(
            "That is no public key of a host",
            next_step="On the host's console: cat /etc/ssh/ssh_host_ed25519_key.pub",
        )
    return found


def _host(name: str, facts: Mapping[str, object]) -> Host:
    keys = facts["keys"]
    if not isinstance(keys, list):
        raise TypeError(name)
    return Host(
        name,
        str(facts["address"]),
        int(str(facts["port"])),
        str(facts["identity"]),
        tuple(str(key) for key in keys),
    )
