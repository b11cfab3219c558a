"""Customers that are made of values: a profile, and the files of a folder."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from pathlib import Path
from string import ascii_lowercase

from platform_cli.customers.profile import Profile, parse_profile
from platform_cli.local.postgres import Cluster
from platform_cli.local.secret_store import FileSecretStore
from platform_core import audit
from platform_core.tenancy.registry import open_control
from tests.support.windmill_workspace import Api, StandIn
from tests.support.wmctl import Said, Terminal


def a_profile(**said: object) -> Profile:
    """A veterinary clinic in Paraguay."""
    facts = {
        "display_name": "Veterinaria Lapacho",
        "country": "PY",
        "owner": "rocio",
        "sender_phone": "+595900000000",
    }
    return parse_profile("vet_lapacho", {**facts, **said})


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a customer's folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def git(folder: Path, *arguments: str) -> None:
    """Git as nobody in particular."""
    who = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


class Agency:
    """An installation, a checkout and a Windmill, and one who types commands there."""

    def __init__(self, cluster: Cluster, checkout: Path, state: Path, windmill: StandIn) -> None:
        self.cluster, self.checkout, self.state, self.windmill = cluster, checkout, state, windmill
        self.name = f"vet_{''.join(secrets.choice(ascii_lowercase) for _ in range(10))}"
        self.dsn = cluster.admin_dsn
        self.store = FileSecretStore(state / "secrets")
        self.api = Api(windmill)

    def say(self, *words: str, local: bool = False) -> Said:
        """Run a command against the Windmill, or against this installation alone."""
        known = {
            "PLATFORM_DATABASE_URL": self.dsn,
            "PLATFORM_STATE_DIR": str(self.state),
            "XDG_CONFIG_HOME": str(self.state / "config"),
        }
        target = {
            "WMCTL_URL": self.windmill.url,
            "WMCTL_WORKSPACE": "prod",
            "WMCTL_TOKEN": self.windmill.admin_token,
        }
        return Terminal({**known, **({} if local else target)}, self.checkout).say(*words)

    def new(self, *words: str, name: str = "", local: bool = False) -> Said:
        """Make a clinic in Paraguay with a reader at its door."""
        chosen = name or self.name
        who = ("--display-name", "Veterinaria Lapacho", "--country", "PY", "--owner", "rocio")
        what = ("--sender-phone", "+595900000000", "--connectors", "reader", "--yes")
        return self.say("customer", "new", chosen, *who, *what, *words, local=local)

    def secret_file(self, **values: str) -> str:
        """A file with secrets that its owner alone may read."""
        file = self.state / "given.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text("".join(f'{name} = "{value}"\n' for name, value in values.items()), encoding="utf-8")
        return str(file)

    def set_secret(self, need: str, value: str, *, local: bool = False) -> Said:
        """`wmctl secret set` from a file."""
        file = self.state / "one"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n", encoding="utf-8")
        return self.say("secret", "set", self.name, need, "--from", str(file), local=local)

    def in_windmill(self, name: str = "") -> dict[str, object]:
        """What Windmill has of the customer, with its name taken out; secrets by name alone."""
        own = name or self.name
        lists = ("scripts", "flows", "schedules", "http_triggers", "resources", "variables")
        found = {kind: sorted(self._paths(kind, own)) for kind in lists}
        resources = {path: self.api.get(f"resources/get_value/f/{own}/{path}") for path in found["resources"]}
        users = [
            user for user in self.api.get("users/list") if user["email"] == f"robot-{own}@robots.invalid"
        ]
        folders = [one for one in self.api.get("folders/list") if one["name"] == own]
        return {
            **found,
            "resources": _without_name(resources, own),
            "robot": [(user["username"].replace(own, "NAME"), user["operator"]) for user in users],
            "rights": _without_name([one["extra_perms"] for one in folders], own),
            "identities": sorted(
                {row["permissioned_as"] for row in self.api.get(f"http_triggers/list?path_start=f/{own}/")}
            )
            == [f"u/robot{own}"],
        }

    def _paths(self, kind: str, own: str) -> list[str]:
        rows = self.api.get(f"{kind}/list?path_start=f/{own}/")
        return [str(row["path"]).removeprefix(f"f/{own}/") for row in rows]

    def trail(self) -> list[str]:
        """What the platform's trail has of the customer, oldest first."""
        with open_control(self.cluster.admin_dsn) as control:
            entries = audit.list_entries(control, 1000, target=("tenant", self.name))
        return [entry.action for entry in reversed(entries)]


def _without_name(value: object, name: str) -> object:
    """The database's own facts and the customer's name are another's in every run."""
    text = json.dumps(value, sort_keys=True).replace(name, "NAME")
    return json.loads(re.sub(r'"(dbname|user)": "[dt]_[0-9a-f]{16}"', r'"\1": "OPAQUE"', text))
