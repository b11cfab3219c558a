"""The compose file of production, held to what decision 0022 says of it. No Docker needed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_cli.instances.setup import Wanted
from platform_cli.sync.items import TAGS

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "infra" / "compose" / "compose.prod.yml"
TEXT = COMPOSE.read_text(encoding="utf-8")
EXAMPLE = COMPOSE.with_name("example.env")

SERVERS = ("server_blue", "server_green")
WORKERS = ("worker_default", "worker_ops", "worker_webhook")
Service = Mapping[str, Any]  # Any: as YAML comes; each test looks at one corner of it

_NEEDS_NONE = re.compile(
    r"""\s*(?:- )?(?:
        <<:                              # what is shared, explained where it stands
      | (?:services|networks|volumes|environment|command|ports|profiles)\b  # blocks
      | (?:MODE|WORKER_GROUP|healthcheck):  # its value is the name of what it chooses
      | tmpfs:\ \["/tmp:[^"]*"\]$         # the root is read-only, and programs want it
      | [\w-]+:\ \S*\$\{\w+:\?[^}]+\}$  # the words after :? say it
    )""",
    re.VERBOSE,
)
"""Lines whose key or value says why they are there."""

_SAID_ONCE = re.compile(r"\s*(timeout|retries|deploy|labels|secrets|PLATFORM_SECRETS)\b")
"""Keys that mean the same in every service: explained where the first stands, or before it by name."""

_OF_ITS_OWN = re.compile(r"\s*(interval|start_period|start_interval|user|group_add|security_opt)\b")
"""Keys whose value is another in each service: what is said of their block does not explain them."""


def _services() -> dict[str, Service]:
    found: dict[str, Service] = yaml.safe_load(TEXT)["services"]
    return found


SERVICES = _services()


def _each(*names: str) -> list[tuple[str, Service]]:
    return [(name, SERVICES[name]) for name in names or SERVICES]


def unexplained(text: str) -> list[str]:
    """Lines that say nothing of why they are there, and whose key does not say it either.

    A comment counts on its line, on the line below, and for the lines of a block that begins with one.
    """
    found, above, block, said = [], False, 0, set()
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        indent = len(line) - len(line.lstrip())
        if not bare:
            above, block = False, 0
            continue
        if bare.startswith("#"):
            above, block = True, indent
            said |= set(re.findall(r"`(\w+)`", bare))
            continue
        own = " #" in line or above
        key = _SAID_ONCE.match(line)
        inherited = block and indent > block and not _OF_ITS_OWN.match(line)
        once = key is not None and key[1] in said
        if not (own or inherited or once or _NEEDS_NONE.match(line) or _is_heading(bare)):
            found.append(f"{number}: {bare}")
        said |= {key[1]} if key else set()
        block = indent if own else (block if indent > block else 0)
        above = False
    return found


def _is_heading(bare: str) -> bool:
    """What names a block, or is a member of a list that is explained."""
    return bare.endswith(":") or re.match(r"[\w-]+: &[\w-]+$|-", bare) is not None


def test_every_line_has_a_reason() -> None:
    """Beside it, above it, or in its own name."""
    assert unexplained(TEXT) == []


def test_a_line_without_a_reason_is_found() -> None:
    """The judge above can say no; also within an explained block, where the value is its own."""
    assert unexplained("services:\n  door:\n    shm_size: 1g\n") == ["3: shm_size: 1g"]
    assert unexplained("  healthcheck: # why\n    test: [x]\n    interval: 5s\n") == ["3: interval: 5s"]
    assert unexplained("a:\n  XDG_DATA_HOME: /data\n  X: ${X:?why}\n") == ["2: XDG_DATA_HOME: /data"]


def test_the_services_are_these() -> None:
    """One more is a decision: who may reach it, and what it may reach."""
    assert sorted(SERVICES) == sorted(["postgres", *SERVERS, *WORKERS, "door", "caddy", "backup"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined_bounded_and_judged(name: str) -> None:
    """Read-only root, no capability, no new privileges, limits, rotated logs, health, an orderly end."""
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert (
        service["read_only"],
        service["cap_drop"],
        "no-new-privileges:true" in service["security_opt"],
        sorted(limits),
        service["logging"]["options"],
        service["restart"],
        "test" in service["healthcheck"] and "stop_grace_period" in service,
        service.get("privileged", False),
        [key for key in ("container_name", "pid", "ipc", "network_mode", "devices") if key in service],
    ) == (
        True,
        ["ALL"],
        True,
        ["cpus", "memory", "pids"],
        {"max-size": "20m", "max-file": "5"},
        "unless-stopped",
        True,
        False,
        [],
    ), name


def test_only_those_that_change_their_uid_get_a_capability_back() -> None:
    """Windmill reads secrets as root and is uid 1000 afterwards; everybody else never is root."""
    given = {name: service.get("cap_add", []) for name, service in SERVICES.items()}
    windmill = {name: ["SETUID", "SETGID"] for name in SERVERS + WORKERS}

    assert given == {"postgres": [], "door": [], "caddy": [], "backup": []} | windmill
    assert [SERVICES[name]["user"] for name in ("postgres", "backup", "door", "caddy")] == [
        "10002:10002",
        "10002:10002",
        "10003:10003",
        "10004:10004",
    ]


def test_the_world_reaches_the_proxy_and_nothing_else() -> None:
    """And the database's networks have no way out."""
    networks = yaml.safe_load(TEXT)["networks"]

    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "caddy": ["80:80", "443:443", "443:443/udp"]
    }
    assert {name for name, network in networks.items() if network.get("internal")} == {
        "front",
        "database",
        "jobs",
    }


def test_who_shares_a_network_with_whom() -> None:
    """A job meets the database and the internet; the proxy never meets the database."""
    assert {name: sorted(service["networks"]) for name, service in SERVICES.items()} == (
        {
            "postgres": ["database", "jobs"],
            "door": ["database", "front"],
            "caddy": ["edge", "front"],
            "backup": ["database"],
        }
        | {server: ["database", "front"] for server in SERVERS}
        | {worker: ["jobs", "out"] for worker in WORKERS}
    )


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_isolates_jobs_or_does_not_start(name: str) -> None:
    """FAVOR_UNSHARE_PID would go on without isolation; `confine` hides the worker's files."""
    environment = SERVICES[name]["environment"]

    assert (environment["ENABLE_UNSHARE_PID"], "FAVOR_UNSHARE_PID" in environment) == ("true", False)
    assert environment["UNSHARE_ISOLATION_FLAGS"] == (
        "--user --map-root-user --pid --fork --mount-proc -- /opt/platform/bin/confine"
    )
    assert sorted(SERVICES[name]["security_opt"]) == [
        "apparmor=${WORKER_APPARMOR:-unconfined}",
        "no-new-privileges:true",
        "seccomp:./worker-seccomp.json",
        "systempaths=unconfined",
    ]
    assert environment["NUM_WORKERS"] == "1"  # two jobs at once would see each other's folders


def test_no_worker_holds_the_superadmins_secret() -> None:
    """Neither as a variable nor as a file."""
    held = {name for name, service in SERVICES.items() if "superadmin" in json.dumps(service).lower()}

    assert held == set(SERVERS)


def test_no_variable_of_a_container_is_a_secret() -> None:
    """`docker inspect` shows them; secrets are files, and the variables name files."""
    secret = re.compile(r"(?i)(password|token|secret|salt|database_url)")
    shown = {
        f"{name}: {variable}"
        for name, service in SERVICES.items()
        for variable, value in service.get("environment", {}).items()
        if secret.search(variable) and variable != "PLATFORM_SECRETS"
    }

    assert shown == set()
    assert not any("env_file" in service for service in SERVICES.values())


def test_a_changed_secret_recreates_whoever_reads_it() -> None:
    """Compose compares names of secrets and not their paths, so a label holds the paths."""
    secrets = yaml.safe_load(TEXT)["secrets"]
    for name, service in _each():
        read = [secrets[secret]["file"].replace(":?", "") for secret in service.get("secrets", [])]
        assert service.get("labels", {}).get("platform.secrets", "") == " ".join(read), name


def test_a_secret_a_service_is_told_of_is_mounted_there() -> None:
    """PLATFORM_SECRETS names files under /run/secrets."""
    for name, service in _each():
        told = service.get("environment", {}).get("PLATFORM_SECRETS", "").split()
        assert {pair.partition("=")[0] for pair in told} <= set(service.get("secrets", [])), name


def test_every_secret_is_a_file_and_read_by_somebody() -> None:
    """One that nobody reads is a copy too many."""
    secrets = yaml.safe_load(TEXT)["secrets"]

    assert {secret for service in SERVICES.values() for secret in service.get("secrets", [])} == set(secrets)
    assert all(list(one) == ["file"] for one in secrets.values())


def test_the_database_is_told_no_password() -> None:
    """Otherwise every rotation recreates it; its certificate is read again, from a path that stays."""
    postgres = SERVICES["postgres"]

    assert "secrets" not in postgres
    assert "${DATABASE_TLS_DIR:-/opt/platform/database-tls}:/run/tls:ro" in postgres["volumes"]


def test_every_image_is_a_variable_without_a_default() -> None:
    """A deploy names digests; a default would be a floating tag one day."""
    images = {service["image"] for service in SERVICES.values()}

    assert {re.sub(r":\?[^}]*", "", image) for image in images} == {
        "${WINDMILL_IMAGE}",
        "${POSTGRES_IMAGE}",
        "${DOOR_IMAGE}",
        "${CADDY_IMAGE}",
        "${BACKUP_IMAGE}",
    }


def test_the_example_gives_every_variable_without_a_default_and_no_other() -> None:
    """`make compose-config` reads the file with it, and Compose warns of what is missing there."""
    given = dict(
        line.split("=", 1)
        for line in EXAMPLE.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    bare = set(re.findall(r"\$\{(\w+)(?::\?[^}]*)?\}", TEXT))

    assert set(given) == bare
    assert [value for name, value in given.items() if not re.fullmatch(_form_of(name), value)] == []


def _form_of(name: str) -> str:
    """What a value of that name looks like."""
    kind = name.partition("_")[0] if not name.endswith("_IMAGE") else "IMAGE"
    return {
        "IMAGE": r"ghcr\.io/example/platform-[a-z]+@sha256:0{64}",
        "DOMAIN": r"[a-z]+\.example\.org",
        "SECRET": r"/opt/platform/secrets/[a-z_]+\.[a-z2-7]{8}",
        "WINDMILL": r"203\.0\.113\.\d+/32",
        "ACME": r"\w+@example\.org",
    }[kind]


def test_the_two_servers_differ_in_their_profile_alone() -> None:
    """A deploy starts the one that is not serving."""
    blue, green = (dict(SERVICES[name]) for name in SERVERS)

    assert (blue.pop("profiles"), green.pop("profiles")) == (["blue"], ["green"])
    assert blue == green


def test_jobs_run_by_the_interpreter_their_packages_were_installed_for() -> None:
    """3.12, from a folder of the image that nobody writes to."""
    dockerfile = (ROOT / "infra/docker/windmill/Dockerfile").read_text(encoding="utf-8")

    for name in WORKERS:
        environment = SERVICES[name]["environment"]
        assert environment["PYTHON_PATH"] == "/opt/platform/bin/python3.12"
        assert environment["ADDITIONAL_PYTHON_PATHS"] == "/opt/platform/python"
        assert re.search(environment["PIP_LOCAL_DEPENDENCIES"], "platform-core") is not None
    assert "--python /opt/platform/bin/python3.12 --target /opt/platform/python" in dockerfile


def _tags(name: str) -> set[str]:
    found = re.fullmatch(r"\$\{\w+:-([^}]*)\}", SERVICES[name]["environment"]["WORKER_TAGS"])
    assert found is not None
    return set(found[1].split(","))


def test_every_tag_is_taken_by_a_worker() -> None:
    """A job whose tag nobody takes waits for ever."""
    assert {"python3", "flow", "dependency", "bash", *TAGS} <= set().union(*map(_tags, WORKERS))


def test_no_group_has_a_name_that_windmill_gives_tags_to() -> None:
    """Measured: to those of a group `default` Windmill adds what its database has for it, lock jobs too."""
    groups = [SERVICES[name]["environment"]["WORKER_GROUP"] for name in WORKERS]

    assert groups == ["general", "ops", "webhook"]
    assert [name for name in WORKERS if "dependency" in _tags(name)] == ["worker_ops"]


def test_whoever_waits_has_a_worker_that_takes_nothing_else() -> None:
    """So no customer's long job is in their way; and another worker helps while that one is renewed."""
    assert _tags("worker_webhook") == {"webhook"}
    assert "webhook" in _tags("worker_default")


def test_the_door_wakes_runners_in_the_workspace_that_customers_are_made_in() -> None:
    """Of the two that `wmctl instance init` makes; a host with another says so itself."""
    said = SERVICES["door"]["environment"]["PLATFORM_INGEST_WINDMILL_WORKSPACE"]

    assert said == f"${{WINDMILL_WORKSPACE:-{Wanted('').workspaces[-1]}}}"
    assert Wanted("").workspaces == ("staging", "production")
