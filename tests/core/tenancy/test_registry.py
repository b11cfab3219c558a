"""The registry finds customers, names what was probably meant, and the moves of a customer's life bind."""

from __future__ import annotations

import psycopg
import pytest

from platform_core import audit
from platform_core.db import open_connection
from platform_core.errors import DatabaseClosed, StateConflict, UnknownTenant
from platform_core.tenancy.life import MOVES, Move, move_tenant
from platform_core.tenancy.registry import find_tenant, get_tenant, list_tenants, open_control
from platform_core.values import Actor
from tests.core.tenancy.conftest import Provision
from tests.support.databases import Databases

OPERATOR = Actor("user", "operator", "owner")


def test_an_unknown_customer_is_named_with_those_that_were_meant(
    databases: Databases, provision_one: Provision, slug: str
) -> None:
    """A typing mistake gets the right name back."""
    provision_one()
    with open_control(databases.cluster.admin_dsn) as control:
        with pytest.raises(UnknownTenant) as refusal:
            get_tenant(control, slug.replace("acme", "amce"))
        assert find_tenant(control, "nobody_at_all") is None
        assert slug in [tenant.slug for tenant in list_tenants(control)]

    assert slug in refusal.value.next_step


@pytest.mark.parametrize(
    ("moves", "state", "connects"),
    [
        (["suspend"], "suspended", False),
        (["suspend", "suspend"], "suspended", False),
        (["suspend", "resume"], "active", True),
        (["suspend", "close"], "closed", False),
        (["close"], "closed", False),
    ],
)
def test_a_customer_that_is_not_active_cannot_connect(
    databases: Databases, provision_one: Provision, slug: str, moves: list[Move], state: str, connects: bool
) -> None:
    """Its open sessions end, new ones are refused by a platform error, each move is on record once."""
    made = provision_one()
    dsn = databases.cluster.admin_dsn
    with psycopg.connect(made.dsn, autocommit=True) as own:
        for move in moves:
            moved = move_tenant(dsn, slug, move, actor=OPERATOR, reason="a test")
        with pytest.raises(psycopg.OperationalError):
            own.execute("SELECT 1")

    assert moved.state == state
    if connects:
        open_connection(made.dsn, application="test").close()
    else:
        with pytest.raises(DatabaseClosed):
            open_connection(made.dsn, application="test")
    with open_control(dsn) as control:
        actions = [entry.action for entry in audit.list_entries(control, target=("tenant", slug))]
    assert len(actions) == 1 + len(dict.fromkeys(moves))


@pytest.mark.parametrize(("first", "then"), [("close", "suspend"), ("close", "resume"), (None, "resume")])
def test_a_move_from_the_wrong_state_is_refused_by_name(
    databases: Databases, provision_one: Provision, slug: str, first: Move | None, then: Move
) -> None:
    """`resume` of an active customer changes nothing; a closed one stays closed."""
    provision_one()
    dsn = databases.cluster.admin_dsn
    if first is None:
        assert move_tenant(dsn, slug, then, actor=OPERATOR, reason="a test").state == "active"
        return
    move_tenant(dsn, slug, first, actor=OPERATOR, reason="a test")

    with pytest.raises(StateConflict, match=f"{slug} is closed"):
        move_tenant(dsn, slug, then, actor=OPERATOR, reason="a test")


@pytest.mark.parametrize("state", ["suspended", "closed"])
def test_provisioning_again_does_not_open_what_was_shut(
    databases: Databases, provision_one: Provision, slug: str, state: str
) -> None:
    """Only `resume` opens a suspended customer."""
    provision_one()
    move: Move = "suspend" if state == "suspended" else "close"
    move_tenant(databases.cluster.admin_dsn, slug, move, actor=OPERATOR, reason="a test")

    with pytest.raises(StateConflict, match=f"{slug} is {state}"):
        provision_one()


def test_every_state_but_the_last_can_be_left() -> None:
    """The table of moves has no state nobody can leave, except closed."""
    left = {start for starts, _ in MOVES.values() for start in starts}

    assert left == {"active", "suspended"}
