"""Tell what changed behind our back: a login's password, limits, memberships and settings; a database opened.

A customer's login may change its own password and its own settings; PostgreSQL cannot forbid either. This
check, run on a schedule, finds it, and `provision` with the same values repairs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from platform_core.db import Tx, load_queries
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
    return tuple(found)


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
