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

SERVERS = ("server_blue", "server_green")
WORKERS = ("worker_default", "worker_ops", "worker_webhook")
Service = Mapping[str, Any]  # Any: as YAML comes; each test looks at one corner of it

_SAYS_IT_ITSELF = re.compile(
    r"""\s*(?:- )?(?:<<:|(?:name|services|networks|volumes|secrets|environment|image|deploy|interval|timeout
        |retries|start_period|start_interval|profiles|ports|command|MODE|PORT|WORKER_GROUP|WORKER_TAGS|PGDATA
        |BASE_URL|DOMAIN_\w+|PLATFORM_INGEST_FOLDER|PLATFORM_INGEST_WINDMILL_WORKSPACE|PGSSLROOTCERT
        |XDG_DATA_HOME|NO_COLOR|WINDMILL_DIR|PLATFORM_SECRETS|tmpfs|healthcheck|logging|driver|options
        |security_opt|restart|SLEEP_QUEUE|group_add|user|ACME_\w+|WINDMILL_ALLOWED|stop_grace_period|cap_add|labels)\b)""",
    re.VERBOSE,
)


def _services() -> dict[str, Service]:
    found: dict[str, Service] = yaml.safe_load(TEXT)["services"]
    return found


SERVICES = _services()


def _each(*names: str) -> list[tuple[str, Service]]:
    return [(name, SERVICES[name]) for name in names or SERVICES]


def unexplained(text: str) -> list[str]:
    """Lines that say nothing of why they are there, and whose key does not say it either.

    A comment counts on its line, on the line above, and for the lines of a block that begins with one.
    """
    found, above, block = [], False, 0
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        indent = len(line) - len(line.lstrip())
        if not bare:
            above, block = False, 0
            continue
        if bare.startswith("#"):
            above, block = True, indent
            continue
        explained = " #" in line or above or (block and indent > block) or bool(_SAYS_IT_ITSELF.match(line))
        is_heading = bare.endswith(":") or "&" in line or re.match(r"(?:-|\[|[\w-]+: \{\})", bare)
        if not explained and not is_heading:
            found.append(f"{number}: {bare}")
        block = indent if above or " #" in line else (block if indent > block else 0)
        above = False
    return found


def test_every_line_has_a_reason() -> None:
    """Beside it, above it, or in its own name."""
    assert unexplained(TEXT) == []


def test_a_line_without_a_reason_is_found() -> None:
    """The judge above can say no."""
    assert unexplained("services:\n  door:\n    shm_size: 1g\n") == ["3: shm_size: 1g"]


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
