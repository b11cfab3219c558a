"""The ground of the sync benchmark: a customer of many items, Windmills that have them, and both programs.

Each program gets a stand-in of its own with the same content; every request takes the same while longer, as
over a network. Both run as a person runs them: a process from its start to its end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from platform_cli.local.windmill.workspace.standin import StandIn, serving
from platform_cli.sync.folder import write_changes
from platform_cli.sync.items import Item, Json, Key, Kind, Scope, Tree, tree_of
from platform_cli.sync.official.canonical import canonical

REPOSITORY = Path(__file__).parents[2]
OFFICIAL = Path(__file__).with_name("official")
BUNDLE = OFFICIAL / "node_modules/windmill-cli/esm/main.js"
CUSTOMER = "bench"
WMILL_YAML = """\
defaultTs: bun
includes:
  - f/**
excludes: []
nonDottedPaths: true
syncBehavior: v1
skipSecrets: true
includeSchedules: true
includeTriggers: true
"""
"""What the official program is told to keep in step: the same kinds as ours."""
_STEPS = 3
_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Scale:
    """How many items there are, how many change at once, and what a request takes longer, in milliseconds."""

    scripts: int = 1_000
    flows: int = 200
    schedules: int = 100
    changed: int = 101
    delay_ms: float = 20.0
    rounds: int = 3

    @property
    def items(self) -> int:
        """All of them, without the folder."""
        return self.scripts + self.flows + self.schedules


QUICK = Scale(scripts=20, flows=4, schedules=2, changed=5, delay_ms=1.0, rounds=1)


@dataclass(frozen=True, slots=True)
class Ran:
    """One process: wall and processor time in seconds, peak memory in MiB, exit code and what it said."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    code: int
    said: str


# --- What is kept in step ---------------------------------------------------------------------------------


def content(number: int, edition: int = 0) -> str:
    """A script of some forty lines."""
    lines = "\n".join(f"    total += amount * {step} + {number}" for step in range(30))
    return (
        f'"""Script {number}, edition {edition}."""\n\n\ndef main(amount: int = {number % 7}):\n'
        f"    total = {edition}\n{lines}\n    return total\n"
    )


def make_tree(scale: Scale) -> Tree:
    """The customer's items in canonical form."""
    made = [
        _item(Kind.FOLDER, f"f/{CUSTOMER}", _folder()),
        *(_item(Kind.SCRIPT, f"f/{CUSTOMER}/s{n:04}", _script(n)) for n in range(scale.scripts)),
        *(_item(Kind.FLOW, f"f/{CUSTOMER}/w{n:03}", _flow(n, scale)) for n in range(scale.flows)),
        *(_item(Kind.SCHEDULE, f"f/{CUSTOMER}/c{n:03}", _schedule(n)) for n in range(scale.schedules)),
    ]
    return tree_of(made)


def _item(kind: Kind, path: str, value: Mapping[str, Json]) -> Item:
    return Item(Key(kind, path), canonical(kind, value))


def _folder() -> dict[str, Json]:
    owner = "u/superadmin_secret"
    return {"display_name": CUSTOMER, "owners": [owner], "extra_perms": {owner: True}, "summary": None}


def _script(number: int) -> dict[str, Json]:
    amount: dict[str, Json] = {"type": "integer", "description": "", "default": number % 7}
    return {
        "summary": f"Script {number}",
        "description": "",
        "schema": _schema({"amount": amount}),
        "kind": "script",
        "language": "python3",
        "content": content(number),
        "lock": "# py: 3.12\n",
    }


def _schema(properties: dict[str, Json]) -> dict[str, Json]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": [],
    }


def _flow(number: int, scale: Scale) -> dict[str, Json]:
    modules: list[Json] = [_called(step, (number * _STEPS + step) % scale.scripts) for step in range(_STEPS)]
    return {
        "summary": f"Flow {number}",
        "description": "",
        "value": {"modules": [*modules, _written(number)]},
        "schema": _schema({}),
    }


def _called(step: int, script: int) -> dict[str, Json]:
    transforms: dict[str, Json] = {"amount": {"type": "static", "value": step}}
    value: dict[str, Json] = {
        "type": "script",
        "path": f"f/{CUSTOMER}/s{script:04}",
        "input_transforms": transforms,
    }
    return {"id": "abc"[step], "summary": f"Step {step}", "value": value}


def _written(number: int) -> dict[str, Json]:
    value: dict[str, Json] = {
        "type": "rawscript",
        "language": "python3",
        "content": content(number),
        "lock": "# py: 3.12\n",
        "input_transforms": {},
    }
    return {"id": "d", "summary": "Count", "value": value}


def _schedule(number: int) -> dict[str, Json]:
    return {
        "schedule": f"0 {number % 60} 3 * * *",
        "timezone": "Etc/UTC",
        "cron_version": "v2",
        "enabled": False,
        "script_path": f"f/{CUSTOMER}/s{number:04}",
        "is_flow": False,
        "args": {"amount": number},
        "ws_error_handler_muted": False,
        "no_flow_overlap": False,
        "summary": f"Schedule {number}",
    }


# --- Where it stands --------------------------------------------------------------------------------------


@contextmanager
def windmill(scale: Scale) -> Iterator[StandIn]:
    """A Windmill that has the customer's robot; no lags, but every request takes `delay_ms` longer."""
    with serving(("prod",), pace=0.0, delay_ms=scale.delay_ms) as found:
        answer = httpx.post(
            f"{found.url}/api/w/prod/workspaces/add_user",
            # The server makes the user's name of the address: robotbench.
            json={"email": f"robot-{CUSTOMER}@robots.invalid", "is_admin": False, "operator": True},
            headers={"Authorization": f"Bearer {found.admin_token}"},
        )
        answer.raise_for_status()
        yield found


def make_checkout(root: Path) -> Path:
    """A checkout with one customer who has no items yet; its folder."""
    folder = root / "customers" / CUSTOMER
    folder.mkdir(parents=True)
    for name in ("platform-core", "platform-cli"):
        (root / name).symlink_to(REPOSITORY / name)
    (folder / "customer.toml").write_text(f'name = "{CUSTOMER}"\n', encoding="utf-8")
    return folder


def fill_folder(folder: Path, tree: Tree) -> None:
    """Write the items into the customer's folder."""
    write_changes(folder, Scope(CUSTOMER), dict(tree))


# --- The two programs -------------------------------------------------------------------------------------


def run_wmctl(server: StandIn, root: Path, *arguments: str) -> Ran:
    """Our program, in a checkout."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("WMCTL_", "PYTHON"))},
        "WMCTL_URL": server.url,
        "WMCTL_WORKSPACE": "prod",
        "WMCTL_TOKEN": server.admin_token,
    }
    return _run([sys.executable, "-m", "platform_cli", *arguments], root, environment)


def run_official(server: StandIn, root: Path, *arguments: str) -> Ran:
    """The official program, in a folder with its settings."""
    there = ("--base-url", server.url, "--token", server.admin_token, "--workspace", "prod")
    return _run([str(shutil.which("node")), str(BUNDLE), *arguments, *there], root, dict(os.environ))


def _run(command: list[str], root: Path, environment: Mapping[str, str]) -> Ran:
    output = root.parent / f"{root.name}.said"
    began = time.perf_counter()
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
        _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    said = output.read_text(encoding="utf-8", errors="replace")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Ran(wall_s, cpu_s, usage.ru_maxrss / _KIB_PER_MIB, process.returncode, said)


def install_official() -> str:
    """Install the pinned official program beside its lock file. The reason when it cannot be; else empty."""
    if BUNDLE.is_file():
        return ""
    if not shutil.which("npm") or not shutil.which("node"):
        return "node and npm are not installed"
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=OFFICIAL,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else f"npm ci failed: {done.stderr.strip()[-300:]}"
