"""A customer's login is replaced while its scripts run: at no moment is there none that works."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pytest

from platform_core.errors import StateConflict
from platform_core.tenancy.drift import find_drift
from platform_core.tenancy.life import move_tenant
from platform_core.tenancy.provision import password_name
from platform_core.tenancy.registry import dsn_for, get_tenant, open_control
from platform_core.tenancy.second_login import (
    begin_second_login,
    coming_password_name,
    end_first_login,
    let_second_serve,
)
from platform_core.values import Actor
from tests.core.tenancy.conftest import Provision
from tests.support.databases import Databases, MemorySecrets

OPERATOR = Actor("support", "os:ana")


@dataclass(frozen=True)
class Place:
    """A cluster with one customer."""

    admin_dsn: str
    slug: str
    database: str
    kept: MemorySecrets

    def opens(self, login: str, password: str | None) -> bool:
        """Whether the login reads its database."""
        dsn = dsn_for(self.admin_dsn, dbname=self.database, user=login, password=password or "none")
        try:
            with psycopg.connect(dsn) as own:
                own.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    @property
    def named(self) -> tuple[str, str | None]:
        """The login that the registry names, and the password that the store has."""
        with open_control(self.admin_dsn) as control:
            tenant = get_tenant(control, self.slug)
        return tenant.login, self.kept.get(password_name(tenant.slug))


@pytest.fixture
def place(databases: Databases, provision_one: Provision, kept: MemorySecrets) -> Place:
    """A cluster with one customer at work."""
    tenant = provision_one().tenant
    return Place(databases.cluster.admin_dsn, tenant.slug, tenant.database_name, kept)


def test_at_every_step_what_is_named_works_and_the_old_one_works_until_it_goes(place: Place) -> None:
    """Each step is said twice, as after a crash."""
    first = place.named
    seen = []
    for _ in range(2):
        second = begin_second_login(place.admin_dsn, place.slug, secrets=place.kept)
    seen.append((place.named == first, place.opens(*first), place.opens(second.login, second.password)))
    for _ in range(2):
        let_second_serve(place.admin_dsn, second, secrets=place.kept)
    assert begin_second_login(place.admin_dsn, place.slug, secrets=place.kept).login == second.login
    seen.append((place.named == first, place.opens(*first), place.opens(*place.named)))
    gone = [end_first_login(place.admin_dsn, place.slug, actor=OPERATOR) for _ in range(2)]
    seen.append((place.named == first, place.opens(*first), place.opens(*place.named)))

    assert seen == [(True, True, True), (False, True, True), (False, False, True)]
    assert gone == [(first[0],), ()]
    assert place.named == (second.login, place.kept.get(coming_password_name(second.tenant.slug)))
    with open_control(place.admin_dsn) as control:
        assert [one for one in find_drift(control) if one.subject in {first[0], second.login}] == []


def test_a_rotation_after_a_rotation_has_another_password(place: Place) -> None:
    """Although the store may still have what the one before prepared."""
    passwords = [place.named[1]]
    for _ in range(2):
        second = begin_second_login(place.admin_dsn, place.slug, secrets=place.kept)
        let_second_serve(place.admin_dsn, second, secrets=place.kept)
        end_first_login(place.admin_dsn, place.slug, actor=OPERATOR)
        passwords.append(place.named[1])

    assert len(set(passwords)) == 3
    assert place.opens(*place.named)


def test_a_login_that_somebody_uses_is_not_dropped(place: Place) -> None:
    """Neither its session nor the login: the rotation stays half done and says so."""
    login, password = place.named
    looks = iter([True, False])
    second = begin_second_login(place.admin_dsn, place.slug, secrets=place.kept)
    let_second_serve(place.admin_dsn, second, secrets=place.kept)
    dsn = dsn_for(place.admin_dsn, dbname=place.database, user=login, password=password or "")
    with psycopg.connect(dsn, autocommit=True) as working:
        with pytest.raises(StateConflict, match="still has 1 session"):
            end_first_login(place.admin_dsn, place.slug, actor=OPERATOR, wait=lambda: next(looks))
        still = working.execute("SELECT 1").fetchone()

    assert still == (1,)
    assert end_first_login(place.admin_dsn, place.slug, actor=OPERATOR) == (login,)


def test_a_customer_that_is_not_at_work_gets_no_second_login(place: Place) -> None:
    """Nobody connects there, so nobody could tell whether it works."""
    before = place.named
    move_tenant(place.admin_dsn, place.slug, "suspend", actor=OPERATOR, reason="a test")

    with pytest.raises(StateConflict, match="is suspended"):
        begin_second_login(place.admin_dsn, place.slug, secrets=place.kept)
    assert place.named == before
