"""Tell what changed behind our back: a login's password, limits, memberships and settings; a database opened.

A customer's login may change its own password and its own settings; PostgreSQL cannot forbid either. This
check, run on a schedule, finds it, and `provision` with the same values repairs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from platform_core.db import Tx, load_queries
from platform_core.tenancy import door
from platform_core.tenancy.provision import DEFAULT_LIMITS, LoginLimits, login_settings

Q = load_queries(__file__)


class DriftKind(StrEnum):
    """What is not as provisioning left it."""

    DATABASE_OPEN_TO_PUBLIC = "database_open_to_public"
    LOGIN_MISSING = "login_missing"
    LOGIN_POWERFUL = "login_powerful"
    CONNECTION_LIMIT = "connection_limit"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of a finding, not a password
    MEMBERSHIPS = "memberships"
    SETTINGS = "settings"
    DATABASES = "databases"
    DOOR_SHUT_OUT = "door_shut_out"
    DOOR_LET_IN = "door_let_in"


@dataclass(frozen=True, slots=True)
class Drift:
    """One finding. `subject` is a database's or a login's opaque name; `detail` never holds a secret."""

    kind: DriftKind
    subject: str
    detail: str = ""


def find_drift(control: Tx, limits: LoginLimits = DEFAULT_LIMITS) -> tuple[Drift, ...]:
    """Compare the cluster with the registry. `control` is a transaction on the control database."""
    opened = [
        Drift(DriftKind.DATABASE_OPEN_TO_PUBLIC, name)
        for (name,) in control.execute(Q["database_list_open_to_public"]).fetchall()
    ]
    settings = login_settings(control.info.server_version, limits)
    wanted = sorted(f"{name}={value}" for name, value in settings.items())
    found = list(opened)
    for row in control.execute(Q["login_drift_list"]).fetchall():
        found += _of_login(_Login(*row), wanted, limits.connections)
    return (*found, *_of_door(control))


def _of_door(control: Tx) -> list[Drift]:
    """The door's login, once it was made, and the databases that do not let it in as they should."""
    found = []
    row = control.execute(Q["door_login_find"], {"login": door.LOGIN}).fetchone()
    if row is not None and row[0]:
        _, powerful, connections, member_of, settings = row
        wanted = {
            f"{name}={value}" for name, value in door.door_settings(control.info.server_version).items()
        }
        checks = {
            DriftKind.LOGIN_POWERFUL: (powerful, "an attribute beyond LOGIN"),
            DriftKind.CONNECTION_LIMIT: (connections != door.CONNECTIONS, f"{connections}"),
            DriftKind.MEMBERSHIPS: (member_of != [door.GROUP], ", ".join(member_of)),
            DriftKind.SETTINGS: (set(settings) != wanted, ", ".join(sorted(set(settings) ^ wanted))[:300]),
        }
        found += [Drift(kind, door.LOGIN, detail) for kind, (wrong, detail) in checks.items() if wrong]
    for name, active, privileges in control.execute(Q["door_drift_list"], {"login": door.LOGIN}).fetchall():
        lacking = active and f"{door.GROUP}:CONNECT" not in privileges
        kind = DriftKind.DOOR_SHUT_OUT if lacking else DriftKind.DOOR_LET_IN
        found.append(Drift(kind, name, ", ".join(privileges)))
    return found


@dataclass(frozen=True, slots=True)
class _Login:
    slug: str
    database_name: str
    login: str
    present: bool
    powerful: bool
    connections: int
    password_stands: bool
    member_of: list[str]
    settings: list[str]
    databases: list[str]


def _of_login(login: _Login, settings: list[str], connections: int) -> list[Drift]:
    if not login.present:
        return [Drift(DriftKind.LOGIN_MISSING, login.login, login.slug)]
    checks = {
        DriftKind.LOGIN_POWERFUL: (login.powerful, "an attribute beyond LOGIN"),
        DriftKind.CONNECTION_LIMIT: (login.connections != connections, f"{login.connections}"),
        DriftKind.PASSWORD_CHANGED: (not login.password_stands, "the verifier is not the one recorded"),
        DriftKind.MEMBERSHIPS: (login.member_of != ["api_tenant"], ", ".join(login.member_of)),
        DriftKind.SETTINGS: (
            sorted(login.settings) != settings,
            ", ".join(sorted(set(login.settings) ^ set(settings)))[:300],
        ),
        DriftKind.DATABASES: (login.databases != [login.database_name], ", ".join(login.databases)),
    }
    return [Drift(kind, login.login, detail) for kind, (wrong, detail) in checks.items() if wrong]
